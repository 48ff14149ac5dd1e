//! `magic-module.toml` in SRC: sets or overrides any field of a record.
//!
//! ```toml
//! max_age = 86400                  # of the document
//! units = ["beta.deep"]            # submodules and subpackages that are units of their own
//!
//! [alpha]
//! version = "1.2.0"
//! lazy = ["*.bin"]
//! variants = [{ tag = "cp310-abi3-manylinux_2_17_x86_64", folder = "variants/linux" }]
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

use super::unreadable;
use crate::error::{Error, Kind, Result};
use crate::name::{FilePath, UnitName, Version};

pub(super) const FILE_NAME: &str = "magic-module.toml";

#[derive(Debug, Default)]
pub(super) struct Overrides {
    pub max_age: Option<u64>,
    pub units: BTreeSet<UnitName>,
    pub records: BTreeMap<UnitName, RecordOverrides>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordOverrides {
    pub version: Option<Version>,
    pub summary: Option<String>,
    pub requires_python: Option<String>,
    pub dependencies: Option<Vec<String>>,
    pub requires: Option<BTreeSet<UnitName>>,
    pub yanked: Option<Yanked>,
    /// Globs below the unit's folder; for a module, names of the files beside it.
    #[serde(default)]
    pub lazy: Vec<String>,
    #[serde(default)]
    pub variants: Vec<VariantOverrides>,
}

/// A reason for the version that SRC holds, or reasons by version; an empty
/// reason takes an earlier one back.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Yanked {
    This(String),
    Versions(BTreeMap<Version, String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VariantOverrides {
    pub tag: String,
    /// Below SRC, shaped like SRC.
    pub folder: FilePath,
}

impl Overrides {
    pub fn variant_folders(&self) -> impl Iterator<Item = &str> {
        self.records.values().flat_map(|record| &record.variants).map(|it| it.folder.as_str())
    }
}

pub(super) fn read(root: &Path) -> Result<Overrides> {
    let path = root.join(FILE_NAME);
    let text = match fs_err::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Overrides::default()),
        Err(error) => return Err(unreadable(FILE_NAME, &error)),
    };
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
        wrong(&format!("line {line}"), error.message(), "correct the line")
    })?;
    let mut overrides = Overrides::default();
    for (key, value) in table {
        match (key.as_str(), &value) {
            ("max_age", toml::Value::Integer(_)) => overrides.max_age = Some(parse(&key, value)?),
            ("units", toml::Value::Array(_)) => overrides.units = parse(&key, value)?,
            (_, toml::Value::Table(inner)) => {
                let name = UnitName::new(&key)
                    .map_err(|why| wrong(&key, why, "name the table like a unit"))?;
                nested(&key, inner)?;
                overrides.records.insert(name, parse(&key, value)?);
            }
            _ => {
                let why = "the document knows only `max_age`, `units` and one table for each unit";
                return Err(wrong(&key, why, "correct the key, or move it into a unit's table"));
            }
        }
    }
    check(&overrides)?;
    Ok(overrides)
}

fn check(overrides: &Overrides) -> Result<()> {
    for (name, record) in &overrides.records {
        for (index, VariantOverrides { tag, .. }) in record.variants.iter().enumerate() {
            let place = format!("{name}.variants[{index}].tag");
            let parts: Vec<&str> = tag.split('-').collect();
            if parts.len() != 3 || parts.contains(&"") {
                let why = format!("{tag:?} is not a wheel tag of three parts");
                return Err(wrong(&place, why, "write it like cp310-abi3-manylinux_2_17_x86_64"));
            }
            if record.variants[..index].iter().any(|other| other.tag == *tag) {
                return Err(wrong(
                    &place,
                    format!("{tag} appears here twice"),
                    "remove one of them",
                ));
            }
        }
    }
    Ok(())
}

/// `[a.b]` is table `b` in table `a` for TOML; the author meant unit `a.b`.
fn nested(key: &str, table: &toml::Table) -> Result<()> {
    let inner = table.iter().find(|(inner, value)| value.is_table() && *inner != "yanked");
    let Some((inner, _)) = inner else { return Ok(()) };
    let hint = format!("for the unit {key}.{inner} write [\"{key}.{inner}\"]");
    Err(wrong(&format!("{key}.{inner}"), "a record has no such table", &hint))
}

fn parse<T: serde::de::DeserializeOwned>(key: &str, value: toml::Value) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let place = match error.path().to_string().as_str() {
            "." => key.to_owned(),
            inner if inner.starts_with('[') => format!("{key}{inner}"),
            inner => format!("{key}.{inner}"),
        };
        wrong(&place, error.inner().message(), "correct it, or remove it")
    })
}

/// An error at a place of the file.
pub(super) fn wrong(place: &str, why: impl std::fmt::Display, hint: &str) -> Error {
    Error::new(Kind::Configuration, format!("{FILE_NAME} is wrong at {place}: {why}"))
        .path(place)
        .hint(hint)
}
