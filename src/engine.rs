//! What all mounts of a process share: the store, the settings, the fetcher, the events.

use std::sync::Arc;

use crate::events::Events;
use crate::fetch::{Access, Fetcher, Places};
use crate::settings::Settings;
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
    /// Where settings of uv and pip lie that have logins.
    pub places: Arc<Places>,
    /// Where all tell what happens.
    pub events: Arc<Events>,
}

impl Engine {
    /// An engine that has not looked at the disk or the network yet.
    pub fn new(settings: Settings) -> Self {
        let store = Store::new(&settings);
        let places = Arc::new(Places::with_registry(settings.registry.clone()));
        let access = Access {
            netrc: settings.netrc.clone(),
            certificates: settings.certificates.clone(),
            places: places.clone(),
        };
        let fetcher = Fetcher::new(store.blobs().clone(), settings.concurrency, access);
        Self { store, fetcher, places, events: Arc::default(), settings }
    }

    /// How closely the user wants trees to be looked at.
    pub fn scrutiny(&self) -> Scrutiny {
        if self.settings.verify_full { Scrutiny::Bytes } else { Scrutiny::Stamps }
    }
}
