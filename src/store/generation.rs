//! Generations: which records of a mount are active.
//!
//! ```text
//! mounts/<identity>/
//!   mount.json            what the identity stands for, for people
//!   current               the number of the newest generation
//!   generations/<n>       a generation; extended by new units, never moved to other versions
//!   generations/<n>.lock  held, shared, by every process that is bound to it
//!   state                 highest serial, newest manifest, names that are not in it
//!   code/                 code packs
//! ```
//!
//! Every file starts with the sha256 of the rest. A damaged generation does not count: its units
//! are activated again from the newest manifest, which is a blob.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::disk::{self, careful};
use super::lock::{Exclusive, Shared, open_in_place};
use super::{Store, Sync, make_folders, write_aside};
use crate::error::{Error, Result};
use crate::manifest::Record;
use crate::name::{Digest, Key, UnitName, Version};

/// The largest generation, in bytes: some hundred thousand units.
const GENERATION_LIMIT: u64 = 128 << 20;

/// The largest state, in bytes.
const STATE_LIMIT: u64 = 16 << 20;

/// A unit in a generation. The record itself is in the manifest with this digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Active {
    /// As its record says.
    pub version: Version,
    /// Which tree it is made of.
    pub tree: Digest,
    /// The blob that holds its record.
    pub manifest: Digest,
    /// The record has `requires_python` or `dependencies`, to be checked in each environment.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checked: bool,
    /// What must be active with it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub requires: BTreeSet<UnitName>,
}

impl Active {
    /// The entry of a tree whose record stands in `manifest`.
    pub fn of(record: &Record, tree: Digest, manifest: Digest) -> Self {
        let (version, requires) = (record.version.clone(), record.requires.clone());
        Self { version, tree, manifest, checked: record.has_conditions(), requires }
    }
}

/// What is active, and how it came to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct Generation {
    /// Greater than that of every generation before.
    pub number: u64,
    /// The generation that a rollback leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    /// The manifest in which names are looked up that are not active yet.
    pub manifest: Option<Digest>,
    /// What is active.
    pub active: BTreeMap<Key, Active>,
    /// What this generation changed, with the entries as they were before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub moved: BTreeMap<Key, Option<Active>>,
}

impl Generation {
    /// True if a unit with this name is active, under whatever key.
    pub fn has_key_of(&self, name: &str) -> bool {
        let from = (Bound::Included(name), Bound::Unbounded);
        self.active
            .range::<str, _>(from)
            .take_while(|(key, _)| key.as_str().starts_with(name))
            .any(|(key, _)| key.unit() == name)
    }
}

/// What a mount knows beside its generations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct State {
    /// Of all manifests that were taken; a lower one is refused.
    pub highest_serial: Option<u64>,
    /// The newest manifest that was verified, and what asks whether there is a newer one.
    pub manifest: Option<Digest>,
    /// With which it was accepted, where the mount has keys: whoever takes it from here looks again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Names the state of the manifest's URL that `manifest` came from.
    pub validator: Option<crate::origin::Validator>,
    /// When the manifest was last asked for, in microseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<u64>,
    /// For how many seconds the server said that its answer counts, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh_for: Option<u64>,
    /// Names that the newest manifest did not have, with the second in which it was asked.
    #[serde(default)]
    pub absent: BTreeMap<String, u64>,
    /// Something that the newest manifest has was refused: whoever lists it asks once more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
    /// Versions that the newest manifest takes back.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub yanked: Yanked,
    /// Folders in which the trees of several units are seen together, with these units.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub knots: BTreeMap<Digest, BTreeSet<UnitName>>,
    /// Units whose libraries find each other, as unpacking has shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ties: Vec<BTreeSet<UnitName>>,
}

/// Reasons by unit and version.
pub type Yanked = BTreeMap<UnitName, BTreeMap<Version, String>>;

/// The folder of one mount identity.
#[derive(Debug, Clone)]
pub struct MountFolder {
    /// `<cache>/v1/mounts/<identity>`.
    pub path: PathBuf,
    tmp: PathBuf,
}

impl MountFolder {
    /// Names the folder; touches nothing.
    pub fn new(store: &Store, identity: &Digest) -> Self {
        Self { path: store.mounts().join(identity.to_hex()), tmp: store.tmp() }
    }

    /// Makes it with all folders in it; what is there stays.
    pub fn create(&self) -> Result<()> {
        [self.generations(), self.code(), self.entry()].iter().try_for_each(|folder| {
            let failed = |error| Error::store("cannot create a mount's folder", folder, &error);
            make_folders(folder).map_err(failed)
        })
    }

