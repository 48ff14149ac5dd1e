//! A unit by its name, in whatever version: found, fetched, made active.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::events::Progress;
use crate::mount::Mount;
use crate::name::{Key, UnitName};
use crate::session::{Located, Lookup, Session};
use crate::store::Reuse;
use crate::unit::Unit;
use crate::uses::activate::Member;

impl Session {
    /// The unit called `name`, or the one that holds the module `name`.
    pub async fn unit(&self, mount: &Arc<Mount>, name: &str) -> Result<Arc<Unit>> {
        let mut looked = self.lookup_in(mount, name)?;
        if let Lookup::Ask { silence, .. } = looked {
            looked = self.ask(mount, name, silence).await?;
        }
        match looked {
            Lookup::Located(Located { unit, .. }) => Ok(unit),
            _ => {
                if let Some(unit) = self.unit_without_module(mount, name).await? {
                    return Ok(unit);
                }
                let manifest = self.known_manifest(mount).await?;
                Err(self.not_in_manifest(mount, &manifest, name))
            }
        }
    }

    /// The members that `name`, perhaps in another version than the active one, needs.
    pub async fn wanted(
        &self,
        mount: &Arc<Mount>,
        name: &str,
        version: Option<&str>,
    ) -> Result<Vec<Member>> {
        let Some(version) = version else {
            let unit = self.unit(mount, name).await?;
            return self.closure(&unit).await;
        };
        let manifest = self.known_manifest(mount).await?;
        let record = self.record_or_refresh(mount, name).await?;
        let active = self.unit(mount, name).await?;
        if active.version.as_str() == version {
            return self.closure(&active).await;
        }
        let chosen = if record.version.as_str() == version {
            Some((*record).clone())
        } else {
            record.versions.get(version).map(|older| (**older).clone())
        };
        let chosen = chosen.ok_or_else(|| {
            let have: Vec<&str> =
                record.newest_first().into_iter().map(|version| version.as_str()).collect();
            Error::new(
                Kind::Requirement,
                format!("{} has no version {version}", mount.namespace.join(name)),
            )
            .name(mount.namespace.join(name))
            .expected(version)
            .got(have.join(", "))
            .hint(format!("choose one of {}", have.join(", ")))
        })?;
        let selected = self.select(&mount.namespace.join(name), name, &chosen).await?;
        let mut key = Key::pinned(name, &chosen.version);
        if !chosen.variants.is_empty() {
            key = self.tagged(&key);
        }
        let parsed = UnitName::new(name).map_err(|error| {
            Error::new(Kind::UnitNotFound, "no such unit").name(name).caused_by(&error)
        })?;
        let unit = Unit::of_record(mount, &parsed, key, manifest, &selected);
        let mut members =
            vec![Member { unit: Arc::new(unit), record: Arc::new(selected), manifest }];
        self.add_required(mount, &mut members).await?;
        Ok(members)
    }

    /// What `names` of a mount need, each perhaps in a version of its own: `heavy==1.1.0`.
    pub async fn all_wanted(&self, mount: &Arc<Mount>, names: &[String]) -> Result<Vec<Member>> {
        let mut members: Vec<Member> = Vec::new();
        for name in names {
            members.extend(match name.split_once("==") {
                Some((plain, version)) => self.wanted(mount, plain, Some(version)).await?,
                None => self.wanted(mount, name, None).await?,
            });
        }
        let mut seen = BTreeSet::new();
        members.retain(|member| seen.insert(member.unit.key.clone()));
        Ok(members)
    }

    /// Fetches `members` and makes them active.
    pub async fn fetch(&self, mount: &Arc<Mount>, members: &[Member], label: &str) -> Result<u64> {
        let _kept = self.keep().await?;
        let progress = Progress::new(label, self.engine.events.clone());
        let moved = self.materialize(members, &progress, Reuse::WhatIsHere).await?;
        match self.activate(mount, members) {
            // A cache that cannot be written serves what it has.
            Err(error) if error.kind() == Kind::Store && moved.bytes == 0 => Ok(0),
            Err(error) => Err(error),
            Ok(()) => Ok(moved.bytes),
        }
    }
}
