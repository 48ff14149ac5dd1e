//! What there is: every unit of a mount, or one of them, without downloading it.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::fetch::Freshness;
use crate::manifest::{Body, Record};
use crate::mount::{Known, Mount};
use crate::name::{Digest, Key};
use crate::resolved::Distribution;
use crate::session::reason_of;
use crate::session::{Doubt, Session};
use crate::store::tree::Tree;
use crate::supply::Answer;

/// What is known of a unit without downloading it.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// As it follows `import`; of a distribution of a lock its own.
    pub name: String,
    /// It follows `import`.
    pub is_module: bool,
    /// The one that would be imported.
    pub version: String,
    /// Every version that can be pinned, the newest first.
    pub versions: Vec<String>,
    /// One line by its author.
    pub summary: Option<String>,
    /// Bytes of its files, lazy ones not counted; of a distribution of a lock those of its wheel.
    pub size: u64,
    /// It needs no download.
    pub cached: bool,
    /// Its mount comes before what is installed, which hides no unit of it.
    pub first: bool,
    /// Why its author took this version back.
    pub yanked: Option<String>,
}

impl Session {
    /// All units of a mount, by name. Asks for the manifest if none is known.
    pub async fn available(&self, mount: &Arc<Mount>) -> Result<Vec<Description>> {
        let manifest = self.listed_manifest(mount).await?;
        // Where there is a view, what it was made from says enough: no wheel is looked into.
        if let Some(view) = mount.supply.view() {
            let units = view.resolved.wheels();
            return Ok(units.map(|(_, it)| self.describe_distribution(mount, it, None)).collect());
        }
        let modules = mount.supply.all_records(&manifest).await?;
        let units = modules.0.iter();
        Ok(units.map(|(name, record)| self.describe(mount, name.as_str(), record)).collect())
    }

    /// All units of the mounts of a namespace. Of two with the same name the first one counts.
    pub async fn available_at(&self, namespace: &str) -> Result<Vec<Description>> {
        let mut all = Vec::new();
        let mut seen = BTreeSet::new();
        for mount in self.mounts_at(namespace)? {
            let units = self.available(&mount).await?.into_iter();
            all.extend(units.filter(|unit| seen.insert(unit.name.clone())));
        }
        Ok(all)
    }

    /// One unit of a mount, by its name there. Asks for the manifest if none is known.
    pub async fn info(&self, mount: &Arc<Mount>, name: &str) -> Result<Description> {
        let known = mount.known();
        self.listed_manifest(mount).await?;
        if let Some(view) = mount.supply.view() {
            let unit = self.unit(mount, name).await?;
            if let Some(it) = view.resolved.units.get(&unit.name) {
                let summary = mount.supply.summary(&unit.name);
                return Ok(self.describe_distribution(mount, it, summary));
            }
        }
        let record = self.record_or_newer(mount, name, known).await?;
        Ok(self.describe(mount, name, &record))
    }

    /// The manifest that people are shown: if something in it was refused, it is asked whether
    /// that was mended.
    async fn listed_manifest(&self, mount: &Arc<Mount>) -> Result<Digest> {
        let known = mount.known();
        let manifest = self.known_manifest(mount).await?;
        if mount.known().answers != known.answers || !mount.supply.is_refused() {
            return Ok(manifest);
        }
        self.newer(mount, Doubt::Refused, known).await?;
        self.known_manifest(mount).await
    }

    /// The names of the units that are known without asking: of a large catalogue, those that
    /// are here.
    pub fn known_names(&self, mount: &Mount) -> Vec<String> {
        let Some(bound) = mount.bound() else { return Vec::new() };
        let document = bound.manifest.and_then(|it| mount.supply.document(&it).ok());
        let names: BTreeSet<String> = match document.as_deref().map(|document| &document.body) {
            Some(Body::Modules(modules)) => modules.0.keys().map(ToString::to_string).collect(),
            _ => bound.generation.active.keys().map(|key| key.unit().to_owned()).collect(),
        };
        names.into_iter().collect()
    }

    /// Asks for the manifest, whatever is known, and counts its units.
    pub async fn available_now(&self, mount: &Arc<Mount>) -> Result<u64> {
        mount.refresh(Freshness::AsCached).await?;
        let manifest = self.known_manifest(mount).await?;
        let document = mount.supply.document(&manifest)?;
        Ok(match &document.body {
            Body::Modules(modules) => modules.0.len() as u64,
            Body::Catalogue(catalogue) => catalogue.units,
        })
    }

