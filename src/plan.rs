//! What to fetch for a tree, given what the store has.
//!
//! ```text
//! a file's bytes are   in a blob  >  in another tree  >  in a pack that is here
//!                      >  in a pack  or  in a file of its own, whichever costs less
//! ```
//!
//! A request costs as much as [`REQUEST`] bytes: at 20 ms and 1 Gbit/s it would be
//! 2.5 MB, on a loopback nothing; the value only has to keep a thousand small files
//! from being a thousand requests, and one changed file from being a whole pack.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;

use crate::assemble::Source;
use crate::manifest::{File, Pack, Record};
use crate::name::{Digest, FilePath, UrlText};
use crate::store::blob::{BlobStore, Glance};
use crate::store::tree::Tree;

/// What one more request is worth, in bytes.
const REQUEST: u64 = 16 << 10;

/// One thing to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// As the manifest has it.
    pub url: UrlText,
    /// In bytes.
    pub size: u64,
    /// Of what arrives.
    pub sha256: Digest,
}

/// What to download, and where every file of a tree is taken from then.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) sources: BTreeMap<FilePath, Source>,
    /// What `wanted` holds.
    named: HashSet<Digest>,
}

impl Plan {
    /// True if every file comes from where it comes from in `other`.
    pub fn takes_the_same(&self, other: &Self) -> bool {
        let place = |source: &Source| (source.blob, source.inner.clone(), source.file.clone());
        let places = |plan: &Self| plan.sources.values().map(place).collect::<Vec<_>>();
        places(self) == places(other)
    }
}

/// Files of trees that are on disk, by digest.
#[derive(Debug, Default)]
pub struct Reusable(HashMap<Digest, (PathBuf, Digest, Option<FilePath>)>);

impl Reusable {
    pub(crate) fn add(&mut self, tree: &Tree) {
        for file in tree.files.iter().filter(|file| !file.lazy) {
            if let Some(blob) = file.source.and_then(|at| tree.sources.get(at)) {
                let place = (tree.folder.join(file.path.as_str()), *blob, file.inner.clone());
                self.0.insert(file.sha256, place);
            }
        }
    }
}

/// Chooses a source for every file of `record` that is not lazy. `force` takes nothing
/// that is here already; without `packs`, no pack is fetched.
pub fn plan(
    record: &Record,
    blobs: &BlobStore,
    reusable: &Reusable,
    force: bool,
    packs: bool,
) -> Plan {
    let mut plan = Plan::default();
    let mut missing: BTreeMap<&FilePath, &File> = BTreeMap::new();
    let glance = blobs.glance(record.files.len());
    for file in record.files.iter().filter(|file| !file.lazy) {
        match here(file, &glance, reusable, force) {
            Some(source) => {
                plan.sources.insert(file.path.clone(), source);
            }
            None => {
                missing.insert(&file.path, file);
            }
        }
    }
    for pack in record.packs.iter().filter(|pack| pack.format.holds_files()) {
        let is_here = !force && glance.has(&pack.sha256, pack.size);
        if packs || is_here {
            plan.consider(pack, &mut missing, is_here);
        }
    }
    for file in missing.into_values() {
        plan.want(&file.url, file.size, &file.sha256);
        let source = Source { blob: file.sha256, inner: None, file: None, fresh: true };
        plan.sources.insert(file.path.clone(), source);
    }
    plan
}

fn here(file: &File, blobs: &Glance<'_>, reusable: &Reusable, force: bool) -> Option<Source> {
    if force {
        return None;
    }
    if blobs.has(&file.sha256, file.size) {
        return Some(Source { blob: file.sha256, inner: None, file: None, fresh: false });
    }
    let (path, blob, inner) = reusable.0.get(&file.sha256)?;
    Some(Source { blob: *blob, inner: inner.clone(), file: Some(path.clone()), fresh: false })
}

impl Plan {
    /// Takes the files of `pack` from it, if that is the cheaper way.
    fn consider(&mut self, pack: &Pack, missing: &mut BTreeMap<&FilePath, &File>, is_here: bool) {
        let covered: Vec<&File> =
            pack.paths.iter().filter_map(|path| missing.get(path).copied()).collect();
        let alone: u64 = covered
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.size).saturating_add(REQUEST));
        if covered.is_empty() || (!is_here && pack.size.saturating_add(REQUEST) >= alone) {
            return;
        }
        if !is_here {
            self.want(&pack.url, pack.size, &pack.sha256);
        }
        for file in covered {
            missing.remove(&file.path);
            let source = Source {
                blob: pack.sha256,
                inner: Some(file.path.clone()),
                file: None,
                fresh: !is_here,
            };
            self.sources.insert(file.path.clone(), source);
        }
    }

    fn want(&mut self, url: &UrlText, size: u64, sha256: &Digest) {
        if self.named.insert(*sha256) {
            self.wanted.push(Wanted { url: url.clone(), size, sha256: *sha256 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn digest(of: u8) -> Digest {
        Digest::of(&[of])
    }

    fn record(sizes: &[u64], pack_size: u64) -> Record {
        let files: Vec<String> = sizes
            .iter()
            .enumerate()
            .map(|(at, size)| {
                let sha = digest(at as u8);
                format!(r#"{{"path":"a/{at}.py","url":"f{at}","size":{size},"sha256":"{sha}"}}"#)
            })
            .collect();
        let paths: Vec<String> = (0..sizes.len()).map(|at| format!("\"a/{at}.py\"")).collect();
        let text = format!(
            r#"{{"manifest":1,"namespace":"","modules":{{"a":{{"version":"1","files":[{}],
            "packs":[{{"format":"brotli-9","url":"b","size":1,"sha256":"{}","paths":[]}},
                     {{"format":"zip","url":"p","size":{pack_size},"sha256":"{}","paths":[{}]}}]}}}}}}"#,
            files.join(","),
            digest(200),
            digest(100),
            paths.join(",")
        );
        *Manifest::parse(text.as_bytes()).unwrap().modules().unwrap().0["a"].clone()
    }

    fn urls(plan: &Plan) -> Vec<&str> {
        plan.wanted.iter().map(|wanted| wanted.url.as_str()).collect()
    }

    #[test]
    fn many_small_files_come_as_a_pack_and_one_changed_file_alone() {
        let root = tempfile::tempdir().unwrap();
        let blobs = BlobStore::new(root.path().to_path_buf());
        let record = record(&[1000; 20], 9000);
        assert_eq!(urls(&plan(&record, &blobs, &Reusable::default(), false, true)), ["p"]);

        let mut reusable = Reusable::default();
        for file in &record.files[1..] {
            reusable.0.insert(file.sha256, (PathBuf::from("/old"), digest(9), None));
        }
        let plan = plan(&record, &blobs, &reusable, false, true);
        assert_eq!(urls(&plan), ["f0"]);
        assert_eq!(plan.sources.len(), 20);
    }

    #[test]
    fn a_pack_that_costs_more_than_its_files_is_left() {
        let root = tempfile::tempdir().unwrap();
        let blobs = BlobStore::new(root.path().to_path_buf());
        assert_eq!(
            urls(&plan(&record(&[1000, 1000], 90_000), &blobs, &Reusable::default(), false, true)),
            ["f0", "f1"]
        );
    }
}
