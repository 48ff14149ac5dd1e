//! Every byte of the units in use, hashed, and mended where it is damaged.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::events::Progress;
use crate::mount::Mount;
use crate::name::Digest;
use crate::session::Session;
use crate::store::Reuse;
use crate::store::tree::{Scrutiny, Tree};
use crate::unit::{Readiness, Unit};

/// The outcome of a check of the cache.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verified {
    /// Their number, each version and variant counted.
    pub units: u64,
    /// Their number.
    pub files: u64,
    /// That were hashed.
    pub bytes: u64,
    /// A sentence on each, mended or not.
    pub problems: Vec<String>,
    /// A problem could not be mended.
    pub broken: bool,
}

impl Session {
    /// Hashes every file of what is called `names`, as they follow `import`, and mends what can
    /// be mended; without names, all that is in use.
    pub async fn verify(&self, names: &[String]) -> Result<Verified> {
        let groups = match names {
            [] => self.all_mounts().into_iter().map(|mount| (mount, Vec::new())).collect(),
            names => self.by_mount(names)?,
        };
        let mut verified = Verified::default();
        for (mount, names) in groups {
            self.verify_in(&mount, &names, &mut verified).await?;
        }
        Ok(verified)
    }

    async fn verify_in(
        &self,
        mount: &Arc<Mount>,
        names: &[String],
        verified: &mut Verified,
    ) -> Result<()> {
        let Some(bound) = mount.bind()? else { return Ok(()) };
        let mut names = names.to_vec();
        if mount.supply.view().is_some() {
            // A module's name says of which distribution it is, and that has several spellings.
            for name in &mut names {
                *name = self.unit(mount, name).await?.name.to_string();
            }
        }
        for name in &names {
            if !bound.generation.has_key_of(name) {
                let full = mount.namespace.join(name);
                return Err(Error::new(Kind::UnitNotFound, format!("{full} is not in the cache"))
                    .hint(format!("run `magic-module fetch {full}`"))
                    .name(full));
            }
        }
        // Every entry: pinned versions and other interpreters' variants, too.
        for (key, active) in &bound.generation.active {
            if names.is_empty() || names.iter().any(|name| key.unit() == name) {
                let unit = self.active_entry_unit(mount, key, active)?;
                verified.units += 1;
                self.verify_unit(mount, &unit, verified).await?;
            }
        }
        Ok(())
    }

    async fn verify_unit(
        &self,
        mount: &Arc<Mount>,
        unit: &Arc<Unit>,
        verified: &mut Verified,
    ) -> Result<()> {
        let mut sources_whole = true;
        match Tree::open(&self.engine.store, &unit.digest)? {
            Some(mut tree) => {
                let damaged = tree.check(&self.engine.store, Scrutiny::Bytes).damaged;
                verified.problems.extend(damaged.iter().map(|at| {
                    let path = tree.folder.join(tree.files[*at].path.as_str());
                    format!("{} is damaged", path.display())
                }));
                let eager = || tree.files.iter().filter(|file| !file.lazy);
                verified.files += eager().count() as u64;
                let bytes: u64 = eager().map(|file| file.size).sum();
                verified.bytes += bytes;
                // Where no manifest tells a blob's size: one that was made for a larger tree fits.
                let largest = 2 * bytes + (64 << 20);
                let sizes = self.sizes(mount, unit);
                for source in tree.blobs() {
                    let size = sizes.get(source).copied().unwrap_or(largest);
                    if !self.engine.store.blobs().is_whole(source, size)? {
                        verified.problems.push(format!("blob {source} is damaged or gone"));
                        let _ = self.engine.store.blobs().remove(source);
                        sources_whole = false;
                    }
                }
            }
            None => verified.problems.push(format!("the tree of {} is gone", unit.full_name)),
        }
        unit.reset();
        if sources_whole && matches!(unit.prepare(Scrutiny::Bytes), Ok(Readiness::Ready)) {
            return Ok(());
        }
        unit.reset();
        let what = || format!("{} cannot be mended", unit.full_name);
        if let Err(sealed) = self.engine.store.may_write(what) {
            verified.broken = true;
            verified.problems.push(sealed.to_string());
            return Ok(());
        }
        let reuse = if sources_whole { Reuse::WhatIsHere } else { Reuse::Nothing };
        if let Err(error) =
            self.or_newer(mount, mount.known(), || self.mend(mount, unit, reuse)).await
        {
            verified.broken = true;
            verified.problems.push(error.to_string());
        }
        Ok(())
    }

    /// The sizes of a unit's artifacts, if its manifest is here.
    fn sizes(&self, mount: &Mount, unit: &Unit) -> HashMap<Digest, u64> {
        let name = unit.name.as_str();
        let Ok(Some(record)) = self.record_of(mount, &unit.manifest, name, Some(&unit.version))
        else {
            return HashMap::new();
        };
        let files = record.all_files().map(|file| (file.sha256, file.size));
        files.chain(record.all_packs().map(|pack| (pack.sha256, pack.size))).collect()
    }

    async fn mend(&self, mount: &Arc<Mount>, unit: &Arc<Unit>, reuse: Reuse) -> Result<()> {
        let _kept = self.keep().await?;
        let members = self.closure(unit).await?;
        if reuse == Reuse::WhatIsHere {
            return self.fetch(mount, &members, &unit.full_name).await.map(drop);
        }
        let progress = Progress::new(unit.full_name.clone(), self.engine.events.clone());
        self.materialize(&members, &progress, reuse).await.map(drop)
    }
}
