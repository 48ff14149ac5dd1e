//! Every file below a folder of SRC, with the path that it has in a manifest.
//!
//! ```text
//! left out, and named      names that start with a dot, but for those that a RECORD lists;
//!                          `*.pyc` without its source; `bin/` at the top
//! left out                 `__pycache__`, `*.pyc` beside its source, `magic-module.toml`
//! kept, although dotted    what keeps a folder of a unit that would be empty: `.gitkeep`
//! ```
//!
//! Code, its folders and the names of units are written in Unicode normal form C, in which
//! the interpreter looks for them; any other file keeps the name that its author gave it.
//! Links are followed to regular files inside SRC only: anything else would publish what
//! the author does not see in the folder.

use std::collections::{BTreeSet, HashMap};
use std::fs::FileType;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization as _;

use super::{LeftOut, overrides, refused, unreadable};
use crate::error::Result;
use crate::files;
use crate::name::{FilePath, folded, parents};

pub(super) const RENAME: &str = "rename it, or move it out of the source folder";
const MOVE_OUT: &str = "move it out of the source folder";
pub(super) const COMPILED: &str =
    "it is compiled code without its source, which one interpreter can run";
const DOTTED: &str = "its name starts with a dot";

/// A file of SRC that was not read yet.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub path: FilePath,
    pub disk: PathBuf,
}

/// The files below `folder`, sorted by path; `skip` are folders that belong elsewhere,
/// `listed` dotted names that are published. What else is left out joins `left_out`.
pub(super) fn walk(
    root: &Path,
    folder: &Path,
    skip: &[PathBuf],
    listed: &BTreeSet<String>,
    left_out: &mut Vec<LeftOut>,
) -> Result<Vec<Found>> {
    let mut walk = Walk { root, skip, listed, left_out, found: Vec::new() };
    walk.folder(folder, "")?;
    named(root, walk.found)
}

struct Walk<'a> {
    root: &'a Path,
    skip: &'a [PathBuf],
    listed: &'a BTreeSet<String>,
    left_out: &'a mut Vec<LeftOut>,
    /// The path below the folder, as it is spelled on disk, and the place.
    found: Vec<(String, PathBuf)>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        let listing = || -> std::io::Result<Vec<_>> { fs_err::read_dir(folder)?.collect() };
        let mut entries =
            listing().map_err(|error| unreadable(shown(self.root, folder), &error))?;
        entries.sort_by_key(|entry| entry.file_name());
        let names: BTreeSet<_> = entries.iter().map(|entry| entry.file_name()).collect();
        let before = (self.found.len(), self.left_out.len());
        let mut placeholder = None;
        // A folder at the top that holds nothing is not a unit.
        let inside = prefix.matches('/').nth(1).is_some();
        for entry in entries {
            let disk = entry.path();
            let what = shown(self.root, &disk);
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(refused(what, "its name is not valid Unicode", RENAME));
            };
            let kind = entry.file_type().map_err(|error| unreadable(&what, &error))?;
            let path = format!("{prefix}{name}");
            if self.skip.contains(&disk) || is_unneeded(prefix, name, kind) {
                continue;
            }
            let has_source = || {
                name.strip_suffix('c').is_some_and(|it| names.contains(std::ffi::OsStr::new(it)))
            };
            if let Some(reason) = self.reason(&path, kind) {
                if kind.is_file() && matches!(name, ".gitkeep" | ".keep") && inside {
                    placeholder = Some((path, disk));
                } else if !(name.ends_with(".pyc") && has_source()) {
                    let left_out = if kind.is_dir() { LeftOut::folder } else { LeftOut::file };
                    self.left_out.push(left_out(what, reason));
                }
            } else if kind.is_dir() {
                self.folder(&disk, &format!("{path}/"))?;
            } else if kind.is_symlink() {
                self.link(&disk, &what)?;
                self.found.push((path, disk));
            } else if kind.is_file() {
                self.found.push((path, disk));
            } else {
                return Err(refused(what, "it is neither a file nor a folder", MOVE_OUT));
            }
        }
        if self.found.len() > before.0 {
            let needless = placeholder.map(|(_, disk)| shown(self.root, &disk));
            self.left_out.extend(needless.map(|path| LeftOut::file(path, DOTTED)));
        } else if let Some(kept) = placeholder {
            self.found.push(kept);
        } else if self.left_out.len() == before.1 && !prefix.is_empty() {
            let reason = "it is empty; a .gitkeep in it would keep it";
            self.left_out.push(LeftOut::folder(shown(self.root, folder), reason));
        }
        Ok(())
    }

    /// Why a file or folder is not published.
    fn reason(&self, path: &str, kind: FileType) -> Option<&'static str> {
        let name = path.rsplit('/').next().unwrap_or(path);
        if name.starts_with('.') && !self.listed.contains(&path.nfc().collect::<String>()) {
            return Some(DOTTED);
        }
        if path == "bin" && kind.is_dir() {
            return Some("scripts that an installer put there belong to no unit");
        }
        (name.ends_with(".pyc") && !kind.is_dir()).then_some(COMPILED)
    }

    fn link(&self, disk: &Path, what: &str) -> Result<()> {
        let remedy = "replace the link by a copy of what it points to";
        let target =
            files::real(disk).map_err(|_| refused(what, "it is a link to nothing", remedy))?;
        if !target.starts_with(self.root) {
            return Err(refused(what, "it is a link out of the source folder", remedy));
        }
        if target.is_dir() {
            return Err(refused(what, "it is a link to a folder", remedy));
        }
        if !target.is_file() {
            let why = "it is a link to what is neither a file nor a folder";
            return Err(refused(what, why, MOVE_OUT));
        }
        Ok(())
    }
}

