//! A mount: a namespace bound to where its units come from.
//!
//! ```text
//! URL ─ refresh ─▶ bytes ─ signature, serial, namespace ─▶ blob ─▶ state ─▶ records
//! ```
//!
//! Its identity is the digest of (namespace, manifest URL without credentials, sorted
//! public keys, space). Only the identity that verified a manifest uses it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use url::Url;

use crate::error::{Error, Kind, Result};
use crate::fetch::{Document, Fetcher, Transport};
use crate::manifest::{Body, Manifest, Modules, Record, SIZE_LIMIT};
use crate::name::{Digest, Namespace, UnitName, Version};
use crate::origin::{is_loopback, redact};
use crate::progress::{Event, Events, ForkLock};
use crate::settings::Settings;
use crate::sign::Keys;
use crate::store::Store;
use crate::store::generation::{Generation, MountFolder, State};
use crate::store::lock::Shared;
use crate::unit::Unit;

/// How far ahead of the clock a serial may be, in seconds.
const CLOCK_SKEW: u64 = 24 * 60 * 60;

/// How long the disk remembers that a name is not in a manifest, in seconds.
const ABSENT_FOR: u64 = 60 * 60;

/// At most this many absent names are remembered.
const ABSENT_NAMES: usize = 256;

/// The largest part of a catalogue and the largest signature, in bytes.
const PART_LIMIT: u64 = 16 << 20;
const SIGNATURE_LIMIT: u64 = 16 << 10;

/// What the caller of `mount()` said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MountRequest {
    pub namespace: Namespace,
    pub manifest_url: String,
    pub public_keys: Vec<String>,
    pub first: bool,
    pub pins: BTreeMap<UnitName, Version>,
    pub allow_http: bool,
}

pub struct Mount {
    pub request: MountRequest,
    pub namespace: Namespace,
    pub identity: Digest,
    pub folder: MountFolder,
    url: Url,
    transport: Transport,
    keys: Keys,
    bound: Mutex<Option<Arc<Bound>>>,
    manifests: Mutex<HashMap<Digest, Arc<Manifest>>>,
    units: Mutex<HashMap<(UnitName, Digest), Arc<Unit>>>,
    /// This process has asked whether there is a newer manifest.
    asked: AtomicBool,
    trusted: AtomicBool,
}

/// The generation that this process uses, and the lock that keeps it.
pub struct Bound {
    pub generation: Generation,
    /// The newest manifest that this process knows: names that are not active are looked up in it.
    pub manifest: Option<Digest>,
    pub lock: Option<Arc<Shared>>,
}

/// What a manifest says of a unit.
pub enum Answer {
    Record(Arc<Record>),
    Absent,
    /// A part of the catalogue has to be fetched first.
    NotHere,
}

/// What a request needs beside the mount.
#[derive(Clone)]
pub struct Context {
    pub store: Store,
    pub settings: Arc<Settings>,
    pub fetcher: Arc<Fetcher>,
    pub events: Arc<Events>,
}

impl Mount {
    pub fn new(store: &Store, request: MountRequest) -> Result<Arc<Self>> {
        let url = parse_url(&request.manifest_url)?;
        let transport = Transport { allow_http: request.allow_http };
        check_transport(&url, transport)?;
        let keys = Keys::parse(request.public_keys.iter().map(String::as_str))?;
        let identity = identity(&request.namespace, &url, &keys);
        Ok(Arc::new(Self {
            namespace: request.namespace.clone(),
            folder: MountFolder::new(store, &identity),
            request,
            identity,
            url,
            transport,
            keys,
            bound: Mutex::new(None),
            manifests: Mutex::new(HashMap::new()),
            units: Mutex::new(HashMap::new()),
            asked: AtomicBool::new(false),
            trusted: AtomicBool::new(false),
        }))
    }

