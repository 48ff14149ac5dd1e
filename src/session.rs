//! The mounts of one process, and the units that it has met in them.
//!
//! What a name is (lookup.rs) and which unit or record it means (units.rs) is told without
//! waiting: whatever needs a request is told to the caller, who gives up the import lock
//! before asking.

mod doubt;
mod fork;
mod interned;
mod lookup;
mod named;
mod offered;
mod units;
mod views;

use std::sync::Arc;

use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::forking::Lock;
use crate::lockfile::Project;
use crate::mount::{Mount, MountRequest};
use crate::name::{Namespace, UrlText};
use crate::settings::{Exported, Settings};
use crate::store::lock::Shared;
use crate::supply::Source;
use crate::supply::manifest::{self, WhenOld};
use crate::threads;
use crate::unit::Python;

use interned::Interned;

pub use doubt::Doubt;
pub use lookup::{Located, Lookup, Serving, Silence, TopLevel, may_be_mended};
pub use offered::reason_of;
pub use views::Standing;

pub(crate) const OWN: &str = "magic_module";

/// What one process knows and uses; see the head of this file.
pub struct Session {
    /// What all mounts share.
    pub engine: Arc<Engine>,
    /// Whom units are for.
    pub python: Arc<Python>,
    /// The lock of the folder that the process works in.
    pub project: Arc<Project>,
    mounts: Lock<Vec<Arc<Mount>>>,
    /// One object for each unit, so that its parts share what is known of it.
    pub units: Interned,
}

impl Session {
    /// Has no mount yet; neither the disk nor the network is asked.
    pub fn new(settings: Settings, python: Python) -> Self {
        Self {
            engine: Arc::new(Engine::new(settings)),
            python: Arc::new(python),
            project: Arc::default(),
            mounts: Lock::default(),
            units: Interned::default(),
        }
    }

    /// Keeps what is being fetched from being pruned; waits while somebody prunes.
    pub async fn keep(&self) -> Result<Arc<Shared>> {
        self.engine.store.create()?;
        let store = self.engine.store.clone();
        let kept = threads::beside(move || store.keep())
            .await
            .ok_or_else(|| Error::new(Kind::Store, "waiting for the cache ended unexpectedly"))?;
        self.take_lost_locks();
        kept.map(Arc::new)
    }

    /// Adds a mount. The same call twice gives the same mount.
    pub fn mount(&self, request: MountRequest) -> Result<Arc<Mount>> {
        let mut mounts = self.mounts.lock();
        if let Some(same) = mounts.iter().find(|mount| mount.request == request) {
            return Ok(same.clone());
        }
        let mount = Mount::new(&self.engine, request)?;
        // A lock holds its units by itself; that of a manifest may be another one tomorrow.
        if mount.request.source.as_lock().is_none_or(|lock| lock.site.is_some()) {
            mount.hold_to(&self.project);
        }
        if !mount.namespace.is_empty()
            && let Some(at) = mounts.iter().position(|other| other.namespace == mount.namespace)
        {
            let (name, first) = (mount.namespace.as_str(), &mounts[at]);
            if first.is_bound() || !self.is_environments(first) {
                let url = first.supply.url();
                let why = format!("{name} is mounted already, from {url}");
                return Err(Error::new(Kind::Configuration, why)
                    .name(name)
                    .url(url)
                    .hint("close the first mount, or mount before anything below it is imported"));
            }
            self.units.forget(&mounts.remove(at));
        }
        mounts.push(mount.clone());
        Ok(mount)
    }

    /// True if the environment mounted it: what a program mounts there takes its place.
    pub fn is_environments(&self, mount: &Mount) -> bool {
        let settings = &self.engine.settings;
        let own = settings.manifest_url.iter().map(|url| self.environment_request(url));
        let url = mount.request.source.as_manifest().map(|source| &source.url);
        let is_said = |said: &Exported| {
            said.namespace == mount.namespace && url.is_some() && said.manifest_url.as_ref() == url
        };
        own.into_iter().any(|own| mount.request == own) || settings.mounts.iter().any(is_said)
    }

    fn environment_request(&self, url: &UrlText) -> MountRequest {
        let settings = &self.engine.settings;
        MountRequest {
            namespace: Namespace::new(OWN).unwrap_or_default(),
            source: Source::Manifest(manifest::Source {
                url: url.clone(),
                public_keys: settings.public_keys.clone(),
                allow_http: settings.allow_http,
                max_age: WhenOld::Warn,
            }),
            first: false,
            pins: settings.pins.clone(),
            frozen: false,
        }
    }

    /// The mount of `magic_module`: an explicit one, else the environment's.
    pub fn own_mount(&self) -> Result<Arc<Mount>> {
        match self.mount_named(OWN) {
            Some(mount) => Ok(mount),
            None => {
                self.mount(self.environment_request(self.engine.settings.require_manifest_url()?))
            }
        }
    }

    /// Takes a mount away; what it served stays imported.
    pub fn close(&self, mount: &Arc<Mount>) {
        self.mounts.lock().retain(|other| !Arc::ptr_eq(other, mount));
        self.units.forget(mount);
    }

    pub(crate) fn mounts(&self) -> Vec<Arc<Mount>> {
        self.mounts.lock().clone()
    }

    pub(crate) fn find_mount(&self, mut matches: impl FnMut(&Mount) -> bool) -> Option<Arc<Mount>> {
        self.mounts.lock().iter().find(|mount| matches(mount)).cloned()
    }

    /// The mount whose namespace is `name`.
    pub fn mount_named(&self, name: &str) -> Option<Arc<Mount>> {
        self.find_mount(|mount| !name.is_empty() && mount.namespace.as_str() == name)
    }

    /// The named mount that serves what is called `full`: the longest namespace around it.
    pub fn mount_around(&self, full: &str) -> Option<Arc<Mount>> {
        let mounts = self.mounts.lock();
        let named = mounts.iter().filter(|mount| !mount.namespace.is_empty());
        let around = named.filter(|mount| mount.namespace.strip(full).is_some());
        around.max_by_key(|mount| mount.namespace.as_str().len()).cloned()
    }
}
