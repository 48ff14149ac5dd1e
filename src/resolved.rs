//! What a lock means for one interpreter: its wheels, and which of them owns which path.
//!
//! ```text
//! pylock.toml ─ chosen wheels ─ their contents ─▶ Resolved ─▶ index, records, view
//! ```
//!
//! An owned path is a file or a whole folder that one wheel fills; the folders above it are
//! shared. So the owned paths are the links of a view, and the index of the names that can be
//! imported, in one.

mod knots;
mod optional;
mod owners;
mod parts;
mod start;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::manifest::Pack;
use crate::name::{Digest, UnitName, UrlText, Version};
use crate::wheel::Scheme;

pub use knots::{Groups, is_library, joined, knots};
pub use optional::{ByName, Optional};
pub use owners::{FileEntry, Owner, Owners, WRITTEN};
pub use parts::Parts;
pub use start::{Start, StartFile, runs_at_start};

/// The wheels of a lock, for one interpreter and platform.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    /// Where its trees and its view keep what.
    pub scheme: Scheme,
    /// By the name that the engine gives them, which is an identifier.
    pub units: BTreeMap<UnitName, Distribution>,
    /// Who owns which path.
    pub owners: Owners,
    /// Folders that are put on the path as they lie: those of projects that are worked on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub editable: Vec<String>,
    /// The projects by their folders, each with the digest of its `pyproject.toml`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub projects: BTreeMap<String, Digest>,
    /// Units that cannot live apart, as far as that is known before they are unpacked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub knots: Groups,
    /// What optional imports of single units do.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub optional: ByName,
    /// What wheels have an interpreter do when it starts.
    #[serde(default, skip_serializing_if = "Start::is_empty")]
    pub start: Start,
    /// Code of units that was published with them; what a lock means where it lies has none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub code: BTreeMap<UnitName, Vec<Pack>>,
    /// What units consist of that were published in two parts; all others are whole wheels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub packs: BTreeMap<UnitName, Vec<Pack>>,
}

/// One wheel of a lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// As its author writes it: `ruamel.yaml`.
    pub name: String,
    /// As its author writes it.
    pub version: Version,
    /// Of the wheel; absolute.
    pub url: UrlText,
    /// Of the wheel, in bytes.
    pub size: u64,
    /// Of the wheel.
    pub sha256: Digest,
    /// The tree that it becomes.
    pub tree: Digest,
    /// What comes with it: its requirements, as far as the markers ask for them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub requires: BTreeSet<UnitName>,
}
