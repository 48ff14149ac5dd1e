//! From a folder aside to where it belongs: by renames, which are undone if one fails.
//!
//! ```text
//! .magic-module…/0/site/pkg            ─▶ site/pkg                 whole folders, where none is there
//! .magic-module…/0/site/ns/one.py      ─▶ site/ns/one.py           else what is in them
//! .magic-module…/0/site/pkg-1.dist-info─▶ site/pkg-1.dist-info     last
//! what it replaces                     ─▶ .magic-module…/old/…     first, its metadata before all
//! ```

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::Target;
use crate::distribution::recorded;
use crate::error::{Error, Kind, Result};
use crate::name::DistributionName;
use crate::resolved::Distribution;
use crate::store::disk;

/// The largest `RECORD` that is read, in bytes.
const LIMIT: u64 = 64 << 20;

/// What is installed in a folder, as its metadata tells.
pub(super) struct There {
    name: DistributionName,
    version: String,
    info: PathBuf,
}

impl There {
    /// True if it is just this version, completely.
    pub fn is(&self, it: &Distribution) -> bool {
        DistributionName::new(&it.name).as_ref() == Ok(&self.name)
            && self.version == it.version.as_str()
    }
}

/// All that is installed in a folder; of one that is not there, nothing.
pub(super) fn distributions(site: &Path) -> Result<Vec<There>> {
    let entries = match disk::list(site) {
        Ok(entries) => entries,
        Err(error) if disk::is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(Error::store("cannot look into the folder", site, &error)),
    };
    let there = entries.into_iter().filter_map(|info| {
        let stem = info.file_name()?.to_str()?.strip_suffix(".dist-info")?;
        let (name, version) = stem.split_once('-')?;
        let name = DistributionName::new(name).ok()?;
        // Without it, nobody can tell what belongs to it.
        let whole = info.join("RECORD").is_file();
        whole.then(|| There { name, version: version.to_owned(), info: info.clone() })
    });
    Ok(there.collect())
}

/// One distribution, complete in a folder aside.
pub(super) struct Staged {
    /// As its author writes it.
    pub name: String,
    folder: PathBuf,
}

impl Staged {
    pub fn new(name: &str, folder: PathBuf) -> Self {
        Self { name: name.to_owned(), folder }
    }

    /// Where it is made.
    pub fn target(&self) -> Target {
        Target {
            site: self.folder.join("site"),
            scripts: self.folder.join("scripts"),
            data: self.folder.join("data"),
            headers: self.folder.join("headers"),
        }
    }

    /// Puts it where it belongs, in place of another version of it; `files` are all of its own.
    pub fn place(
        &self,
        target: &Target,
        files: &[PathBuf],
        there: &[There],
        old: &Path,
    ) -> Result<()> {
        let own = DistributionName::new(&self.name);
        let is_replaced = |there: &&There| own.as_ref() == Ok(&there.name);
        let replaced: Vec<&There> = there.iter().filter(is_replaced).collect();
        let mut going: BTreeSet<PathBuf> = BTreeSet::new();
        for there in &replaced {
            going.extend(files_of(there, target)?);
        }
        self.refuse_others(target, files, &going)?;
        let mut moves = Moves::default();
        let staged = self.target();
        let done = (|| {
            for there in &replaced {
                moves.put(&there.info, &old.join(moves.done.len().to_string()))?;
            }
            for path in going.iter().filter(|path| fs_err::symlink_metadata(path).is_ok()) {
                moves.put(path, &old.join(moves.done.len().to_string()))?;
            }
            moves.merge(&staged.scripts, &target.scripts)?;
            moves.merge(&staged.headers, &target.headers)?;
            moves.merge(&staged.data, &target.data)?;
            moves.merge(&staged.site, &target.site)
        })();
        match done {
            Ok(()) => {
                remove_empty(&going);
                Ok(())
            }
            Err(error) => {
                moves.undo();
                let what = format!("cannot install {} into {}", self.name, target.site.display());
                Err(Error::store(what, &target.site, &error)
                    .name(self.name.clone())
                    .hint("check that the folder may be written to; it is as it was"))
            }
        }
    }

