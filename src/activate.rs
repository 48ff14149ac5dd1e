//! Making a unit usable: its closure, its artifacts, its trees, its place in a generation.
//!
//! ```text
//! unit ─ closure ─ plan ─ fetched, verified ─ trees ─ generation
//! ```
//!
//! A closure (the unit and all that its record requires, from one manifest) becomes
//! active as one set, or not at all.

mod code;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::assemble;
use crate::error::{Error, Kind, Result};
use crate::fetch::{Artifact, is_absent};
use crate::manifest::Record;
use crate::mount::{Answer, Mount, reason_of};
use crate::name::{Digest, UnitName};
use crate::plan::{Plan, Reusable, Wanted, plan};
use crate::progress::Progress;
use crate::session::Session;
use crate::store::generation::{Active, Generation, Key};
use crate::store::lock::Shared;
use crate::store::tree::Tree;
use crate::unit::{Readiness, Unit};

/// A unit and the record that it is made from.
#[derive(Clone)]
pub struct Member {
    pub unit: Arc<Unit>,
    pub record: Arc<Record>,
    /// The manifest that the record is in. The unit, which stands for a tree, may have
    /// been met in an older one.
    pub manifest: Digest,
}

impl Member {
    pub fn active(&self) -> Active {
        Active {
            version: self.record.version.clone(),
            tree: self.unit.digest,
            manifest: self.manifest,
            checked: self.record.has_conditions(),
            requires: self.record.requires.clone(),
        }
    }
}

/// What came over the network.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moved {
    pub bytes: u64,
}

impl Session {
    /// True if the unit can be used without asking anybody: its tree is whole, and its
    /// generation knows it.
    pub fn is_ready(&self, unit: &Arc<Unit>) -> Result<bool> {
        if !matches!(
            unit.prepare(&self.store, self.settings.verify_full, &self.events)?,
            Readiness::Ready
        ) {
            return Ok(false);
        }
        let Ok(mount) = unit.mount() else { return Ok(true) };
        Ok(mount.bound().is_some_and(|bound| is_active(&bound.generation, unit)))
    }

    /// The unit and everything that it requires. `newest` takes required units as the
    /// unit's manifest has them; a unit that is active already is only healed.
    pub async fn closure(&self, unit: &Arc<Unit>) -> Result<Vec<Member>> {
        let mount = unit.mount()?;
        let mut members = vec![self.record_for(&mount, unit).await?];
        if mount.bound().is_some_and(|bound| is_active(&bound.generation, unit)) {
            return Ok(members);
        }
        self.add_required(&mount, &mut members).await?;
        Ok(members)
    }

    /// Adds what `members` require, from their own manifest.
    pub async fn add_required(&self, mount: &Arc<Mount>, members: &mut Vec<Member>) -> Result<()> {
        let context = self.context();
        let mut seen: BTreeSet<UnitName> =
            members.iter().map(|member| member.unit.name.clone()).collect();
        let mut at = 0;
        while let Some(member) = members.get(at).cloned() {
            at += 1;
            for required in &member.record.requires {
                if !seen.insert(required.clone()) {
                    continue;
                }
                mount.fetch_parts(&context, &member.manifest, required.as_str()).await?;
                let Answer::Record(record) =
                    mount.record(&self.store, &member.manifest, required.as_str())?
                else {
                    return Err(Error::new(
                        Kind::Manifest,
                        format!(
                            "{} requires {required}, which is not in its manifest",
                            member.unit.full_name
                        ),
                    )
                    .name(member.unit.full_name.clone())
                    .hint("ask the author to publish again"));
                };
                let unit = self.unit_of(mount, required.as_str(), member.manifest, &record)?;
                let record = self.select(&unit.full_name, required.as_str(), &record)?;
                let (record, manifest) = (Arc::new(record), member.manifest);
                members.push(Member { unit, record, manifest });
            }
        }
        Ok(())
    }

