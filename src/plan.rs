//! What to fetch for a tree, given what the store has.
//!
//! ```text
//! a file's bytes are   in a blob  >  in another tree  >  in a pack that is here
//!                      >  in a pack  or  in a file of its own, whichever costs less
//! ```
//!
//! A request costs as much as `REQUEST` bytes: at 20 ms and 1 Gbit/s it would be
//! 2.5 MB, on a loopback nothing; the value only has to keep a thousand small files
//! from being a thousand requests, and one changed file from being a whole pack.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::assemble::Source;
use crate::manifest::{File, Pack, Place, Record};
use crate::name::{Digest, FilePath, UrlText};
use crate::store::Reuse;
use crate::store::blob::{BlobStore, Glance};
use crate::store::tree::{Kept, Tree};

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
        let is_same =
            |(one, other): (&Source, &Source)| (&one.kept, &one.file) == (&other.kept, &other.file);
        self.sources.len() == other.sources.len()
            && self.sources.values().zip(other.sources.values()).all(is_same)
    }

    fn want(&mut self, url: &UrlText, size: u64, sha256: &Digest) {
        if self.named.insert(*sha256) {
            self.wanted.push(Wanted { url: url.clone(), size, sha256: *sha256 });
        }
    }
}

/// Files of trees that are on disk, by digest.
#[derive(Debug, Default)]
pub struct Reusable(HashMap<Digest, Source>);

impl Reusable {
    pub(crate) fn add(&mut self, tree: &Tree) {
        for file in tree.files.iter().filter(|file| !file.lazy) {
            if let Some(kept) = file.kept.clone() {
                let path = tree.place().join(file.path.as_str());
                self.0.insert(file.sha256, Source { kept, file: Some(path), fresh: false });
            }
        }
    }
}

/// Which packs files may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packs {
    /// Those that are here, and those that it pays to fetch.
    Fetched,
    /// Those that are here, and those without which a file cannot be had.
    Needed,
}

/// Chooses a source for every file of `record` that is not lazy.
pub fn plan(
    record: &Record,
    blobs: &BlobStore,
    reusable: &Reusable,
    reuse: Reuse,
    packs: Packs,
) -> Plan {
    let mut plan = Plan::default();
    let mut missing: BTreeMap<&FilePath, &File> = BTreeMap::new();
    let glance = blobs.glance(record.files.len());
    for file in record.files.iter().filter(|file| !file.lazy) {
        match here(file, &glance, reusable, reuse) {
            Some(source) => drop(plan.sources.insert(file.path.clone(), source)),
            None => drop(missing.insert(&file.path, file)),
        }
    }
    for pack in record.packs.iter().filter(|pack| pack.format.holds_files()) {
        let covered: Vec<&File> =
            pack.paths.iter().filter_map(|path| missing.get(path).copied()).collect();
        if covered.is_empty() {
            continue;
        }
        let is_here = reuse == Reuse::WhatIsHere && glance.has(&pack.sha256, pack.size);
        let is_needed = covered.iter().any(|file| file.url().is_none());
        let pays = || packs == Packs::Fetched && is_cheaper(pack, &covered);
        if !(is_here || is_needed || pays()) {
            continue;
        }
        if !is_here {
            plan.want(&pack.url, pack.size, &pack.sha256);
        }
        for file in covered {
            missing.remove(&file.path);
            let kept = Kept::InPack { pack: pack.sha256, entry: file.entry().clone() };
            let source = Source { kept, file: None, fresh: !is_here };
            plan.sources.insert(file.path.clone(), source);
        }
    }
    for file in missing.into_values() {
        // What no pack gave and has no URL is told of when the tree is built.
        if let Place::Url(url) = &file.place {
            plan.want(url, file.size, &file.sha256);
            let source = Source { kept: Kept::Alone, file: None, fresh: true };
            plan.sources.insert(file.path.clone(), source);
        }
    }
    plan
}

fn here(file: &File, blobs: &Glance<'_>, reusable: &Reusable, reuse: Reuse) -> Option<Source> {
    if reuse == Reuse::Nothing {
        return None;
    }
    if blobs.has(&file.sha256, file.size) {
        return Some(Source { kept: Kept::Alone, file: None, fresh: false });
    }
    reusable.0.get(&file.sha256).cloned()
}

/// True if a pack costs less than the files that are wanted of it.
fn is_cheaper(pack: &Pack, wanted: &[&File]) -> bool {
    let add = |sum: u64, file: &&File| sum.saturating_add(file.size).saturating_add(REQUEST);
    pack.size.saturating_add(REQUEST) < wanted.iter().fold(0, add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble;
    use crate::manifest::Manifest;
    use crate::settings::Settings;
    use crate::store::Store;

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

    /// Where no blob is.
    fn planned(record: &Record, reusable: &Reusable) -> Plan {
        let root = tempfile::tempdir().unwrap();
        let blobs = BlobStore::new(root.path().to_path_buf());
        plan(record, &blobs, reusable, Reuse::WhatIsHere, Packs::Fetched)
    }

    #[test]
    fn many_small_files_come_as_a_pack_and_one_changed_file_alone() {
        let record = record(&[1000; 20], 9000);
        assert_eq!(urls(&planned(&record, &Reusable::default())), ["p"]);

        let mut reusable = Reusable::default();
        for file in &record.files[1..] {
            let path = Some("/old".into());
            reusable.0.insert(file.sha256, Source { kept: Kept::Alone, file: path, fresh: false });
        }
        let plan = planned(&record, &reusable);
        assert_eq!(urls(&plan), ["f0"]);
        assert_eq!(plan.sources.len(), 20);
    }

    #[test]
    fn a_pack_that_costs_more_than_its_files_is_left() {
        let plan = planned(&record(&[1000, 1000], 90_000), &Reusable::default());
        assert_eq!(urls(&plan), ["f0", "f1"]);
    }

    #[test]
    fn what_only_a_pack_holds_comes_with_it_from_under_another_name() {
        use std::io::Write as _;
        let root = tempfile::tempdir().unwrap();
        let cache_dir = root.path().join("cache");
        let store = Store::new(&Settings { cache_dir, ..Settings::from_env().unwrap() });
        store.create().unwrap();
        let entry = FilePath::new("a-1.data/purelib/a/0.py").unwrap();
        let mut wheel = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        wheel.start_file(entry.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
        wheel.write_all(&[0]).unwrap();
        let wheel = wheel.finish().unwrap().into_inner();

        let mut record = record(&[1], wheel.len() as u64);
        record.files[0].place = Place::InPack { entry };
        record.packs[1].sha256 = Digest::of(&wheel);
        let plan =
            || plan(&record, store.blobs(), &Reusable::default(), Reuse::WhatIsHere, Packs::Needed);
        assert_eq!(urls(&plan()), ["p"], "although it is dear, and no pack is wanted");
        assert!(serde_json::to_string(&record).is_err(), "no document can say it");

        store.blobs().insert(&wheel).unwrap();
        let (plan, digest) = (plan(), record.tree_digest());
        assert_eq!(urls(&plan), [""; 0]);
        let tree =
            assemble::build(&store, &digest, &record, &plan.sources, Reuse::WhatIsHere, None)
                .unwrap();
        assert_eq!(tree.read(&tree.files[0]).unwrap(), [0]);
        let mut tree = Tree::open(&store, &digest).unwrap().unwrap();
        fs_err::remove_file(tree.folder.join("a/0.py")).unwrap();
        assert!(assemble::heal(&store, &mut tree, &[0]).unwrap().is_empty());
        assert_eq!(tree.read(&tree.files[0]).unwrap(), [0]);
    }
}
