//! A lock that a manifest has: what it means here was found out when it was published.
//!
//! ```text
//! manifest ─ a document fits ─────▶ Resolved, what is in the wheels ─▶ document, view
//!          └ none does ─ the lock, what is known of its wheels ─▶ choose, as of any lock
//! ```
//!
//! Whoever signed the manifest vouches for what a document says, as for the records of units. The
//! wheels are copies beside the manifest, named by their sha256, which the lock has, too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::choose::Chosen;
use super::compile::beside;
use super::index::Entry;
use super::{Compiled, LockSupply, Source};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::events::Progress;
use crate::fetch::Artifact;
use crate::manifest::{Facts, Part, PublishedDocument, PublishedLock};
use crate::name::{Digest, Namespace, SafeUrl, UnitName, UrlText};
use crate::resolved::Resolved;
use crate::store::{Reuse, Store, wheels};
use crate::supply::Supply;
use crate::supply::manifest::{self, ManifestSupply};
use crate::unpack::unframed;
use crate::wheel::Contents;

/// The format of a document.
const FORMAT: u32 = 1;

/// The largest document once it is unpacked, in bytes.
const LIMIT: u64 = 256 << 20;

/// A manifest that has a lock, and who mounts it.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// As the caller of `mount()` said it.
    pub source: manifest::Source,
    /// The manifest that is in use.
    pub manifest: Digest,
    /// What that has.
    pub published: PublishedLock,
    /// For whom.
    pub facts: Facts,
    /// Wheels that were published in parts are fetched whole.
    pub whole: bool,
}

impl Site {
    /// What was published for interpreters like this one. `None`: nothing was.
    fn document(&self) -> Option<&PublishedDocument> {
        self.published.documents.iter().find(|it| it.fits(&self.facts))
    }

    /// The document with wheels in parts, where there is one and it may be used.
    pub(super) fn packed(&self) -> Option<&Part> {
        self.document()?.packed.as_ref().filter(|_| !self.whole)
    }
}

/// A site that is open.
pub(super) struct Opened {
    pub site: Site,
    pub supply: ManifestSupply,
}

/// What a lock means for one kind of interpreter, and what is in its wheels.
#[derive(Debug)]
pub struct Document {
    /// URLs of wheels are relative to the manifest.
    pub resolved: Resolved,
    /// Of every wheel.
    pub contents: Vec<Contents>,
}

#[derive(Serialize)]
struct Written<'a> {
    magic_module_document: u32,
    resolved: &'a Resolved,
    wheels: Vec<Entry>,
}

#[derive(Deserialize)]
struct Read {
    magic_module_document: u32,
    resolved: Resolved,
    wheels: Vec<Box<RawValue>>,
}

impl Document {
    /// As it is published, before it is compressed: the same always gives the same bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut contents = self.contents.clone();
        contents.sort_by_key(|it| it.sha256);
        let written = Written {
            magic_module_document: FORMAT,
            resolved: &self.resolved,
            wheels: contents.into_iter().map(Entry::from).collect(),
        };
        serde_json::to_vec(&written).map_err(|error| {
            Error::new(Kind::Manifest, "cannot write what a lock means").caused_by(&error)
        })
    }

    /// Reads the bytes that are published; `url` is named where they are wrong.
    pub fn parse(url: &str, bytes: &[u8]) -> Result<Self> {
        let wrong = |why: String| {
            Error::new(Kind::Manifest, format!("cannot read the document {url} of a lock: {why}"))
                .hint("ask its author to publish the lock again, with the newest magic_module")
        };
        let text = unframed(url, bytes, LIMIT)?;
        let read: Read = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if read.magic_module_document != FORMAT {
            let found = read.magic_module_document;
            return Err(wrong(format!("it has the format {found}, known is {FORMAT}"))
                .hint("upgrade magic_module (`pip install -U magic_module`)"));
        }
        let entry = |it: &RawValue| {
            let entry = serde_json::from_str::<Entry>(it.get());
            entry.map(Contents::from).map_err(|error| wrong(error.to_string()))
        };
        let contents = read.wheels.iter().map(|it| entry(it)).collect::<Result<_>>()?;
        Ok(Self { resolved: read.resolved, contents })
    }
}

impl Opened {
    /// What may be asked is what the manifest's mount allows.
    pub fn open(engine: &Arc<Engine>, site: &Site) -> Result<Self> {
        let supply = ManifestSupply::open(engine, &Namespace::default(), &site.source)?;
        Ok(Self { site: site.clone(), supply })
    }
}