    /// When a manifest was last taken or a unit was last moved, in seconds since 1970.
    pub fn changed(&self) -> Option<u64> {
        let modified = |name: &str| fs_err::metadata(self.path.join(name)).ok()?.modified().ok();
        let newest = modified("state").max(modified("current"))?;
        newest.duration_since(std::time::UNIX_EPOCH).ok().map(|past| past.as_secs())
    }

    /// The folder that stands in a namespace's `__path__`.
    pub fn entry(&self) -> PathBuf {
        self.path.join("units")
    }

    /// Where the generations' files are.
    pub fn generations(&self) -> PathBuf {
        self.path.join("generations")
    }

    /// Where the code packs are.
    pub fn code(&self) -> PathBuf {
        self.path.join("code")
    }

    fn file_of(&self, number: u64) -> PathBuf {
        self.generations().join(number.to_string())
    }

    pub(crate) fn lock_of(&self, number: u64) -> PathBuf {
        self.generations().join(format!("{number}.lock"))
    }

    /// Held while generations or the state are written.
    pub fn lock(&self) -> Result<Exclusive> {
        Exclusive::wait(&self.path.join("lock"))
    }

    /// The same; `None` while somebody else holds it.
    pub fn try_lock(&self) -> Result<Option<Exclusive>> {
        Exclusive::try_take(&self.path.join("lock"))
    }

    /// The number of the newest generation. `None`: nothing names it.
    pub fn current(&self) -> Result<Option<u64>> {
        let number = read_private(&self.path.join("current"), 32)?;
        Ok(number.and_then(|number| std::str::from_utf8(&number).ok()?.trim().parse().ok()))
    }

    /// Binds to the newest generation, and keeps it from being pruned. Where it is damaged,
    /// an empty one takes its place: the units are activated again
    /// from what the cache holds, never from an older generation.
    pub fn bind(&self) -> Result<Option<(Generation, Option<Shared>)>> {
        loop {
            let named = self.current()?;
            let newest = match named {
                Some(number) => Some(number),
                None => self.numbers()?.pop(),
            };
            let Some(number) = newest else { return Ok(None) };
            let lock = match Shared::take(&self.lock_of(number)) {
                Ok(lock) => Some(lock),
                // The whole folder was removed meanwhile.
                Err(_) if self.current()? != named => continue,
                Err(error) => return Err(error),
            };
            if let Some(generation) = self.read(number)? {
                if named.is_none() {
                    // The name of the newest was lost. A cache that cannot be written serves as well.
                    let _ = self.switch(number);
                }
                return Ok(Some((generation, lock)));
            }
            // Pruned before it was locked, or damaged.
            if self.current()?.is_none_or(|newest| newest == number) {
                return Ok(Some((self.fresh()?, lock)));
            }
        }
    }

    /// An empty generation behind all others.
    pub fn fresh(&self) -> Result<Generation> {
        let number = self.numbers()?.pop().unwrap_or(0) + 1;
        Ok(Generation { number, ..Generation::default() })
    }

    /// The numbers of all generations, ascending; of one that was lost, its lock is left.
    pub fn numbers(&self) -> Result<Vec<u64>> {
        let folder = self.generations();
        let entries = disk::list(&folder).map_err(|error| cannot_read(&folder, &error))?;
        let number = |entry: &PathBuf| {
            let name = entry.file_name()?.to_str()?;
            name.strip_suffix(".lock").unwrap_or(name).parse().ok()
        };
        let numbers: BTreeSet<u64> = entries.iter().filter_map(number).collect();
        Ok(numbers.into_iter().collect())
    }

    /// `None` if it is not there or damaged.
    pub fn read(&self, number: u64) -> Result<Option<Generation>> {
        let generation: Option<Generation> = read_checked(&self.file_of(number), GENERATION_LIMIT)?;
        Ok(generation.filter(|generation| generation.number == number))
    }

    /// The same for a number that there may be.
    pub fn find(&self, number: Option<u64>) -> Result<Option<Generation>> {
        number.map_or(Ok(None), |number| self.read(number))
    }

    /// True if something stands where the generation would, readable or not.
    pub fn holds(&self, number: u64) -> bool {
        !matches!(fs_err::symlink_metadata(self.file_of(number)), Err(error) if disk::is_absent(&error))
    }

    /// Writes it durably; whoever binds to it finds it whole.
    pub fn write(&self, generation: &Generation) -> Result<()> {
        self.write_checked(&self.file_of(generation.number), generation, Sync::Now)
    }

    /// Makes `number` the generation that new processes bind to.
    pub fn switch(&self, number: u64) -> Result<()> {
        let text = format!("{number}\n");
        write_aside(&self.tmp, &self.path.join("current"), text.as_bytes(), Sync::Now)
    }

