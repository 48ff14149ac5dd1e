//! Code that an author published for this interpreter: fetched beside the sources, and
//! put into the unit's code pack, from where it is taken like what was compiled here.
//!
//! ```text
//! pack of code ─ sha256 of the manifest ─▶ entry ─ named by its source's sha256 ─▶ code pack
//! ```
//!
//! It only saves time. Whatever is wrong with it, the unit is as good without it, and its
//! sources are compiled when they are used.

use std::sync::Arc;

use super::Member;
use crate::error::{Kind, Result};
use crate::manifest::{File, Pack};
use crate::mount::Mount;
use crate::name::FilePath;
use crate::origin::redact_text;
use crate::plan::{Plan, Wanted};
use crate::progress::{Event, Progress};
use crate::session::Session;
use crate::store::BlobStore;
use crate::store::code::CodePack;
use crate::unpack::{FRAME_LIMIT, Limits, Pack as Archive};

impl Session {
    /// Fetches the code of members whose sources are being fetched, and keeps it. Returns
    /// how many bytes came over the network.
    pub(super) async fn fetch_code(
        &self,
        mount: &Mount,
        members: &[Member],
        plans: &[Plan],
        progress: &Arc<Progress>,
        force: bool,
    ) -> u64 {
        if self.settings.verify_full {
            return 0;
        }
        let tag = self.python.code.tag();
        // They all end in one file, and who finds it locked leaves it to whoever writes.
        let turns = tokio::sync::Mutex::new(());
        let wanting = members.iter().zip(plans).filter(|(member, plan)| {
            is_mostly_new(member, plan) && member.unit.trusts_published_code(mount)
        });
        let packs = wanting.flat_map(|(member, _)| {
            let packs = member.record.packs.iter().filter(|pack| pack.is_code_for(&tag));
            let turns = &turns;
            packs.map(move |pack| self.fetch_pack(mount, member, pack, progress, force, turns))
        });
        futures_util::future::join_all(packs).await.into_iter().sum()
    }

    async fn fetch_pack(
        &self,
        mount: &Mount,
        member: &Member,
        pack: &Pack,
        progress: &Arc<Progress>,
        force: bool,
        turns: &tokio::sync::Mutex<()>,
    ) -> u64 {
        let mut bytes = 0;
        let mut kept = Ok(());
        // What lay in the cache already may be damaged: then it is fetched, once.
        for _ in 0..2 {
            kept = async {
                bytes += self.bring(mount, member, pack, progress, force).await?;
                let _turn = turns.lock().await;
                self.store_code(mount, member, pack).await
            }
            .await;
            match &kept {
                Err(error) if error.kind() == Kind::Integrity && bytes == 0 => {
                    let _ = self.store.blobs().remove(&pack.sha256);
                }
                _ => break,
            }
        }
        if let Err(error) = kept {
            self.events.emit(|| Event {
                event: "verify",
                unit: member.unit.full_name.clone(),
                artifact: error.to_string(),
                url: redact_text(&pack.url),
                status: "refused",
                ..Event::default()
            });
        }
        bytes
    }

    async fn bring(
        &self,
        mount: &Mount,
        member: &Member,
        pack: &Pack,
        progress: &Arc<Progress>,
        force: bool,
    ) -> Result<u64> {
        if !force && self.store.blobs().has(&pack.sha256, pack.size) {
            return Ok(0);
        }
        let Pack { url, size, sha256, .. } = pack.clone();
        let wanted = self.artifact(mount, &member.unit, &Wanted { url, size, sha256 })?;
        if self.settings.offline {
            return Err(mount.offline(&format!("the code of {} is not in the cache", wanted.label)));
        }
        let fetcher = self.context().fetcher;
        Ok(fetcher.blobs(&[wanted], mount.transport(), progress, force).await?.bytes)
    }

    async fn store_code(&self, mount: &Mount, member: &Member, pack: &Pack) -> Result<()> {
        mount.folder.create()?;
        // One of its own: a child that is forked meanwhile inherits no lock of the unit's.
        let code = CodePack::open(
            &mount.folder.code(),
            &mount.identity,
            &member.unit.digest,
            &self.python.code,
            true,
        );
        let (blobs, member, pack) = (self.store.blobs().clone(), member.clone(), pack.clone());
        let kept = tokio::task::spawn_blocking(move || transfer(&blobs, &member, &pack, &code));
        kept.await.unwrap_or(Ok(()))
    }
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
    files.filter(|file| !file.lazy && file.path.as_str().ends_with(".py"))
}

/// Takes the code of the member's sources out of a pack, and nothing else.
fn transfer(blobs: &BlobStore, member: &Member, pack: &Pack, code: &CodePack) -> Result<()> {
    let bytes = blobs.read_verified(&pack.sha256, pack.size)?;
    // How long code is follows from nothing, so the frame has the limit.
    let limits = Limits { entries: member.record.files.len() as u64, bytes: FRAME_LIMIT };
    let mut archive = Archive::unframe(&bytes, &redact_text(&pack.url), &limits, 0)?;
    drop(bytes);
    let mut refused = Ok(());
    code.add_published(sources(member).filter_map(|file| {
        let name = FilePath::new(&file.sha256.to_hex()).ok()?;
        let entry = archive.directory().files.get(&name).filter(|_| refused.is_ok())?;
        let mut code = Vec::with_capacity(usize::try_from(entry.size).unwrap_or(0));
        refused = archive.extract(&name, &mut code).map(drop);
        refused.is_ok().then_some((file.path.as_str(), file.sha256, code))
    }));
    refused
}
