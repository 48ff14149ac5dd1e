//! A mount: a namespace bound to where its units come from.
//!
//! ```text
//! URL ─ refresh ─▶ bytes ─ signature, serial, namespace ─▶ blob ─▶ state ─▶ records
//! ```
//!
//! Its identity is the digest of (namespace, manifest URL without credentials, sorted
//! public keys, space). Only the identity that verified a manifest uses it.

mod absent;
mod age;
mod locked;
mod records;
mod refresh;
mod urls;
mod yanked;

pub use age::WhenOld;
pub use yanked::{newest_good, reason_of, shown as shown_reason};

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;

use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::events::ForkLock;
use crate::fetch::Transport;
use crate::lockfile::Project;
use crate::manifest::{Manifest, Record};
use crate::name::{Digest, Namespace, SafeUrl, UnitName, UrlText, Version};
use crate::per_process::PerProcess;
use crate::sign::Keys;
use crate::store::generation::{Generation, MountFolder, State, Yanked};
use crate::store::lock::{Exclusive, Shared};

/// What the caller of `mount()` said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MountRequest {
    pub namespace: Namespace,
    pub manifest_url: UrlText,
    pub public_keys: Vec<String>,
    pub first: bool,
    pub pins: BTreeMap<UnitName, Version>,
    pub allow_http: bool,
    pub max_age: WhenOld,
    /// Refuses units that `magic.lock` does not list.
    pub frozen: bool,
}

pub struct Mount {
    pub engine: Arc<Engine>,
    pub request: MountRequest,
    pub namespace: Namespace,
    pub identity: Digest,
    pub folder: MountFolder,
    url: SafeUrl,
    transport: Transport,
    keys: Keys,
    bound: Mutex<Option<Arc<Bound>>>,
    manifests: Mutex<HashMap<Digest, Arc<Manifest>>>,
    yanked: Mutex<Arc<Yanked>>,
    project: OnceLock<Arc<Project>>,
    /// When this process last asked whether there is a newer manifest, in seconds since the
    /// epoch; 0: never.
    asked: AtomicU64,
    /// How often it was told.
    answers: AtomicU64,
    trusted: AtomicBool,
    turn: PerProcess<Turn>,
}

/// Whose turn it is to ask for the manifest, and how the last one failed: threads that
/// waited meanwhile fail with it.
pub type Turn = tokio::sync::Mutex<Option<(Instant, Error)>>;

/// The generation that this process uses, and the lock that keeps it.
pub struct Bound {
    pub generation: Generation,
    /// The newest manifest that this process knows: names that are not active are looked up in it.
    pub manifest: Option<Digest>,
    pub lock: Option<Arc<Shared>>,
    /// While an upgrade is tried out: the generation that it would follow.
    pub base: Option<Generation>,
}

/// What this process knows of what was published: whoever fails compares it with what it
/// knew before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub manifest: Option<Digest>,
    pub answers: u64,
}

impl Known {
    /// As it was before the answer that has just come.
    #[must_use]
    pub fn before(self) -> Self {
        Self { answers: self.answers.wrapping_sub(1), ..self }
    }
}

/// What a manifest says of a unit.
pub enum Answer {
    Record(Arc<Record>),
    Absent,
    /// A part of the catalogue has to be fetched first.
    NotHere,
}

impl Mount {
    pub fn new(engine: &Arc<Engine>, request: MountRequest) -> Result<Arc<Self>> {
        let url = parse_url(&request.manifest_url)?;
        let transport = Transport { allow_http: request.allow_http };
        check_transport(&url, transport)?;
        let keys = Keys::parse(request.public_keys.iter().map(String::as_str))?;
        let identity = identity(&request.namespace, &url, &keys);
        Ok(Arc::new(Self {
            engine: engine.clone(),
            namespace: request.namespace.clone(),
            folder: MountFolder::new(&engine.store, &identity),
            request,
            identity,
            url,
            transport,
            keys,
            bound: Mutex::new(None),
            manifests: Mutex::new(HashMap::new()),
            yanked: Mutex::default(),
            project: OnceLock::new(),
            asked: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            trusted: AtomicBool::new(false),
            turn: PerProcess::new(Turn::default()),
        }))
    }

    pub fn turn(&self) -> &Turn {
        self.turn.get(Turn::default)
    }

