//! What the site held before, and what of it stays.
//!
//! A record that SRC changes moves to the `versions` of its successor, so that
//! those who pinned it or hold the old manifest keep it. `--drop-older-than DAYS`
//! counts from the day on which a version was *replaced*: it may have been the
//! newest for years until then.

use std::collections::{BTreeMap, BTreeSet};

use super::overrides::{self, Overrides, Yanked};
use super::site::{MANIFEST, Site};
use super::{DAY, Options, catalogue};
use crate::error::{Error, Kind, Result};
use crate::manifest::{Body, Manifest, Modules, Record};
use crate::name::{Namespace, UnitName, Version};

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
        let what = format!("cannot publish namespace {new:?}: the output folder serves {old:?}");
        return Err(Error::new(Kind::Configuration, what)
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

/// Adds the older versions that stay to the records of SRC, and tells how many do not.
pub(super) fn merge(
    previous: &Previous,
    records: &mut Modules,
    overrides: &Overrides,
    options: &Options,
) -> Result<u64> {
    for (name, record) in &mut records.0 {
        add_older(previous.record(name), record, options.clock);
        let yanked = overrides.records.get(name).and_then(|it| it.yanked.as_ref());
        if let Some(Yanked::Versions(reasons)) = yanked {
            yank(name, record, reasons)?;
        }
    }
    Ok(drop_versions(records, options))
}

/// Equal but for what the site itself adds.
pub(super) fn same(before: &Record, after: &Record) -> bool {
    let bare = |it: &Record| Record { versions: BTreeMap::new(), published: None, ..it.clone() };
    bare(before) == bare(after)
}

/// Gives a record those that came before it; what did not change stays as it is.
fn add_older(before: Option<&Record>, record: &mut Record, clock: u64) {
    record.published = Some(clock);
    let Some(before) = before else { return };
    if same(before, record) {
        *record = before.clone();
        return;
    }
    record.versions = before.versions.clone();
    let published = before.published.or(record.published);
    if before.version != record.version {
        let older = Record { versions: BTreeMap::new(), published, ..before.clone() };
        record.versions.insert(before.version.clone(), Box::new(older));
        record.versions.remove(&record.version);
    } else if before.tree_digest() == record.tree_digest() {
        // A summary or a yank makes no new version.
        record.published = published;
    }
}

fn yank(name: &UnitName, record: &mut Record, reasons: &BTreeMap<Version, String>) -> Result<()> {
    for (version, reason) in reasons.iter().filter(|(version, _)| **version != record.version) {
        let Some(older) = record.versions.get_mut(version) else {
            let why = format!("the site holds no version {version} of {name}");
            let hint = "correct the version, or remove it";
            return Err(overrides::wrong(&format!("{name}.yanked"), why, hint));
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
pub(super) fn next_serial(previous: Option<u64>, options: &Options) -> Result<u64> {
    let Some(serial) = previous else { return Ok(options.clock) };
    let latest = options.clock.saturating_add(DAY);
    if !options.settings_epoch && serial > latest {
        let what = format!(
            "cannot publish: the serial {serial} of the output folder is more than a day ahead of this machine's clock ({})",
            options.clock
        );
        return Err(Error::new(Kind::Configuration, what)
            .expected(format!("at most {latest}"))
            .got(serial.to_string())
            .hint("set the clock, or set SOURCE_DATE_EPOCH to a later time"));
    }
    Ok(options.clock.max(serial.saturating_add(1)))
}
