//! `magic.lock`: the digests of the units that a project uses.
//!
//! ```json
//! {"magic_lock": 1, "frozen": false, "units": {
//!   "acme.heavy": {"version": "1.1.0", "tree": "3f5b…", "serial": 1795229842}}}
//! ```
//!
//! The project's folder is the nearest one, from the current directory upwards, that holds the
//! file. The search ends at the first folder with a project's marker, where the owner changes, and
//! below a folder that everybody may write to, as `/tmp`: a lock that somebody else put into a
//! folder above is not used.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::manifest::Record;
use crate::name::{Digest, Version, prefixes};
use crate::status::Status;

/// What every search looks for.
pub const FILE_NAME: &str = "magic.lock";
const FORMAT: u64 = 1;
const MARKERS: [&str; 2] = ["pyproject.toml", ".git"];

/// What a unit must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Which of the versions in a manifest it is.
    pub version: Version,
    /// The digest of the tree without a variant.
    pub tree: Digest,
    /// The digests of the trees for platforms, by tag.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variants: BTreeMap<String, Digest>,
    /// The serial of the manifest that it was locked from, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
}

impl Locked {
    /// Locks what `record` is now, in all its variants.
    pub fn of(record: &Record, serial: Option<u64>) -> Self {
        let variants = record.variants.iter().map(|it| (it.tag.clone(), record.digest_with(it)));
        Self {
            version: record.version.clone(),
            tree: record.tree_digest(),
            variants: variants.collect(),
            serial,
        }
    }

    /// True if `tree` is one of those that were locked.
    pub fn allows(&self, tree: &Digest) -> bool {
        self.tree == *tree || self.variants.values().any(|variant| variant == tree)
    }

    /// Variants that are new or other than they were are as if they were not there.
    pub fn narrow(&self, record: &mut Record) {
        let mut variants = std::mem::take(&mut record.variants);
        variants.retain(|it| self.variants.get(&it.tag) == Some(&record.digest_with(it)));
        record.variants = variants;
    }
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectLock {
    magic_lock: u64,
    /// Units that are not listed are refused.
    #[serde(default)]
    pub frozen: bool,
    /// By what follows `import`.
    #[serde(default)]
    pub units: BTreeMap<String, Locked>,
    /// Where it was read, or is to be written.
    #[serde(skip)]
    pub path: PathBuf,
}

impl ProjectLock {
    /// Holds nothing and refuses nothing.
    pub fn new(path: PathBuf) -> Self {
        Self { magic_lock: FORMAT, frozen: false, units: BTreeMap::new(), path }
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let wrong = |why: &dyn std::fmt::Display| {
            Error::new(Kind::Configuration, format!("{} is wrong: {why}", path.display()))
                .path(path.display().to_string())
                .hint("restore it from a copy, or write it again with `magic-module pin`")
        };
        // Some editors begin a file with a mark that says nothing of UTF-8.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let mut lock: Self = serde_path_to_error::deserialize(&mut reader)
            .map_err(|error: serde_path_to_error::Error<serde_json::Error>| wrong(&error))?;
        reader.end().map_err(|error| wrong(&error))?;
        if lock.magic_lock != FORMAT {
            return Err(wrong(&format!("format {} is not known", lock.magic_lock))
                .hint("upgrade magic_module (`pip install -U magic_module`)"));
        }
        lock.path = path.to_path_buf();
        Ok(lock)
    }

    /// The locked unit that `full` lies below.
    fn above<'a>(&self, full: &'a str) -> Option<&'a str> {
        prefixes(full).skip(1).find(|name| self.units.contains_key(*name))
    }

    /// Takes the place of the file in one step.
    pub fn write(&self) -> Result<()> {
        let failed = |error: io::Error| {
            Error::new(Kind::Configuration, format!("cannot write {}", self.path.display()))
                .path(self.path.display().to_string())
                .caused_by(&error)
                .hint("make its folder writable")
        };
        let text = serde_json::to_string_pretty(self).map_err(|error| failed(error.into()))?;
        let aside = self.path.with_file_name(format!(".{FILE_NAME}.{}", std::process::id()));
        fs_err::write(&aside, format!("{text}\n")).map_err(failed)?;
        files::rename(&aside, &self.path).map_err(|error| {
            let _ = fs_err::remove_file(&aside);
            failed(error)
        })
    }
}

/// The lock of this process, read when it is first asked for.
#[derive(Debug, Default)]
pub struct Project {
    found: OnceLock<Result<Option<ProjectLock>>>,
    /// `pin` and `upgrade` on the command line look at what there is, not at what was locked.
    ignored: AtomicBool,
    frozen: AtomicBool,
}

