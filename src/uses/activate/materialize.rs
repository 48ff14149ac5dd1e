//! From members of a closure to their trees: planned, fetched, built.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::growing::Arrival;
use super::pace::Pace;
use super::{Member, is_active};
use crate::assemble;
use crate::error::{Kind, Result};
use crate::events::Progress;
use crate::fetch::{Artifact, Told};
use crate::manifest::Record;
use crate::mount::Mount;
use crate::name::{Digest, Key};
use crate::plan::{Packs, Plan, Reusable, Wanted, plan};
use crate::session::Session;
use crate::store::Reuse;
use crate::store::tree::Tree;
use crate::unit::{Readiness, Unit};

impl Session {
    /// Fetches and builds what is not there. Returns how many bytes came over the network.
    pub async fn materialize(
        &self,
        members: &[Member],
        progress: &Arc<Progress>,
        reuse: Reuse,
    ) -> Result<u64> {
        let (mut missing, mut new_here) = (Vec::new(), Vec::new());
        for member in members {
            let ready = member.unit.prepare(self.engine.scrutiny())?;
            if reuse == Reuse::Nothing || !matches!(ready, Readiness::Ready) {
                missing.push(member.clone());
            } else if self.is_new_to_space(member) {
                new_here.push(member.clone());
            }
        }
        self.allow_from_others(members, &new_here).await?;
        let mut bytes = 0;
        if reuse == Reuse::WhatIsHere {
            let strange = self.admit(members, progress).await?;
            if !strange.is_empty() {
                bytes = Box::pin(self.materialize(&strange, progress, Reuse::Nothing)).await?;
                missing.retain(|it| !strange.iter().any(|its| Arc::ptr_eq(&it.unit, &its.unit)));
            }
        }
        if missing.is_empty() {
            return Ok(bytes);
        }
        self.engine.store.create()?;
        let reusable = |member: &Member| self.reusable(member);
        let plans = self.plans(&missing, reuse, Packs::Fetched, reusable)?;
        let first = missing.first().map_or("", |member| &member.unit.full_name);
        let may_write = self.engine.store.may_write(|| format!("{first} is not in the cache"));
        may_write.map_err(|error| error.name(first))?;
        self.allow(members, &missing, &plans).await?;
        let plans = match reuse == Reuse::WhatIsHere && self.bring_bundled(&plans).await? {
            true => self.plans(&missing, reuse, Packs::Fetched, reusable)?,
            false => plans,
        };
        let fetched = self.fetch_or_mend(&missing, &plans, progress, reuse).await;
        let fetched = fetched.inspect_err(|error| self.note_failure(&missing, error))?;
        Ok(bytes + fetched)
    }

    /// True for what is in the cache, and not yet in use in the space that this process works in.
    fn is_new_to_space(&self, member: &Member) -> bool {
        let bound = || member.unit.mount().ok().and_then(|mount| mount.bound());
        let is_active = || bound().is_some_and(|it| is_active(&it.generation, &member.unit));
        self.engine.settings.space.is_some() && !is_active()
    }

    /// What others brought is judged as if it came now: what a space may use does not depend on
    /// them.
    async fn allow_from_others(&self, closure: &[Member], members: &[Member]) -> Result<()> {
        if members.is_empty() {
            return Ok(());
        }
        let all = |_: &Member| Ok(Reusable::default());
        let plans = self.plans(members, Reuse::Nothing, Packs::Fetched, all)?;
        self.allow(closure, members, &plans).await
    }

    /// What is allowed is fetched; a second time from elsewhere, where that may help.
    async fn fetch_or_mend(
        &self,
        missing: &[Member],
        plans: &[Plan],
        progress: &Arc<Progress>,
        reuse: Reuse,
    ) -> Result<u64> {
        let error = match self.fetch_and_build(missing, plans, progress, reuse).await {
            Err(error) if matches!(error.kind(), Kind::Integrity | Kind::Fetch | Kind::Policy) => {
                error
            }
            other => return other,
        };
        // What was taken from the cache is damaged, or a pack is: every byte that is here is
        // looked at, and the rest comes file by file. The same if a pack cannot be had.
        let again = if error.kind() == Kind::Integrity || error.details().absent {
            missing.iter().try_for_each(|member| self.drop_damaged_blobs(&member.record))?;
            self.plans(missing, reuse, Packs::Needed, |_| Ok(Reusable::default()))?
        } else {
            self.plans(missing, reuse, Packs::Needed, |member| self.reusable(member))?
        };
        let wanted = |plans: &[Plan]| -> BTreeSet<Digest> {
            plans.iter().flat_map(|plan| &plan.wanted).map(|wanted| wanted.sha256).collect()
        };
        // A pack that is here, or has just come, may have what was damaged elsewhere: nothing
        // is wanted then.
        let alike = plans.iter().zip(&again).all(|(plan, again)| plan.takes_the_same(again));
        if alike && wanted(&again).is_subset(&wanted(plans)) {
            return Err(error);
        }
        self.fetch_and_build(missing, &again, progress, reuse).await.map_err(|second| {
            // What was wrong says more than that nothing else could be had.
            let outranked = second.kind() == Kind::Offline
                || (error.kind() == Kind::Integrity && second.kind() == Kind::Fetch);
            if outranked { error.caused_by(&second) } else { second }
        })
    }