    /// The record of a unit, from the manifest that it came from, or from the newest one
    /// that still has the same tree.
    async fn record_for(&self, mount: &Arc<Mount>, unit: &Arc<Unit>) -> Result<Member> {
        if let Some(member) = self.member_of_tree(mount, &unit.manifest, unit) {
            return Ok(member);
        }
        let context = self.context();
        mount.refresh(&context, false).await?;
        if let Some(newest) = mount.bound().and_then(|bound| bound.manifest) {
            mount.fetch_parts(&context, &newest, unit.name.as_str()).await?;
            if let Some(member) = self.member_of_tree(mount, &newest, unit) {
                return Ok(member);
            }
        }
        Err(Error::new(
            Kind::Fetch,
            format!(
                "version {} of {} is not in the cache and no longer published",
                unit.version, unit.full_name
            ),
        )
        .name(unit.full_name.clone())
        .hint(format!("run `magic-module upgrade {}`", unit.full_name)))
    }

    pub fn member_of_tree(
        &self,
        mount: &Mount,
        manifest: &Digest,
        unit: &Arc<Unit>,
    ) -> Option<Member> {
        let record = self.record_of_tree(mount, manifest, unit.name.as_str(), &unit.digest)?;
        Some(Member { unit: unit.clone(), record: Arc::new(record), manifest: *manifest })
    }

    /// The record in `manifest`, in whatever version and variant, that describes a tree.
    pub fn record_of_tree(
        &self,
        mount: &Mount,
        manifest: &Digest,
        unit: &str,
        tree: &Digest,
    ) -> Option<Record> {
        let answer = mount.unpinned(&self.store, manifest, unit);
        let Ok(Answer::Record(whole)) = answer else { return None };
        let tags = self.python.tags.get().map_or(&[][..], Vec::as_slice);
        let versions = std::iter::once(&*whole).chain(whole.versions.values());
        let selections = versions.flat_map(|record| {
            let own = std::iter::once(record.select(tags).0);
            // Another interpreter's variant, which shares this cache.
            let others = record
                .variants
                .iter()
                .map(|variant| record.select(std::slice::from_ref(&variant.tag)).0);
            own.chain(others)
        });
        selections.into_iter().find(|record| record.tree_digest() == *tree)
    }

    /// Fetches and builds what is not there. Returns what came over the network.
    pub async fn materialize(
        &self,
        members: &[Member],
        progress: &Arc<Progress>,
        force: bool,
    ) -> Result<Moved> {
        let mut missing = Vec::new();
        for member in members {
            let ready =
                member.unit.prepare(&self.store, self.settings.verify_full, &self.events)?;
            if force || !matches!(ready, Readiness::Ready) {
                missing.push(member.clone());
            }
        }
        if missing.is_empty() {
            return Ok(Moved::default());
        }
        self.store.create()?;
        let plans = self.plans(&missing, Effort { force, distrust: false })?;
        let error = match self.fetch_and_build(&missing, &plans, progress, force).await {
            Err(error) if error.kind() == Kind::Integrity || is_absent(&error) => error,
            other => return other,
        };
        // What was taken from the cache is damaged, or a pack is: every byte that is here is
        // looked at, and the rest comes file by file.
        let again = self.plans(&missing, Effort { force, distrust: true })?;
        let wanted = |plans: &[Plan]| -> BTreeSet<Digest> {
            plans.iter().flat_map(|plan| &plan.wanted).map(|wanted| wanted.sha256).collect()
        };
        // A pack that is here may have what another tree had damaged: nothing is wanted then.
        let lent = |plan: &Plan| plan.sources.values().any(|source| source.file.is_some());
        if wanted(&again).is_subset(&wanted(&plans)) && !plans.iter().any(lent) {
            return Err(error);
        }
        self.fetch_and_build(&missing, &again, progress, force).await.map_err(|second| {
            // What was wrong says more than that nothing else could be had.
            let outranked = second.kind() == Kind::Offline
                || (error.kind() == Kind::Integrity && second.kind() == Kind::Fetch);
            if outranked { error.caused_by(&second) } else { second }
        })
    }

    fn plans(&self, members: &[Member], effort: Effort) -> Result<Vec<Plan>> {
        let Effort { force, distrust } = effort;
        let one = |member: &Member| {
            if distrust {
                self.drop_damaged_blobs(&member.record);
            }
            let reusable = if distrust { Reusable::default() } else { self.reusable(member)? };
            Ok(plan(&member.record, self.store.blobs(), &reusable, force, !distrust))
        };
        members.iter().map(one).collect()
    }