    pub(crate) fn remove(&self, number: u64) -> io::Result<()> {
        disk::remove(&self.file_of(number))?;
        disk::remove(&self.lock_of(number))
    }

    /// What is known beside the generations; nothing, where it is damaged.
    pub fn state(&self) -> Result<State> {
        Ok(read_checked(&self.path.join("state"), STATE_LIMIT)?.unwrap_or_default())
    }

    /// Replaces the state in one step; after a power cut it may be the one before.
    pub fn write_state(&self, state: &State) -> Result<()> {
        self.write_checked(&self.path.join("state"), state, Sync::Later)
    }

    pub(crate) fn describe(&self, description: &serde_json::Value) -> Result<()> {
        let target = self.path.join("mount.json");
        if self.described().is_ok_and(|known| known == *description) {
            return Ok(());
        }
        write_aside(&self.tmp, &target, format!("{description:#}\n").as_bytes(), Sync::Later)
    }

    /// What `describe` was given; null where that is not there or damaged.
    pub fn described(&self) -> Result<serde_json::Value> {
        let bytes = read_private(&self.path.join("mount.json"), STATE_LIMIT)?.unwrap_or_default();
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    fn write_checked(&self, target: &Path, value: &impl Serialize, sync: Sync) -> Result<()> {
        let cannot = |error: serde_json::Error| {
            Error::store("cannot write the cache", target, &io::Error::from(error))
        };
        let body = serde_json::to_string(value).map_err(cannot)?;
        let text = format!("{}\n{body}\n", Digest::of(body.as_bytes()));
        write_aside(&self.tmp, target, text.as_bytes(), sync)
    }

    /// Environments in which a tree's requirements were found to be met.
    pub fn is_checked(&self, environment: &str, tree: &Digest) -> bool {
        let line = format!("{environment} {tree}");
        // Who does not know looks once more.
        let known = disk::read_private(&self.path.join("checked"), STATE_LIMIT).unwrap_or_default();
        known.split(|byte| *byte == b'\n').any(|known| known == line.as_bytes())
    }

    /// Remembers that the requirements of a tree are met; a failure costs one more check.
    pub fn mark_checked(&self, environment: &str, tree: &Digest) {
        use std::io::Write;
        let mut options = fs_err::OpenOptions::new();
        options.create(true).append(true);
        careful(&mut options, 0o644);
        // Derived and small: losing a line costs one check.
        if let Ok(mut file) = open_in_place(&options, &self.path.join("checked")) {
            let _ = file.write_all(format!("{environment} {tree}\n").as_bytes());
        }
    }
}

/// `None`: it is not there, or damaged.
fn read_checked<T: DeserializeOwned>(path: &Path, limit: u64) -> Result<Option<T>> {
    let Some(text) = read_private(path, limit)? else { return Ok(None) };
    let checked = || {
        let (check, body) = text.split_at_checked(64)?;
        let body = body.strip_prefix(b"\n")?.strip_suffix(b"\n")?;
        (Digest::of(body).to_hex().as_bytes() == check)
            .then(|| serde_json::from_slice(body).ok())?
    };
    Ok(checked())
}

fn read_private(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    match disk::read_private(path, limit) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if disk::is_damage(&error) => Ok(None),
        Err(error) => Err(cannot_read(path, &error)),
    }
}

fn cannot_read(path: &Path, error: &io::Error) -> Error {
    Error::store(format!("cannot read {}", path.display()), path, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(root: &Path) -> MountFolder {
        let folder = MountFolder { path: root.join("m"), tmp: root.to_path_buf() };
        folder.create().unwrap();
        folder
    }

    #[test]
    fn a_damaged_generation_gives_way_to_an_empty_one() {
        let root = tempfile::tempdir().unwrap();
        let folder = folder(root.path());
        for number in [1, 2] {
            folder.write(&Generation { number, ..Generation::default() }).unwrap();
        }
        folder.switch(2).unwrap();
        assert_eq!(folder.bind().unwrap().unwrap().0.number, 2);
        let path = folder.file_of(2);
        let mut bytes = fs_err::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs_err::write(&path, bytes).unwrap();
        assert_eq!(folder.read(2).unwrap(), None);
        let (fresh, _) = folder.bind().unwrap().unwrap();
        assert_eq!((fresh.number, fresh.active.len()), (3, 0));
        // The one before is not taken for it, even if all that names it is gone but its lock.
        fs_err::remove_file(&path).unwrap();
        fs_err::remove_file(folder.path.join("current")).unwrap();
        let (fresh, _) = folder.bind().unwrap().unwrap();
        assert_eq!((fresh.number, fresh.active.len()), (3, 0));
    }
}
