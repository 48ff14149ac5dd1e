//! Which lock a manifest's mount uses, and moving all of it to the newest one and back.
//!
//! ```text
//! manifest, verified ─ hold ─▶ a generation that names it ─▶ lock::Source
//!                       └─ upgrade, rollback: another generation, for processes that start then
//! ```
//!
//! A process keeps the lock that it began with.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::outcome::Outcome;
use crate::error::{Error, Kind, Result};
use crate::fetch::Freshness;
use crate::manifest::Facts;
use crate::mount::{Mount, MountRequest};
use crate::name::{Digest, Namespace, UnitName};
use crate::session::Session;
use crate::store::Reuse;
use crate::store::generation::Generation;
use crate::supply::lock::site::{Site, source_of};
use crate::supply::{Source, View, lock, manifest};

/// Whether a lock is moved forwards or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To the newest that is published.
    Newest,
    /// To the one before.
    Back,
}

impl Session {
    /// The lock that a manifest of an empty namespace has. `None`: it has units. Nobody is asked who was
    /// asked before.
    pub async fn site_of(&self, source: &manifest::Source, facts: Facts) -> Result<Option<Site>> {
        let mount = self.manifest_of(source)?;
        mount.trust()?;
        let held = held(&mount)?;
        let readable = |digest: &Digest| mount.supply.document(digest).is_ok();
        let known = match held.filter(readable) {
            Some(known) => Some(known),
            None => mount.supply.newest()?.filter(readable),
        };
        let is_offline = mount.supply.policy().is_offline();
        let known = match known {
            // Without an answer the old one serves; its age is judged where something is fetched.
            Some(known) if !is_offline && mount.supply.should_ask_first(&known) => {
                let _ = mount.refresh(Freshness::AsCached).await;
                known
            }
            Some(known) => known,
            None => mount.supply.refresh(None, Freshness::AsCached).await?.ok_or_else(|| {
                let what = format!("no manifest is known for {}", mount.supply.url());
                Error::new(Kind::Manifest, what)
            })?,
        };
        let document = mount.supply.document(&known)?;
        let Some(published) = document.lock.clone() else { return Ok(None) };
        if held != Some(known) {
            hold(&mount, known, None)?;
        }
        let whole = self.wants_whole_wheels()?;
        Ok(Some(Site { source: source.clone(), manifest: known, published, facts, whole }))
    }

    /// Whether wheels are fetched whole that were published in parts: a part has no digest that the
    /// wheel's author gave.
    fn wants_whole_wheels(&self) -> Result<bool> {
        let is_top_level = |name: &String| !name.contains('.');
        let lock = self.project.lock()?;
        let pins = lock.is_some_and(|lock| lock.frozen || lock.units.keys().any(is_top_level));
        Ok(pins || self.engine.settings.verify_full)
    }

    /// Moves all of a lock that a manifest has, for processes that start from now on, and makes it usable.
    /// Tells what differs, and what was named.
    pub async fn move_site(
        &self,
        mount: &Arc<Mount>,
        source: &lock::Source,
        way: Way,
        names: &[String],
    ) -> Result<Vec<Outcome>> {
        let Some(site) = &source.site else { return Ok(Vec::new()) };
        let _kept = self.keep().await?;
        let at = self.manifest_of(&site.source)?;
        let current = at.folder.find(at.folder.current()?)?;
        let (target, parent) = match way {
            Way::Newest => {
                self.ask_for_upgrade(&at, Reuse::WhatIsHere).await?;
                (at.supply.newest()?, current.as_ref().map(|it| it.number))
            }
            Way::Back => {
                let before = at.folder.find(current.as_ref().and_then(|it| it.parent))?;
                let parent = before.as_ref().and_then(|it| it.parent);
                (before.and_then(|it| it.manifest), parent)
            }
        };
        let now = current.and_then(|it| it.manifest).unwrap_or(site.manifest);
        let target = target.unwrap_or(now);
        let before = self.view_of(source, now, &at, mount).await?;
        if target == now {
            return Ok(outcomes(&before, &before, names));
        }
        let after = self.view_of(source, target, &at, mount).await?;
        hold(&at, target, parent)?;
        Ok(outcomes(&before, &after, names))
    }

    /// What a manifest that was verified means here.
    async fn view_of(
        &self,
        source: &lock::Source,
        manifest: Digest,
        at: &Mount,
        like: &Mount,
    ) -> Result<Arc<View>> {
        let gone = || {
            let what = format!("the manifest {} has a lock no more", at.supply.url());
            Error::new(Kind::Manifest, what)
                .url(at.supply.url())
                .hint("close the mount, and mount it again")
        };
        let published = at.supply.document(&manifest)?.lock.clone().ok_or_else(gone)?;
        let Some(site) = source.site.clone() else { return Err(gone()) };
        let source = source_of(Site { manifest, published, ..site }, source.clone())?;
        let request =
            MountRequest { source: Source::Lock(Box::new(source)), ..like.request.clone() };
        let mount = Mount::new(&self.engine, request)?;
        mount.trust()?;
        if mount.supply.newest()?.is_none() {
            mount.supply.refresh(None, Freshness::AsCached).await?;
        }
        mount.supply.view().cloned().ok_or_else(gone)
    }

    /// The mount of the manifest itself, which nothing is imported from.
    fn manifest_of(&self, source: &manifest::Source) -> Result<Arc<Mount>> {
        Mount::new(
            &self.engine,
            MountRequest {
                namespace: Namespace::default(),
                source: Source::Manifest(source.clone()),
                first: false,
                pins: [].into(),
                frozen: false,
            },
        )
    }
}

/// The manifest that processes begin with.
fn held(mount: &Mount) -> Result<Option<Digest>> {
    Ok(mount.folder.find(mount.folder.current()?)?.and_then(|it| it.manifest))
}

/// From now on processes begin with this manifest.
fn hold(mount: &Mount, manifest: Digest, parent: Option<u64>) -> Result<()> {
    mount.folder.create()?;
    let _lock = mount.folder.lock()?;
    // Others may have begun at the same time.
    if held(mount)? == Some(manifest) {
        return Ok(());
    }
    let next = Generation { parent, manifest: Some(manifest), ..mount.folder.fresh()? };
    mount.folder.write(&next)?;
    mount.folder.switch(next.number)
}

/// What was named, then what else differs.
fn outcomes(before: &View, after: &View, names: &[String]) -> Vec<Outcome> {
    let version = |view: &View, unit: &UnitName| {
        view.resolved.units.get(unit).map(|it| it.version.to_string())
    };
    let named: Vec<UnitName> = names.iter().filter_map(|it| UnitName::new(it).ok()).collect();
    let all = before.resolved.wheels().chain(after.resolved.wheels());
    let all: BTreeSet<&UnitName> = all.map(|(unit, _)| unit).collect();
    let differ = all.into_iter().filter(|unit| {
        let tree = |view: &View| view.resolved.units.get(*unit).map(|it| it.tree);
        tree(before) != tree(after) && !named.contains(unit)
    });
    let outcome = |unit: &UnitName| Outcome {
        full_name: unit.to_string(),
        old_version: version(before, unit),
        new_version: version(after, unit),
        files_changed: 0,
    };
    named.iter().chain(differ).map(outcome).collect()
}
