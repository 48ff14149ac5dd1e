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
            let held = locked.version.as_str();
            let why = format!("{full} is pinned to {pinned}, but magic.lock holds {held}");
            return Err(Error::new(Kind::Policy, why)
                .expected(held)
                .got(pinned.as_str())
                .hint(format!("remove the pin, or run `magic-module pin {full}` with it"))
                .name(full));
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
        match locked {
            Some(locked) => self.as_locked(unit, locked, &record),
            None => self.pinned(unit, &record),
        }
        .map(Arc::new)
    }

    fn as_locked(&self, unit: &str, locked: &Locked, record: &Record) -> Result<Record> {
        let Locked { version, tree, .. } = locked;
        let found = record.in_version(version.as_str()).filter(|it| it.tree_digest() == *tree);
        let mut held = found.cloned().ok_or_else(|| {
            let full = self.namespace.join(unit);
            let what = format!("{full} is locked to {version} with the tree {tree}");
            Error::new(Kind::Policy, format!("{what}, which the manifest does not have"))
                .expected(tree.to_hex())
                .got(versions_of(record))
                .hint(format!(
                    "find out why it changed, then lock what there is now with `magic-module pin {full}`"
                ))
                .name(full)
        })?;
        held.versions.clear();
        locked.narrow(&mut held);
        Ok(held)
    }

    fn pinned(&self, unit: &str, record: &Record) -> Result<Record> {
        let Some(version) = self.request.pins.get(unit) else { return Ok(record.clone()) };
        record.in_version(version.as_str()).cloned().ok_or_else(|| {
            let (full, have) = (self.namespace.join(unit), versions_of(record));
            let why = format!("{full} is pinned to {version}, which the manifest does not have");
            Error::new(Kind::Requirement, why)
                .name(full)
                .expected(version.as_str())
                .got(have.as_str())
                .hint(format!("pin one of {have}"))
        })
    }
}

/// The versions of a unit, the newest first.
pub fn versions_of(record: &Record) -> String {
    let names = record.newest_first().into_iter().map(Version::as_str);
    names.collect::<Vec<_>>().join(", ")
}