impl LockSupply {
    /// Takes what was published for interpreters like this one. `None`: nothing was.
    pub(super) async fn adopt(&self, opened: &Opened) -> Result<Option<Compiled>> {
        let site = &opened.site;
        let Some(found) = site.document() else { return Ok(None) };
        let part = site.packed().unwrap_or(&found.part);
        let bytes = self.part(opened, part).await?;
        let (store, url) = (self.engine.store.clone(), part.url.to_string());
        let Document { mut resolved, contents } = beside(move || {
            let document = Document::parse(&url, &bytes)?;
            learn(&store, &document.contents)?;
            Ok(document)
        })
        .await?;
        let by_wheel: BTreeMap<Digest, Contents> =
            contents.into_iter().map(|it| (it.sha256, it)).collect();
        let mut all: BTreeMap<UnitName, Contents> = BTreeMap::new();
        for (unit, it) in &mut resolved.units {
            it.url = UrlText::new(opened.supply.resolve(&it.url)?.real().as_str());
            let contents = by_wheel.get(&it.sha256).cloned().ok_or_else(|| {
                let what = format!("the document {} of a lock lacks {}", part.url, it.name);
                Error::new(Kind::Manifest, what).hint("ask its author to publish the lock again")
            })?;
            all.insert(unit.clone(), contents);
        }
        self.keep(resolved, &all).map(Some)
    }

    /// The lock itself, and the wheels that lie beside it, for interpreters that nothing was
    /// published for.
    pub(super) async fn published(&self, opened: &Opened) -> Result<(Vec<u8>, BTreeSet<Digest>)> {
        let mut there = BTreeSet::new();
        for document in &opened.site.published.documents {
            let bytes = self.part(opened, &document.part).await?;
            let (store, url) = (self.engine.store.clone(), document.part.url.to_string());
            let learnt = move || {
                let contents = Document::parse(&url, &bytes)?.contents;
                learn(&store, &contents)?;
                Ok(contents.into_iter().map(|it| it.sha256).collect::<Vec<_>>())
            };
            there.extend(beside(learnt).await?);
        }
        Ok((self.part(opened, &opened.site.published.text).await?, there))
    }

    /// Every wheel that was chosen is taken from beside the manifest.
    pub(super) fn take_from_site(
        &self,
        opened: &Opened,
        there: &BTreeSet<Digest>,
        chosen: &mut Chosen,
    ) -> Result<()> {
        for package in &mut chosen.packages {
            let Some(sha256) = package.wheel.sha256.filter(|it| there.contains(it)) else {
                let lock = self.source.path.display();
                let what = format!(
                    "cannot use the lock {lock}: it was not published for this interpreter, and the \
                     wheel of {} that fits is not there",
                    package.name
                );
                let hint = "ask its author to run `magic-module publish --lock` with an interpreter like this one, too";
                return Err(Error::new(Kind::Requirement, what)
                    .name(package.name.as_str())
                    .got(opened.site.facts.interpreter.clone())
                    .hint(hint));
            };
            let url = opened.supply.resolve(&wheel_url(&sha256))?;
            package.wheel.url = UrlText::new(url.real().as_str());
        }
        Ok(())
    }

    /// What lies beside the manifest, from the store if it is there.
    async fn part(&self, opened: &Opened, part: &Part) -> Result<Vec<u8>> {
        let blobs = self.engine.store.blobs();
        if let Ok(bytes) = blobs.read_verified(&part.sha256, LIMIT) {
            return Ok(bytes);
        }
        blobs.remove(&part.sha256)?;
        let url = opened.supply.resolve(&part.url)?;
        let lock = self.source.path.display();
        self.may_fetch(&url, &|| format!("what the lock {lock} means is not in the cache"))?;
        self.engine.may_come_from(&url)?;
        let label = format!("the lock {lock}");
        let progress = Progress::new(label.clone(), self.engine.events.clone());
        let artifact = Artifact { label, url, size: part.size, sha256: part.sha256 };
        let fetcher = &self.engine.fetcher;
        fetcher.blobs(&[artifact], self.policy(), &progress, Reuse::WhatIsHere).await?;
        blobs.read_verified(&part.sha256, LIMIT)
    }
}

/// Where a wheel lies, relative to the manifest.
pub fn wheel_url(sha256: &Digest) -> UrlText {
    UrlText::new(format!("wheels/{sha256}.whl"))
}

/// What people call a lock that lies behind a manifest's URL.
pub fn called(url: &SafeUrl) -> PathBuf {
    url.to_string().into()
}

fn learn(store: &Store, contents: &[Contents]) -> Result<()> {
    store.create()?;
    contents.iter().try_for_each(|it| wheels::keep(store, it))
}

/// The lock of a site, as a source.
pub fn source_of(site: Site, like: Source) -> Result<Source> {
    let url = SafeUrl::new(site.source.url.as_str()).map_err(|error| {
        Error::new(Kind::Configuration, "the manifest URL is not a URL").caused_by(&error)
    })?;
    Ok(Source { path: called(&url), site: Some(site), ..like })
}
