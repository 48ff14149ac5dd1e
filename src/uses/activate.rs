//! Making a unit usable: its closure, its artifacts, its trees, its place in a generation.
//!
//! ```text
//! unit ─ closure ─ plan ─ fetched, verified ─ trees ─ generation
//! ```
//!
//! A closure (the unit and all that its record requires, from one manifest) becomes
//! active as one set, or not at all.

mod admit;
mod closure;
mod code;
mod growing;
mod materialize;
mod pace;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Kind, Result};
use crate::events::Progress;
use crate::manifest::Record;
use crate::mount::Mount;
use crate::name::{Digest, Key};
use crate::session::Session;
use crate::store::Reuse;
use crate::store::generation::{Active, Generation};
use crate::store::lock::Shared;
use crate::unit::{Readiness, Unit};

/// A unit and the record that it is made from.
#[derive(Clone)]
pub struct Member {
    /// What becomes usable.
    pub unit: Arc<Unit>,
    /// For this interpreter: its variant is chosen.
    pub record: Arc<Record>,
    /// The manifest that the record is in. The unit, which stands for a tree, may have
    /// been met in an older one.
    pub manifest: Digest,
}

impl Member {
    /// The entry of a generation.
    pub fn active(&self) -> Active {
        Active::of(&self.record, self.unit.digest, self.manifest)
    }
}

impl Session {
    /// True if the unit can be used without asking anybody: its tree is whole, and its
    /// generation knows it.
    pub fn is_ready(&self, unit: &Arc<Unit>) -> Result<bool> {
        if !matches!(unit.prepare(self.engine.scrutiny())?, Readiness::Ready) {
            return Ok(false);
        }
        let Ok(mount) = unit.mount() else { return Ok(true) };
        Ok(mount.bind()?.is_some_and(|bound| is_active(&bound.generation, unit)))
    }

    /// Fetches `members` and makes them active. Returns how many bytes came over the network.
    pub async fn fetch(&self, mount: &Arc<Mount>, members: &[Member], label: &str) -> Result<u64> {
        let progress = Progress::new(label, self.engine.events.clone());
        self.fetch_with(mount, members, &progress).await
    }

    /// The same; who listens to `progress` is told how far it is.
    pub async fn fetch_with(
        &self,
        mount: &Arc<Mount>,
        members: &[Member],
        progress: &Arc<Progress>,
    ) -> Result<u64> {
        let _kept = self.keep().await?;
        let mut members = members.to_vec();
        let mut bytes = 0;
        // What the libraries of a tree need of others shows when it is unpacked.
        loop {
            let made = self.materialize(&members, progress, Reuse::WhatIsHere).await;
            bytes += made.inspect_err(|error| {
                if error.kind() == Kind::Integrity {
                    let units: Vec<_> = members.iter().map(|it| it.unit.name.clone()).collect();
                    mount.supply.distrust(&units);
                }
            })?;
            let names: Vec<_> = members.iter().map(|it| it.unit.name.clone()).collect();
            let missing = mount.supply.tie(&names).await?;
            if !self.add_needed(mount, &mut members, missing).await? {
                break;
            }
        }
        match self.activate(mount, &members) {
            // A cache that cannot be written serves what it has.
            Err(error) if error.kind() == Kind::Store && bytes == 0 => Ok(0),
            done => done.map(|()| bytes),
        }
    }

    /// Makes a closure active, as one set.
    pub fn activate(&self, mount: &Arc<Mount>, members: &[Member]) -> Result<()> {
        let Some(bound) = mount.bind()? else { return Ok(()) };
        let mut entries: BTreeMap<Key, Active> =
            members.iter().map(|member| (member.unit.key.clone(), member.active())).collect();
        entries.retain(|key, entry| !holds(&bound.generation, key, entry));
        if entries.is_empty() {
            return Ok(());
        }
        mount.folder.create()?;
        let _lock = mount.folder.lock()?;
        // While an upgrade is tried out, what it moves is not written.
        let own = bound.base.as_ref().unwrap_or(&bound.generation);
        // Another process may have added to the generation meanwhile.
        let mut generation = mount.folder.read(own.number)?.unwrap_or_else(|| own.clone());
        for (key, active) in &own.active {
            generation.active.entry(key.clone()).or_insert_with(|| active.clone());
        }
        generation.manifest = bound.manifest.or(generation.manifest);
        let taken = |key: &Key, entry: &Active| {
            generation.active.contains_key(key) && !holds(&generation, key, entry)
        };
        if bound.base.is_some() {
            let mut fit = entries.clone();
            fit.retain(|key, entry| !taken(key, entry));
            generation.active.extend(fit);
            mount.folder.write(&generation)?;
            return mount.change_bound(|bound| {
                bound.generation.active.extend(entries);
                bound.base = Some(generation);
            });
        }
        let follows = generation.number;
        if entries.iter().any(|(key, entry)| taken(key, entry)) {
            let moves = entries.into_iter().map(|(key, entry)| (key, Some(entry))).collect();
            generation = successor(mount, &generation, &moves)?;
        } else {
            generation.active.extend(entries);
        }
        commit(mount, generation, follows)
    }
}

/// True if the generation has the same version of the same tree.
pub fn holds(generation: &Generation, key: &Key, entry: &Active) -> bool {
    let active = generation.active.get(key);
    active.is_some_and(|active| active.tree == entry.tree && active.version == entry.version)
}

/// A generation that follows `base`, with some units moved.
pub fn successor(
    mount: &Mount,
    base: &Generation,
    moves: &BTreeMap<Key, Option<Active>>,
) -> Result<Generation> {
    let number = mount.folder.numbers()?.pop().unwrap_or(0).max(base.number) + 1;
    let mut next =
        Generation { number, parent: Some(base.number), moved: BTreeMap::new(), ..base.clone() };
    for (key, entry) in moves {
        let before = match entry {
            Some(entry) => next.active.insert(key.clone(), entry.clone()),
            None => next.active.remove(key),
        };
        next.moved.insert(key.clone(), before);
    }
    Ok(next)
}

/// Writes a generation, which extends or follows another, and binds this process to it. It
/// becomes current unless another process has moved on: what that moved stays moved. The
/// mount's lock is held.
pub fn commit(mount: &Mount, generation: Generation, follows: u64) -> Result<()> {
    let current = mount.folder.find(mount.folder.current()?)?.map(|current| current.number);
    mount.folder.write(&generation)?;
    if current.is_none_or(|current| current == follows) && current != Some(generation.number) {
        mount.folder.switch(generation.number)?;
    }
    use_generation(mount, generation)
}

/// Binds this process to a generation on disk.
pub fn use_generation(mount: &Mount, generation: Generation) -> Result<()> {
    let lock = Shared::take(&mount.folder.lock_of(generation.number)).ok().map(Arc::new);
    mount.change_bound(|bound| {
        bound.generation = generation;
        bound.lock = lock;
        bound.base = None;
    })
}

/// True if the unit's entry has its tree.
pub fn is_active(generation: &Generation, unit: &Unit) -> bool {
    generation.active.get(&unit.key).is_some_and(|active| active.tree == unit.digest)
}
