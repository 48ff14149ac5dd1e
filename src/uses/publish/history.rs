//! What the site held before, and what of it stays.
//!
//! A record that SRC changes moves to the `versions` of its successor, so that
//! those who pinned it or hold the old manifest keep it. `--drop-older-than DAYS`
//! counts from the day on which a version was *replaced*: it may have been the
//! newest for years until then.

use std::collections::BTreeSet;

use super::overrides::{self, Overrides, Yanked};
use super::site::{MANIFEST, Site};
use super::{DAY, Options, catalogue};
use crate::error::{Error, Kind, Result};
use crate::manifest::{Body, Manifest, Modules, Record};
use crate::name::{Namespace, UnitName};

#[derive(Debug, Default)]
pub(super) struct Previous {
    pub manifest: Option<Manifest>,
    /// All records, also those of a catalogue.
    pub modules: Modules,
    /// Paths of the catalogue's parts.
    pub parts: BTreeSet<String>,
}

impl Previous {
    pub fn record(&self, name: &UnitName) -> Option<&Record> {
        self.modules.0.get(name).map(Box::as_ref)
    }

    pub fn names(&self) -> impl Iterator<Item = &UnitName> {
        self.modules.0.keys()
    }

    pub fn serial(&self) -> Option<u64> {
        self.manifest.as_ref()?.serial
    }

    pub fn bits(&self) -> Option<[u8; 2]> {
        match &self.manifest.as_ref()?.body {
            Body::Catalogue(catalogue) => Some(catalogue.bits),
            Body::Modules(_) => None,
        }
    }
}

/// Reads the manifest of the site. What is damaged is never overwritten: it may be
/// all that tells which versions there were.
pub(super) fn previous(site: &Site, namespace: &Namespace) -> Result<Previous> {
    let Some(bytes) = site.read(MANIFEST)? else { return Ok(Previous::default()) };
    let damaged = |cause: &Error| {
        Error::new(Kind::Manifest, "cannot publish over the manifest.json of the output folder")
            .path(site.manifest_path().display().to_string())
            .caused_by(&Error::new(cause.kind(), cause.details().message.clone()))
            .hint("restore it from a copy, or choose another output folder")
    };
    let mut manifest = Manifest::parse(&bytes).map_err(|cause| damaged(&cause))?;
    if manifest.namespace != *namespace {
        let (old, new) = (manifest.namespace.as_str(), namespace.as_str());
        return Err(Error::new(
            Kind::Configuration,
            format!("cannot publish namespace {new:?}: the output folder serves {old:?}"),
        )
        .expected(old)
        .got(new)
        .hint(format!("pass --namespace {old:?}, or choose another output folder")));
    }
    let (modules, parts) = match &mut manifest.body {
        Body::Modules(modules) => (std::mem::take(modules), BTreeSet::new()),
        Body::Catalogue(found) => {
            catalogue::read(site, namespace, found).map_err(|cause| damaged(&cause))?
        }
    };
    Ok(Previous { manifest: Some(manifest), modules, parts })
}

#[derive(Debug)]
pub(super) struct Merged {
    pub modules: Modules,
    pub dropped: u64,
}

/// The records of SRC with those older versions that stay.
pub(super) fn merge(
    previous: &Previous,
    records: Modules,
    overrides: &Overrides,
    options: &Options,
) -> Result<Merged> {
    let mut modules = Modules::default();
    for (name, record) in records.0 {
        let mut record = with_older(previous.record(&name), *record, options.clock);
        let yanked = overrides.records.get(&name).and_then(|it| it.yanked.as_ref());
        if let Some(Yanked::Versions(reasons)) = yanked {
            yank(&name, &mut record, reasons)?;
        }
        modules.0.insert(name, Box::new(record));
    }
    let dropped = drop_versions(&mut modules, options);
    Ok(Merged { modules, dropped })
}

/// Equal but for what the site itself adds.
pub(super) fn same(before: &Record, after: &Record) -> bool {
    let bare = |record: &Record| Record {
        versions: Default::default(),
        published: None,
        ..record.clone()
    };
    bare(before) == bare(after)
}

/// The record with those that came before it; what did not change stays as it is.
fn with_older(before: Option<&Record>, record: Record, clock: u64) -> Record {
    let Some(before) = before else { return Record { published: Some(clock), ..record } };
    if same(before, &record) {
        return before.clone();
    }
    let mut versions = before.versions.clone();
    let mut published = Some(clock);
    if before.version == record.version {
        // A summary or a yank makes no new version.
        if before.tree_digest() == record.tree_digest() {
            published = before.published.or(published);
        }
    } else {
        let older = Record {
            versions: Default::default(),
            published: before.published.or(published),
            ..before.clone()
        };
        versions.insert(before.version.clone(), Box::new(older));
        versions.remove(&record.version);
    }
    Record { versions, published, ..record }
}

fn yank(
    name: &UnitName,
    record: &mut Record,
    reasons: &std::collections::BTreeMap<crate::name::Version, String>,
) -> Result<()> {
    for (version, reason) in reasons.iter().filter(|(version, _)| **version != record.version) {
        let Some(older) = record.versions.get_mut(version) else {
            return Err(overrides::wrong(
                &format!("{name}.yanked"),
                format!("the site holds no version {version} of {name}"),
                "correct the version, or remove it",
            ));
        };
        older.yanked = (!reason.is_empty()).then(|| reason.clone());
    }
    Ok(())
}

/// Forgets versions that are too old, and those that require a unit which is gone.
fn drop_versions(modules: &mut Modules, options: &Options) -> u64 {
    let names: BTreeSet<UnitName> = modules.0.keys().cloned().collect();
    let limit =
        options.drop_older_than.map(|days| options.clock.saturating_sub(days.saturating_mul(DAY)));
    let mut dropped = 0;
    for record in modules.0.values_mut() {
        let mut times: Vec<u64> = record.with_older().filter_map(|it| it.published).collect();
        times.sort_unstable();
        let replaced = |older: &Record| {
            let published = older.published.unwrap_or_default();
            times.iter().copied().find(|time| *time > published).unwrap_or(published)
        };
        let count = record.versions.len();
        record.versions.retain(|_, older| {
            let young = limit.is_none_or(|limit| replaced(older) >= limit);
            young && older.requires.iter().all(|required| names.contains(required))
        });
        dropped += (count - record.versions.len()) as u64;
    }
    dropped
}

/// Serials only grow, and follow the clock, so that two publishers of one site on
/// two machines do not meet by accident.
pub(super) fn next_serial(previous: &Previous, options: &Options) -> Result<u64> {
    let Some(serial) = previous.serial() else { return Ok(options.clock) };
    if !options.settings_epoch && serial > options.clock.saturating_add(DAY) {
        return Err(Error::new(
            Kind::Configuration,
            format!(
                "cannot publish: the serial {serial} of the output folder is more than a day ahead of this machine's clock ({})",
                options.clock
            ),
        )
        .expected(format!("at most {}", options.clock.saturating_add(DAY)))
        .got(serial.to_string())
        .hint("set the clock, or set SOURCE_DATE_EPOCH to a later time"));
    }
    Ok(options.clock.max(serial.saturating_add(1)))
}

/// `2026-11-21T01:45:52Z` of seconds since 1970 (RFC 3339).
pub(super) fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / DAY, seconds % DAY);
    // Years that begin in March, in cycles of 400 years (146,097 days).
    let shifted = days + 719_468;
    let (cycle, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + cycle * 400 + carry;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
