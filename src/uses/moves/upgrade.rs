//! Moving units to the newest version, and what a rollback shares with that: [`Prepared`] and
//! its commit.
//!
//! ```text
//! refresh ─ what moves ─ materialize ─ Prepared ─┬─ commit   the generation is switched
//!                                                └─ dropped  nothing has changed
//! ```
//!
//! An upgrade moves the closure of what was named, and every active unit that requires
//! a moved one.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::events::{Event, Progress};
use crate::fetch::Freshness;
use crate::mount::{Bound, Mount};
use crate::name::{Digest, Key, UnitName, similar};
use crate::session::Session;
use crate::store::Reuse;
use crate::store::generation::{Active, Generation};
use crate::store::lock::Shared;
use crate::store::tree::Tree;
use crate::supply::Answer;
use crate::unit::Unit;
use crate::uses::activate::{Member, commit, holds, is_active, successor, use_generation};

/// One unit's move. `old` and `new` are `None` where the unit was, or will be, not active.
#[derive(Clone)]
pub struct Move {
    /// As it follows `import`.
    pub full_name: String,
    /// What it stands under in a generation.
    pub key: Key,
    /// As it is now.
    pub old: Option<Active>,
    /// As it will be.
    pub new: Option<Active>,
    /// Paths that were added, removed or changed.
    pub changed: BTreeSet<String>,
}

/// Everything is on disk and verified; nothing is active yet.
pub struct Prepared {
    /// Whose generation will follow.
    pub mount: Arc<Mount>,
    /// What differs from that.
    pub moves: Vec<Move>,
    /// What becomes active, with its requirements.
    pub members: Vec<Member>,
    /// That came over the network.
    pub bytes: u64,
    /// Before the first request.
    pub started: Instant,
    /// Of a rollback: the generation that it continues from.
    pub parent: Option<u64>,
    /// Until it is committed or dropped, nothing of it is pruned.
    pub(super) _kept: Arc<Shared>,
}

impl Session {
    /// Asks for the newest manifest, which an upgrade does once, however much there is to move.
    pub async fn ask_for_upgrade(&self, mount: &Arc<Mount>, reuse: Reuse) -> Result<()> {
        mount.supply.may_move()?;
        let freshness = match reuse {
            Reuse::WhatIsHere => Freshness::AsCached,
            Reuse::Nothing => Freshness::PastCaches,
        };
        let error = match mount.refresh(freshness).await {
            Err(error) if error.is_of_serial() || error.kind() == Kind::Signature => error,
            asked => return asked.map(drop),
        };
        // Of two servers behind one name, one may be a version behind. Perhaps the other one
        // answers now; nobody is led back in any case.
        mount.refresh(Freshness::PastCaches).await.map(drop).map_err(|_| error)
    }

    /// Asks, finds what an upgrade of `names` (relative to the mount) moves, and fetches it.
    pub async fn prepare_upgrade(
        &self,
        mount: &Arc<Mount>,
        names: &[String],
        reuse: Reuse,
    ) -> Result<Prepared> {
        self.ask_for_upgrade(mount, reuse).await?;
        self.prepare_asked(mount, names, reuse).await
    }

    /// The same once the newest manifest was asked for.
    pub async fn prepare_asked(
        &self,
        mount: &Arc<Mount>,
        names: &[String],
        reuse: Reuse,
    ) -> Result<Prepared> {
        let started = Instant::now();
        let prepare = || self.prepare_moves(mount, names, reuse, started);
        self.or_newer(mount, mount.known().before(), prepare).await
    }

    async fn prepare_moves(
        &self,
        mount: &Arc<Mount>,
        names: &[String],
        reuse: Reuse,
        started: Instant,
    ) -> Result<Prepared> {
        let kept = self.keep().await?;
        let bound = mount.bind()?;
        let manifest = bound.as_ref().and_then(|bound| bound.manifest).ok_or_else(|| {
            let why = format!("no manifest is known for {}", mount.namespace.described());
            Error::new(Kind::Manifest, why)
        })?;
        let generation = bound.as_ref().map(|bound| bound.generation.clone()).unwrap_or_default();
        let mut members = Vec::new();
        for name in names {
            members.push(self.member(mount, &manifest, name).await?);
        }
        self.add_required(mount, &mut members).await?;
        self.add_dependents(mount, &generation, &manifest, &mut members).await?;
        let label = names.first().map(|name| mount.namespace.join(name)).unwrap_or_default();
        let progress = Progress::new(label, self.engine.events.clone());
        let bytes = self.materialize(&members, &progress, reuse).await?;
        let mut moves = Vec::new();
        for member in &members {
            let new = member.active();
            if holds(&generation, &member.unit.key, &new) {
                continue;
            }
            let name = member.unit.name.as_str();
            let held = bound.as_ref().and_then(|bound| self.active_entry(mount, bound, name));
            let old = held.as_ref().map(|(_, active)| (*active).clone());
            let step = self.step(mount, &member.unit.key, old, Some(new))?;
            // It has variants now, or has them no more.
            let dropped = held.map(|(key, _)| key).filter(|key| *key != step.key);
            let dropped = dropped.map(|key| Move {
                key,
                new: None,
                changed: BTreeSet::new(),
                ..step.clone()
            });
            moves.push(step);
            moves.extend(dropped);
        }
        let (mount, parent) = (mount.clone(), None);
        Ok(Prepared { mount, moves, members, bytes, started, parent, _kept: kept })
    }

