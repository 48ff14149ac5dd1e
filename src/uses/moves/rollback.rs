//! Undoing a move whole: what was active before it becomes active again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::events::Progress;
use crate::mount::Mount;
use crate::name::{Key, UnitName};
use crate::session::{Doubt, Session};
use crate::store::Reuse;
use crate::store::generation::{Active, Generation};
use crate::unit::Unit;
use crate::uses::moves::upgrade::Prepared;

impl Session {
    /// Finds the last move of `name`, and makes sure that what was before is there.
    pub async fn prepare_rollback(&self, mount: &Arc<Mount>, name: &str) -> Result<Prepared> {
        mount.supply.may_move()?;
        let what = || format!("cannot roll back {}", mount.namespace.join(name));
        self.engine.store.may_write(what)?;
        let mut prepared = Prepared {
            mount: mount.clone(),
            moves: Vec::new(),
            members: Vec::new(),
            bytes: 0,
            started: Instant::now(),
            parent: None,
            _kept: self.keep().await?,
        };
        let Some(bound) = mount.bind()? else { return Ok(prepared) };
        let generation = bound.generation.clone();
        let is_it = |key: &Key| key.unit() == name;
        let mut step = Some(generation.clone());
        while let Some(current) = &step
            && !current.moved.keys().any(is_it)
        {
            step = mount.folder.find(current.parent)?;
        }
        let Some(step) = step else { return Ok(prepared) };
        let Some(parent) = step.parent else { return Ok(prepared) };
        prepared.parent = Some(parent);
        let progress = Progress::new(mount.namespace.join(name), self.engine.events.clone());
        let before = mount.folder.read(parent)?.unwrap_or_default();
        for (key, before) in &undone(&generation, &step, &before) {
            if let Some(before) = before {
                let unit = self.earlier_unit(mount, key, before).await?;
                let mut members = self.closure(&unit).await?;
                members.truncate(1);
                prepared.bytes += self.materialize(&members, &progress, Reuse::WhatIsHere).await?;
            }
            let now = generation.active.get(key).cloned();
            prepared.moves.push(self.step(mount, key, now, before.clone())?);
        }
        prepared.moves.sort_by_key(|step| step.new.is_none());
        Ok(prepared)
    }

    /// As [`Self::active_entry_unit`]; where the manifest that it came from is lost, the newest
    /// one may still have the version.
    async fn earlier_unit(
        &self,
        mount: &Arc<Mount>,
        key: &Key,
        active: &Active,
    ) -> Result<Arc<Unit>> {
        let error = match self.active_entry_unit(mount, key, active) {
            Ok(unit) => return Ok(unit),
            Err(error) => error,
        };
        self.newer(mount, Doubt::Unknown, mount.known()).await?;
        let Some(manifest) = mount.known().manifest else { return Err(error) };
        mount.supply.fetch_parts(&manifest, key.unit()).await?;
        self.active_entry_unit(mount, key, &Active { manifest, ..active.clone() })
    }

    pub(crate) fn active_entry_unit(
        &self,
        mount: &Arc<Mount>,
        key: &Key,
        active: &Active,
    ) -> Result<Arc<Unit>> {
        let name = UnitName::new(key.unit()).map_err(|error| {
            Error::new(Kind::Store, "a generation names no unit").caused_by(&error)
        })?;
        let unit = self.unit_of_entry(mount, mount.known().manifest, &name, key.clone(), active)?;
        unit.ok_or_else(|| {
            let (full, version) = (mount.namespace.join(name.as_str()), &active.version);
            let why = format!("version {version} of {full} is no longer in the cache");
            Error::new(Kind::Store, why)
                .hint(format!("pin it instead: `magic-module fetch {full}=={version}`"))
                .name(full)
        })
    }
}

/// What undoing `step` puts back. What came to require one of its units since then goes back
/// to what it was at that time: it would run with a version that it was not published with.
fn undone(
    now: &Generation,
    step: &Generation,
    before: &Generation,
) -> BTreeMap<Key, Option<Active>> {
    let mut undone = step.moved.clone();
    loop {
        let names: BTreeSet<&str> = undone.keys().map(Key::unit).collect();
        let more: Vec<Key> = now
            .active
            .iter()
            .filter(|(key, _)| !undone.contains_key(*key) && !key.is_held())
            .filter(|(_, active)| active.requires.iter().any(|it| names.contains(it.as_str())))
            .filter(|(key, active)| before.active.get(*key) != Some(*active))
            .map(|(key, _)| key.clone())
            .collect();
        if more.is_empty() {
            return undone;
        }
        let entry = |key: &Key| before.active.get(key).cloned();
        undone.extend(more.into_iter().map(|key| (key.clone(), entry(&key))));
    }
}

#[cfg(test)]
mod tests {
    use crate::name::Digest;

    use super::*;

    fn active(version: &str, requires: &[&str]) -> Active {
        serde_json::from_value(serde_json::json!({
            "version": version,
            "tree": Digest::of(version.as_bytes()),
            "manifest": Digest::of(b"manifest"),
            "requires": requires,
        }))
        .unwrap()
    }

    #[test]
    fn a_rollback_takes_along_what_came_to_require_the_unit() {
        let key = Key::of;
        let before = Generation {
            number: 1,
            active: [(key("base"), active("1", &[])), (key("same"), active("1", &["base"]))].into(),
            ..Generation::default()
        };
        let step = Generation {
            number: 2,
            parent: Some(1),
            moved: [(key("base"), Some(active("1", &[])))].into(),
            ..Generation::default()
        };
        let now = Generation {
            number: 2,
            active: [
                (key("base"), active("2", &[])),
                (key("same"), active("1", &["base"])),
                (key("tool"), active("2", &["base"])),
                (key("above"), active("2", &["tool"])),
                (key("other"), active("2", &[])),
            ]
            .into(),
            ..step.clone()
        };
        let undone = undone(&now, &step, &before);
        let shown: Vec<(&str, bool)> =
            undone.iter().map(|(key, entry)| (key.as_str(), entry.is_some())).collect();
        assert_eq!(shown, [("above", false), ("base", true), ("tool", false)]);
    }
}