    /// `(name, folder)` of every `.dist-info` in a tree that this process uses.
    pub fn distributions(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for mount in self.mounts() {
            // Those of a lock stand in its view, for whoever looks there.
            if mount.supply.view().is_some() {
                continue;
            }
            let Some(bound) = mount.bound() else { continue };
            let names: BTreeSet<&str> = bound.generation.active.keys().map(Key::unit).collect();
            let in_use =
                names.into_iter().filter_map(|name| self.active_entry(&mount, &bound, name));
            for (_, active) in in_use {
                let Ok(Some(tree)) = Tree::open(&self.engine.store, &active.tree) else { continue };
                for file in &tree.files {
                    let Some(folder) = file.path.as_str().strip_suffix(".dist-info/METADATA")
                    else {
                        continue;
                    };
                    let name = folder.split('-').next().unwrap_or(folder).to_owned();
                    let place = tree.folder.join(file.path.parent());
                    found.push((name, place.to_string_lossy().into_owned()));
                }
            }
        }
        found
    }

    pub(crate) async fn known_manifest(&self, mount: &Arc<Mount>) -> Result<Digest> {
        let known = |mount: &Mount| -> Result<Option<Digest>> {
            let manifest = mount.bind()?.and_then(|bound| bound.manifest);
            Ok(manifest.filter(|digest| mount.supply.document(digest).is_ok()))
        };
        if let Some(manifest) = known(mount)? {
            return Ok(manifest);
        }
        mount.refresh_unknown().await?;
        known(mount)?.ok_or_else(|| {
            let what = format!("no manifest is known for {}", mount.namespace.described());
            Error::new(Kind::Manifest, what)
        })
    }

    pub(crate) async fn record_or_newer(
        &self,
        mount: &Arc<Mount>,
        name: &str,
        known: Known,
    ) -> Result<Arc<Record>> {
        self.or_newer(mount, known, || async {
            let mut found = self.known_record(mount, name).await?;
            if found.is_none()
                && mount.supply.may_ask_for(name)
                && self.newer(mount, Doubt::Absent, mount.known()).await?
            {
                found = self.known_record(mount, name).await?;
            }
            let Some(record) = found else {
                let manifest = self.known_manifest(mount).await?;
                return Err(self.not_in_manifest(mount, &manifest, name));
            };
            Ok(record)
        })
        .await
    }

    async fn known_record(&self, mount: &Arc<Mount>, name: &str) -> Result<Option<Arc<Record>>> {
        let manifest = self.known_manifest(mount).await?;
        mount.supply.fetch_parts(&manifest, name).await?;
        Ok(match mount.record(&manifest, name)? {
            Answer::Record(record) => Some(record),
            Answer::Absent | Answer::NotHere => None,
        })
    }

    fn describe(&self, mount: &Arc<Mount>, name: &str, record: &Record) -> Description {
        let active = mount.bound().and_then(|bound| {
            self.active_entry(mount, &bound, name).map(|(_, active)| active.clone())
        });
        let versions = record.newest_first().into_iter().map(ToString::to_string).collect();
        let cached = active.as_ref().is_some_and(|active| {
            matches!(Tree::open(&self.engine.store, &active.tree), Ok(Some(_)))
        });
        let version = active.filter(|_| cached).map_or(record.version.clone(), |it| it.version);
        let published = record.with_older().find(|it| it.version == version);
        Description {
            name: mount.namespace.join(name),
            is_module: true,
            yanked: published.and_then(|it| reason_of(it, mount.supply.yanked(name, &version))),
            version: version.to_string(),
            versions,
            summary: record.summary.clone(),
            size: record.select(self.python.known_tags()).0.size(),
            cached,
            first: mount.comes_first(),
        }
    }

    fn describe_distribution(
        &self,
        mount: &Mount,
        it: &Distribution,
        summary: Option<String>,
    ) -> Description {
        Description {
            name: it.name.clone(),
            is_module: false,
            version: it.version.to_string(),
            versions: vec![it.version.to_string()],
            summary,
            size: it.size,
            cached: self.is_cached(it),
            first: mount.comes_first(),
            yanked: None,
        }
    }

    /// True if a distribution needs no download.
    pub(crate) fn is_cached(&self, it: &Distribution) -> bool {
        let store = &self.engine.store;
        matches!(Tree::open(store, &it.tree), Ok(Some(_)))
            || (!store.behind().is_empty() && store.lists_tree(&it.tree))
    }
}
