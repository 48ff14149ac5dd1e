//! Sealing a cache: from then on it is read by many, and written by nobody.

use std::path::PathBuf;

use crate::error::Result;
use crate::session::Session;
use crate::settings::Settings;
use crate::store::Store;
use crate::store::seal::{Closed, open, seal};

impl Session {
    /// Seals a cache, or compares a sealed one with its listing, byte for byte; without `cache`, the
    /// first of the settings.
    pub fn seal(&self, cache: Option<PathBuf>) -> Result<Closed> {
        seal(&self.store_of(cache))
    }

    /// Lets it be written to again. False: it was not sealed.
    pub fn unseal(&self, cache: Option<PathBuf>) -> Result<bool> {
        open(&self.store_of(cache))
    }

    /// The directory that is meant.
    pub fn cache_or(&self, cache: Option<PathBuf>) -> PathBuf {
        cache.unwrap_or_else(|| self.engine.store.cache().to_path_buf())
    }

    fn store_of(&self, cache: Option<PathBuf>) -> Store {
        let settings = Settings {
            cache_dir: self.cache_or(cache),
            further_caches: Vec::new(),
            ..self.engine.settings.clone()
        };
        Store::new(&settings)
    }
}
