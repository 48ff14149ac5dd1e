//! Code that an author published for this interpreter: fetched beside the sources, and
//! put into the unit's code pack, from where it is taken like what was compiled here.
//!
//! ```text
//! pack of code ─ sha256 of the manifest ─▶ entry ─ named by its source's sha256 ─▶ code pack
//! ```
//!
//! It only saves time. Whatever is wrong with it, the unit is as good without it, and its
//! sources are compiled when they are used. Little code comes beside the sources; much of
//! it once half of them have come, if the link is quick enough for that to pay.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Mutex, oneshot};

use super::Member;
use crate::error::{Kind, Result};
use crate::events::{Event, Finding, Progress};
use crate::manifest::{File, Pack};
use crate::mount::Mount;
use crate::name::FilePath;
use crate::plan::{Plan, Wanted};
use crate::session::Session;
use crate::store::code::{CodePack, Trust};
use crate::store::{BlobStore, Reuse};
use crate::threads;
use crate::unpack::{FRAME_LIMIT, Limits, Pack as Archive};

/// Below this size the code of all members costs its round trip, and nothing else.
const SMALL: u64 = 256 << 10;

/// From this size on a download tells how quick the link is.
const TELLING: u64 = 64 << 10;

/// So many bytes of sources are compiled in a second on a core (measured with the modules of
/// sympy's sizes).
const COMPILED: u64 = 8_300_000;

/// One in so many bytes of a whole unit's sources is used by a first import. Of what was
/// published because it is used, it is all.
const USED: u64 = 3;

/// Helper interpreters share the work from the second core on, up to this one.
const CORES: u64 = 4;

/// The code of the members whose sources are being fetched.
pub(super) struct PublishedCode<'a> {
    session: &'a Session,
    mount: &'a Mount,
    progress: &'a Arc<Progress>,
    reuse: Reuse,
    packs: Vec<(&'a Member, &'a Pack)>,
    /// Of the sources that are likely to be used, in bytes.
    used: u64,
    /// They all end in one file, and who finds it locked leaves it to whoever writes.
    turns: Mutex<()>,
}

impl Session {
    pub(super) fn published_code<'a>(
        &'a self,
        mount: &'a Mount,
        members: &'a [Member],
        plans: &[Plan],
        progress: &'a Arc<Progress>,
        reuse: Reuse,
    ) -> PublishedCode<'a> {
        let tag = self.python.code.tag();
        let wanting = members.iter().zip(plans).filter(|(member, plan)| {
            !self.engine.settings.verify_full
                && is_mostly_new(member, plan)
                && member.unit.trust(mount) == Trust::Published
        });
        let (mut packs, mut used) = (Vec::new(), 0);
        for (member, _) in wanting {
            let fitting = member.record.packs.iter().filter(|pack| pack.is_code_for(&tag));
            packs.extend(fitting.map(|pack| (member, pack)));
            let view = mount.supply.view();
            let is_first = view.is_some_and(|it| it.resolved.rest_of(&member.unit.name).is_some());
            let all = sources(member).map(|file| file.size).sum::<u64>();
            used += if is_first { all } else { all / USED };
        }
        let turns = Mutex::new(());
        PublishedCode { session: self, mount, progress, reuse, packs, used, turns }
    }
}