    async fn fetch_and_build(
        &self,
        members: &[Member],
        plans: &[Plan],
        progress: &Arc<Progress>,
        force: bool,
    ) -> Result<Moved> {
        let Some(first) = members.first() else { return Ok(Moved::default()) };
        let mount = first.unit.mount()?;
        let mut artifacts: Vec<Artifact> = Vec::new();
        for (member, plan) in members.iter().zip(plans) {
            if !plan.wanted.is_empty() {
                self.check_still_offered(&mount, member)?;
            }
            for wanted in &plan.wanted {
                artifacts.push(self.artifact(&mount, &member.unit, wanted)?);
            }
        }
        if self.settings.offline && !artifacts.is_empty() {
            let what = format!("{} is not in the cache", first.unit.full_name);
            return Err(mount.offline(&what).name(first.unit.full_name.clone()));
        }
        let sources = async {
            let context = self.context();
            let blobs = context.fetcher.blobs(&artifacts, mount.transport(), progress, force);
            let fetched =
                blobs.await.map_err(|error| error.or_name(first.unit.full_name.clone()))?;
            self.build_all(members, plans, force).await?;
            Ok(fetched.bytes)
        };
        let code = async { Ok(self.fetch_code(&mount, members, plans, progress, force).await) };
        let (fetched, code) = futures_util::future::try_join(sources, code).await?;
        if let Some(last) = artifacts.last() {
            progress.finish(crate::origin::file_name(&last.url));
        }
        Ok(Moved { bytes: fetched + code })
    }

    async fn build_all(&self, members: &[Member], plans: &[Plan], force: bool) -> Result<()> {
        for (member, plan) in members.iter().zip(plans) {
            let (store, unit) = (self.store.clone(), member.unit.clone());
            let (member, plan) = (member.clone(), plan.clone());
            let built = tokio::task::spawn_blocking(move || build(&store, &member, &plan, force));
            unit.set_tree(built.await.map_err(|error| {
                Error::new(Kind::Store, "building a tree ended unexpectedly").caused_by(&error)
            })??);
        }
        Ok(())
    }

    /// Bytes are fetched only if their author stands by them, and said so lately.
    fn check_still_offered(&self, mount: &Mount, member: &Member) -> Result<()> {
        let unit = &member.unit;
        if let Some(reason) =
            reason_of(&member.record, mount.yanked(unit.name.as_str(), &unit.version))
        {
            return Err(mount.refuse_yanked(&self.store, unit, &reason));
        }
        if self.settings.offline {
            return Ok(());
        }
        mount
            .check_age_of(&self.context(), &unit.manifest)
            .map_err(|error| error.or_name(unit.full_name.clone()))
    }

    fn artifact(&self, mount: &Mount, unit: &Unit, wanted: &Wanted) -> Result<Artifact> {
        Ok(Artifact {
            label: unit.full_name.clone(),
            url: mount
                .resolve(&wanted.url)
                .map_err(|error| error.or_name(unit.full_name.clone()))?,
            size: wanted.size,
            sha256: wanted.sha256,
        })
    }

