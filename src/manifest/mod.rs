//! Manifest version 1: parsed into types that cannot hold a bad name, digest or path.
//!
//! ```text
//! bytes ─ parse ─▶ Manifest ─┬─ Body::Modules    every record in the document
//!                            └─ Body::Catalogue  two levels of content-addressed parts
//! ```
//!
//! serde checks each value where it stands, `check` what holds between values.
//! Every error names the place in the document: `modules.alpha.files[1].sha256: …`.

mod catalogue;
mod check;
mod cost;
mod lock;
mod object;
mod record;
mod time;

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use catalogue::{Catalogue, Table};
pub use check::{Territory, owner_rule};
pub use lock::{Facts, Part, PublishedDocument, PublishedLock, System};
use object::Object;
pub use record::{File, Modules, Pack, PackFormat, Place, Record, Variant, listed, tree_digest};
pub use time::rfc3339;

use crate::error::{Error, Kind, Result};
use crate::name::{Namespace, UnitName};

/// The `manifest` numbers and `needs` features that this version understands.
pub const FORMAT: u64 = 1;
const FEATURES: &[&str] = &["packs", "variants", "versions", "lazy", "catalogue", PATHS, LOCK];

/// Paths of data may be in any Unicode normal form.
pub const PATHS: &str = "paths";

/// The document has a lock, and no units.
pub const LOCK: &str = "lock";

/// The largest manifest that is read, in bytes.
pub const SIZE_LIMIT: u64 = 32 << 20;

/// The document behind a manifest URL.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Manifest {
    /// The format, [`FORMAT`].
    pub manifest: u64,
    /// What stands before the units' names; the mount's must be the same.
    pub namespace: Namespace,
    /// Grows with every change; a lower one than was seen is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<u64>,
    /// RFC 3339, for people and for `max_age`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Seconds after `created` in which the document counts as fresh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
    /// Features that a reader must know, or refuse the document.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// The units.
    #[serde(flatten)]
    pub body: Body,
    /// A lock in their place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<PublishedLock>,
}

/// Where the records are.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// In this document.
    Modules(Modules),
    /// In parts of their own, which this names.
    Catalogue(Catalogue),
}

/// What is read before anything else, so that a document of a later format gets
/// an error that says so instead of one about its fields.
#[derive(Deserialize)]
struct Head {
    manifest: u64,
    #[serde(default)]
    needs: Vec<String>,
}

#[derive(Deserialize)]
struct Document {
    namespace: Namespace,
    serial: Option<u64>,
    created: Option<String>,
    max_age: Option<u64>,
    modules: Option<Modules>,
    catalogue: Option<Object<Catalogue>>,
    lock: Option<Object<PublishedLock>>,
}

impl Manifest {
    /// Parses and checks a whole document.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        cost::check(bytes)?;
        let Object(head): Object<Head> = from_json(bytes)?;
        if head.manifest != FORMAT {
            return Err(wrong("manifest", format_args!("format {} is not known", head.manifest))
                .expected(FORMAT.to_string())
                .got(head.manifest.to_string())
                .hint("upgrade magic_module (`pip install -U magic_module`)"));
        }
        if let Some(unknown) = head.needs.iter().find(|need| !FEATURES.contains(&need.as_str())) {
            const OWN: &str = env!("CARGO_PKG_VERSION");
            let why = format!("feature {unknown:?} is not known to magic_module {OWN}");
            return Err(wrong("needs", why).got(unknown.clone()).hint(format!(
                "install the version that knows it (`pip install -U \"magic_module>{OWN}\"`)"
            )));
        }
        let Object(document): Object<Document> = from_json(bytes)?;
        let body = match (document.modules, document.catalogue) {
            (Some(modules), None) => Body::Modules(modules),
            (None, Some(catalogue)) => Body::Catalogue(catalogue.0),
            (None, None) => return Err(wrong("modules", "missing field")),
            (Some(_), Some(_)) => {
                return Err(wrong(
                    "catalogue",
                    "appears beside `modules`, but only one of them is allowed",
                ));
            }
        };
        let manifest = Self {
            manifest: FORMAT,
            namespace: document.namespace,
            serial: document.serial,
            created: document.created,
            max_age: document.max_age,
            needs: head.needs,
            body,
            lock: document.lock.map(|lock| lock.0),
        };
        check::manifest(&manifest)?;
        Ok(manifest)
    }

    /// When it stops counting as fresh, in seconds since 1970.
    pub fn expires(&self) -> Option<u64> {
        let created = time::parse_rfc3339(self.created.as_deref()?)?;
        Some(created.saturating_add(self.max_age?))
    }

    /// The records, where all of them are in the document itself.
    pub fn modules(&self) -> Option<&Modules> {
        match &self.body {
            Body::Modules(modules) => Some(modules),
            Body::Catalogue(_) => None,
        }
    }
}

/// Parses JSON; an error names the place in the document.
pub(crate) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    // Some editors begin a file with a mark that says nothing of UTF-8.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Some(encoding) = other_encoding(bytes) {
        return Err(Error::new(Kind::Manifest, format!("the manifest is {encoding}, not UTF-8"))
            .expected("UTF-8")
            .got(encoding)
            .hint("ask its author to save it as UTF-8 and publish it again"));
    }
    let start = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if start.is_some_and(|byte| *byte == b'<') {
        return Err(Error::new(Kind::Manifest, "the manifest is not JSON but looks like HTML")
            .hint("check that MAGIC_MODULE_MANIFEST_URL names the manifest.json itself"));
    }
    let no_json = |error: &serde_json::Error| {
        Error::new(Kind::Manifest, "the manifest is not valid JSON").caused_by(error)
    };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        if !error.inner().is_data() {
            return no_json(error.inner());
        }
        let place = error.path().to_string();
        // serde_json appends " at line 1 column 80"; the document path says it better.
        let why = error.inner().to_string();
        let why = why.split(" at line ").next().unwrap_or(&why);
        wrong(if place == "." { "the document" } else { &place }, why)
    })?;
    reader.end().map_err(|error| no_json(&error))?;
    Ok(value)
}

/// JSON begins with two ASCII characters: where their zero bytes stand tells the encoding
/// (<https://www.rfc-editor.org/rfc/rfc4627#section-3>), as a byte-order mark does.
fn other_encoding(bytes: &[u8]) -> Option<&'static str> {
    match *bytes {
        [0xff, 0xfe, 0, 0, ..] | [_, 0, 0, 0, ..] => Some("UTF-32LE"),
        [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, _, ..] => Some("UTF-32BE"),
        [0xff, 0xfe, ..] | [1..=127, 0, ..] => Some("UTF-16LE"),
        [0xfe, 0xff, ..] | [0, 1..=127, ..] => Some("UTF-16BE"),
        _ => None,
    }
}

/// An error at a place of the document.
pub(crate) fn wrong(place: impl fmt::Display, why: impl fmt::Display) -> Error {
    let message = format!("the manifest is wrong at {place}: {why}");
    Error::new(Kind::Manifest, message).path(place.to_string())
}

/// `modules.alpha`; the dots of a name stand as they are.
pub(crate) fn place_of(unit: &UnitName) -> String {
    format!("modules.{unit}")
}

#[cfg(test)]
mod tests;
