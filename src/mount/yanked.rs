//! Versions that their author took back.
//!
//! ```text
//! not in the cache   refused: the reason, and the newest version that is good
//! in the cache       loads, and warns once per process
//! upgrade            moves to the newest version that is good
//! ```

use std::sync::Arc;

use super::{Answer, Mount};
use crate::error::{Error, Kind};
use crate::events::{Notice, NoticeKind};
use crate::manifest::{Body, Manifest, Record};
use crate::name::Version;
use crate::store::generation::Yanked;
use crate::unit::Unit;

impl Mount {
    /// Why the newest manifest that is known takes a version back.
    pub fn yanked(&self, unit: &str, version: &Version) -> Option<String> {
        let known = self.yanked.lock().clone();
        known.get(unit)?.get(version).cloned()
    }

    /// Tells once per process that a version in use was taken back.
    pub fn warn_if_yanked(&self, unit: &Unit) {
        let Some(reason) = self.yanked(unit.name.as_str(), &unit.version) else { return };
        let reason = shown(reason);
        self.engine.events.notice(Notice {
            kind: NoticeKind::Yanked,
            subject: format!("{} {}", unit.full_name, unit.version),
            text: format!(
                "version {} of {} was taken back by its author: {reason}; run `magic-module upgrade {}`",
                unit.version, unit.full_name, unit.full_name
            ),
        });
    }

    /// A version that was taken back is not fetched any more.
    pub fn refuse_yanked(&self, unit: &Unit, reason: &str) -> Error {
        let manifest = self.bound().and_then(|bound| bound.manifest);
        let good =
            manifest.and_then(|manifest| match self.unpinned(&manifest, unit.name.as_str()) {
                Ok(Answer::Record(record)) => newest_good(&record).map(|good| good.version.clone()),
                _ => None,
            });
        let error = Error::new(
            Kind::Policy,
            format!(
                "version {} of {} was taken back by its author: {reason}",
                unit.version, unit.full_name
            ),
        )
        .name(unit.full_name.clone())
        .got(unit.version.as_str());
        match good {
            Some(good) => error.expected(good.as_str()).hint(format!(
                "use the newest good version: pins={{{:?}: {:?}}}, or MAGIC_MODULE_PINS={}=={good}",
                unit.name.as_str(),
                good.as_str(),
                unit.name
            )),
            None => error.hint("ask the author for a good version: the manifest has none"),
        }
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

fn shown(reason: String) -> String {
    if reason.trim().is_empty() { "no reason was given".to_owned() } else { reason }
}
