//! The folder in which a tree is built, and the files that are in it already.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use super::{remove, stamp_of};
use crate::error::Result;
use crate::name::{Digest, FilePath};
use crate::store::lock::Exclusive;
use crate::store::tree::TreeFile;
use crate::store::{Store, aside, disk};

/// Files of a tree that has no name yet.
pub struct Placed {
    /// The folder that they are in. It is removed with this, if it was not renamed by then.
    pub(super) aside: PathBuf,
    /// By their paths in the tree.
    pub(super) files: HashMap<FilePath, TreeFile>,
    /// Packs that were found to hold what the record says, and nothing else.
    pub(super) sound: BTreeSet<Digest>,
    /// While it is held, nobody takes the folder for one that was left.
    _lock: Option<Exclusive>,
}

impl Placed {
    /// Nothing yet, in a folder that is made with the first file.
    pub(super) fn new(aside: PathBuf, lock: Option<Exclusive>) -> Self {
        Self { aside, files: HashMap::new(), sound: BTreeSet::new(), _lock: lock }
    }

    /// A folder for files that are unpacked before all of the tree, or of the wheel, with this
    /// digest is here. `None` if somebody else has one. What a killed process left is removed.
    pub(super) fn ahead(store: &Store, of: &Digest) -> Result<Option<Self>> {
        let lock = Exclusive::try_take(&lock_of(store, of))?;
        Ok(lock.map(|lock| {
            if lock.is_real() {
                disk::remove_left(&store.tmp(), &of.to_hex(), "early");
            }
            Self::new(aside(&store.tmp(), of, "early"), Some(lock))
        }))
    }

    /// Such a folder if there was one before: the process that made it may have been killed.
    pub(super) fn left(store: &Store, of: &Digest) -> Option<Self> {
        let was_begun = fs_err::symlink_metadata(lock_of(store, of)).is_ok();
        if was_begun { Self::ahead(store, of).ok().flatten() } else { None }
    }

    /// True if the files are still as they were written: it may have been a while ago.
    pub(super) fn is_whole(&self) -> bool {
        self.files.values().all(|file| {
            stamp_of(&self.aside.join(file.path.as_str())).is_ok_and(|stamp| stamp == file.stamp)
        })
    }
}

fn lock_of(store: &Store, of: &Digest) -> PathBuf {
    store.locks().join(format!("{of}.early"))
}

impl Drop for Placed {
    fn drop(&mut self) {
        let _ = remove(&self.aside);
    }
}
