//! A unit and all that it requires, from one manifest.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Member, is_active};
use crate::error::{Kind, Result};
use crate::manifest::Record;
use crate::mount::Mount;
use crate::name::{Digest, UnitName};
use crate::session::{Doubt, Session};
use crate::supply::{Answer, View};
use crate::unit::Unit;

impl Session {
    /// The unit and everything that it requires, as its manifest has them. A unit that is
    /// active already comes alone: it is only healed.
    pub async fn closure(&self, unit: &Arc<Unit>) -> Result<Vec<Member>> {
        let mount = unit.mount()?;
        let mut members = vec![self.record_for(&mount, unit).await?];
        if mount.bind()?.is_some_and(|bound| is_active(&bound.generation, unit)) {
            return Ok(members);
        }
        self.add_required(&mount, &mut members).await?;
        Ok(members)
    }

    /// Adds what `members` require, from their own manifest.
    pub async fn add_required(&self, mount: &Arc<Mount>, members: &mut Vec<Member>) -> Result<()> {
        let mut seen: BTreeSet<UnitName> =
            members.iter().map(|member| member.unit.name.clone()).collect();
        let mut at = 0;
        while let Some(member) = members.get(at).cloned() {
            at += 1;
            for required in &member.record.requires {
                if !seen.insert(required.clone()) {
                    continue;
                }
                mount.supply.fetch_parts(&member.manifest, required.as_str()).await?;
                let name = required.as_str();
                members.push(match mount.record(&member.manifest, name)? {
                    Answer::Record(record) => {
                        self.member_of(mount, name, member.manifest, &record).await?
                    }
                    Answer::NotHere => {
                        return Err(self.unreadable(mount, Some(member.manifest), name));
                    }
                    Answer::Absent => {
                        let who = &member.unit.full_name;
                        let why = format!("{who} requires {name}, which is not in its manifest");
                        let error = member.unit.error(Kind::Manifest, why);
                        return Err(error.hint("ask the author to publish again"));
                    }
                });
            }
        }
        Ok(())
    }

    /// Adds units whose libraries those of `members` need, with what they require. False: all are
    /// among them.
    pub async fn add_needed(
        &self,
        mount: &Arc<Mount>,
        members: &mut Vec<Member>,
        missing: Vec<UnitName>,
    ) -> Result<bool> {
        let before = members.len();
        for name in missing {
            let Some(view) = mount.supply.view() else { break };
            if members.iter().all(|member| member.unit.name != name) {
                let unit = self.unit_in_view(mount, view, &name)?;
                members.push(self.record_for(mount, &unit).await?);
            }
        }
        if members.len() > before {
            self.add_required(mount, members).await?;
        }
        Ok(members.len() > before)
    }

    /// What a record makes usable that stands in `manifest`.
    pub(crate) async fn member_of(
        &self,
        mount: &Arc<Mount>,
        name: &str,
        manifest: Digest,
        record: &Record,
    ) -> Result<Member> {
        let key = mount.key_of(name);
        let (unit, record) = self.unit_of(mount, name, key, manifest, record).await?;
        Ok(Member { unit: self.units.add(unit), record: Arc::new(record), manifest })
    }

    /// The record of a unit, from the newest manifest if that still has the same tree, else from
    /// the one that it came from.
    async fn record_for(&self, mount: &Arc<Mount>, unit: &Arc<Unit>) -> Result<Member> {
        let known = mount.known();
        let found = |manifest| self.member_of_tree(mount, &manifest, unit);
        if let Some(member) = known.manifest.and_then(found).or_else(|| found(unit.manifest)) {
            return Ok(member);
        }
        self.newer(mount, Doubt::Unknown, known).await?;
        if let Some(newest) = mount.known().manifest {
            mount.supply.fetch_parts(&newest, unit.name.as_str()).await?;
            if let Some(member) = found(newest) {
                return Ok(member);
            }
        }
        let (version, full) = (&unit.version, &unit.full_name);
        let why =
            format!("version {version} of {full} is not in the cache and no longer published");
        Err(unit.error(Kind::Fetch, why).hint(format!("run `magic-module upgrade {full}`")))
    }

    /// A unit of a view, to be fetched; `None`: no record describes its tree any more.
    pub fn member_in_view(
        &self,
        mount: &Arc<Mount>,
        view: &Arc<View>,
        name: &UnitName,
    ) -> Result<Option<Member>> {
        let unit = self.unit_in_view(mount, view, name)?;
        Ok(self.member_of_tree(mount, &unit.manifest, &unit))
    }

    pub(crate) fn member_of_tree(
        &self,
        mount: &Mount,
        manifest: &Digest,
        unit: &Arc<Unit>,
    ) -> Option<Member> {
        let record = self.record_of_tree(mount, manifest, unit.name.as_str(), &unit.digest)?;
        Some(Member { unit: unit.clone(), record: Arc::new(record), manifest: *manifest })
    }

    /// The record in `manifest`, in whatever version and variant, that describes a tree.
    pub fn record_of_tree(
        &self,
        mount: &Mount,
        manifest: &Digest,
        unit: &str,
        tree: &Digest,
    ) -> Option<Record> {
        let Ok(Answer::Record(whole)) = mount.supply.record(manifest, unit) else { return None };
        let tags = self.python.known_tags();
        let selections = whole.with_older().flat_map(|record| {
            let own = std::iter::once(record.select(tags).0);
            // Another interpreter's variant, which shares this cache.
            let tags = record.variants.iter().map(|variant| std::slice::from_ref(&variant.tag));
            own.chain(tags.map(|tag| record.select(tag).0))
        });
        selections.into_iter().find(|record| record.tree_digest() == *tree)
    }
}
