//! Trees that grow while what they are made of arrives.
//!
//! ```text
//! arrival ─▶ each tree that waits for it ─▶ unpacked ahead … until the last one ─▶ built
//! ```

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Semaphore, mpsc};

use super::Member;
use crate::assemble::{self, Early, Placed};
use crate::error::{Error, Kind, Result};
use crate::manifest::{Pack, PackFormat};
use crate::name::Digest;
use crate::plan::Plan;
use crate::session::Session;
use crate::store::{Reuse, Store};
use crate::threads;

/// So many trees are built, or packs unpacked, at a time. One that takes much memory has all turns.
const BUILDERS: u32 = 2;

/// What comes over the network.
#[derive(Clone)]
pub(super) enum Arrival {
    /// A blob arrives in this file.
    Begun(Digest, PathBuf),
    /// All of it is in the store.
    Whole(Digest),
}

impl Arrival {
    fn digest(&self) -> &Digest {
        match self {
            Self::Begun(digest, _) | Self::Whole(digest) => digest,
        }
    }
}

impl Session {
    /// Builds each tree as soon as all that it is made of is there. Most of it was unpacked by
    /// then. When nothing arrives any more, what is missing failed: nobody waits for it.
    pub(super) async fn build_all(
        &self,
        members: &[Member],
        plans: &[Plan],
        reuse: Reuse,
        mut arrivals: mpsc::UnboundedReceiver<Arrival>,
    ) -> Result<()> {
        let turns = Semaphore::new(BUILDERS as usize);
        let (mut waiting, mut running) = (Vec::new(), FuturesUnordered::new());
        for (member, plan) in members.iter().zip(plans) {
            let growing = Growing::new(self, member, plan, reuse, &turns);
            let (sender, arriving) = mpsc::unbounded_channel();
            waiting.push((growing.missing.clone(), sender));
            running.push(growing.run(arriving));
        }
        let tell = async {
            while let Some(arrival) = arrivals.recv().await {
                for (_, sender) in waiting.iter().filter(|(it, _)| it.contains(arrival.digest())) {
                    // Nobody listens any more if it could not be built.
                    let _ = sender.send(arrival.clone());
                }
            }
            waiting.clear();
        };
        let build = async {
            let mut outcome = Ok(());
            while let Some(built) = running.next().await {
                outcome = outcome.and(built);
            }
            outcome
        };
        let mut build = pin!(build);
        tokio::select! {
            // Whoever could tell more may be there for longer.
            built = &mut build => built,
            () = tell => build.await,
        }
    }
}

/// A tree of which something is missing.
struct Growing<'a> {
    session: &'a Session,
    member: &'a Member,
    plan: Arc<Plan>,
    reuse: Reuse,
    turns: &'a Semaphore,
    missing: HashSet<Digest>,
    /// Packs that take little memory.
    small: HashSet<Digest>,
    /// Packs that have arrived, and are not unpacked yet. The newest is taken first.
    packs: Vec<Digest>,
    early: Option<Early>,
    placed: Option<Placed>,
    /// Somebody else unpacks it.
    is_taken: bool,
}

impl<'a> Growing<'a> {
    fn new(
        session: &'a Session,
        member: &'a Member,
        plan: &'a Plan,
        reuse: Reuse,
        turns: &'a Semaphore,
    ) -> Self {
        let missing: HashSet<_> = plan.wanted.iter().map(|it| it.sha256).collect();
        let is_one = missing.len() < 2;
        let small = if is_one { HashSet::new() } else { assemble::small_packs(&member.record) };
        Self {
            session,
            member,
            plan: Arc::new(plan.clone()),
            reuse,
            turns,
            missing,
            small,
            packs: Vec::new(),
            early: None,
            placed: None,
            is_taken: false,
        }
    }

    async fn run(mut self, mut arriving: mpsc::UnboundedReceiver<Arrival>) -> Result<()> {
        loop {
            let has_ended = loop {
                match arriving.try_recv() {
                    Ok(arrival) => self.note(arrival),
                    Err(why) => break why == TryRecvError::Disconnected,
                }
            };
            if self.missing.is_empty() {
                return self.build().await;
            }
            if has_ended {
                return Ok(());
            }
            if let Some(pack) = self.packs.pop() {
                self.unpack_ahead(pack).await;
                continue;
            }
            match arriving.recv().await {
                Some(arrival) => self.note(arrival),
                None => return Ok(()),
            }
        }
    }

    fn note(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Begun(digest, part) => self.begin(&digest, &part),
            Arrival::Whole(digest) => {
                self.missing.remove(&digest);
                self.packs.push(digest);
            }
        }
    }

    /// A blob begins to arrive in `part`. If it is all that the tree is made of, it is unpacked
    /// meanwhile.
    fn begin(&mut self, digest: &Digest, part: &Path) {
        let is_all = self.missing.len() == 1 && self.missing.contains(digest);
        let is_new = || self.plan.sources.values().all(|source| source.fresh);
        if self.early.is_none() && is_all && is_new() {
            let store = &self.session.engine.store;
            self.early = Early::start(store, &self.member.record, part);
        }
    }

    async fn unpack_ahead(&mut self, pack: Digest) {
        let record = &self.member.record;
        let is_of_files = |it: &Pack| it.sha256 == pack && it.format.holds_files();
        if self.is_taken || !record.packs.iter().any(is_of_files) {
            return;
        }
        let turns = if self.small.contains(&pack) { 1 } else { BUILDERS };
        let _turn = self.turns.acquire_many(turns).await;
        let (store, member, plan) = self.material();
        let placed = self.placed.take();
        let unpacked = threads::beside(move || {
            let Member { record, unit, .. } = &member;
            assemble::unpack_ahead(&store, &unit.digest, record, &plan.sources, &pack, placed)
        });
        // What could not be unpacked is tried again when all is here, and fails there.
        if let Some(Ok(placed)) = unpacked.await {
            self.is_taken = placed.is_none();
            self.placed = placed;
        }
    }

    async fn build(mut self) -> Result<()> {
        // What comes in frames has all the memory there is for it.
        let is_framed = self.member.record.packs.iter().any(|it| it.format == PackFormat::ZipZstd);
        let _turn = self.turns.acquire_many(if is_framed { BUILDERS } else { 1 }).await;
        let (store, member, plan) = self.material();
        let (reuse, early, placed) = (self.reuse, self.early.take(), self.placed.take());
        let built = threads::beside(move || {
            let placed = early.and_then(Early::finish).or(placed);
            let Member { record, unit, .. } = &member;
            assemble::build(&store, &unit.digest, record, &plan.sources, reuse, placed)
                .map_err(|error| error.or_name(unit.full_name.clone()))
        });
        let ended = || Error::new(Kind::Store, "building a tree ended unexpectedly");
        let Member { unit, record, .. } = self.member;
        unit.set_tree(built.await.ok_or_else(ended)??);
        let python = &self.session.python;
        let tag = python.code.tag();
        if !record.packs.iter().any(|pack| pack.is_code_for(&tag)) {
            unit.compile_ahead(python);
        }
        Ok(())
    }

    fn material(&self) -> (Store, Member, Arc<Plan>) {
        (self.session.engine.store.clone(), self.member.clone(), self.plan.clone())
    }
}
