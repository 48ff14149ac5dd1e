//! Every file below a folder of SRC, with the path that it has in a manifest.
//!
//! Skipped: `__pycache__`, `*.pyc`, names that start with a dot, and at the top
//! `bin/` (scripts that installers put there) and `magic-module.toml`. Links are
//! followed to regular files inside SRC only: anything else would publish what the
//! author does not see in the folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization as _;

use super::{overrides, refused, unreadable};
use crate::error::Result;
use crate::name::FilePath;

const RENAME: &str = "rename it, or move it out of the source folder";

/// A file of SRC that was not read yet.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub path: FilePath,
    pub disk: PathBuf,
}

/// The files below `folder`, sorted by path; `skip` are folders that belong elsewhere.
pub(super) fn walk(root: &Path, folder: &Path, skip: &[PathBuf]) -> Result<Vec<Found>> {
    let mut walk = Walk { root, skip, found: Vec::new(), shown: HashMap::new() };
    walk.folder(folder, "")?;
    walk.found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.found)
}

struct Walk<'a> {
    root: &'a Path,
    skip: &'a [PathBuf],
    found: Vec<Found>,
    /// The path on disk by the path as a case-insensitive file system sees it.
    shown: HashMap<String, (FilePath, PathBuf)>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let shown =
            |path: &Path| path.strip_prefix(self.root).unwrap_or(path).display().to_string();
        let listing = || -> std::io::Result<Vec<_>> { fs_err::read_dir(folder)?.collect() };
        let mut entries = listing().map_err(|error| unreadable(shown(folder), &error))?;
        entries.sort_by_key(|entry| entry.file_name());
        for entry in entries {
            let disk = entry.path();
            let what = disk.strip_prefix(self.root).unwrap_or(&disk).display().to_string();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(refused(what, "its name is not valid Unicode", RENAME));
            };
            let kind = entry.file_type().map_err(|error| unreadable(&what, &error))?;
            if skipped(name, prefix.is_empty(), kind.is_dir()) || self.skip.contains(&disk) {
                continue;
            }
            let path = format!("{prefix}{}", name.nfc().collect::<String>());
            if kind.is_dir() {
                self.folder(&disk, &format!("{path}/"))?;
            } else if kind.is_symlink() {
                self.link(&disk, &what)?;
                self.file(&path, disk)?;
            } else if kind.is_file() {
                self.file(&path, disk)?;
            } else {
                return Err(refused(
                    what,
                    "it is neither a file nor a folder",
                    "move it out of the source folder",
                ));
            }
        }
        Ok(())
    }

    fn link(&self, disk: &Path, what: &str) -> Result<()> {
        let remedy = "replace the link by a copy of what it points to";
        let target = fs_err::canonicalize(disk)
            .map_err(|_| refused(what, "it is a link to nothing", remedy))?;
        if !target.starts_with(self.root) {
            return Err(refused(what, "it is a link out of the source folder", remedy));
        }
        if !target.is_file() {
            return Err(refused(what, "it is a link to a folder", remedy));
        }
        Ok(())
    }

    fn file(&mut self, path: &str, disk: PathBuf) -> Result<()> {
        let what = disk.strip_prefix(self.root).unwrap_or(&disk).display().to_string();
        let path = FilePath::new(path).map_err(|why| refused(&what, why, RENAME))?;
        if let Some((other, first)) = self.shown.get(&path.folded()) {
            let first = first.strip_prefix(self.root).unwrap_or(first).display();
            let why = if *other == path {
                format!("{first} has the same name in Unicode normal form C")
            } else {
                format!("{first} is the same file where case does not count")
            };
            return Err(refused(&what, why, "rename one of them"));
        }
        self.shown.insert(path.folded(), (path.clone(), disk.clone()));
        self.found.push(Found { path, disk });
        Ok(())
    }
}

fn skipped(name: &str, top: bool, folder: bool) -> bool {
    name == "__pycache__"
        || name.ends_with(".pyc")
        || name.starts_with('.')
        || (top && folder && name == "bin")
        || (top && !folder && name == overrides::FILE_NAME)
}
