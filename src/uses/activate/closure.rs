//! A unit and all that it requires, from one manifest.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Member, is_active};
use crate::error::{Error, Kind, Result};
use crate::manifest::Record;
use crate::mount::Mount;
use crate::name::{Digest, UnitName};
use crate::session::{Doubt, Session};
use crate::supply::Answer;
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
                let answer = mount.record(&member.manifest, required.as_str())?;
                let record = match answer {
                    Answer::Record(record) => record,
                    Answer::NotHere => {
                        let manifest = Some(member.manifest);
                        return Err(self.unreadable(mount, manifest, required.as_str()));
                    }
                    Answer::Absent => {
                        return Err(Error::new(
                            Kind::Manifest,
                            format!(
                                "{} requires {required}, which is not in its manifest",
                                member.unit.full_name
                            ),
                        )
                        .name(member.unit.full_name.clone())
                        .hint("ask the author to publish again"));
                    }
                };
                let unit = self.unit_of(mount, required.as_str(), member.manifest, &record).await?;
                let record = self.select(&unit.full_name, required.as_str(), &record).await?;
                let (record, manifest) = (Arc::new(record), member.manifest);
                members.push(Member { unit, record, manifest });
            }
        }
        Ok(())
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
        Err(Error::new(
            Kind::Fetch,
            format!(
                "version {} of {} is not in the cache and no longer published",
                unit.version, unit.full_name
            ),
        )
        .name(unit.full_name.clone())
        .hint(format!("run `magic-module upgrade {}`", unit.full_name)))
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
        let answer = mount.supply.record(manifest, unit);
        let Ok(Answer::Record(whole)) = answer else { return None };
        let tags = self.python.known_tags();
        let selections = whole.with_older().flat_map(|record| {
            let own = std::iter::once(record.select(tags).0);
            // Another interpreter's variant, which shares this cache.
            let others = record
                .variants
                .iter()
                .map(|variant| record.select(std::slice::from_ref(&variant.tag)).0);
            own.chain(others)
        });
        selections.into_iter().find(|record| record.tree_digest() == *tree)
    }
}
