//! What its author still offers: versions may be taken back, and documents grow old.
//!
//! ```text
//! not in the cache   refused: the reason, and the newest version that is good
//! in the cache       loads, and warns once per process
//! upgrade            moves to the newest version that is good
//! ```

use super::Session;
use crate::error::{Error, Kind, Result};
use crate::events::{Notice, NoticeKind};
use crate::manifest::Record;
use crate::mount::Mount;
use crate::name::Digest;
use crate::supply::Answer;
use crate::unit::Unit;

impl Session {
    /// Tells once per process that a version in use was taken back.
    pub fn warn_if_yanked(&self, mount: &Mount, unit: &Unit) {
        let Some(reason) = mount.supply.yanked(unit.name.as_str(), &unit.version) else { return };
        self.engine.events.notice(Notice {
            kind: NoticeKind::Yanked,
            subject: format!("{} {}", unit.full_name, unit.version),
            text: format!(
                "{}; run `magic-module upgrade {}`",
                taken_back(unit, &shown(reason)),
                unit.full_name
            ),
        });
    }

    /// Bytes are fetched only if their author stands by them, and said so lately.
    pub fn may_fetch(
        &self,
        mount: &Mount,
        unit: &Unit,
        record: &Record,
        document: &Digest,
    ) -> Result<()> {
        let known = mount.supply.yanked(unit.name.as_str(), &unit.version);
        if let Some(reason) = reason_of(record, known) {
            return Err(self.refuse_yanked(mount, unit, &reason));
        }
        // Offline nobody could say anything newer: what is not here is the error then.
        if mount.supply.policy().is_offline() {
            return Ok(());
        }
        mount.supply.check_age(document).map_err(|error| error.or_name(unit.full_name.clone()))
    }

    /// A version that was taken back is not fetched any more.
    fn refuse_yanked(&self, mount: &Mount, unit: &Unit, reason: &str) -> Error {
        let name = unit.name.as_str();
        let newest = mount.known().manifest.map(|manifest| mount.supply.record(&manifest, name));
        let good = match &newest {
            Some(Ok(Answer::Record(record))) => record.newest_good(),
            _ => None,
        };
        let error = unit.error(Kind::Policy, taken_back(unit, reason)).got(unit.version.as_str());
        match good.map(|good| good.version.as_str()) {
            Some(good) => error.expected(good).hint(format!(
                "use the newest good version: pins={{{name:?}: {good:?}}}, or MAGIC_MODULE_PINS={name}=={good}",
            )),
            None => error.hint("ask the author for a good version: the manifest has none"),
        }
    }
}

/// Why a record was taken back, as far as it is known; shown where the reason is empty, too.
pub fn reason_of(record: &Record, known: Option<String>) -> Option<String> {
    record.yanked.clone().or(known).map(shown)
}

fn taken_back(unit: &Unit, reason: &str) -> String {
    let (version, full) = (&unit.version, &unit.full_name);
    format!("version {version} of {full} was taken back by its author: {reason}")
}

fn shown(reason: String) -> String {
    if reason.trim().is_empty() { "no reason was given".to_owned() } else { reason }
}