    pub fn shown_url(&self) -> &SafeUrl {
        &self.url
    }

    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Looks once per process at who owns the folders of the store, and who may write to
    /// them; nothing is read from folders that fail.
    pub fn trust(&self) -> Result<()> {
        let store = &self.engine.store;
        if !self.trusted.load(Ordering::Relaxed) && store.check()? {
            let own = [self.folder.path.clone(), self.folder.generations(), self.folder.code()];
            let shared = [store.root().join("blobs"), store.trees(), store.mounts()];
            for folder in shared.into_iter().chain(own) {
                store.check_folder(&folder)?;
            }
            self.trusted.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// What this process is bound to. `None`: nothing of this mount is on disk, or
    /// [`Self::bind`] failed.
    pub fn bound(&self) -> Option<Arc<Bound>> {
        self.bind().ok()?
    }

    /// Binds at the first call. `None`: nothing of this mount is on disk. What cannot be read
    /// is an error: taken for nothing, it would be replaced by something newer.
    pub fn bind(&self) -> Result<Option<Arc<Bound>>> {
        if let Some(bound) = self.bound.lock().as_ref() {
            return Ok(Some(bound.clone()));
        }
        let (generation, lock) = match self.folder.bind()? {
            Some(found) => found,
            // Perhaps a manifest was verified, but nothing is active yet.
            None => match self.folder.fresh()? {
                fresh if fresh.manifest.is_some() => (fresh, None),
                _ => return Ok(None),
            },
        };
        let state = self.folder.state()?;
        self.set_yanked(state.yanked);
        let manifest = state.manifest.or(generation.manifest);
        let bound = Arc::new(Bound { generation, manifest, lock: lock.map(Arc::new), base: None });
        Ok(Some(self.bound.lock().get_or_insert(bound).clone()))
    }

    pub fn known(&self) -> Known {
        let manifest = self.bound().and_then(|bound| bound.manifest);
        Known { manifest, answers: self.answers.load(Ordering::Relaxed) }
    }

    pub fn is_bound(&self) -> bool {
        self.bound.lock().is_some()
    }

    /// Back to what this process was bound to.
    pub fn rebind(&self, bound: Arc<Bound>) {
        *self.bound.lock() = Some(bound);
    }

    /// Changes what this process is bound to, in one step for its other threads.
    pub fn change_bound(&self, change: impl FnOnce(&mut Bound)) {
        let _ = self.bound();
        let mut slot = self.bound.lock();
        let mut bound = match slot.as_deref() {
            Some(Bound { generation, manifest, lock, base }) => Bound {
                generation: generation.clone(),
                manifest: *manifest,
                lock: lock.clone(),
                base: base.clone(),
            },
            None => {
                // Every way here has bound the mount: there is nothing on disk yet.
                let generation = self.folder.fresh().unwrap_or_default();
                Bound { manifest: generation.manifest, generation, lock: None, base: None }
            }
        };
        change(&mut bound);
        *slot = Some(Arc::new(bound));
    }

    pub fn offline(&self, what: &str) -> Error {
        Error::new(
            Kind::Offline,
            format!("{what}, and MAGIC_MODULE_OFFLINE forbids to ask {}", self.shown_url()),
        )
        .url(self.shown_url())
        .hint("unset MAGIC_MODULE_OFFLINE once, or run `magic-module fetch` while online")
    }

    /// This process looks names up in `digest` from now on. True if it did not before.
    fn take(&self, digest: Option<Digest>) -> bool {
        self.answers.fetch_add(1, Ordering::Relaxed);
        let before = self.bound().and_then(|bound| bound.manifest);
        self.change_bound(|bound| bound.manifest = digest);
        before != digest
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

    /// True if its units come before what is installed.
    pub fn comes_first(&self) -> bool {
        self.namespace.is_empty() && self.request.first
    }

    pub fn describe(&self) -> String {
        if self.namespace.is_empty() {
            "the top-level names".to_owned()
        } else {
            self.namespace.to_string()
        }
    }

    /// Another thread may have held these at a fork; see `Session::hold`.
    pub fn locks(&self) -> impl Iterator<Item = &dyn ForkLock> {
        let locks: [&dyn ForkLock; 3] = [&self.bound, &self.manifests, &self.yanked];
        locks.into_iter()
    }
}

fn parse_url(text: &UrlText) -> Result<SafeUrl> {
    let wrong = |why: &str| {
        Error::new(Kind::Configuration, format!("the manifest URL {why}"))
            .hint("give a URL such as https://example.org/manifest.json or file:///srv/site/manifest.json")
    };
    let url = SafeUrl::new(text.as_str()).map_err(|error| wrong("is no URL").caused_by(&error))?;
    match url.scheme() {
        "http" | "https" | "file" => Ok(url),
        other => Err(wrong(&format!("has the scheme {other:?}, which is not known")).url(&url)),
    }
}

/// Plain HTTP is for the loopback, unless the mount allows more.
fn check_transport(url: &SafeUrl, transport: Transport) -> Result<()> {
    if url.scheme() != "http" || transport.allow_http || url.is_loopback() {
        return Ok(());
    }
    Err(Error::new(Kind::Policy, format!("{url} is plain HTTP beyond this machine"))
        .url(url)
        .hint("use https, or allow plain HTTP with allow_http=True or MAGIC_MODULE_ALLOW_HTTP=1"))
}

fn identity(namespace: &Namespace, url: &SafeUrl, keys: &Keys) -> Digest {
    let mut text = format!("{namespace}\n{}\n", url.without_credentials());
    for key in keys.texts() {
        text.push_str(key);
        text.push('\n');
    }
    // The space comes last: there is only the unnamed one.
    text.push('\n');
    Digest::of(text.as_bytes())
}
