//! What takes the space: the units that are in use, how large they are, and when somebody last used them.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use crate::error::Result;
use crate::name::Digest;
use crate::session::Session;
use crate::store::Store;
use crate::store::prune::{mount_folders, size_of};
use crate::store::tree::{folder_of, index_of};

/// A unit that some mount has in use.
pub struct Kept {
    /// As it follows `import`; of a lock, the distribution.
    pub name: String,
    /// As its author wrote it.
    pub version: String,
    /// Of its tree.
    pub bytes: u64,
    /// When its tree was last looked at, in seconds since 1970, as far as the file system tells: some
    /// note it once a day, some never.
    pub used: Option<u64>,
}

impl Session {
    /// One for each tree that a current generation has, whatever mounts have it.
    pub fn kept(&self) -> Result<Vec<Kept>> {
        let store = &self.engine.store;
        let mut kept: BTreeMap<Digest, Kept> = BTreeMap::new();
        for folder in mount_folders(store)? {
            let described = folder.described()?;
            let namespace = described["namespace"].as_str().unwrap_or_default();
            let Some(generation) = folder.find(folder.current()?)? else { continue };
            for (key, active) in &generation.active {
                if kept.contains_key(&active.tree) {
                    continue;
                }
                // Its index is not opened for this: that would be a use.
                let Ok(bytes) = size_of(&folder_of(store, &active.tree)) else { continue };
                let name = match namespace {
                    "" => key.unit().replace('_', "-"),
                    namespace => format!("{namespace}.{}", key.unit()),
                };
                let (version, used) = (active.version.to_string(), used(store, &active.tree));
                kept.insert(active.tree, Kept { name, version, bytes, used });
            }
        }
        Ok(kept.into_values().collect())
    }
}

/// Every process that uses a tree reads its index first.
fn used(store: &Store, tree: &Digest) -> Option<u64> {
    let metadata = fs_err::symlink_metadata(index_of(store, tree)).ok()?;
    let times = [metadata.accessed(), metadata.modified()];
    let latest = times.into_iter().flatten().max()?;
    Some(latest.duration_since(UNIX_EPOCH).ok()?.as_secs())
}
