//! What a name stands for, in whatever version: the unit, and the members to fetch for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::events::Progress;
use crate::fetch::has_login;
use crate::mount::{Mount, versions_of};
use crate::name::{Key, SafeUrl, UnitName};
use crate::session::{Located, Lookup, Session};
use crate::store::Reuse;
use crate::unit::Unit;
use crate::uses::activate::Member;

/// Where programs list files, below the prefix of an environment.
const SETTINGS: [&str; 2] = ["etc/", "share/jupyter/"];

/// Wheels up to this size are brought for such files, in bytes.
const SMALL: u64 = 256 << 10;

impl Session {
    /// The unit called `name`, or the one that holds the module `name`.
    pub async fn unit(&self, mount: &Arc<Mount>, name: &str) -> Result<Arc<Unit>> {
        let mut looked = self.lookup_in(mount, name)?;
        if let Lookup::Ask { silence, .. } = looked {
            looked = self.ask(mount, name, silence).await?;
        }
        if let Lookup::Located(Located { unit, .. }) = looked {
            return Ok(unit);
        }
        if let Some(unit) = self.unit_without_module(mount, name).await? {
            return Ok(unit);
        }
        let manifest = self.known_manifest(mount).await?;
        Err(self.not_in_manifest(mount, &manifest, name))
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
            let mut members = self.closure(&unit).await?;
            self.add_rests(mount, &mut members)?;
            return Ok(members);
        };
        let manifest = self.known_manifest(mount).await?;
        let record = self.record_or_newer(mount, name, mount.known()).await?;
        let active = self.unit(mount, name).await?;
        if active.version.as_str() == version {
            return self.closure(&active).await;
        }
        let chosen = record.in_version(version).ok_or_else(|| {
            let (full, have) = (mount.namespace.join(name), versions_of(&record));
            Error::new(Kind::Requirement, format!("{full} has no version {version}"))
                .name(full)
                .expected(version)
                .got(have.as_str())
                .hint(format!("choose one of {have}"))
        })?;
        let key = Key::pinned(name, &chosen.version);
        let (unit, record) = self.unit_of(mount, name, key, manifest, chosen).await?;
        let mut members = vec![Member { unit: Arc::new(unit), record: Arc::new(record), manifest }];
        self.add_required(mount, &mut members).await?;
        Ok(members)
    }

    /// Brings the small wheels of a lock that put files where programs look for settings before
    /// they import anything, as those of Jupyter do. What fails comes when it is imported.
    pub async fn bring_settings(&self, mount: &Arc<Mount>) -> Result<()> {
        let Some(view) = mount.supply.view().cloned() else { return Ok(()) };
        let owned = view.resolved.owners.paths.iter();
        let listed =
            owned.filter(|(path, _)| SETTINGS.iter().any(|it| path.as_str().starts_with(it)));
        let names: BTreeSet<_> = listed.map(|(_, name)| name).collect();
        let small = |name: &&_| view.resolved.units.get(*name).is_some_and(|it| it.size <= SMALL);
        let mut members = Vec::new();
        for name in names.into_iter().filter(small) {
            members.extend(self.member_in_view(mount, &view, name)?);
        }
        members.retain(|member| self.is_allowed_unasked(member));
        let _kept = self.keep().await?;
        let progress = Progress::new("settings", self.engine.events.clone());
        // Their trees are enough: what is active is what was imported.
        self.materialize(&members, &progress, Reuse::WhatIsHere).await.map(drop)
    }

    /// The units of a lock whose servers this user has a login for: others cannot fetch them.
    pub async fn behind_logins(&self, mount: &Mount) -> Vec<UnitName> {
        let Some(view) = mount.supply.view() else { return Vec::new() };
        let (places, netrc) = (&self.engine.places, self.engine.settings.netrc.as_deref());
        let mut asked: BTreeMap<String, bool> = BTreeMap::new();
        let mut names = Vec::new();
        for (name, distribution) in &view.resolved.units {
            let Ok(url) = SafeUrl::new(distribution.url.as_str()) else { continue };
            let origin = url.real().origin().ascii_serialization();
            let known = match asked.get(&origin) {
                Some(known) => *known,
                None => has_login(places, netrc, &url).await,
            };
            asked.insert(origin, known);
            if known {
                names.push(name.clone());
            }
        }
        names
    }

    /// What `names` of a mount need, each perhaps in a version of its own: `heavy==1.1.0`.
    pub async fn all_wanted(&self, mount: &Arc<Mount>, names: &[String]) -> Result<Vec<Member>> {
        let mut members: Vec<Member> = Vec::new();
        for name in names {
            let held = name.split_once("==");
            let (plain, version) = held.map_or((name.as_str(), None), |(it, at)| (it, Some(at)));
            members.extend(self.wanted(mount, plain, version).await?);
        }
        let mut seen = BTreeSet::new();
        members.retain(|member| seen.insert(member.unit.key.clone()));
        Ok(members)
    }
}
