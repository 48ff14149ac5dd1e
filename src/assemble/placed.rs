//! What was unpacked of a tree before all of it was here.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use super::remove;
use crate::error::Result;
use crate::name::{Digest, FilePath};
use crate::store::lock::Exclusive;
use crate::store::tree::TreeFile;
use crate::store::{Store, aside, disk};

/// In the folder that the tree is built in.
pub struct Placed {
    /// Removed with this.
    pub(super) aside: PathBuf,
    /// By their paths in the tree.
    pub(super) files: HashMap<FilePath, TreeFile>,
    /// Packs that were read as a whole, and hold what they should.
    pub(super) sound: BTreeSet<Digest>,
    /// While it is held, nobody takes the folder for one that was left.
    _lock: Option<Exclusive>,
}

impl Placed {
    /// Nothing yet, in a folder that is made with the first file.
    pub(super) fn new(aside: PathBuf, lock: Option<Exclusive>) -> Self {
        Self { aside, files: HashMap::new(), sound: BTreeSet::new(), _lock: lock }
    }

    /// The same ahead of the tree or of the wheel with this digest; `None` if another process is
    /// at it. What a process left that was killed is removed.
    pub(super) fn ahead(store: &Store, of: &Digest) -> Result<Option<Self>> {
        let lock = Exclusive::try_take(&lock_of(store, of))?;
        Ok(lock.map(|lock| {
            if lock.is_real() {
                disk::remove_left(&store.tmp(), &of.to_hex(), "early");
            }
            Self::new(aside(&store.tmp(), of, "early"), Some(lock))
        }))
    }

    /// The same, and only where a process may have been killed that was at it.
    pub(super) fn left(store: &Store, of: &Digest) -> Option<Self> {
        let was_begun = fs_err::symlink_metadata(lock_of(store, of)).is_ok();
        if was_begun { Self::ahead(store, of).ok().flatten() } else { None }
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