    /// What the move of one entry changes; both trees are on disk.
    pub(super) fn step(
        &self,
        mount: &Mount,
        key: &Key,
        old: Option<Active>,
        new: Option<Active>,
    ) -> Result<Move> {
        let tree = |active: &Option<Active>| active.as_ref().map(|active| active.tree);
        let changed = self.difference(tree(&old), tree(&new))?;
        Ok(Move {
            full_name: mount.namespace.join(key.unit()),
            key: key.clone(),
            old,
            new,
            changed,
        })
    }

    /// Asks which units in use can move: those that the newest manifest still has.
    pub async fn upgradable(&self, mount: &Arc<Mount>) -> Result<Vec<String>> {
        self.ask_for_upgrade(mount, Reuse::WhatIsHere).await?;
        self.movable(mount).await
    }

    /// The same once the newest manifest was asked for.
    pub async fn movable(&self, mount: &Arc<Mount>) -> Result<Vec<String>> {
        let Some(bound) = mount.bind()? else { return Ok(Vec::new()) };
        let Some(manifest) = bound.manifest else { return Ok(Vec::new()) };
        let names: BTreeSet<&str> = bound.generation.active.keys().map(Key::unit).collect();
        let mut movable = Vec::new();
        // Versions that were fetched by their number, and other interpreters' variants, stay.
        let moves = |name: &&str| self.active_entry(mount, &bound, name).is_some();
        for name in names.into_iter().filter(moves) {
            mount.supply.fetch_parts(&manifest, name).await?;
            if let Answer::Record(_) = mount.supply.record(&manifest, name)? {
                movable.push(name.to_owned());
            }
        }
        Ok(movable)
    }

    async fn member(&self, mount: &Arc<Mount>, manifest: &Digest, name: &str) -> Result<Member> {
        mount.supply.fetch_parts(manifest, name).await?;
        let Answer::Record(record) = mount.record(manifest, name)? else {
            return Err(self.not_in_manifest(mount, manifest, name));
        };
        // A version that was taken back is never moved to, if there is a good one.
        let good = match record.newest_good() {
            Some(good) if !mount.key_of(name).is_held() => good,
            _ => &record,
        };
        self.member_of(mount, name, *manifest, good).await
    }

    pub(crate) fn not_in_manifest(&self, mount: &Mount, manifest: &Digest, name: &str) -> Error {
        let (full, url) = (mount.namespace.join(name), mount.supply.url());
        if let (Some(view), Some(lock)) = (mount.supply.view(), mount.request.source.as_lock()) {
            let mut titles = view.resolved.wheels().map(|(_, it)| it.name.as_str());
            let lock = lock.path.display();
            let what = format!("no package of the lock {lock} provides {full}");
            let near = titles.find(|title| similar(title, name));
            let near = near.map(|near| format!("did you mean {near}?"));
            return Error::new(Kind::UnitNotFound, what).name(full).path(lock.to_string()).hint(
                near.unwrap_or_else(|| "add it to what is locked, and lock again".to_owned()),
            );
        }
        let near = mount.supply.document(manifest).ok().and_then(|document| {
            let mut known = document.modules()?.0.keys();
            let near = known.find(|known| similar(known.as_str(), name))?;
            Some(format!("did you mean {}?", mount.namespace.join(near.as_str())))
        });
        Error::new(Kind::UnitNotFound, format!("{full} is not in the manifest {url}"))
            .name(full)
            .url(url)
            .hint(near.unwrap_or_else(|| "`magic-module list` shows what is there".to_owned()))
    }

