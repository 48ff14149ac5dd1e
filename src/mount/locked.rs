//! Which version of a unit a mount serves: what is pinned in code, and what `magic.lock` says.

use std::sync::Arc;

use super::Mount;
use crate::error::{Error, Kind, Result};
use crate::lockfile::{Locked, Project};
use crate::manifest::Record;
use crate::name::{Key, Version};

impl Mount {
    /// The lock that this mount's units are held to.
    pub fn hold_to(&self, project: &Arc<Project>) {
        let _ = self.project.set(project.clone());
    }

    /// What a unit is locked to; an error if it may not be used at all.
    pub fn locked(&self, unit: &str) -> Result<Option<&Locked>> {
        let Some(project) = self.project.get() else { return Ok(None) };
        let full = self.namespace.join(unit);
        let Some(locked) = project.locked(&full, self.request.frozen)? else { return Ok(None) };
        if let Some(pinned) = self.request.pins.get(unit).filter(|pin| **pin != locked.version) {
            return Err(Error::new(
                Kind::Policy,
                format!("{full} is pinned to {pinned}, but magic.lock holds {}", locked.version),
            )
            .name(full.clone())
            .expected(locked.version.as_str())
            .got(pinned.as_str())
            .hint(format!("remove the pin, or run `magic-module pin {full}` with it")));
        }
        Ok(Some(locked))
    }

    /// The key of a unit without a variant: it says what the unit is held to.
    pub fn key_of(&self, unit: &str) -> Key {
        if let Ok(Some(locked)) = self.locked(unit) {
            return Key::locked(unit, &locked.version, &locked.tree);
        }
        match self.request.pins.get(unit) {
            Some(version) => Key::pinned(unit, version),
            None => Key::of(unit),
        }
    }

    /// The record that pins and lock leave.
    pub(super) fn held(&self, unit: &str, record: Arc<Record>) -> Result<Arc<Record>> {
        let locked = self.locked(unit)?;
        if locked.is_none() && !self.request.pins.contains_key(unit) {
            return Ok(record);
        }
        let record = Arc::unwrap_or_clone(record);
        match locked {
            Some(locked) => self.as_locked(unit, locked, record),
            None => self.pinned(unit, record),
        }
        .map(Arc::new)
    }

    fn as_locked(&self, unit: &str, locked: &Locked, record: Record) -> Result<Record> {
        let full = self.namespace.join(unit);
        let have = names(&record);
        let mut all = record.versions.clone();
        let current = Record { versions: Default::default(), ..record };
        all.insert(current.version.clone(), Box::new(current));
        let found = all.remove(&locked.version);
        match found.filter(|record| record.tree_digest() == locked.tree) {
            Some(mut record) => {
                locked.narrow(&mut record);
                Ok(*record)
            }
            None => Err(Error::new(
                Kind::Policy,
                format!(
                    "{full} is locked to {} with the tree {}, which the manifest does not have",
                    locked.version, locked.tree
                ),
            )
            .name(full.clone())
            .expected(locked.tree.to_hex())
            .got(have)
            .hint(format!(
                "find out why it changed, then lock what there is now with `magic-module pin {full}`"
            ))),
        }
    }

    fn pinned(&self, unit: &str, mut record: Record) -> Result<Record> {
        let Some(version) = self.request.pins.get(unit) else { return Ok(record) };
        if record.version == *version {
            return Ok(record);
        }
        record.versions.remove(version).map(|older| *older).ok_or_else(|| {
            let have = names(&record);
            Error::new(
                Kind::Requirement,
                format!(
                    "{} is pinned to {version}, which the manifest does not have",
                    self.namespace.join(unit)
                ),
            )
            .name(self.namespace.join(unit))
            .expected(version.as_str())
            .got(have.as_str())
            .hint(format!("pin one of {have}"))
        })
    }
}

/// The versions of a unit, the newest first.
fn names(record: &Record) -> String {
    let names = record.newest_first().into_iter().map(Version::as_str);
    names.collect::<Vec<_>>().join(", ")
}
