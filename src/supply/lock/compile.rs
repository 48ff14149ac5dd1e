//! A lock becomes a document: once per lock, interpreter and platform.
//!
//! ```text
//! text ─ choose ─▶ wheels ─ inspect ─▶ contents ─ require ─▶ Resolved ─▶ document ─ blob
//!        helper             by range              helper          └─ furnish ─▶ view
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::choose::{Chooser, Chosen, Request, Required, Requirements};
use super::knots::knot_at;
use super::projects::{self, Found};
use super::records::record_of;
use super::{Compiled, LockSupply, Source, index};
use crate::distribution::Metadata;
use crate::error::{Error, Kind, Result};
use crate::furnish::{self, Home};
use crate::name::{Digest, DistributionName, UnitName};
use crate::pylock::Pylock;
use crate::resolved::{ByName, Distribution, FileEntry, Owners, Resolved, Start, knots};
use crate::store::Store;
use crate::store::view;
use crate::supply::View;
use crate::threads;
use crate::wheel::{Contents, Scheme, Wheel};

/// The largest document, in bytes: some hundred thousand wheels.
pub(super) const LIMIT: u64 = 64 << 20;

/// A manifest without units, so that whoever prunes the cache finds in it what it can read.
#[derive(Serialize)]
struct Document<'a> {
    manifest: u32,
    namespace: &'a str,
    modules: BTreeMap<String, ()>,
    resolved: &'a Resolved,
}

#[derive(Deserialize)]
struct Read {
    resolved: Resolved,
}

/// A document that was compiled before.
pub(super) fn read(store: &Store, digest: &Digest) -> Result<Resolved> {
    let bytes = store.blobs().read_verified(digest, LIMIT)?;
    let read: Read = serde_json::from_slice(&bytes).map_err(|error| {
        Error::new(Kind::Store, "cannot read the compiled lock").caused_by(&error)
    })?;
    Ok(read.resolved)
}

/// The files of all wheels, where an installer puts them.
type Placed = Vec<(UnitName, Vec<FileEntry>)>;

/// A wheel that was chosen, and what is in it.
pub(super) struct Inspected {
    pub(super) unit: UnitName,
    pub(super) wheel: Wheel,
    pub(super) contents: Contents,
    pub(super) metadata: Metadata,
}

impl LockSupply {
    pub(super) async fn compile(&self) -> Result<Compiled> {
        let lock = self.source.path.display();
        self.engine.store.may_write(|| format!("what {lock} has is not in the cache"))?;
        self.engine.store.create()?;
        let store = self.engine.store.clone();
        let _kept = beside(move || store.keep()).await?;
        let mut there = None;
        let mut text = self.text.clone();
        if let Some(opened) = &self.site {
            if let Some(compiled) = self.adopt(opened).await? {
                return Ok(compiled);
            }
            let (published, wheels) = self.published(opened).await?;
            (text, there) = (published, Some((opened, wheels)));
        }
        let (mut chooser, mut chosen, optional) = self.choose(text).await?;
        match &there {
            Some((opened, wheels)) => self.take_from_site(opened, wheels, &mut chosen)?,
            None => self.build(&mut chosen).await?,
        }
        let editable = chosen.editable.iter();
        let projects: Vec<Found> =
            editable.map(|it| projects::find(&self.source.path, it)).collect::<Result<_>>()?;
        let wheels: Vec<Wheel> = chosen.packages.iter().map(|it| it.wheel.clone()).collect();
        let (store, lock, wanted) =
            (self.engine.store.clone(), self.source.path.clone(), wheels.clone());
        beside(move || index::learn(&store, &lock, &wanted)).await?;
        let contents = self.contents(&wheels).await?;
        let inspected = chosen.packages.iter().zip(contents).map(|(package, contents)| {
            let metadata = metadata_of(&contents, &package.name)?;
            let unit = UnitName::of_distribution(&package.name).map_err(|why| {
                Error::new(Kind::Manifest, "the lock has a name that cannot be a distribution's")
                    .caused_by(&why)
            })?;
            Ok(Inspected { unit, wheel: package.wheel.clone(), contents, metadata })
        });
        let inspected = inspected.collect::<Result<Vec<_>>>()?;
        let asked: BTreeMap<UnitName, Requirements> = inspected
            .iter()
            .map(|it| {
                let lines = it.metadata.requirements.iter().map(|it| it.as_str().to_owned());
                let name = it.metadata.title.clone();
                (it.unit.clone(), Requirements { name, requires_dist: lines.collect() })
            })
            .collect();
        let required = beside(move || chooser.require(&asked)).await?;
        let (mut resolved, files) = resolve(&chosen, &inspected, &projects, required)?;
        resolved.start = self.start(&inspected, &files, &resolved.owners, &chosen.scheme).await?;
        let requires = resolved.units.iter().map(|(unit, it)| (unit, &it.requires)).collect();
        let added = &resolved.start.folders;
        resolved.optional = optional;
        resolved.knots = knots(&chosen.scheme, &files, &resolved.owners, added, &requires);
        let contents = inspected.into_iter().map(|it| (it.unit, it.contents));
        let contents: BTreeMap<UnitName, Contents> =
            contents.chain(projects.into_iter().map(|it| (it.unit, it.contents))).collect();
        self.keep(resolved, &contents)
    }