impl PublishedCode<'_> {
    fn size(&self) -> u64 {
        self.packs.iter().map(|(_, pack)| pack.size).sum()
    }

    /// True if it is worth knowing how quick the link is.
    pub(super) fn is_much(&self) -> bool {
        self.size() >= SMALL
    }

    /// Fetches it if that pays, and tells how many bytes came over the network.
    pub(super) async fn come(&self, known: oneshot::Receiver<(u64, Duration)>) -> u64 {
        let size = self.size();
        // What has come may be too little to tell anything. Nothing is known if it failed.
        let pays = !self.is_much()
            || known.await.is_ok_and(|(bytes, time)| {
                let cores = std::thread::available_parallelism().map_or(1, NonZero::get) as u64;
                bytes < TELLING || pays(size, bytes, time, self.used, cores)
            });
        if pays { self.fetch().await } else { 0 }
    }

    async fn fetch(&self) -> u64 {
        join_all(self.packs.iter().map(|(member, pack)| self.fetch_pack(member, pack)))
            .await
            .into_iter()
            .sum()
    }

    async fn fetch_pack(&self, member: &Member, pack: &Pack) -> u64 {
        let mut bytes = 0;
        let mut kept = Ok(());
        // What lay in the cache already may be damaged: then it is fetched, once.
        for _ in 0..2 {
            kept = async {
                bytes += self.bring(member, pack).await?;
                let _turn = self.turns.lock().await;
                self.store(member, pack).await
            }
            .await;
            match &kept {
                Err(error) if error.kind() == Kind::Integrity && bytes == 0 => {
                    let _ = self.session.engine.store.blobs().remove(&pack.sha256);
                }
                _ => break,
            }
        }
        if let Err(error) = kept {
            self.session.engine.events.emit(|| Event::Verify {
                unit: member.unit.full_name.clone(),
                finding: Finding::Refused { url: pack.url.clone(), why: error.to_string() },
            });
        }
        bytes
    }

    async fn bring(&self, member: &Member, pack: &Pack) -> Result<u64> {
        let Self { session, mount, progress, reuse, .. } = *self;
        if reuse == Reuse::WhatIsHere && session.engine.store.blobs().has(&pack.sha256, pack.size) {
            return Ok(0);
        }
        let Pack { url, size, sha256, .. } = pack.clone();
        let wanted = session.artifact(mount, &member.unit, &Wanted { url, size, sha256 })?;
        let what = || format!("the code of {} is not in the cache", wanted.label);
        mount.supply.may_fetch(&wanted.url, &what)?;
        let fetcher = &session.engine.fetcher;
        Ok(fetcher.blobs(&[wanted], mount.supply.policy(), progress, reuse).await?.bytes)
    }

    async fn store(&self, member: &Member, pack: &Pack) -> Result<()> {
        let Self { session, mount, .. } = *self;
        mount.folder.create()?;
        // One of its own: a child that is forked meanwhile inherits no lock of the unit's.
        let code = CodePack::open(
            &mount.folder.code(),
            &mount.identity,
            &member.unit.digest,
            &session.python.code,
            Trust::Published,
        );
        let (blobs, member, pack) =
            (session.engine.store.blobs().clone(), member.clone(), pack.clone());
        let kept = threads::beside(move || transfer(&blobs, &member, &pack, &code)).await;
        kept.unwrap_or(Ok(()))
    }
}

/// True if code of `size` comes sooner, at the pace of `bytes` in `time`, than `cores` compile
/// `used` bytes of sources.
fn pays(size: u64, bytes: u64, time: Duration, used: u64, cores: u64) -> bool {
    let coming = time.as_secs_f64() * size as f64 / bytes as f64;
    let compiling = used as f64 / (COMPILED * cores.clamp(1, CORES)) as f64;
    coming < compiling
}

/// One changed file of many is compiled sooner than the code of all is fetched.
fn is_mostly_new(member: &Member, plan: &Plan) -> bool {
    let (mut all, mut new) = (0_u64, 0_u64);
    for file in sources(member) {
        all = all.saturating_add(file.size);
        if plan.sources.get(&file.path).is_some_and(|source| source.fresh) {
            new = new.saturating_add(file.size);
        }
    }
    new > 0 && new >= all / 2
}

fn sources(member: &Member) -> impl Iterator<Item = &File> {
    let files = member.record.files.iter();
    files.filter(|file| !file.lazy && file.path.is_source())
}

/// Takes the code of the member's sources out of a pack, and nothing else.
fn transfer(blobs: &BlobStore, member: &Member, pack: &Pack, code: &CodePack) -> Result<()> {
    let bytes = blobs.read_verified(&pack.sha256, pack.size)?;
    // How long code is follows from nothing, so the frame has the limit.
    let limits = Limits { entries: member.record.files.len() as u64, bytes: FRAME_LIMIT };
    let mut archive = Archive::unframe(&bytes, &pack.url.to_string(), &limits, 0)?;
    drop(bytes);
    let mut refused = Ok(());
    code.add_published(sources(member).filter_map(|file| {
        let name = FilePath::new(&file.sha256.to_hex()).ok()?;
        let entry = archive.directory().files.get(&name).filter(|_| refused.is_ok())?;
        let mut code = Vec::new();
        code.try_reserve_exact(usize::try_from(entry.size).ok()?).ok()?;
        refused = archive.extract(&name, &mut code).map(drop);
        refused.is_ok().then_some((file.path.as_str(), file.sha256, code))
    }));
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_fetched_where_it_comes_sooner_than_it_is_compiled() {
        // 25 MB of sources that came as 4 MB at so many megabits; their code is 4 MB, too.
        let pays = |megabits: u64, used: u64, cores: u64| {
            let time = Duration::from_millis(32_000 / megabits);
            pays(4_000_000, 4_000_000, time, used, cores)
        };
        let (third, all) = (25_000_000 / USED, 25_000_000);
        assert!(pays(1000, third, 4) && pays(1000, third, 1) && pays(100, third, 1));
        assert!(!pays(100, third, 4) && !pays(20, third, 1));
        assert!(pays(100, all, 4) && pays(20, all, 1) && !pays(10, all, 4));
    }
}
