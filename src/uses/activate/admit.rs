//! Members whose bytes came with another space's login: see `engine/admit.rs`.
//!
//! A unit that is active was asked about before.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Member, holds};
use crate::error::{Error, Kind, Result};
use crate::events::Progress;
use crate::fetch::Artifact;
use crate::mount::Mount;
use crate::name::Digest;
use crate::plan::Wanted;
use crate::session::Session;
use crate::store::Reuse;
use crate::store::blob::Admission;
use crate::store::tree::Tree;

impl Session {
    /// Asks for what is here and may not be used yet. Returns the members that have to be fetched
    /// all the same.
    pub(super) async fn admit(
        &self,
        members: &[Member],
        progress: &Arc<Progress>,
    ) -> Result<Vec<Member>> {
        let mut strange = Vec::new();
        if self.engine.store.blobs().are_all_open() {
            return Ok(strange);
        }
        for member in members {
            let mount = member.unit.mount()?;
            let bound = mount.bind()?;
            let active = member.active();
            let is_active =
                bound.is_some_and(|it| holds(&it.generation, &member.unit.key, &active));
            if !is_active && !self.admit_one(&mount, member, progress).await? {
                strange.push(member.clone());
            }
        }
        Ok(strange)
    }

    /// False if it has to be fetched.
    async fn admit_one(
        &self,
        mount: &Mount,
        member: &Member,
        progress: &Arc<Progress>,
    ) -> Result<bool> {
        let (blobs, record) = (self.engine.store.blobs(), &member.record);
        let tree = self.engine.store.find_tree(&member.unit.digest)?;
        let packs = record.packs.iter().map(|it| (it.sha256, Some((&it.url, it.size))));
        let files = record.files.iter().map(|it| (it.sha256, it.url().map(|url| (url, it.size))));
        // What a tree was made of for others need not be what this record names.
        let used = tree.iter().flat_map(Tree::blobs).map(|blob| (*blob, None));
        let all: BTreeMap<Digest, _> = used.chain(files).chain(packs).collect();
        for (sha256, named) in all {
            let is_here = tree.is_some() || fs_err::symlink_metadata(blobs.path(&sha256)).is_ok();
            if !is_here || blobs.admission(&sha256, None) == Admission::Open {
                continue;
            }
            let Some((url, size)) = named else { return Ok(false) };
            let wanted = Wanted { url: url.clone(), size, sha256 };
            let artifact = self.artifact(mount, &member.unit, &wanted)?;
            if blobs.admission(&sha256, Some(&artifact.url)) != Admission::Ask {
                return Ok(false);
            }
            self.engine.admit(&artifact, mount.supply.policy(), progress).await?;
        }
        Ok(true)
    }

    /// What has come may be used, if it was this process that brought it.
    pub(super) async fn admit_fetched(
        &self,
        mount: &Mount,
        artifacts: &[Artifact],
        progress: &Arc<Progress>,
        reuse: Reuse,
    ) -> Result<()> {
        let blobs = self.engine.store.blobs();
        for artifact in artifacts {
            let Artifact { sha256, url, label, .. } = artifact;
            match blobs.admission(sha256, Some(url)) {
                Admission::Open => {}
                _ if reuse == Reuse::Nothing => blobs.admit(sha256, url)?,
                // Another process brought it meanwhile.
                Admission::Ask => {
                    self.engine.admit(artifact, mount.supply.policy(), progress).await?;
                }
                Admission::Fetch => {
                    let why = format!("{label} came with another login meanwhile");
                    return Err(Error::new(Kind::Fetch, why).name(label).hint("try again"));
                }
            }
        }
        Ok(())
    }
}