    async fn choose(&self, text: Vec<u8>) -> Result<(Chooser, Chosen, ByName)> {
        let source = self.source.clone();
        let launch = source.launch.clone().ok_or_else(|| {
            let what = "cannot choose the wheels of a lock: this program embeds Python, and no interpreter is known";
            Error::new(Kind::Configuration, what)
                .hint("mount the lock once in an interpreter of the same version, with the same cache directory")
        })?;
        beside(move || {
            // It imports what it needs while the lock is read.
            let mut chooser = Chooser::start(&launch)?;
            let lock = Pylock::parse(&source.path, &text)?;
            let optional = lock.optional(&source.path)?;
            let chosen = chooser.choose(&Request {
                lock: &lock,
                file: &source.path,
                extras: &source.extras,
                groups: &source.groups,
                unhashed: source.unhashed,
                build: source.build,
            })?;
            Ok((chooser, chosen, optional))
        })
        .await
    }

    /// Writes the view and the document, in this order: a document that is known has a view.
    pub(super) fn keep(
        &self,
        resolved: Resolved,
        contents: &BTreeMap<UnitName, Contents>,
    ) -> Result<Compiled> {
        let store = &self.engine.store;
        let Source { interpreter, version, package, .. } = self.source.clone();
        let home = Home {
            view: view::folder_of(store, &self.identity),
            interpreter,
            version,
            own_package: Some(package),
        };
        let state = self.folder.state()?;
        let mut plan = furnish::plan(&resolved, contents, &home, &BTreeMap::new())?;
        plan.tie(|path| knot_at(&state.knots, &resolved, path));
        self.learn_knots(&state, &resolved);
        let folder = view::build(store, &self.identity, &plan)?;
        let document =
            Document { manifest: 1, namespace: "", modules: BTreeMap::new(), resolved: &resolved };
        let bytes = serde_json::to_vec(&document).map_err(|error| {
            Error::new(Kind::Store, "cannot write the compiled lock").caused_by(&error)
        })?;
        let document = store.blobs().insert(&bytes)?;
        self.set_document(Some(document))?;
        // For people: the identity says neither.
        let lock = self.source.path.to_string_lossy();
        let space = self.engine.settings.space.as_ref().map(|space| &space.folder);
        let told = serde_json::json!({"namespace": "", "lock": lock, "space": space});
        let _ = self.folder.describe(&told);
        Ok(Compiled {
            document,
            view: Arc::new(View { folder, resolved, imports: self.imports.clone() }),
        })
    }
}

fn resolve(
    chosen: &Chosen,
    inspected: &[Inspected],
    projects: &[Found],
    mut required: Required,
) -> Result<(Resolved, Placed)> {
    let scheme = &chosen.scheme;
    let mut units = BTreeMap::new();
    let mut files = Vec::new();
    for Inspected { unit, wheel, contents, metadata } in inspected {
        let record = record_of(contents, scheme, &wheel.url, &metadata.version)?;
        files.push((unit.clone(), files_of(contents, scheme)?));
        let distribution = Distribution {
            name: metadata.title.clone(),
            version: metadata.version.clone(),
            url: wheel.url.clone(),
            size: contents.size,
            sha256: contents.sha256,
            tree: record.tree_digest(),
            requires: required.requires.remove(unit).unwrap_or_default(),
        };
        units.insert(unit.clone(), distribution);
    }
    let (editable, projects) = projects::listed(&chosen.editable, projects);
    let (owners, start, knots) = (Owners::of(scheme, &files), Start::default(), Vec::new());
    let scheme = scheme.clone();
    Ok((
        Resolved {
            scheme,
            units,
            owners,
            editable,
            projects,
            knots,
            optional: BTreeMap::new(),
            start,
            code: BTreeMap::new(),
            packs: BTreeMap::new(),
        },
        files,
    ))
}

fn files_of(contents: &Contents, scheme: &Scheme) -> Result<Vec<FileEntry>> {
    FileEntry::of(contents, scheme).map_err(|why| {
        let what = format!("the wheel of {} cannot be installed", contents.dist_info);
        Error::new(Kind::Integrity, what).caused_by(&why)
    })
}

/// What a wheel says of itself, which must be what the lock took it for.
fn metadata_of(contents: &Contents, name: &DistributionName) -> Result<Metadata> {
    let wrong = |why: String| {
        Error::new(Kind::Integrity, format!("the wheel of {name} {why}"))
            .hint("lock another version, or ask its author to build it again")
    };
    let text = contents.texts.get("METADATA").ok_or_else(|| wrong("has no METADATA".into()))?;
    let metadata =
        Metadata::parse_published(text).map_err(|why| wrong("is wrong".into()).caused_by(&why))?;
    if metadata.name == *name {
        return Ok(metadata);
    }
    Err(wrong(format!("says that it is {}", metadata.name)))
}

/// Waits for what a thread of its own does.
pub(super) async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let ended = || Error::new(Kind::Store, "compiling a lock ended unexpectedly");
    threads::beside(work).await.ok_or_else(ended)?
}
