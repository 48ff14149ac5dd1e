//! Large catalogues: two levels of content-addressed parts instead of `modules`.
//!
//! ```text
//! manifest.json   catalogue.tables  [digest, …]      2^bits[0] tables
//!   table         [digest, …]                        2^bits[1] leaves each
//!     leaf        {"modules": {name: record, …}}
//! ```
//!
//! A unit's leaf follows from the sha256 of its name: the first `bits[0]` bits
//! choose the table, the next `bits[1]` the leaf. An import reads one of each:
//! three requests, whatever the number of units. A part is served as
//! `<parts>/<sha256>.json` and verified like every artifact; `null` stands for
//! a part that holds nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::object::Object;
use super::{Modules, check, cost, from_json, place_of, wrong};
use crate::error::Result;
use crate::name::{Digest, Namespace, UnitName, Version};

/// What a manifest with too many units for one document has in place of `modules`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Catalogue {
    /// How many units there are, for people.
    pub units: u64,
    /// Bits of the name's sha256 that choose a table, and a leaf in it: 0 to 12 each.
    pub bits: [u8; 2],
    /// The folder of the parts, relative to the manifest.
    pub parts: String,
    /// By the first bits of a name's sha256; `None` where no unit has them.
    pub tables: Vec<Option<Digest>>,
    /// Reasons of the versions that were taken back: who has one in use reads no part for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub yanked: BTreeMap<UnitName, BTreeMap<Version, String>>,
}

/// The digests of the leaves of one table.
pub type Table = Vec<Option<Digest>>;

/// Some of the records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leaf {
    /// Those whose names choose this leaf.
    pub modules: Modules,
}

impl Catalogue {
    pub(crate) const MAX_BITS: u8 = 12;

    pub(super) fn check(&self) -> Result<()> {
        if self.bits.iter().any(|bits| *bits > Self::MAX_BITS) {
            return Err(wrong("catalogue.bits", "at most 12 bits may choose a part"));
        }
        self.check_number("tables", 0, &self.tables)
    }

    fn check_number(&self, what: &str, level: usize, digests: &Table) -> Result<()> {
        let (expected, got) = (1_usize << self.bits[level], digests.len());
        if got == expected {
            return Ok(());
        }
        let why = format!("the number of {what} is not two to the power of bits[{level}]");
        let error = wrong("catalogue.tables", why);
        Err(error.expected(expected.to_string()).got(got.to_string()))
    }

    /// The table of a unit, and the leaf in that table.
    pub fn slot(&self, unit: &str) -> (usize, usize) {
        let digest = Digest::of(unit.as_bytes());
        let [a, b, c, d, ..] = *digest.as_bytes();
        let word = u32::from_be_bytes([a, b, c, d]);
        let table = word.checked_shr(32 - u32::from(self.bits[0])).unwrap_or(0);
        let rest = word << u32::from(self.bits[0]);
        let leaf = rest.checked_shr(32 - u32::from(self.bits[1])).unwrap_or(0);
        (table as usize, leaf as usize)
    }

    /// Where a part is, relative to the manifest.
    pub fn url_of(&self, part: &Digest) -> String {
        format!("{}/{part}.json", self.parts.trim_end_matches('/'))
    }

    /// Reads the digests of a table's leaves; their number must be that of `bits`.
    pub fn parse_table(&self, bytes: &[u8]) -> Result<Table> {
        cost::check(bytes)?;
        let table: Table = from_json(bytes)?;
        self.check_number("leaves", 1, &table)?;
        Ok(table)
    }

    /// Parses the leaf of a slot: a record in the wrong leaf would never be found again.
    pub fn parse_leaf(
        &self,
        namespace: &Namespace,
        slot: (usize, usize),
        bytes: &[u8],
    ) -> Result<Modules> {
        cost::check(bytes)?;
        let Object(leaf): Object<Leaf> = from_json(bytes)?;
        // Whether it needs `paths` stands in the manifest, which is not at hand.
        check::records(namespace, &leaf.modules, check::Forms::Any)?;
        match leaf.modules.0.keys().find(|name| self.slot(name.as_str()) != slot) {
            Some(stray) => {
                Err(wrong(place_of(stray), "is in a leaf that its name does not choose"))
            }
            None => Ok(leaf.modules),
        }
    }
}
