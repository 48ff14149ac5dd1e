//! From members of a closure to their trees: planned, fetched, built.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::Member;
use crate::assemble;
use crate::error::{Error, Kind, Result};
use crate::events::Progress;
use crate::fetch::{Artifact, is_absent};
use crate::manifest::Record;
use crate::mount::Mount;
use crate::name::{Digest, Key};
use crate::plan::{Packs, Plan, Reusable, Wanted, plan};
use crate::session::Session;
use crate::store::tree::Tree;
use crate::store::{Reuse, Store};
use crate::threads;
use crate::unit::{Readiness, Unit};

/// What came over the network.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moved {
    /// Of bodies.
    pub bytes: u64,
}

#[derive(Clone, Copy)]
struct Effort {
    reuse: Reuse,
    /// Whatever is here is hashed first.
    distrust: bool,
    packs: Packs,
}

impl Session {
    /// Fetches and builds what is not there. Returns what came over the network.
    pub async fn materialize(
        &self,
        members: &[Member],
        progress: &Arc<Progress>,
        reuse: Reuse,
    ) -> Result<Moved> {
        let mut missing = Vec::new();
        for member in members {
            let ready = member.unit.prepare(self.engine.scrutiny())?;
            if reuse == Reuse::Nothing || !matches!(ready, Readiness::Ready) {
                missing.push(member.clone());
            }
        }
        if missing.is_empty() {
            return Ok(Moved::default());
        }
        self.engine.store.create()?;
        let plans =
            self.plans(&missing, Effort { reuse, distrust: false, packs: Packs::Fetched })?;
        let error = match self.fetch_and_build(&missing, &plans, progress, reuse).await {
            Err(error) if matches!(error.kind(), Kind::Integrity | Kind::Fetch | Kind::Policy) => {
                error
            }
            other => return other,
        };
        // What was taken from the cache is damaged, or a pack is: every byte that is here is
        // looked at, and the rest comes file by file. The same if a pack cannot be had.
        let distrust = error.kind() == Kind::Integrity || is_absent(&error);
        let again = self.plans(&missing, Effort { reuse, distrust, packs: Packs::Needed })?;
        let wanted = |plans: &[Plan]| -> BTreeSet<Digest> {
            plans.iter().flat_map(|plan| &plan.wanted).map(|wanted| wanted.sha256).collect()
        };
        // A pack that is here, or has just come, may have what was damaged elsewhere: nothing
        // is wanted then.
        let alike = plans.iter().zip(&again).all(|(plan, again)| plan.takes_the_same(again));
        if alike && wanted(&again).is_subset(&wanted(&plans)) {
            return Err(error);
        }
        self.fetch_and_build(&missing, &again, progress, reuse).await.map_err(|second| {
            // What was wrong says more than that nothing else could be had.
            let outranked = second.kind() == Kind::Offline
                || (error.kind() == Kind::Integrity && second.kind() == Kind::Fetch);
            if outranked { error.caused_by(&second) } else { second }
        })
    }

    fn plans(&self, members: &[Member], effort: Effort) -> Result<Vec<Plan>> {
        let Effort { reuse, distrust, packs } = effort;
        let one = |member: &Member| {
            if distrust {
                self.drop_damaged_blobs(&member.record)?;
            }
            let reusable = if distrust { Reusable::default() } else { self.reusable(member)? };
            Ok(plan(&member.record, self.engine.store.blobs(), &reusable, reuse, packs))
        };
        members.iter().map(one).collect()
    }

    async fn fetch_and_build(
        &self,
        members: &[Member],
        plans: &[Plan],
        progress: &Arc<Progress>,
        reuse: Reuse,
    ) -> Result<Moved> {
        let Some(first) = members.first() else { return Ok(Moved::default()) };
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
        if !artifacts.is_empty() {
            let what = || format!("{} is not in the cache", first.unit.full_name);
            let may_ask = mount.supply.policy().may_ask(mount.supply.url(), what);
            may_ask.map_err(|error| error.name(first.unit.full_name.clone()))?;
        }
        let code = self.published_code(&mount, members, plans, progress, reuse);
        let sources = async {
            let begun = Instant::now();
            let blobs =
                self.engine.fetcher.blobs(&artifacts, mount.supply.policy(), progress, reuse);
            let fetched =
                blobs.await.map_err(|error| error.or_name(first.unit.full_name.clone()))?;
            let build = self.build_all(members, plans, reuse);
            let (built, large) = tokio::join!(build, code.large(fetched.bytes, begun.elapsed()));
            built?;
            Ok(fetched.bytes + large)
        };
        let small = async { Ok(code.small().await) };
        let (sources, small) = futures_util::future::try_join(sources, small).await?;
        if let Some(last) = artifacts.last() {
            progress.finish(last.url.file_name());
        }
        Ok(Moved { bytes: sources + small })
    }

    async fn build_all(&self, members: &[Member], plans: &[Plan], reuse: Reuse) -> Result<()> {
        for (member, plan) in members.iter().zip(plans) {
            let (store, unit) = (self.engine.store.clone(), member.unit.clone());
            let (member, plan) = (member.clone(), plan.clone());
            let built = threads::beside(move || build(&store, &member, &plan, reuse)).await;
            let ended = || Error::new(Kind::Store, "building a tree ended unexpectedly");
            unit.set_tree(built.ok_or_else(ended)??);
        }
        Ok(())
    }

    pub(super) fn artifact(&self, mount: &Mount, unit: &Unit, wanted: &Wanted) -> Result<Artifact> {
        Ok(Artifact {
            label: unit.full_name.clone(),
            url: mount
                .supply
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
        let Some(bound) = mount.bind()? else { return Ok(reusable) };
        let name = member.unit.name.as_str();
        let same_unit = |key: &Key| key.unit() == name;
        let mut generation = Some(bound.generation.clone());
        for _ in 0..4 {
            let Some(current) = generation else { break };
            for (_, active) in current.active.iter().filter(|(key, _)| same_unit(key)) {
                if let Some(tree) = Tree::open(&self.engine.store, &active.tree)? {
                    reusable.add(&tree);
                }
            }
            generation = match current.parent {
                Some(parent) => mount.folder.read(parent)?,
                None => None,
            };
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

fn build(store: &Store, member: &Member, plan: &Plan, reuse: Reuse) -> Result<Tree> {
    assemble::build(store, &member.unit.digest, &member.record, &plan.sources, reuse)
        .map_err(|error| error.or_name(member.unit.full_name.clone()))
}