    /// The manifest URL as it may be shown.
    pub fn shown_url(&self) -> String {
        redact(&self.url)
    }

    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Looks once per process at who owns the folders of the store, and who may write to
    /// them; nothing is read from folders that fail.
    pub fn trust(&self, store: &Store) -> Result<()> {
        if !self.trusted.load(Ordering::Relaxed) && store.check()? {
            for folder in [store.trees(), store.mounts(), self.folder.path.clone()] {
                store.check_folder(&folder)?;
            }
            self.trusted.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Binds at the first call. `None`: nothing of this mount is on disk.
    pub fn bound(&self) -> Option<Arc<Bound>> {
        if let Some(bound) = self.bound.lock().as_ref() {
            return Some(bound.clone());
        }
        let (generation, lock) = self.folder.bind().or_else(|| {
            // A manifest was verified, but nothing is active yet.
            let fresh = self.folder.fresh();
            fresh.manifest.is_some().then_some((fresh, None))
        })?;
        let manifest = self.folder.state().manifest.or(generation.manifest);
        let bound = Arc::new(Bound { generation, manifest, lock: lock.map(Arc::new) });
        Some(self.bound.lock().get_or_insert(bound).clone())
    }

    pub fn is_bound(&self) -> bool {
        self.bound.lock().is_some()
    }

    pub fn rebind(&self, bound: Bound) {
        *self.bound.lock() = Some(Arc::new(bound));
    }

    /// The one object of this process for a unit in one tree.
    pub fn intern(&self, unit: Unit) -> Arc<Unit> {
        let key = (unit.name.clone(), unit.digest);
        self.units.lock().entry(key).or_insert_with(|| Arc::new(unit)).clone()
    }

    pub fn interned(&self, name: &UnitName, tree: &Digest) -> Option<Arc<Unit>> {
        self.units.lock().get(&(name.clone(), *tree)).cloned()
    }

    pub fn unit_of_tree(&self, tree: &Digest) -> Option<Arc<Unit>> {
        self.units
            .lock()
            .iter()
            .find(|((_, digest), _)| digest == tree)
            .map(|(_, unit)| unit.clone())
    }

    /// Forgets what is known of a unit's tree on disk: it was dropped.
    pub fn forget(&self, name: &UnitName, tree: &Digest) {
        self.units.lock().remove(&(name.clone(), *tree));
    }

    /// A manifest that was verified before, from the store.
    pub fn manifest(&self, store: &Store, digest: &Digest) -> Result<Arc<Manifest>> {
        if let Some(manifest) = self.manifests.lock().get(digest) {
            return Ok(manifest.clone());
        }
        let bytes = store.blobs().read_verified(digest, SIZE_LIMIT)?;
        let manifest = Arc::new(Manifest::parse(&bytes)?);
        Ok(self.manifests.lock().entry(*digest).or_insert(manifest).clone())
    }

    /// What a verified manifest says of `unit`, without a request. Pins are applied.
    pub fn record(&self, store: &Store, manifest: &Digest, unit: &str) -> Result<Answer> {
        let document = self.manifest(store, manifest)?;
        let found = match &document.body {
            Body::Modules(modules) => modules.0.get(unit).cloned(),
            Body::Catalogue(catalogue) => {
                let slot = catalogue.slot(unit);
                let Some(table) = catalogue.tables[slot.0] else { return Ok(Answer::Absent) };
                let Ok(bytes) = store.blobs().read_verified(&table, PART_LIMIT) else {
                    return Ok(Answer::NotHere);
                };
                let Some(leaf) = catalogue.parse_table(&bytes)?[slot.1] else {
                    return Ok(Answer::Absent);
                };
                let Ok(bytes) = store.blobs().read_verified(&leaf, PART_LIMIT) else {
                    return Ok(Answer::NotHere);
                };
                catalogue.parse_leaf(&document.namespace, slot, &bytes)?.0.remove(unit)
            }
        };
        let Some(record) = found else { return Ok(Answer::Absent) };
        self.pinned(unit, record).map(|record| Answer::Record(Arc::new(record)))
    }

    fn pinned(&self, unit: &str, mut record: Record) -> Result<Record> {
        let Some(version) = self.request.pins.get(unit) else { return Ok(record) };
        if record.version == *version {
            return Ok(record);
        }
        record.versions.remove(version).ok_or_else(|| {
            let have: Vec<&str> = std::iter::once(record.version.as_str())
                .chain(record.versions.keys().map(Version::as_str))
                .collect();
            Error::new(
                Kind::Requirement,
                format!(
                    "{} is pinned to {version}, which the manifest does not have",
                    self.namespace.join(unit)
                ),
            )
            .name(self.namespace.join(unit))
            .expected(version.as_str())
            .got(have.join(", "))
            .hint(format!("pin one of {}", have.join(", ")))
        })
    }

    /// Fetches the parts of a catalogue that `unit` is in.
    pub async fn fetch_parts(
        &self,
        context: &Context,
        manifest: &Digest,
        unit: &str,
    ) -> Result<()> {
        let document = self.manifest(&context.store, manifest)?;
        let Body::Catalogue(catalogue) = &document.body else { return Ok(()) };
        let slot = catalogue.slot(unit);
        let Some(table) = catalogue.tables[slot.0] else { return Ok(()) };
        let bytes = self.part(context, &catalogue.url_of(&table), &table).await?;
        if let Some(leaf) = catalogue.parse_table(&bytes)?[slot.1] {
            self.part(context, &catalogue.url_of(&leaf), &leaf).await?;
        }
        Ok(())
    }

    /// Every record of a manifest; of a catalogue, every part is fetched.
    pub async fn all_records(&self, context: &Context, manifest: &Digest) -> Result<Modules> {
        let document = self.manifest(&context.store, manifest)?;
        let catalogue = match &document.body {
            Body::Modules(modules) => return Ok(modules.clone()),
            Body::Catalogue(catalogue) => catalogue,
        };
        let mut all = Modules::default();
        for (at, table) in catalogue.tables.iter().enumerate() {
            let Some(table) = table else { continue };
            let bytes = self.part(context, &catalogue.url_of(table), table).await?;
            for (below, leaf) in catalogue.parse_table(&bytes)?.iter().enumerate() {
                let Some(leaf) = leaf else { continue };
                let bytes = self.part(context, &catalogue.url_of(leaf), leaf).await?;
                all.0.extend(catalogue.parse_leaf(&document.namespace, (at, below), &bytes)?.0);
            }
        }
        Ok(all)
    }

    async fn part(&self, context: &Context, url: &str, digest: &Digest) -> Result<Vec<u8>> {
        if let Ok(bytes) = context.store.blobs().read_verified(digest, PART_LIMIT) {
            return Ok(bytes);
        }
        if context.settings.offline {
            return Err(self.offline("a part of the catalogue is not in the cache"));
        }
        let url = self.resolve(url)?;
        let document =
            context.fetcher.document(&url, PART_LIMIT, None, false, self.transport).await?;
        let Document::Body { bytes, .. } = document else { return Ok(Vec::new()) };
        let got = Digest::of(&bytes);
        if got != *digest {
            return Err(Error::new(
                Kind::Integrity,
                format!("{} is not the part that the manifest pins", redact(&url)),
            )
            .url(redact(&url))
            .expected(digest.to_hex())
            .got(got.to_hex())
            .hint("ask the author to publish again"));
        }
        context.store.blobs().insert(&bytes)?;
        Ok(bytes)
    }

    /// A URL of the manifest, relative to the URL that was given.
    pub fn resolve(&self, url: &str) -> Result<Url> {
        let refuse = |why: &str| {
            Error::new(Kind::Policy, format!("the manifest names {url:?}, {why}"))
                .url(self.shown_url())
                .hint("ask the author to publish it beside the manifest or over https")
        };
        let absolute =
            self.url.join(url).map_err(|error| refuse("which is no URL").caused_by(&error))?;
        match absolute.scheme() {
            "https" => Ok(absolute),
            "http" if self.url.scheme() == "http" => {
                check_transport(&absolute, self.transport).map(|()| absolute)
            }
            "file" if self.url.scheme() == "file" => {
                let folder = self
                    .url
                    .join(".")
                    .map_err(|error| refuse("which is no URL").caused_by(&error))?;
                if absolute.path().starts_with(folder.path())
                    && absolute.host_str() == self.url.host_str()
                {
                    Ok(absolute)
                } else {
                    Err(refuse("which is not below its own folder"))
                }
            }
            _ => Err(refuse("whose scheme it may not use")),
        }
    }

    pub fn offline(&self, what: &str) -> Error {
        Error::new(
            Kind::Offline,
            format!("{what}, and MAGIC_MODULE_OFFLINE forbids to ask {}", self.shown_url()),
        )
        .url(self.shown_url())
        .hint("unset MAGIC_MODULE_OFFLINE once, or run `magic-module fetch` while online")
    }

    /// Asks for a newer manifest. True if there is one. Nothing that is active changes.
    pub async fn refresh(&self, context: &Context, no_cache: bool) -> Result<bool> {
        if context.settings.offline {
            let what = format!("the manifest of {} is not in the cache", self.describe());
            return Err(self.offline(&what));
        }
        context.store.create()?;
        self.folder.create()?;
        self.asked.store(true, Ordering::Relaxed);
        let state = self.folder.state();
        let known = state.manifest.filter(|digest| self.manifest(&context.store, digest).is_ok());
        let validator = state.validator.clone().filter(|_| known.is_some());
        let document = self.download(context, validator.as_ref(), no_cache).await?;
        let (bytes, signature, validator) = match document {
            (Document::NotModified, _) => {
                self.tell(context, "unchanged");
                return self.take(known, false);
            }
            (Document::Body { bytes, validator }, signature) => (bytes, signature, validator),
        };
        let digest = Digest::of(&bytes);
        if known == Some(digest) {
            self.update_state(|state| state.validator = validator)?;
            self.tell(context, "unchanged");
            return self.take(known, false);
        }
        let signed = self.check_signature(context, &bytes, &digest, signature).await?;
        let manifest = Manifest::parse(&bytes).map_err(|error| error.url(self.shown_url()))?;
        self.check_manifest(&manifest, &state, signed)?;
        let serial = manifest.serial;
        context.store.blobs().insert(&bytes)?;
        self.manifests.lock().insert(digest, Arc::new(manifest));
        self.folder.describe(&serde_json::json!({
            "namespace": self.namespace, "manifest_url": self.shown_url(),
            "public_keys": self.keys.texts().collect::<Vec<_>>(),
        }))?;
        self.update_state(|state| {
            state.manifest = Some(digest);
            state.validator = validator;
            state.highest_serial = state.highest_serial.max(serial);
            state.absent.clear();
        })?;
        self.tell(context, "changed");
        self.take(Some(digest), true)
    }

    async fn download(
        &self,
        context: &Context,
        validator: Option<&crate::fetch::Validator>,
        no_cache: bool,
    ) -> Result<(Document, Option<Result<Document>>)> {
        let fetcher = &context.fetcher;
        let manifest = fetcher.document(&self.url, SIZE_LIMIT, validator, no_cache, self.transport);
        if self.keys.is_empty() {
            return Ok((manifest.await.map_err(|error| self.explain(error))?, None));
        }
        let signature_url = self.beside(".minisig")?;
        let signature =
            fetcher.document(&signature_url, SIGNATURE_LIMIT, None, no_cache, self.transport);
        let (manifest, signature) = tokio::join!(manifest, signature);
        Ok((manifest.map_err(|error| self.explain(error))?, Some(signature)))
    }

    fn explain(&self, error: Error) -> Error {
        error.or_hint("check the manifest's address and the network, then try again")
    }

    fn beside(&self, suffix: &str) -> Result<Url> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{suffix}", self.url.path()));
        Ok(url)
    }

    /// True if the mount has keys and one of them signed `bytes`.
    async fn check_signature(
        &self,
        context: &Context,
        bytes: &[u8],
        digest: &Digest,
        signature: Option<Result<Document>>,
    ) -> Result<bool> {
        let Some(signature) = signature else { return Ok(false) };
        if let Ok(Document::Body { bytes: signature, .. }) = &signature
            && self.keys.accept(bytes, signature)
        {
            return Ok(true);
        }
        // A cache of two ages may give a manifest and the signature of another one.
        for id in self.keys.ids() {
            let url = self.resolve(&format!("signatures/{digest}.{id}.minisig"))?;
            let named =
                context.fetcher.document(&url, SIGNATURE_LIMIT, None, false, self.transport).await;
            if let Ok(Document::Body { bytes: signature, .. }) = named
                && self.keys.accept(bytes, &signature)
            {
                return Ok(true);
            }
        }
        let error = Error::new(
            Kind::Signature,
            format!("the manifest {} is not signed by a key of this mount", self.shown_url()),
        )
        .url(self.shown_url())
        .expected(self.keys.ids().collect::<Vec<_>>().join(", "))
        .hint("ask the author for the current key, or wait until a signed manifest is published");
        Err(match signature {
            Err(cause) => error.caused_by(&cause),
            Ok(_) => error,
        })
    }

    fn check_manifest(&self, manifest: &Manifest, state: &State, signed: bool) -> Result<()> {
        if manifest.namespace != self.namespace {
            let shown = |namespace: &Namespace| format!("{:?}", namespace.as_str());
            return Err(Error::new(
                Kind::Manifest,
                format!(
                    "the manifest is for namespace {}, not for {}",
                    shown(&manifest.namespace),
                    shown(&self.namespace)
                ),
            )
            .url(self.shown_url())
            .path("namespace")
            .expected(self.namespace.as_str())
            .got(manifest.namespace.as_str())
            .hint(format!(
                "mount it as {}, or publish it with --namespace {}",
                shown(&manifest.namespace),
                shown(&self.namespace)
            )));
        }
        let refuse = |why: String| {
            Error::new(Kind::Integrity, format!("the manifest {} {why}", self.shown_url()))
                .url(self.shown_url())
                .path("serial")
        };
        let Some(serial) = manifest.serial else {
            return if signed {
                Err(refuse("is signed but carries no serial".into())
                    .hint("ask the author to publish it with magic-module"))
            } else {
                Ok(())
            };
        };
        if let Some(highest) = state.highest_serial
            && serial <= highest
        {
            let why = if serial < highest {
                "is older than one seen before"
            } else {
                "has the serial of another one seen before"
            };
            return Err(refuse(why.into())
                .expected(format!("more than {highest}"))
                .got(serial.to_string())
                .hint(format!(
                    "ask the author to publish again, or remove {} to forget what was seen",
                    self.folder.path.display()
                )));
        }
        if serial > now() + CLOCK_SKEW {
            return Err(refuse(
                "has a serial more than a day ahead of this machine's clock".into(),
            )
            .expected(format!("at most {}", now() + CLOCK_SKEW))
            .got(serial.to_string())
            .hint("check this machine's clock, or ask the author to publish again"));
        }
        Ok(())
    }

    fn tell(&self, context: &Context, status: &'static str) {
        context.events.emit(|| Event {
            event: "resolve",
            unit: self.namespace.to_string(),
            url: self.shown_url(),
            status,
            ..Event::default()
        });
    }

    /// This process looks names up in `digest` from now on.
    fn take(&self, digest: Option<Digest>, changed: bool) -> Result<bool> {
        let before = self.bound();
        let generation =
            before.as_ref().map_or_else(|| self.folder.fresh(), |bound| bound.generation.clone());
        let lock = before.and_then(|bound| bound.lock.clone());
        self.rebind(Bound { generation, manifest: digest, lock });
        Ok(changed)
    }

    fn update_state(&self, change: impl FnOnce(&mut State)) -> Result<()> {
        let _lock = self.folder.lock()?;
        let mut state = self.folder.state();
        change(&mut state);
        self.folder.write_state(&state)
    }

    /// True if it is worth asking whether a newer manifest has `name`: once per process,
    /// and not within an hour of the last time.
    pub fn may_ask_for(&self, name: &str) -> bool {
        if self.namespace.is_empty() || self.asked.load(Ordering::Relaxed) {
            return false;
        }
        let asked = self.folder.state().absent.get(name).copied().unwrap_or(0);
        now().saturating_sub(asked) > ABSENT_FOR
    }

    /// Notes that the newest manifest does not have `name`.
    pub fn remember_absent(&self, name: &str) {
        self.asked.store(true, Ordering::Relaxed);
        // Not being able to remember costs a request, nothing else.
        let _ = self.update_state(|state| {
            let now = now();
            state.absent.retain(|_, asked| now.saturating_sub(*asked) <= ABSENT_FOR);
            if state.absent.len() < ABSENT_NAMES {
                state.absent.insert(name.to_owned(), now);
            }
        });
    }

    pub fn describe(&self) -> String {
        if self.namespace.is_empty() {
            "the top-level names".to_owned()
        } else {
            self.namespace.to_string()
        }
    }

    /// Another thread may have held these at a fork; see `Session::before_fork`.
    pub fn locks(&self) -> impl Iterator<Item = &dyn ForkLock> {
        let locks: [&dyn ForkLock; 3] = [&self.bound, &self.manifests, &self.units];
        locks.into_iter()
    }
}

fn parse_url(text: &str) -> Result<Url> {
    let wrong = |why: &str| {
        Error::new(Kind::Configuration, format!("the manifest URL {why}"))
            .hint("give a URL such as https://example.org/manifest.json or file:///srv/site/manifest.json")
    };
    let url = Url::parse(text).map_err(|error| wrong("is no URL").caused_by(&error))?;
    match url.scheme() {
        "http" | "https" | "file" => Ok(url),
        other => {
            Err(wrong(&format!("has the scheme {other:?}, which is not known")).url(redact(&url)))
        }
    }
}

/// Plain HTTP is for the loopback, unless the mount allows more.
fn check_transport(url: &Url, transport: Transport) -> Result<()> {
    if url.scheme() != "http" || transport.allow_http || is_loopback(url) {
        return Ok(());
    }
    Err(Error::new(Kind::Policy, format!("{} is plain HTTP beyond this machine", redact(url)))
        .url(redact(url))
        .hint("use https, or allow plain HTTP with allow_http=True or MAGIC_MODULE_ALLOW_HTTP=1"))
}

fn identity(namespace: &Namespace, url: &Url, keys: &Keys) -> Digest {
    let mut bare = url.clone();
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    let mut text = format!("{namespace}\n{bare}\n");
    for key in keys.texts() {
        text.push_str(key);
        text.push('\n');
    }
    // The space comes last: there is only the unnamed one.
    text.push('\n');
    Digest::of(text.as_bytes())
}

/// Seconds since 1970.
pub fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |past| past.as_secs())
}