impl Project {
    /// The project's file: `None` where there is none or it is ignored, an error where it is wrong.
    pub fn lock(&self) -> Result<Option<&ProjectLock>> {
        if self.ignored.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let found = self.found.get_or_init(|| match std::env::current_dir() {
            Ok(here) => read(&here),
            // Nothing lies in a folder that was removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::new(
                Kind::Configuration,
                format!("cannot find out the current folder, and so not which {FILE_NAME} applies"),
            )
            .caused_by(&error)
            .hint("start it in a folder that can be read")),
        });
        found.as_ref().map(Option::as_ref).map_err(Clone::clone)
    }

    /// From now on, nothing is held.
    pub fn ignore(&self) {
        self.ignored.store(true, Ordering::Relaxed);
    }

    /// Refuses what is not locked, whatever the file says.
    pub fn freeze(&self) {
        self.frozen.store(true, Ordering::Relaxed);
    }

    /// What `full` is locked to. `frozen`: its mount refuses what is not locked.
    pub fn locked(&self, full: &str, frozen: bool) -> Result<Option<&Locked>> {
        let lock = self.lock()?;
        if let Some(locked) = lock.and_then(|lock| lock.units.get(full)) {
            return Ok(Some(locked));
        }
        let ignored = self.ignored.load(Ordering::Relaxed);
        let frozen =
            frozen || self.frozen.load(Ordering::Relaxed) || lock.is_some_and(|lock| lock.frozen);
        let why = match lock.map(|lock| (lock.path.display(), lock.above(full))) {
            // Its code would run inside of the one that was reviewed.
            Some((path, Some(above))) => format!("{path} holds {above} and does not list it"),
            _ if !frozen || ignored => return Ok(None),
            Some((path, None)) => format!("{path} does not list it"),
            None => format!("there is no {FILE_NAME} in this folder or above it"),
        };
        Err(Error::new(Kind::Policy, format!("{full} is refused: {why}"))
            .name(full)
            .hint(format!("lock it with `magic-module pin {full}`")))
    }
}

/// The lock that holds for a folder.
pub fn read(here: &Path) -> Result<Option<ProjectLock>> {
    for folder in folders(here) {
        let path = folder.join(FILE_NAME);
        match fs_err::read(&path) {
            Ok(bytes) => return ProjectLock::parse(&path, &bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let what = format!("cannot read {}", path.display());
                return Err(Error::new(Kind::Configuration, what)
                    .path(path.display().to_string())
                    .caused_by(&error)
                    .hint("make it readable: it says which code may run"));
            }
        }
    }
    Ok(None)
}

/// The nearest file of this name that holds for a folder, as `magic.lock` is found.
pub fn nearest(here: &Path, name: &str) -> Option<PathBuf> {
    folders(here).into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Where `pin` writes a new lock: the folder with the marker, else the one that we are in.
pub fn place(here: &Path) -> PathBuf {
    let marked = folders(here).into_iter().find(|folder| is_marked(folder));
    marked.unwrap_or_else(|| here.to_path_buf()).join(FILE_NAME)
}

/// A folder and those above it, up to the first one that others may write to; each is looked at
/// when it is asked for.
pub fn trusted(here: &Path) -> impl Iterator<Item = PathBuf> {
    let mut own = None;
    let is_own = move |folder: &&Path| {
        let status = fs_err::metadata(folder).ok().map(|metadata| Status::of(&metadata));
        let is_everybodys = status.is_some_and(|it| it.mode & 0o002 != 0);
        let owner = status.map(|it| it.owner);
        let is_others = *own.get_or_insert(owner) != owner;
        *folder == here || !(is_others || is_everybodys)
    };
    here.ancestors().take_while(is_own).map(Path::to_path_buf)
}

fn folders(here: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for folder in trusted(here) {
        let is_last = is_marked(&folder);
        folders.push(folder);
        if is_last {
            break;
        }
    }
    folders
}

fn is_marked(folder: &Path) -> bool {
    MARKERS.iter().any(|marker| folder.join(marker).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_lock_up_to_the_marker_holds() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("project/src/deep");
        fs_err::create_dir_all(&deep).unwrap();
        let write = |folder: &str| {
            let path = root.path().join(folder).join(FILE_NAME);
            ProjectLock::new(path.clone()).write().unwrap();
            path
        };
        let found = || read(&deep).unwrap().map(|lock| lock.path);
        let outer = write("");
        assert_eq!(found(), Some(outer));
        fs_err::write(root.path().join("project/pyproject.toml"), "").unwrap();
        assert_eq!(found(), None, "a project ends at its marker");
        assert_eq!(place(&deep), root.path().join("project").join(FILE_NAME));
        let own = write("project");
        assert_eq!(found(), Some(own));
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_in_a_folder_of_everybody_holds_there_and_not_below() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("below");
        fs_err::create_dir(&below).unwrap();
        ProjectLock::new(root.path().join(FILE_NAME)).write().unwrap();
        assert!(read(&below).unwrap().is_some());
        fs_err::set_permissions(root.path(), std::fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(read(&below).unwrap().is_none());
        assert!(read(root.path()).unwrap().is_some());
    }

    #[test]
    fn a_wrong_lock_is_never_ignored() {
        let root = tempfile::tempdir().unwrap();
        for text in ["", "{}", r#"{"magic_lock": 2}"#, r#"{"magic_lock": 1, "unit": {}}"#] {
            fs_err::write(root.path().join(FILE_NAME), text).unwrap();
            let error = read(root.path()).unwrap_err();
            assert_eq!(error.kind(), Kind::Configuration, "{text}");
            assert!(error.details().hint.is_some());
        }
    }
}
