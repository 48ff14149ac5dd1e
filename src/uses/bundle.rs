//! What a bundle holds: every artifact of a closure, whole.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Result;
use crate::events::Progress;
use crate::fetch::Sought;
use crate::mount::Mount;
use crate::name::Digest;
use crate::plan::{Packs, Plan, Reusable, plan};
use crate::session::Session;
use crate::store::Reuse;
use crate::threads;

/// One artifact, as it lies in the store.
#[derive(Debug, Clone)]
pub struct Part {
    /// Whose it is.
    pub unit: String,
    /// Of that unit.
    pub version: String,
    /// The last part of its URL.
    pub file_name: String,
    /// Names it.
    pub sha256: Digest,
    /// In bytes.
    pub size: u64,
    /// Its blob.
    pub blob: PathBuf,
}

impl Session {
    /// Fetches every artifact of units and of what they require, as it was published.
    pub async fn bundle_parts(&self, mount: &Arc<Mount>, names: &[String]) -> Result<Vec<Part>> {
        let members = self.all_wanted(mount, names).await?;
        let progress = Progress::new("bundle", self.engine.events.clone());
        // Whether it may be fetched is asked before the first byte.
        self.materialize(&members, &progress, Reuse::WhatIsHere).await?;
        let (blobs, mut artifacts, mut parts) = (self.engine.store.blobs(), Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for member in &members {
            let whole =
                plan(&member.record, blobs, &Reusable::default(), Reuse::Nothing, Packs::Fetched);
            for wanted in &whole.wanted {
                let artifact = self.artifact(mount, &member.unit, wanted)?;
                if seen.insert(artifact.sha256) {
                    parts.push(Part {
                        unit: mount.supply.title(&member.unit.name).into_owned(),
                        version: member.unit.version.to_string(),
                        file_name: artifact.url.file_name().to_owned(),
                        sha256: artifact.sha256,
                        size: artifact.size,
                        blob: blobs.path(&artifact.sha256),
                    });
                    artifacts.push(artifact);
                }
            }
        }
        let policy = mount.supply.policy();
        self.engine.fetcher.blobs(&artifacts, policy, &progress, Reuse::WhatIsHere).await?;
        Ok(parts)
    }

    /// Takes what plans want out of bundles; true if anything has come.
    pub(super) async fn bring_bundled(&self, plans: &[Plan]) -> Result<bool> {
        let sought = |wanted: &crate::plan::Wanted| Sought {
            sha256: wanted.sha256,
            size: Some(wanted.size),
            file_name: wanted.url.as_str().rsplit('/').next().unwrap_or_default().to_owned(),
        };
        let sought: Vec<Sought> = plans.iter().flat_map(|it| &it.wanted).map(sought).collect();
        if sought.is_empty() || self.engine.fetcher.bundles.is_empty(&self.engine.events) {
            return Ok(false);
        }
        let (bundles, blobs) =
            (self.engine.fetcher.bundles.clone(), self.engine.store.blobs().clone());
        let events = self.engine.events.clone();
        let found = threads::beside(move || bundles.bring(&blobs, &sought, &events)).await;
        Ok(!found.unwrap_or_else(|| Ok(Vec::new()))?.is_empty())
    }
}
