//! A mount: a namespace bound to its supply.
//!
//! ```text
//! namespace ─ supply ─▶ document ─┬─▶ records, held to pins and lock
//!             generation on disk ─┘
//! ```
//!
//! It keeps what it is (identity) and what this process uses of it (binding). What there is,
//! and whether something newer was published, its [`crate::supply`] answers.

mod installed;
mod locked;

pub use installed::{Installed, OWN_REQUIREMENTS};
pub use locked::versions_of;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::forking::Lock;
use crate::lockfile::Project;
use crate::name::{Digest, Namespace, UnitName, Version};
use crate::origin::Freshness;
use crate::per_process::PerProcess;
use crate::store::generation::{Generation, MountFolder};
use crate::store::lock::Shared;
use crate::store::sealed;
use crate::supply::{Answer, Source, Supply};

/// What the caller of `mount()` said.
#[derive(Debug, Clone, PartialEq)]
pub struct MountRequest {
    /// The importable prefix that is served; empty for top-level names.
    pub namespace: Namespace,
    /// Where its units come from.
    pub source: Source,
    /// Top-level names come before what is installed.
    pub first: bool,
    /// Units that are held to a version.
    pub pins: BTreeMap<UnitName, Version>,
    /// Refuses units that `magic.lock` does not list.
    pub frozen: bool,
}

/// A namespace and what answers for it; see the head of this file.
pub struct Mount {
    /// What all mounts share.
    pub engine: Arc<Engine>,
    /// What the caller of `mount()` said.
    pub request: MountRequest,
    /// As in the request.
    pub namespace: Namespace,
    /// What tells its cache from others.
    pub identity: Digest,
    /// What answers for it.
    pub supply: Box<dyn Supply>,
    /// What is kept of it on disk.
    pub folder: MountFolder,
    /// What is installed beside its view, once somebody looked.
    installed: OnceLock<Installed>,
    bound: Lock<Option<Arc<Bound>>>,
    project: OnceLock<Arc<Project>>,
    /// How often this process was told whether there is something newer.
    answers: AtomicU64,
    trusted: AtomicBool,
    turn: PerProcess<Turn>,
}

/// Whose turn it is to ask for the manifest, and how the last one failed: threads that
/// waited meanwhile fail with it.
pub type Turn = tokio::sync::Mutex<Option<(Instant, Error)>>;

/// The generation that this process uses, and the lock that keeps it.
#[derive(Clone, Default)]
pub struct Bound {
    /// As it was read, and as this process has extended it since.
    pub generation: Generation,
    /// The newest manifest that this process knows: names that are not active are looked up in it.
    pub manifest: Option<Digest>,
    /// Keeps its trees from being pruned; `None` before anything of it is on disk.
    pub lock: Option<Arc<Shared>>,
    /// While an upgrade is tried out: the generation that it would follow.
    pub base: Option<Generation>,
}

/// What this process knows of what was published: whoever fails compares it with what it
/// knew before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The newest document.
    pub manifest: Option<Digest>,
    /// How often the server was heard, the same news included.
    pub answers: u64,
}

impl Known {
    /// As it was before the answer that has just come.
    #[must_use]
    pub fn before(self) -> Self {
        Self { answers: self.answers.wrapping_sub(1), ..self }
    }
}

impl Mount {
    /// Checks what was said; neither the disk nor the network is asked.
    pub fn new(engine: &Arc<Engine>, request: MountRequest) -> Result<Arc<Self>> {
        let supply = request.source.open(engine, &request.namespace)?;
        let identity = supply.identity();
        Ok(Arc::new(Self {
            engine: engine.clone(),
            namespace: request.namespace.clone(),
            folder: MountFolder::new(&engine.store, &identity),
            request,
            identity,
            supply,
            installed: OnceLock::new(),
            bound: Lock::default(),
            project: OnceLock::new(),
            answers: AtomicU64::new(0),
            trusted: AtomicBool::new(false),
            turn: PerProcess::new(Turn::default()),
        }))
    }

    pub(crate) fn turn(&self) -> &Turn {
        self.turn.get(Turn::default)
    }

