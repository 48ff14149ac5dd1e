//! The supply behind a manifest URL.
//!
//! ```text
//! URL ─ refresh ─▶ bytes ─ signature, serial, namespace ─▶ blob ─▶ state ─▶ records
//! ```
//!
//! Its identity is the digest of (namespace, manifest URL without credentials, sorted
//! public keys, space). Only the identity that verified a manifest uses it.

mod absent;
mod age;
mod asker;
mod fresh;
mod parts;
mod refresh;
mod urls;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Answer, Asking, Supply};
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::forking::Lock;
use crate::manifest::{Manifest, Modules};
use crate::name::{Digest, Namespace, SafeUrl, UrlText, Version};
use crate::origin::Freshness;
use crate::policy::Policy;
use crate::sign::Keys;
use crate::space::Space;
use crate::store::generation::{MountFolder, State, Yanked};
use crate::store::lock::Exclusive;

/// A manifest URL, and what its readers insist on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Source {
    /// As it was given.
    pub url: UrlText,
    /// Minisign keys; a signature of any of them suffices. Without keys nothing need be signed.
    pub public_keys: Vec<String>,
    /// Plain HTTP beyond this machine, too.
    pub allow_http: bool,
    /// What is done about a manifest that is older than it should be.
    pub max_age: WhenOld,
}

/// What is done about a manifest that is older than it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenOld {
    /// A warning, once per mount and process.
    #[default]
    Warn,
    /// An error.
    Fail,
}

/// What a manifest URL answers with, and what is known of it on disk.
pub struct ManifestSupply {
    engine: Arc<Engine>,
    namespace: Namespace,
    identity: Digest,
    folder: MountFolder,
    url: SafeUrl,
    policy: Policy,
    keys: Keys,
    max_age: WhenOld,
    manifests: Lock<HashMap<Digest, Arc<Manifest>>>,
    /// Versions that the newest manifest takes back.
    yanked: Lock<Arc<Yanked>>,
    /// When this process last asked whether there is a newer manifest, in seconds since the
    /// epoch; 0: never.
    asked: AtomicU64,
}

impl ManifestSupply {
    /// Checks what was said.
    pub fn open(engine: &Arc<Engine>, namespace: &Namespace, source: &Source) -> Result<Self> {
        let url = parse_url(&source.url)?;
        let policy = Policy {
            offline: engine.settings.offline,
            closed: false,
            allow_http: source.allow_http,
            logins: false,
        };
        policy.may_come_from(&url)?;
        let keys = Keys::parse(source.public_keys.iter().map(String::as_str))?;
        let identity = identity(namespace, &url, &keys, engine.settings.space.as_ref());
        Ok(Self {
            engine: engine.clone(),
            namespace: namespace.clone(),
            identity,
            folder: MountFolder::new(&engine.store, &identity),
            url,
            policy,
            keys,
            max_age: source.max_age,
            manifests: Lock::default(),
            yanked: Lock::default(),
            asked: AtomicU64::new(0),
        })
    }

    fn set_yanked(&self, yanked: Yanked) {
        *self.yanked.lock() = Arc::new(yanked);
    }

    fn update_state(&self, change: impl FnOnce(&mut State)) -> Result<()> {
        let lock = self.folder.lock()?;
        self.change_state(&lock, change)
    }

    fn change_state(&self, _: &Exclusive, change: impl FnOnce(&mut State)) -> Result<()> {
        let mut state = self.folder.state()?;
        change(&mut state);
        self.folder.write_state(&state)
    }
}

/// What takes more than a few lines stands in the files of this folder.
impl Supply for ManifestSupply {
    fn identity(&self) -> Digest {
        self.identity
    }

    fn url(&self) -> &SafeUrl {
        &self.url
    }

    fn policy(&self) -> Policy {
        Policy { closed: self.engine.administrator.is_closed(), ..self.policy }
    }

    fn resolve(&self, url: &UrlText) -> Result<SafeUrl> {
        Self::resolve(self, url)
    }

    fn document(&self, digest: &Digest) -> Result<Arc<Manifest>> {
        self.manifest(digest)
    }

    fn newest(&self) -> Result<Option<Digest>> {
        let state = self.folder.state()?;
        self.set_yanked(state.yanked);
        Ok(state.manifest)
    }

    fn is_proven(&self) -> bool {
        self.folder.state().is_ok_and(|state| self.is_vouched_for(&state))
    }

    fn refresh(&self, used: Option<Digest>, freshness: Freshness) -> Asking<'_, Option<Digest>> {
        Box::pin(Self::refresh(self, used, freshness))
    }

    fn record(&self, document: &Digest, unit: &str) -> Result<Answer> {
        Self::record(self, document, unit)
    }

    fn fetch_parts<'a>(&'a self, document: &'a Digest, unit: &'a str) -> Asking<'a, ()> {
        Box::pin(Self::fetch_parts(self, document, unit))
    }

    fn read_parts(&self, document: &Digest, unit: &str) -> Result<()> {
        Self::read_parts(self, document, unit)
    }

    fn all_records<'a>(&'a self, document: &'a Digest) -> Asking<'a, Modules> {
        Box::pin(Self::all_records(self, document))
    }

    fn should_ask_first(&self, document: &Digest) -> bool {
        self.manifest(document).is_ok_and(|manifest| self.has_expired(&manifest))
    }

    fn check_age(&self, document: &Digest) -> Result<()> {
        // What cannot be read is found out where it is read.
        self.manifest(document).map_or(Ok(()), |manifest| self.check_age_of(&manifest))
    }

    fn yanked(&self, unit: &str, version: &Version) -> Option<String> {
        let known = self.yanked.lock().clone();
        known.get(unit)?.get(version).cloned()
    }

    fn may_ask_for(&self, name: &str) -> bool {
        !self.namespace.is_empty()
            && self.asked.load(Ordering::Relaxed) == 0
            && !self.is_remembered(name)
    }

    fn remember_absent(&self, name: &str) {
        Self::remember_absent(self, name);
    }

    fn remember_refused(&self) {
        Self::remember_refused(self);
    }

    fn is_refused(&self) -> bool {
        self.folder.state().is_ok_and(|state| state.refused)
    }
}

fn parse_url(text: &UrlText) -> Result<SafeUrl> {
    let wrong = |why: &str| {
        Error::new(Kind::Configuration, format!("the manifest URL {why}"))
            .hint("give a URL such as https://example.org/manifest.json or file:///srv/site/manifest.json")
    };
    let url =
        SafeUrl::new(text.as_str()).map_err(|error| wrong("is not a URL").caused_by(&error))?;
    match url.scheme() {
        "http" | "https" | "file" => Ok(url),
        _ if url.is_in_object_store() => Ok(url),
        other => Err(wrong(&format!("has the scheme {other:?}, which is not known")).url(&url)),
    }
}

fn identity(namespace: &Namespace, url: &SafeUrl, keys: &Keys, space: Option<&Space>) -> Digest {
    let mut text = format!("{namespace}\n{}\n", url.without_credentials());
    for key in keys.texts() {
        text.push_str(key);
        text.push('\n');
    }
    let mut text = text.into_bytes();
    text.extend_from_slice(space.map_or(&[], Space::mark));
    text.push(b'\n');
    Digest::of(&text)
}
