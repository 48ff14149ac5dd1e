//! Records in parts: above [`CATALOGUE_ABOVE`] units a client should not read all
//! records for one import. See `manifest/catalogue.rs` for the form.

use std::collections::BTreeSet;

use super::site::{Site, part_path};
use crate::error::{Error, Kind, Result};
use crate::manifest::{Catalogue, Modules, Table};
use crate::name::{Digest, Namespace};

/// Up to so many units all records stand in the manifest itself: there a record of one file is
/// some 330 bytes, and one import should not read more than 64 KB of metadata.
pub const CATALOGUE_ABOVE: usize = 150;

/// The folder of the parts.
const FOLDER: &str = "parts";
/// A digest in a table: 64 digits, quotes and a comma.
const DIGEST: usize = 67;
/// More leaves than this help nobody: their tables alone would be too large.
const MOST_BITS: u32 = 20;

/// A catalogue and the bytes of all its parts, by their sha256.
#[derive(Debug)]
pub struct Parts {
    /// What stands in the manifest.
    pub catalogue: Catalogue,
    /// Tables and leaves, which are to be written before it.
    pub parts: Vec<(Digest, Vec<u8>)>,
}

/// An entry of a leaf, with the first bits of its name's sha256.
struct Entry {
    word: u32,
    json: String,
}

/// Spreads the records over tables and leaves. Without need the `previous` bits
/// stay: others would give every part a new name.
pub fn split(modules: &Modules, previous: Option<[u8; 2]>) -> Result<Parts> {
    let mut entries = Vec::with_capacity(modules.0.len());
    for (name, record) in &modules.0 {
        let [a, b, c, d, ..] = *Digest::of(name.as_str().as_bytes()).as_bytes();
        let json = format!("{}:{}", to_json(name)?, to_json(record)?);
        entries.push(Entry { word: u32::from_be_bytes([a, b, c, d]), json });
    }
    entries.sort_by(|a, b| (a.word, &a.json).cmp(&(b.word, &b.json)));
    let bits = choose(&entries, previous);
    let count = u32::from(bits[0]) + u32::from(bits[1]);

    let mut parts = Vec::new();
    let mut tables: Vec<Option<Table>> = vec![None; 1 << bits[0]];
    for leaf in entries.chunk_by(|a, b| top(a.word, count) == top(b.word, count)) {
        let Some(first) = leaf.first() else { continue };
        let index = top(first.word, count) as usize;
        let records: Vec<&str> = leaf.iter().map(|entry| entry.json.as_str()).collect();
        let digest = keep(&mut parts, format!("{{\"modules\":{{{}}}}}\n", records.join(",")));
        let table = tables[index >> bits[1]].get_or_insert_with(|| vec![None; 1 << bits[1]]);
        table[index & ((1 << bits[1]) - 1)] = Some(digest);
    }
    let mut part = |table: Option<Table>| -> Result<Option<Digest>> {
        table.map(|table| Ok(keep(&mut parts, format!("{}\n", to_json(&table)?)))).transpose()
    };
    let tables = tables.into_iter().map(&mut part).collect::<Result<_>>()?;
    let (units, yanked) = (modules.0.len() as u64, modules.yanked());
    let catalogue = Catalogue { units, bits, parts: FOLDER.to_owned(), tables, yanked };
    Ok(Parts { catalogue, parts })
}

/// Adds a part, and says how it is called.
fn keep(parts: &mut Vec<(Digest, Vec<u8>)>, text: String) -> Digest {
    let digest = Digest::of(text.as_bytes());
    parts.push((digest, text.into_bytes()));
    digest
}

/// The first `count` bits.
fn top(word: u32, count: u32) -> u32 {
    word.checked_shr(32 - count).unwrap_or(0)
}

/// The bits with the fewest bytes for one import.
fn choose(entries: &[Entry], previous: Option<[u8; 2]>) -> [u8; 2] {
    let levels = |count: u32| [(count / 2) as u8, (count - count / 2) as u8];
    let best = (0..=MOST_BITS).map(levels).min_by_key(|bits| cost(entries, *bits));
    let best = best.unwrap_or([0, 0]);
    match previous {
        Some(bits) if cost(entries, bits) <= cost(entries, best) / 4 * 5 => bits,
        _ => best,
    }
}

/// What an import reads: both tables, and the leaf that 999 of 1,000 units do not exceed.
fn cost(entries: &[Entry], bits: [u8; 2]) -> usize {
    let count = u32::from(bits[0]) + u32::from(bits[1]);
    let mut leaves: Vec<(usize, usize)> = entries
        .chunk_by(|a, b| top(a.word, count) == top(b.word, count))
        .map(|leaf| (leaf.iter().map(|entry| entry.json.len() + 1).sum(), leaf.len()))
        .collect();
    leaves.sort_unstable_by_key(|leaf| std::cmp::Reverse(*leaf));
    let mut units = 0;
    let largest = leaves.iter().find(|(_, own)| {
        units += own;
        units > entries.len() / 1_000
    });
    ((1 << bits[0]) + (1 << bits[1])) * DIGEST + largest.map_or(0, |(bytes, _)| *bytes)
}

/// All records of a site's catalogue, and the paths of its parts.
pub(super) fn read(
    site: &Site,
    namespace: &Namespace,
    catalogue: &Catalogue,
) -> Result<(Modules, BTreeSet<String>)> {
    let mut modules = Modules::default();
    let mut paths = BTreeSet::new();
    for (number, table) in catalogue.tables.iter().enumerate() {
        let Some(digest) = table else { continue };
        let leaves = catalogue.parse_table(&part(site, catalogue, digest, &mut paths)?)?;
        for (leaf, digest) in leaves.iter().enumerate() {
            let Some(digest) = digest else { continue };
            let bytes = part(site, catalogue, digest, &mut paths)?;
            modules.0.extend(catalogue.parse_leaf(namespace, (number, leaf), &bytes)?.0);
        }
    }
    Ok((modules, paths))
}

fn part(
    site: &Site,
    catalogue: &Catalogue,
    digest: &Digest,
    paths: &mut BTreeSet<String>,
) -> Result<Vec<u8>> {
    let url = catalogue.url_of(digest);
    let bytes = site.read(&url)?.filter(|bytes| Digest::of(bytes) == *digest);
    paths.insert(part_path(digest));
    bytes.ok_or_else(|| Error::new(Kind::Manifest, format!("{url} is missing or damaged")))
}

fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| super::cannot_write(&error))
}
