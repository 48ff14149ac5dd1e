//! A lock that a manifest has in the place of units: what it means for an interpreter was found out
//! when it was published.
//!
//! ```json
//! "lock": {"url": "locks/3f….toml", "size": 812, "sha256": "3f…", "documents": [
//!   {"interpreter": "cpython-312-x86_64-linux-gnu", "platform": "linux-x86_64",
//!    "system": {"name": "glibc", "major": 2, "minor": 17},
//!    "url": "locks/9a….json.zst", "size": 4096, "sha256": "9a…",
//!    "packed": {"url": "locks/c0….json.zst", "size": 5120, "sha256": "c0…"}}]}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::object::{Object, objects};
use crate::name::{Digest, UrlText};

/// A lock, and what it means for whom.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublishedLock {
    /// The `pylock.toml` as its author has it.
    #[serde(flatten)]
    pub text: Part,
    /// One for each kind of interpreter that published it.
    #[serde(deserialize_with = "objects")]
    pub documents: Vec<PublishedDocument>,
}

/// Bytes that lie beside the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Relative to the manifest.
    pub url: UrlText,
    /// In bytes.
    pub size: u64,
    /// Names them.
    pub sha256: Digest,
}

/// What a lock means for one kind of interpreter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublishedDocument {
    /// What the names of its own extension modules end in.
    pub interpreter: String,
    /// The system, and the machine.
    pub platform: String,
    /// The oldest system library that its wheels run with.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub system: Option<System>,
    /// What markers of the lock or of its wheels compare, beyond what the interpreter and the
    /// platform say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub markers: BTreeMap<String, String>,
    /// The document.
    #[serde(flatten)]
    pub part: Part,
    /// The same with wheels in two parts, of which the first is what scripts use.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "object")]
    pub packed: Option<Part>,
}

/// A library that all others stand on, or a system, and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct System {
    /// `glibc` or `macos`.
    pub name: String,
    /// Of its version.
    pub major: u32,
    /// Of its version.
    pub minor: u32,
}

/// What an interpreter says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// As a document has it.
    pub interpreter: String,
    /// As a document has it.
    pub platform: String,
    /// The one that runs here, if that is known.
    pub system: Option<System>,
    /// The values of markers that a document may name.
    pub markers: BTreeMap<String, String>,
}

impl PublishedDocument {
    /// True if it says what the lock means for that interpreter.
    pub fn fits(&self, facts: &Facts) -> bool {
        let is_new_enough = |needed: &System| {
            facts.system.as_ref().is_some_and(|here| {
                here.name == needed.name && (here.major, here.minor) >= (needed.major, needed.minor)
            })
        };
        self.interpreter == facts.interpreter
            && self.platform == facts.platform
            && self.system.as_ref().is_none_or(is_new_enough)
            && self.markers.iter().all(|(name, value)| facts.markers.get(name) == Some(value))
    }
}

impl PublishedLock {
    /// All that it names, beside the wheels.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        let documents = self.documents.iter();
        std::iter::once(&self.text)
            .chain(documents.flat_map(|it| std::iter::once(&it.part).chain(&it.packed)))
    }
}

fn object<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(deserializer)?.map(|it| it.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_for_interpreters_that_it_fits() {
        let system = |minor| Some(System { name: "glibc".into(), major: 2, minor });
        let facts = Facts {
            interpreter: "cpython-312-x86_64-linux-gnu".into(),
            platform: "linux-x86_64".into(),
            system: system(28),
            markers: [("python_full_version".to_owned(), "3.12.1".to_owned())].into(),
        };
        let part = Part { url: UrlText::new("locks/x"), size: 1, sha256: Digest::of(b"") };
        let document = PublishedDocument {
            interpreter: facts.interpreter.clone(),
            platform: facts.platform.clone(),
            system: None,
            markers: BTreeMap::new(),
            part,
            packed: None,
        };
        assert!(document.fits(&facts));
        let with = |change: &dyn Fn(&mut PublishedDocument)| {
            let mut other = document.clone();
            change(&mut other);
            other.fits(&facts)
        };
        assert!(with(&|it| it.system = system(28)));
        assert!(!with(&|it| it.system = system(34)));
        assert!(!with(&|it| it.system = Some(System { name: "macos".into(), major: 1, minor: 0 })));
        assert!(!with(&|it| it.platform = "linux-aarch64".into()));
        assert!(!with(&|it| it.interpreter = "cpython-313-x86_64-linux-gnu".into()));
        let marker = |value: &str| {
            with(&|it| {
                it.markers.insert("python_full_version".to_owned(), value.to_owned());
            })
        };
        assert!(marker("3.12.1"));
        assert!(!marker("3.12.4"));
        assert!(!with(&|it| {
            it.markers.insert("platform_release".to_owned(), "6".to_owned());
        }));
    }
}