    fn plans(
        &self,
        members: &[Member],
        reuse: Reuse,
        packs: Packs,
        reusable: impl Fn(&Member) -> Result<Reusable>,
    ) -> Result<Vec<Plan>> {
        let blobs = self.engine.store.blobs();
        let one =
            |member: &Member| Ok(plan(&member.record, blobs, &reusable(member)?, reuse, packs));
        members.iter().map(one).collect()
    }

    async fn fetch_and_build(
        &self,
        members: &[Member],
        plans: &[Plan],
        progress: &Arc<Progress>,
        reuse: Reuse,
    ) -> Result<u64> {
        let Some(first) = members.first() else { return Ok(0) };
        let mount = first.unit.mount()?;
        let mut artifacts: Vec<Artifact> = Vec::new();
        for (member, plan) in members.iter().zip(plans) {
            if !plan.wanted.is_empty() {
                self.may_fetch(&mount, &member.unit, &member.record, &member.manifest)?;
            }
            for wanted in &plan.wanted {
                artifacts.push(self.artifact(&mount, &member.unit, wanted)?);
            }
        }
        for artifact in &artifacts {
            let what = || format!("{} is not in the cache", first.unit.full_name);
            let may_fetch = mount.supply.may_fetch(&artifact.url, &what);
            may_fetch.map_err(|error| error.name(first.unit.full_name.clone()))?;
        }
        let code = self.published_code(&mount, members, plans, progress, reuse);
        let (sender, arrivals) = mpsc::unbounded_channel();
        let (pace, known) = Pace::of(if code.is_much() { &artifacts } else { &[] });
        let fetched = async {
            let policy = mount.supply.policy();
            // What it tells goes nowhere once the trees are built.
            let tell = move |told: Told<'_>| {
                pace.note(told);
                _ = sender.send(match told {
                    Told::Begun(digest, part) => Arrival::Begun(*digest, part.to_owned()),
                    Told::Arrived(digest) => Arrival::Whole(*digest),
                });
            };
            let fetched =
                self.engine.fetcher.blobs_one_by_one(&artifacts, policy, progress, reuse, tell);
            let fetched = fetched.await;
            fetched.map_err(|error| error.or_name(first.unit.full_name.clone()))
        };
        let sources = async {
            // What cannot be built does not keep away what is on its way: a second attempt needs
            // it as well.
            let build = self.build_all(members, plans, reuse, arrivals);
            let (fetched, built) = tokio::join!(fetched, build);
            let bytes = fetched?.bytes;
            built.map(|()| bytes)
        };
        let code = async { Ok(code.come(known).await) };
        let (sources, code) = futures_util::future::try_join(sources, code).await?;
        self.admit_fetched(&mount, &artifacts, progress, reuse).await?;
        if let Some(last) = artifacts.last() {
            progress.finish(last.url.file_name());
        }
        Ok(sources + code)
    }

    pub(in crate::uses) fn artifact(
        &self,
        mount: &Mount,
        unit: &Unit,
        wanted: &Wanted,
    ) -> Result<Artifact> {
        let Wanted { url, size, sha256 } = wanted.clone();
        let label = unit.full_name.clone();
        let url = mount.supply.resolve(&url).map_err(|error| error.or_name(&label))?;
        self.engine.may_come_from(&url).map_err(|error| error.or_name(&label))?;
        Ok(Artifact { label, url, size, sha256 })
    }

    /// Other trees of the same unit: most of a new version is in the one before.
    pub(in crate::uses) fn reusable(&self, member: &Member) -> Result<Reusable> {
        let mut reusable = Reusable::default();
        let mount = member.unit.mount()?;
        let Some(bound) = mount.bind()? else { return Ok(reusable) };
        let same_unit = |key: &Key| key.unit() == member.unit.name.as_str();
        let mut generation = Some(bound.generation.clone());
        for _ in 0..4 {
            let Some(current) = generation else { break };
            for (_, active) in current.active.iter().filter(|(key, _)| same_unit(key)) {
                if let Some(tree) = Tree::open(&self.engine.store, &active.tree)? {
                    reusable.add(&tree);
                }
            }
            generation = mount.folder.find(current.parent)?;
        }
        Ok(reusable)
    }

    fn drop_damaged_blobs(&self, record: &Record) -> Result<()> {
        let blobs = self.engine.store.blobs();
        let files = record.files.iter().map(|file| (file.sha256, file.size));
        let packs = record.packs.iter().map(|pack| (pack.sha256, pack.size));
        for (digest, size) in files.chain(packs) {
            if !blobs.is_whole(&digest, size)? {
                blobs.remove(&digest)?;
            }
        }
        // A pack that is refused once would be refused again.
        for pack in record.packs.iter().filter(|pack| pack.format.holds_files()) {
            if blobs.has(&pack.sha256, pack.size)
                && assemble::read_pack(&self.engine.store, record, pack).is_err()
            {
                blobs.remove(&pack.sha256)?;
            }
        }
        Ok(())
    }
}