/// Neither published nor worth a word.
fn is_unneeded(prefix: &str, name: &str, kind: FileType) -> bool {
    match kind.is_dir() {
        true => name == "__pycache__",
        false => prefix.is_empty() && name == overrides::FILE_NAME,
    }
}

/// Gives each file its path in the manifest. Two that some file system takes for one, or
/// whose folders it does, are refused.
fn named(root: &Path, found: Vec<(String, PathBuf)>) -> Result<Vec<Found>> {
    // Folders that hold code, at whatever depth, as they are spelled on disk.
    let mut of_code: BTreeSet<String> = BTreeSet::new();
    for (path, _) in found.iter().filter(|(path, _)| is_code(path)) {
        of_code.extend(parents(path).map(str::to_owned));
    }
    let mut named = Vec::with_capacity(found.len());
    // The disk's spelling and place, by the path as a case-insensitive file system sees it.
    let mut seen: HashMap<String, (String, PathBuf)> = HashMap::new();
    for (path, disk) in found {
        let what = shown(root, &disk);
        let mut place = disk.as_path();
        for part in std::iter::once(path.as_str()).chain(parents(&path)) {
            let (other, first) =
                seen.entry(folded(part)).or_insert_with(|| (part.to_owned(), place.to_owned()));
            let is_file = part == path;
            if other != part || (is_file && *first != disk) {
                let first = shown(root, first);
                let why = if other.nfc().eq(part.nfc()) {
                    format!("{first} has the same name in Unicode normal form C")
                } else {
                    format!("{first} is the same file on systems that ignore case")
                };
                let what = if is_file { what } else { shown(root, place) };
                return Err(refused(what, why, "rename one of them"));
            }
            place = place.parent().unwrap_or(root);
        }
        let spelled = spelled(&path, &of_code);
        let path = FilePath::new(&spelled).map_err(|why| refused(&what, why, RENAME))?;
        named.push(Found { path, disk });
    }
    named.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(named)
}

/// What names code in normal form C, everything else as it stands.
fn spelled(path: &str, of_code: &BTreeSet<String>) -> String {
    if is_code(path) {
        return path.nfc().collect();
    }
    let known = parents(path).find(|folder| of_code.contains(*folder));
    // At the top stands the name of a unit: a folder, or all before the first dot.
    let end = known.map_or_else(|| path.find(['/', '.']).unwrap_or(path.len()), str::len);
    let (code, rest) = path.split_at(end);
    code.nfc().collect::<String>() + rest
}

fn is_code(path: &str) -> bool {
    FilePath::new(path).is_ok_and(|path| path.is_code())
}

/// A path below SRC for people, SRC itself as it is; what would move or hide the text around it is escaped.
pub(super) fn shown(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).ok().filter(|below| !below.as_os_str().is_empty());
    let text = below.unwrap_or(path).display().to_string();
    crate::error::shown(&text, usize::MAX).into_owned()
}
