//! Versions that the newest manifest takes back.

use std::sync::Arc;

use super::ManifestSupply;
use crate::manifest::{Body, Manifest};
use crate::name::Version;
use crate::store::generation::Yanked;

impl ManifestSupply {
    /// Why the newest manifest that is known takes a version back.
    pub fn yanked(&self, unit: &str, version: &Version) -> Option<String> {
        let known = self.yanked.lock().clone();
        known.get(unit)?.get(version).cloned()
    }

    pub(super) fn set_yanked(&self, yanked: Yanked) {
        *self.yanked.lock() = Arc::new(yanked);
    }
}

/// Every version that a manifest takes back.
pub(super) fn all_yanked(manifest: &Manifest) -> Yanked {
    match &manifest.body {
        Body::Modules(modules) => modules.yanked(),
        Body::Catalogue(catalogue) => catalogue.yanked.clone(),
    }
}
