//! Versions that their author took back.
//!
//! ```text
//! not in the cache   refused: the reason, and the newest version that is good
//! in the cache       loads, and warns once per process
//! upgrade            moves to the newest version that is good
//! ```

use std::sync::Arc;

use super::Mount;
use crate::manifest::{Body, Manifest, Record};
use crate::name::Version;
use crate::store::generation::Yanked;

impl Mount {
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

/// The newest version that was not taken back.
pub fn newest_good(record: &Record) -> Option<&Record> {
    if record.yanked.is_none() {
        return Some(record);
    }
    let good = record.versions.values().filter(|older| older.yanked.is_none());
    good.max_by_key(|older| older.age()).map(Box::as_ref)
}

/// Shown where a reason is empty.
pub fn reason_of(record: &Record, known: Option<String>) -> Option<String> {
    record.yanked.clone().or(known).map(shown)
}

pub fn shown(reason: String) -> String {
    if reason.trim().is_empty() { "no reason was given".to_owned() } else { reason }
}
