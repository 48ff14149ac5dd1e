//! What all mounts of a process share: the store, the settings, the fetcher, the events.

mod admit;
mod allow;

use std::sync::{Arc, OnceLock};

use crate::compile::Compiling;
use crate::events::Events;
use crate::fetch::{Access, Fetcher, Places};
use crate::journal::Journal;
use crate::policy::Administrator;
use crate::settings::{Settings, data_folder};
use crate::store::Store;
use crate::store::tree::Scrutiny;

/// Given to whoever reads, asks, fetches or writes.
pub struct Engine {
    /// The cache on disk.
    pub store: Store,
    /// As they were read once.
    pub settings: Settings,
    /// Shared, so that limits count for all mounts together.
    pub fetcher: Fetcher,
    /// What an administrator allows.
    pub administrator: Administrator,
    /// Where it is written down what they allowed.
    pub journal: Journal,
    /// Where settings of uv and pip lie that have logins.
    pub places: Arc<Places>,
    /// Where all tell what happens.
    pub events: Arc<Events>,
    /// Helpers that compile; set once it is known how they are started.
    pub compiling: OnceLock<Compiling>,
}

impl Engine {
    /// An engine that has not looked at the disk or the network yet.
    pub fn new(settings: Settings) -> Self {
        let store = Store::new(&settings);
        let places = Arc::new(Places::with_registry(settings.registry.clone()));
        let administrator =
            Administrator::new(settings.registry.clone(), settings.auto_install.is_some());
        let journal = match &settings.space {
            Some(space) => Journal::of_space(space.folder.clone()),
            None => Journal::new(data_folder()),
        };
        let access = Access {
            netrc: settings.netrc.clone(),
            certificates: settings.certificates.clone(),
            places: places.clone(),
        };
        let fetcher = Fetcher::new(store.blobs().clone(), settings.concurrency, access);
        if let Some(folder) = &settings.bundles {
            fetcher.bundles.add(folder.clone());
        }
        let (events, compiling) = (Arc::default(), OnceLock::new());
        Self { store, fetcher, administrator, journal, places, events, settings, compiling }
    }

    /// How closely the user wants trees to be looked at.
    pub fn scrutiny(&self) -> Scrutiny {
        if self.settings.verify_full { Scrutiny::Bytes } else { Scrutiny::Stamps }
    }
}