    /// Other trees of the same unit: most of a new version is in the one before.
    fn reusable(&self, member: &Member) -> Result<Reusable> {
        let mut reusable = Reusable::default();
        let mount = member.unit.mount()?;
        let Some(bound) = mount.bound() else { return Ok(reusable) };
        let name = member.unit.name.as_str();
        let same_unit = |key: &str| {
            key.strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['=', '@']))
        };
        let mut generation = Some(bound.generation.clone());
        for _ in 0..4 {
            let Some(current) = generation else { break };
            for (_, active) in current.active.iter().filter(|(key, _)| same_unit(key)) {
                if let Some(tree) = Tree::open(&self.store, &active.tree)? {
                    reusable.add(&tree);
                }
            }
            generation = current.parent.and_then(|parent| mount.folder.read(parent));
        }
        Ok(reusable)
    }

    fn drop_damaged_blobs(&self, record: &Record) {
        let files = record.files.iter().map(|file| file.sha256);
        let packs = record.packs.iter().map(|pack| pack.sha256);
        for digest in files.chain(packs).filter(|digest| self.store.blobs().path(digest).exists()) {
            if self.store.blobs().verify(&digest).is_err() {
                let _ = self.store.blobs().remove(&digest);
            }
        }
        // A pack that is refused once would be refused again.
        for pack in record.packs.iter().filter(|pack| pack.format.holds_files()) {
            if self.store.blobs().path(&pack.sha256).exists()
                && assemble::read_pack(&self.store, record, pack).is_err()
            {
                let _ = self.store.blobs().remove(&pack.sha256);
            }
        }
    }

    /// Makes a closure active, as one set.
    pub fn activate(&self, mount: &Arc<Mount>, members: &[Member]) -> Result<()> {
        let Some(bound) = mount.bound() else { return Ok(()) };
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
        let mut generation = mount.folder.read(own.number).unwrap_or_else(|| own.clone());
        for (key, active) in &own.active {
            generation.active.entry(key.clone()).or_insert_with(|| active.clone());
        }
        generation.manifest = bound.manifest.or(generation.manifest);
        let taken = |key: &Key, entry: &Active| {
            generation.active.contains_key(key) && !holds(&generation, key, entry)
        };
        if bound.base.is_some() {
            let fit = entries.iter().filter(|(key, entry)| !taken(key, entry));
            let fit: Vec<_> = fit.map(|(key, entry)| (key.clone(), entry.clone())).collect();
            generation.active.extend(fit);
            mount.folder.write(&generation)?;
            mount.change_bound(|bound| {
                bound.generation.active.extend(entries);
                bound.base = Some(generation);
            });
            return Ok(());
        }
        let follows = generation.number;
        if entries.iter().any(|(key, entry)| taken(key, entry)) {
            let moves = entries.into_iter().map(|(key, entry)| (key, Some(entry))).collect();
            generation = successor(mount, &generation, &moves);
        } else {
            generation.active.extend(entries);
        }
        commit(mount, generation, follows)
    }
}

/// True if the generation has the same version of the same tree.
pub fn holds(generation: &Generation, key: &Key, entry: &Active) -> bool {
    generation
        .active
        .get(key)
        .is_some_and(|active| active.tree == entry.tree && active.version == entry.version)
}

#[derive(Clone, Copy)]
struct Effort {
    /// Everything is fetched, whatever is here.
    force: bool,
    /// Whatever is here is hashed first, and no pack is fetched.
    distrust: bool,
}

/// A generation that follows `base`, with some units moved.
pub fn successor(
    mount: &Mount,
    base: &Generation,
    moves: &BTreeMap<Key, Option<Active>>,
) -> Generation {
    let number = mount.folder.numbers().pop().unwrap_or(0).max(base.number) + 1;
    let mut next =
        Generation { number, parent: Some(base.number), moved: BTreeMap::new(), ..base.clone() };
    for (key, entry) in moves {
        let before = match entry {
            Some(entry) => next.active.insert(key.clone(), entry.clone()),
            None => next.active.remove(key),
        };
        next.moved.insert(key.clone(), before);
    }
    next
}

/// Writes a generation, which extends or follows another, and binds this process to it. It
/// becomes current unless another process has moved on: what that moved stays moved. The
/// mount's lock is held.
pub fn commit(mount: &Mount, generation: Generation, follows: u64) -> Result<()> {
    let current = mount.folder.current().filter(|number| mount.folder.read(*number).is_some());
    mount.folder.write(&generation)?;
    if current.is_none_or(|current| current == follows) && current != Some(generation.number) {
        mount.folder.switch(generation.number)?;
    }
    use_generation(mount, generation);
    Ok(())
}

/// Binds this process to a generation on disk.
pub fn use_generation(mount: &Mount, generation: Generation) {
    let lock = Shared::take(&mount.folder.lock_of(generation.number)).ok().map(Arc::new);
    mount.change_bound(|bound| {
        bound.generation = generation;
        bound.lock = lock;
        bound.base = None;
    });
}

fn is_active(generation: &Generation, unit: &Unit) -> bool {
    generation.active.get(&unit.key).is_some_and(|active| active.tree == unit.digest)
}

fn build(store: &crate::store::Store, member: &Member, plan: &Plan, force: bool) -> Result<Tree> {
    assemble::build(store, &member.unit.digest, &member.record, &plan.sources, force)
        .map_err(|error| error.or_name(member.unit.full_name.clone()))
}