    /// Looks once per process at who owns the folders of the store, and who may write to
    /// them; nothing is read from folders that fail.
    pub fn trust(&self) -> Result<()> {
        let store = &self.engine.store;
        if self.trusted.load(Ordering::Relaxed) {
            return Ok(());
        }
        for root in store.behind() {
            store.check_behind(root)?;
        }
        if store.check()? {
            // What is sealed is known from its listing.
            if sealed::settles(store.root()) {
                self.trusted.store(true, Ordering::Relaxed);
                return Ok(());
            }
            let own = [self.folder.path.clone(), self.folder.generations(), self.folder.code()];
            let shared = [store.root().join("blobs"), store.trees(), store.mounts()];
            // Only those of locks have one.
            let views = self.request.source.as_lock().map(|_| store.views());
            for folder in shared.into_iter().chain(own).chain(views) {
                store.check_folder(&folder)?;
            }
            self.trusted.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Where further caches have compiled code of the same mount, for those who trust them.
    pub fn code_behind(&self) -> Vec<PathBuf> {
        let store = &self.engine.store;
        let code = self.folder.code();
        code.strip_prefix(store.root()).map(|it| store.folders_behind(it)).unwrap_or_default()
    }

    /// What this process is bound to, for who only shows it, or has bound the mount before.
    /// `None`: nothing of this mount is on disk, or [`Self::bind`] fails.
    pub fn bound(&self) -> Option<Arc<Bound>> {
        self.bind().ok()?
    }

    /// Binds at the first call. `None`: nothing of this mount is on disk. What cannot be read
    /// is an error: taken for nothing, it would be replaced by something newer.
    pub fn bind(&self) -> Result<Option<Arc<Bound>>> {
        if let Some(bound) = self.bound.lock().as_ref() {
            return Ok(Some(bound.clone()));
        }
        // Whether a lock may be taken there shows when it is looked at.
        self.trust()?;
        let found = self.folder.bind()?;
        let newest = self.supply.newest()?;
        let (generation, lock) = match found {
            Some(found) => found,
            // Perhaps a document was verified, but nothing is active yet.
            None if newest.is_some() && self.supply.is_proven() => (self.folder.fresh()?, None),
            None => return Ok(None),
        };
        let manifest = newest.or(generation.manifest);
        let bound = Arc::new(Bound { generation, manifest, lock: lock.map(Arc::new), base: None });
        Ok(Some(self.bound.lock().get_or_insert(bound).clone()))
    }

    /// What this process knows by now.
    pub fn known(&self) -> Known {
        let manifest = self.bound().and_then(|bound| bound.manifest);
        Known { manifest, answers: self.answers.load(Ordering::Relaxed) }
    }

    pub(crate) fn is_bound(&self) -> bool {
        self.bound.lock().is_some()
    }

    /// Back to what this process was bound to.
    pub fn rebind(&self, bound: Arc<Bound>) {
        *self.bound.lock() = Some(bound);
    }

    /// Changes what this process is bound to, in one step for its other threads.
    pub fn change_bound(&self, change: impl FnOnce(&mut Bound)) -> Result<()> {
        self.bind()?;
        let mut slot = self.bound.lock();
        let mut bound = match slot.as_deref() {
            Some(bound) => bound.clone(),
            // There is nothing on disk yet.
            None => Bound { generation: self.folder.fresh()?, ..Bound::default() },
        };
        change(&mut bound);
        *slot = Some(Arc::new(bound));
        Ok(())
    }

    /// Asks for something newer. True if there is. Nothing that is active changes.
    pub async fn refresh(&self, freshness: Freshness) -> Result<bool> {
        let used = self.bind()?.and_then(|bound| bound.manifest);
        self.refresh_from(used, freshness).await
    }

    /// Asks for a document where none was known. What another process has brought since then will
    /// do: bound to that one first, this process would ask for something newer.
    pub async fn refresh_unknown(&self) -> Result<bool> {
        if self.is_bound() {
            return self.refresh(Freshness::AsCached).await;
        }
        self.refresh_from(None, Freshness::AsCached).await
    }

    async fn refresh_from(&self, used: Option<Digest>, freshness: Freshness) -> Result<bool> {
        let newest = self.supply.refresh(used, freshness).await?;
        self.answers.fetch_add(1, Ordering::Relaxed);
        let before = self.known().manifest;
        self.change_bound(|bound| bound.manifest = newest)?;
        Ok(before != newest)
    }

    /// What a document says of `unit`, without a request. Pins and the lock are applied.
    pub fn record(&self, document: &Digest, unit: &str) -> Result<Answer> {
        match self.supply.record(document, unit)? {
            Answer::Record(record) => Ok(Answer::Record(self.held(unit, record)?)),
            other => Ok(other),
        }
    }

    /// True if its units come before what is installed.
    pub fn comes_first(&self) -> bool {
        self.namespace.is_empty() && self.request.first
    }

    /// Notes that the newest document, which this process asked for, does not have `name`.
    pub fn remember_absent(&self, name: &str) {
        if self.answers.load(Ordering::Relaxed) > 0 {
            self.supply.remember_absent(name);
        }
    }
}