    /// A file of somebody else is never replaced, unless it is the same.
    fn refuse_others(
        &self,
        target: &Target,
        files: &[PathBuf],
        going: &BTreeSet<PathBuf>,
    ) -> Result<()> {
        let staged = self.target();
        let pairs = [
            (&target.site, &staged.site),
            (&target.scripts, &staged.scripts),
            (&target.headers, &staged.headers),
            (&target.data, &staged.data),
        ];
        for path in files.iter().filter(|path| !going.contains(*path)) {
            let Ok(there) = fs_err::symlink_metadata(path) else { continue };
            let sources = pairs.iter().filter_map(|(to, from)| {
                Some(from.join(path.strip_prefix(to).ok()?)).filter(|from| from.exists())
            });
            let same = there.is_file()
                && sources.into_iter().any(|from| is_same(&from, path).unwrap_or(false));
            if !same {
                let what = format!(
                    "cannot install {}: {} is already there, and does not belong to it",
                    self.name,
                    path.display()
                );
                return Err(Error::new(Kind::Policy, what)
                    .name(self.name.clone())
                    .path(path.display().to_string())
                    .hint("remove it, or give another folder with --into"));
            }
        }
        Ok(())
    }
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    Ok(disk::read(one, LIMIT)? == disk::read(other, LIMIT)?)
}

/// What a distribution that is installed has, as far as it lies where such things lie.
fn files_of(there: &There, target: &Target) -> Result<Vec<PathBuf>> {
    let record = there.info.join("RECORD");
    let text = disk::read(&record, LIMIT)
        .map_err(|error| Error::store("cannot read what is installed", &record, &error))?;
    let roots = [&target.site, &target.scripts, &target.data, &target.headers];
    let files = recorded(&String::from_utf8_lossy(&text))
        .filter_map(|path| std::path::absolute(lexical(&target.site, &path)?).ok())
        .filter(|path| roots.iter().any(|root| path.starts_with(root)))
        .filter(|path| !path.starts_with(&there.info))
        .collect();
    Ok(files)
}

/// A path as a `RECORD` has it, without looking at what is there.
fn lexical(site: &Path, path: &str) -> Option<PathBuf> {
    let mut found = site.to_owned();
    for part in path.split('/') {
        match part {
            ".." => found = found.parent()?.to_owned(),
            "" | "." => {}
            part => found.push(part),
        }
    }
    Some(found)
}

/// Folders that what went was alone in.
fn remove_empty(files: &BTreeSet<PathBuf>) {
    let folders: BTreeSet<&Path> = files.iter().filter_map(|path| path.parent()).collect();
    for folder in folders.into_iter().rev() {
        // What is in use refuses; so does what is not empty.
        let _ = fs_err::remove_dir(folder);
    }
}

/// Renames that were done.
#[derive(Default)]
struct Moves {
    done: Vec<(PathBuf, PathBuf)>,
}

impl Moves {
    fn put(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        if let Some(above) = to.parent() {
            fs_err::create_dir_all(above)?;
        }
        fs_err::rename(from, to)?;
        self.done.push((from.to_owned(), to.to_owned()));
        Ok(())
    }

    /// Whole, where nothing is there; else what is in it. Metadata comes last.
    fn merge(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut entries = match disk::list(from) {
            Err(error) if disk::is_absent(&error) => return Ok(()),
            entries => entries?,
        };
        let is_info = |path: &PathBuf| path.extension().is_some_and(|it| it == "dist-info");
        entries.sort_by_key(|path| (is_info(path), path.clone()));
        for entry in entries {
            let Some(name) = entry.file_name() else { continue };
            let target = to.join(name);
            if entry.is_dir() && target.is_dir() {
                self.merge(&entry, &target)?;
            } else {
                self.put(&entry, &target)?;
            }
        }
        Ok(())
    }

    fn undo(self) {
        for (from, to) in self.done.into_iter().rev() {
            let _ = fs_err::rename(&to, &from);
        }
    }
}
