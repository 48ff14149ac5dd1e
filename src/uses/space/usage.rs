//! What spaces take of the cache: trees that nobody else has, and when somebody last used them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::UNIX_EPOCH;

use crate::error::Result;
use crate::name::Digest;
use crate::session::Session;
use crate::store::Store;
use crate::store::prune::{mount_folders, size_of};
use crate::store::tree::folder_of;
use crate::store::view::index_of;

/// One space, as the cache knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Of the trees that no other space, and nobody without one, has in use.
    pub bytes: u64,
    /// In seconds since 1970, by the day; `None`: never, as far as this cache tells.
    pub used: Option<u64>,
}

impl Session {
    /// By the folder of each space.
    pub fn usage_of_spaces(&self) -> Result<BTreeMap<String, Usage>> {
        let store = &self.engine.store;
        let mut owners: BTreeMap<Digest, BTreeSet<String>> = BTreeMap::new();
        let mut found: BTreeMap<String, Usage> = BTreeMap::new();
        for folder in mount_folders(store)? {
            // Without a space, it is everybody's.
            let space = folder.described()?["space"].as_str().unwrap_or_default().to_owned();
            if let Some(generation) = folder.find(folder.current()?)? {
                for active in generation.active.values() {
                    owners.entry(active.tree).or_default().insert(space.clone());
                }
            }
            let identity =
                folder.path.file_name().and_then(|name| Digest::new(name.to_str()?).ok());
            let noted = identity.and_then(|identity| noted(store, &identity));
            let usage = found.entry(space).or_default();
            usage.used = usage.used.max(noted).max(folder.changed());
        }
        for (tree, owners) in owners {
            let mut owners = owners.into_iter();
            if let (Some(only), None) = (owners.next(), owners.next())
                && let Some(usage) = found.get_mut(&only)
            {
                usage.bytes += size_of(&folder_of(store, &tree)).unwrap_or_default();
            }
        }
        found.remove("");
        Ok(found)
    }
}

/// A view that is used is marked once a day.
fn noted(store: &Store, identity: &Digest) -> Option<u64> {
    let marked = fs_err::symlink_metadata(index_of(store, identity)).ok()?.modified().ok()?;
    Some(marked.duration_since(UNIX_EPOCH).ok()?.as_secs())
}