    /// Every active unit that requires a moved one moves too, with its own closure.
    async fn add_dependents(
        &self,
        mount: &Arc<Mount>,
        generation: &Generation,
        manifest: &Digest,
        members: &mut Vec<Member>,
    ) -> Result<()> {
        loop {
            let moves = |unit: &Unit| !is_active(generation, unit);
            let moved: BTreeSet<UnitName> = members
                .iter()
                .filter(|member| moves(&member.unit))
                .map(|member| member.unit.name.clone())
                .collect();
            let dependents: BTreeSet<&str> = generation
                .active
                .iter()
                .filter(|(_, active)| !active.requires.is_disjoint(&moved))
                // A pinned unit stays where it is, another interpreter's variant moves with that.
                .filter(|(key, _)| !key.is_held())
                .filter(|(key, _)| key.suffix().is_none_or(|it| it == self.python.suffix()))
                .map(|(key, _)| key.unit())
                .filter(|name| !members.iter().any(|member| member.unit.name.as_str() == *name))
                .collect();
            let before = members.len();
            for name in dependents {
                mount.supply.fetch_parts(manifest, name).await?;
                // A dependent that is gone from the manifest stays as it is.
                if let Answer::Record(_) = mount.record(manifest, name)? {
                    members.push(self.member(mount, manifest, name).await?);
                }
            }
            if members.len() == before {
                return Ok(());
            }
            self.add_required(mount, members).await?;
        }
    }

    /// The paths in which two trees differ.
    fn difference(&self, old: Option<Digest>, new: Option<Digest>) -> Result<BTreeSet<String>> {
        let listing = |digest: Option<Digest>| -> Result<HashSet<(String, Digest)>> {
            let Some(digest) = digest else { return Ok(HashSet::new()) };
            let files = Tree::open(&self.engine.store, &digest)?.map(|tree| tree.files);
            let files = files.into_iter().flatten();
            Ok(files.map(|file| (file.path.to_string(), file.sha256)).collect())
        };
        let (old, new) = (listing(old)?, listing(new)?);
        Ok(old.symmetric_difference(&new).map(|(path, _)| path.clone()).collect())
    }

    /// What this process sees once the moves are made; nothing is written.
    pub fn preview(&self, prepared: &Prepared) -> Result<Option<Arc<Bound>>> {
        let mount = &prepared.mount;
        let Some(before) = mount.bind()? else { return Ok(None) };
        let generation = successor(mount, &before.generation, &prepared.entries())?;
        mount.change_bound(|bound| {
            bound.base = Some(std::mem::replace(&mut bound.generation, generation));
        })?;
        Ok(Some(before))
    }

    /// Switches the generation. Nothing is lost if this fails.
    pub fn commit(&self, prepared: &Prepared) -> Result<()> {
        if prepared.moves.is_empty() {
            return Ok(());
        }
        let mount = &prepared.mount;
        mount.folder.create()?;
        let _lock = mount.folder.lock()?;
        let bound = mount.bind()?;
        let own = bound.as_ref().map(|bound| bound.base.as_ref().unwrap_or(&bound.generation));
        let own = own.cloned().unwrap_or_default();
        // Another process may have moved on: what it moved stays moved.
        let base = mount.folder.find(mount.folder.current()?)?.unwrap_or(own);
        let done = |step: &Move| match &step.new {
            Some(new) => holds(&base, &step.key, new),
            None => !base.active.contains_key(&step.key),
        };
        if prepared.parent.is_none() && prepared.moves.iter().all(done) {
            // It has made the same moves: there is one step to go back, not two.
            use_generation(mount, base)?;
        } else {
            prepared.write(&base, bound.and_then(|bound| bound.manifest))?;
        }
        for step in &prepared.moves {
            self.engine.events.emit(|| Event::Upgrade {
                unit: step.full_name.clone(),
                version: step.new.as_ref().map(|new| new.version.to_string()).unwrap_or_default(),
            });
        }
        Ok(())
    }
}

impl Prepared {
    fn entries(&self) -> BTreeMap<Key, Option<Active>> {
        self.moves.iter().map(|step| (step.key.clone(), step.new.clone())).collect()
    }

    fn write(&self, base: &Generation, manifest: Option<Digest>) -> Result<()> {
        let folder = &self.mount.folder;
        let mut next = successor(&self.mount, base, &self.entries())?;
        // The first units of a mount: there is nothing to go back to.
        let is_first =
            base.active.is_empty() && base.parent.is_none() && folder.read(base.number)?.is_none();
        if is_first || self.parent.is_some() {
            next = Generation { parent: self.parent, moved: BTreeMap::new(), ..next };
        }
        next.manifest = manifest.or(next.manifest);
        commit(&self.mount, next, base.number)
    }
}
