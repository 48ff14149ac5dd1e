//! `magic-module pin`: what is in use becomes the project's lock.

use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::lockfile::{Locked, ProjectLock, place, read};
use crate::manifest::Record;
use crate::mount::Mount;
use crate::name::{Digest, Key, Version};
use crate::session::Session;
use crate::supply::Answer;

/// The project's lock, and what of it was written now, by what follows `import`.
pub struct Pinned {
    /// The whole file, as it is on disk now.
    pub lock: ProjectLock,
    /// What was written now.
    pub units: Vec<(String, Version)>,
}

impl Session {
    /// Locks the project that `here` belongs to to `names`, as they follow `import`; without
    /// names, to everything in use of a namespace.
    pub async fn pin(
        &self,
        here: &Path,
        namespace: &str,
        names: &[String],
        frozen: Option<bool>,
    ) -> Result<Pinned> {
        let groups = match names {
            [] => self.mounts_at(namespace)?.into_iter().map(|it| (it, Vec::new())).collect(),
            names => self.by_mount(names)?,
        };
        let mut locked = Vec::new();
        for (mount, names) in &groups {
            locked.extend(self.lockable(mount, names).await?);
        }
        let version = |(name, entry): &(String, Locked)| (name.clone(), entry.version.clone());
        let units = locked.iter().map(version).collect();
        let mut lock = read(here)?.unwrap_or_else(|| ProjectLock::new(place(here)));
        // Of what is locked as a whole, nothing else is left.
        if let ([], Some((mount, _))) = (names, groups.first())
            && !mount.namespace.is_empty()
        {
            lock.units.retain(|name, _| mount.namespace.strip(name).is_none_or(str::is_empty));
        }
        lock.units.extend(locked);
        lock.frozen = frozen.unwrap_or(lock.frozen);
        lock.write()?;
        Ok(Pinned { lock, units })
    }

    /// What `names` (relative to the mount; without names, everything in use) and all that
    /// they require would be locked to, by what follows `import`.
    async fn lockable(
        &self,
        mount: &Arc<Mount>,
        names: &[String],
    ) -> Result<Vec<(String, Locked)>> {
        mount.supply.may_move()?;
        let bound = mount.bind()?;
        let mut wanted: Vec<String> = names.to_vec();
        if let ([], Some(bound)) = (names, &bound) {
            let plain = bound.generation.active.keys().map(Key::unit);
            wanted.extend(plain.map(str::to_owned));
        }
        let mut locked: Vec<(String, Locked)> = Vec::new();
        let mut at = 0;
        while let Some(name) = wanted.get(at).cloned() {
            at += 1;
            let full = mount.namespace.join(&name);
            if locked.iter().any(|(known, _)| *known == full) {
                continue;
            }
            if mount.supply.is_rest(&name) {
                continue;
            }
            let (record, manifest) = self.in_use(mount, &name).await?;
            // What is pinned is the wheel, of whatever parts it was published.
            let record = mount.supply.whole_record(&name)?.unwrap_or(record);
            let serial = mount.supply.document(&manifest).ok().and_then(|it| it.serial);
            locked.push((full, Locked::of(&record, serial)));
            wanted.extend(record.requires.iter().map(ToString::to_string));
        }
        Ok(locked)
    }

    /// The record of the active version with all its variants, else of the newest one.
    async fn in_use(&self, mount: &Arc<Mount>, name: &str) -> Result<(Record, Digest)> {
        if let Some(bound) = mount.bind()?
            && let Some((_, active)) = self.active_entry(mount, &bound, name)
            && let Ok(Some(record)) =
                self.record_of(mount, &active.manifest, name, Some(&active.version))
        {
            return Ok((record, active.manifest));
        }
        let unit = self.unit(mount, name).await?;
        match mount.record(&unit.manifest, unit.name.as_str())? {
            Answer::Record(record) => Ok(((*record).clone(), unit.manifest)),
            _ => Err(self.not_in_manifest(mount, &unit.manifest, name)),
        }
    }
}
