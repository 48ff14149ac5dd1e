//! The table that people reviewed, `reviewed.toml`: what the metadata of wheels cannot tell, such as
//! which of several distributions is meant, what the operating system must have, and who has a
//! dotted name.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::generated::table;
use super::{Confidence, Known, Source};

static TEXT: &str = include_str!("reviewed.toml");

/// An entry of the file, which says at its head what each key means.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    distribution: String,
    requirement: Option<String>,
    #[serde(default)]
    alternatives: Vec<String>,
    #[serde(default)]
    extras: BTreeMap<String, String>,
    #[serde(default)]
    indexes: BTreeMap<String, String>,
    #[serde(default)]
    system: BTreeMap<String, String>,
    note: Option<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "for those who check the table"))]
    seen: String,
}

/// A file that cannot be read is caught by the tests; nobody's program ends for it.
fn entries() -> &'static BTreeMap<String, Entry> {
    static ENTRIES: OnceLock<BTreeMap<String, Entry>> = OnceLock::new();
    ENTRIES.get_or_init(|| toml::from_str(TEXT).unwrap_or_default())
}

/// Every name of the table.
pub fn names() -> impl Iterator<Item = &'static str> {
    entries().keys().map(String::as_str)
}

/// What the table says of the name, or of the longest part of it that it has.
pub fn find(import: &str) -> Option<Known> {
    let mut prefix = import;
    loop {
        if let Some(known) = entries().get(prefix).and_then(|it| it.known(import, prefix)) {
            return Some(known);
        }
        prefix = prefix.rsplit_once('.')?.0;
    }
}

impl Entry {
    fn known(&self, import: &str, prefix: &str) -> Option<Known> {
        let found = |name: &str, distribution| {
            Known::new(name, distribution, Confidence::Table, Source::Reviewed)
        };
        let mut known = match self.distribution.strip_suffix('*') {
            Some(beginning) => {
                let (name, distribution) = member(beginning, import, prefix)?;
                found(&name, Some(distribution))
            }
            None if self.distribution.is_empty() => found(prefix, None),
            None => found(prefix, Some(self.distribution.clone())),
        };
        known.requirement = self.requirement.clone().or(known.requirement);
        known.alternatives.clone_from(&self.alternatives);
        known.extras.clone_from(&self.extras);
        known.indexes.clone_from(&self.indexes);
        known.system.clone_from(&self.system);
        known.note.clone_from(&self.note);
        Some(known)
    }
}

/// The distribution of a family, `apache-airflow-providers-*`, that is called like the longest
/// run of words behind the prefix.
fn member(beginning: &str, import: &str, prefix: &str) -> Option<(String, String)> {
    let rest = import.strip_prefix(prefix)?.strip_prefix('.')?;
    let words: Vec<&str> = rest.split('.').collect();
    (1..=words.len()).rev().find_map(|count| {
        let words = &words[..count];
        let distribution = format!("{beginning}{}", words.join("-").replace('_', "-"));
        let name = format!("{prefix}.{}", words.join("."));
        table().is_distribution(&distribution).then_some((name, distribution))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_can_be_read_and_names_what_shows_each_entry() {
        let read: BTreeMap<String, Entry> = toml::from_str(TEXT).unwrap();
        assert!(read.values().all(|entry| !entry.seen.is_empty()));
    }
}
