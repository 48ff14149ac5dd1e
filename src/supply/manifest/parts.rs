//! What a verified manifest says of a unit: from the document, or from the parts of a catalogue.

use std::sync::Arc;

use super::ManifestSupply;
use super::asker::{Turn, turn};
use crate::error::{Error, Kind, Result};
use crate::fetch::{Document, Freshness};
use crate::manifest::{Body, Catalogue, Manifest, Modules, SIZE_LIMIT};
use crate::name::{Digest, UrlText};
use crate::store::Store;
use crate::supply::{Answer, Supply};

/// The largest part of a catalogue, in bytes.
const PART_LIMIT: u64 = 16 << 20;

impl ManifestSupply {
    /// A manifest that was verified before, from the store.
    pub(super) fn manifest(&self, digest: &Digest) -> Result<Arc<Manifest>> {
        if let Some(manifest) = self.manifests.lock().get(digest) {
            return Ok(manifest.clone());
        }
        let bytes = self.engine.store.blobs().read_verified(digest, SIZE_LIMIT)?;
        let manifest = Arc::new(Manifest::parse(&bytes)?);
        Ok(self.manifests.lock().entry(*digest).or_insert(manifest).clone())
    }

    /// What a verified manifest says of `unit`, without a request.
    pub(super) fn record(&self, manifest: &Digest, unit: &str) -> Result<Answer> {
        let document = self.manifest(manifest)?;
        let found = match &document.body {
            Body::Modules(modules) => modules.0.get(unit).cloned(),
            Body::Catalogue(catalogue) => {
                let slot = catalogue.slot(unit);
                let leaf = match leaf(&self.engine.store, catalogue, slot) {
                    Err(error) if matches!(error.kind(), Kind::Store | Kind::Integrity) => {
                        return Ok(Answer::NotHere);
                    }
                    read => read?,
                };
                let Some(bytes) = leaf else { return Ok(Answer::Absent) };
                catalogue.parse_leaf(&document.namespace, slot, &bytes)?.0.remove(unit)
            }
        };
        Ok(found.map_or(Answer::Absent, |record| Answer::Record(Arc::from(record))))
    }

    /// Why the parts of a catalogue that `unit` is in are not here.
    pub(super) fn read_parts(&self, manifest: &Digest, unit: &str) -> Result<()> {
        match &self.manifest(manifest)?.body {
            Body::Modules(_) => Ok(()),
            Body::Catalogue(catalogue) => {
                leaf(&self.engine.store, catalogue, catalogue.slot(unit)).map(|_| ())
            }
        }
    }

    /// Fetches the parts of a catalogue that `unit` is in.
    pub(super) async fn fetch_parts(&self, manifest: &Digest, unit: &str) -> Result<()> {
        let document = self.manifest(manifest)?;
        let Body::Catalogue(catalogue) = &document.body else { return Ok(()) };
        let slot = catalogue.slot(unit);
        let Some(table) = catalogue.tables[slot.0] else { return Ok(()) };
        let bytes = self.part(&catalogue.url_of(&table), &table).await?;
        if let Some(leaf) = catalogue.parse_table(&bytes)?[slot.1] {
            self.part(&catalogue.url_of(&leaf), &leaf).await?;
        }
        Ok(())
    }

    /// Every record of a manifest; of a catalogue, every part is fetched.
    pub(super) async fn all_records(&self, manifest: &Digest) -> Result<Modules> {
        let document = self.manifest(manifest)?;
        let catalogue = match &document.body {
            Body::Modules(modules) => return Ok(modules.clone()),
            Body::Catalogue(catalogue) => catalogue,
        };
        let mut all = Modules::default();
        for (at, table) in catalogue.tables.iter().enumerate() {
            let Some(table) = table else { continue };
            let bytes = self.part(&catalogue.url_of(table), table).await?;
            for (below, leaf) in catalogue.parse_table(&bytes)?.iter().enumerate() {
                let Some(leaf) = leaf else { continue };
                let bytes = self.part(&catalogue.url_of(leaf), leaf).await?;
                all.0.extend(catalogue.parse_leaf(&document.namespace, (at, below), &bytes)?.0);
            }
        }
        Ok(all)
    }

    async fn part(&self, url: &str, digest: &Digest) -> Result<Vec<u8>> {
        if let Ok(bytes) = self.engine.store.blobs().read_verified(digest, PART_LIMIT) {
            return Ok(bytes);
        }
        let what = || "a part of the catalogue is not in the cache".to_owned();
        self.policy().may_ask(&self.url, what)?;
        let url = self.resolve(&UrlText::new(url))?;
        let read = || Ok(self.engine.store.blobs().read_verified(digest, PART_LIMIT).ok());
        let lock = self.engine.store.locks().join(format!("{digest}.part"));
        let _lock = match turn(&lock, None, read).await? {
            Turn::Told(bytes) => return Ok(bytes),
            Turn::Ask(lock) => lock,
        };
        let (fetcher, freshness) = (&self.engine.fetcher, Freshness::AsCached);
        let document = fetcher.document(&url, PART_LIMIT, None, freshness, self.policy).await?;
        let Document::Body { bytes, .. } = document else { return Ok(Vec::new()) };
        let got = Digest::of(&bytes);
        if got != *digest {
            let why = format!("{url} is not the part that the manifest pins");
            return Err(Error::new(Kind::Integrity, why)
                .url(&url)
                .expected(digest.to_hex())
                .got(got.to_hex())
                .hint("ask the author to publish again"));
        }
        self.engine.store.blobs().insert(&bytes)?;
        Ok(bytes)
    }
}

/// A leaf that is in the store; `None` where the catalogue has none.
fn leaf(store: &Store, catalogue: &Catalogue, slot: (usize, usize)) -> Result<Option<Vec<u8>>> {
    let Some(table) = catalogue.tables[slot.0] else { return Ok(None) };
    let bytes = store.blobs().read_verified(&table, PART_LIMIT)?;
    let Some(leaf) = catalogue.parse_table(&bytes)?[slot.1] else { return Ok(None) };
    store.blobs().read_verified(&leaf, PART_LIMIT).map(Some)
}
