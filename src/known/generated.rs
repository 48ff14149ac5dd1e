//! The generated table: which of the most downloaded distributions have a top-level name.
//!
//! ```text
//! lines, sorted    name ─ tab ─ owners, the likeliest first; without any: the name with dashes for underscores
//!                  a star behind the name: it is popular
//! then, behind an empty line, the distributions whose names of import nobody could list
//! ```
//!
//! Kept as `zlib` compresses it, and inflated once.

use std::collections::HashSet;
use std::io::Read as _;
use std::sync::OnceLock;

use flate2::read::ZlibDecoder;

use super::{Confidence, Known, Source};

static PACKED: &[u8] = include_bytes!("generated.tsv.zlib");

/// The table, as it is asked.
pub struct Table {
    names: Vec<&'static str>,
    unlisted: Vec<&'static str>,
    distributions: OnceLock<HashSet<String>>,
}

/// What is inflated at the first call, and kept.
pub fn table() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    static TEXT: OnceLock<String> = OnceLock::new();
    TABLE.get_or_init(|| {
        let text = TEXT.get_or_init(|| {
            let mut text = String::new();
            // A table that is not whole is caught by the tests; nobody's program ends for it.
            let _ = ZlibDecoder::new(PACKED).read_to_string(&mut text);
            text
        });
        let (names, unlisted) = text.split_once("\n\n").unwrap_or((text, ""));
        Table {
            names: names.lines().collect(),
            unlisted: unlisted.lines().collect(),
            distributions: OnceLock::new(),
        }
    })
}

impl Table {
    /// What has the name; of names that several share, what is called like all of it.
    pub fn find(&self, import: &str) -> Option<Known> {
        let top = import.split('.').next()?;
        let owners = self.owners(top)?;
        let named = dashed_prefixes(import)
            .find(|(prefix, dashed)| prefix.contains('.') && owners.contains(dashed));
        let (prefix, owner) = match named {
            Some((prefix, dashed)) => (prefix, dashed),
            None => (top, owners.first()?.clone()),
        };
        let mut known =
            Known::new(prefix, Some(owner.clone()), Confidence::Table, Source::Generated);
        // Of a namespace that many share, the others are not alternatives.
        if owners.len() <= 4 {
            known.alternatives = owners.into_iter().filter(|other| *other != owner).collect();
        }
        Some(known)
    }

    /// Who has a top-level name, the likeliest first.
    fn owners(&self, top: &str) -> Option<Vec<String>> {
        let at = self.names.binary_search_by(|line| name_of(line).cmp(top)).ok()?;
        self.names.get(at).map(|line| owners_of(line))
    }

    /// True if a distribution of that name is among the most downloaded ones.
    pub fn is_distribution(&self, name: &str) -> bool {
        let all = self.distributions.get_or_init(|| {
            let unlisted = self.unlisted.iter().map(|name| (*name).to_owned());
            self.names.iter().flat_map(|line| owners_of(line)).chain(unlisted).collect()
        });
        all.contains(&super::normalized(name))
    }

    /// The names that many programs import.
    pub fn popular(&self) -> impl Iterator<Item = &'static str> {
        let star =
            |line: &&'static str| line.split('\t').next().and_then(|name| name.strip_suffix('*'));
        self.names.iter().filter_map(star)
    }
}

fn name_of(line: &'static str) -> &'static str {
    line.split('\t').next().unwrap_or(line).trim_end_matches('*')
}

fn owners_of(line: &'static str) -> Vec<String> {
    match line.split_once('\t') {
        None => vec![name_of(line).replace('_', "-").to_lowercase()],
        Some((_, owners)) => owners.split(' ').map(str::to_owned).collect(),
    }
}

/// `a.b.c`, `a.b`: each with the distribution that is called like it, the longest first.
fn dashed_prefixes(import: &str) -> impl Iterator<Item = (&str, String)> {
    let ends = import.match_indices('.').map(|(at, _)| at).chain([import.len()]);
    let ends: Vec<usize> = ends.collect();
    ends.into_iter().rev().map(|end| {
        let prefix = &import[..end];
        (prefix, prefix.replace(['.', '_'], "-").to_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole_and_sorted() {
        let table = table();
        assert!(table.names.len() > 13_000, "{}", table.names.len());
        assert!(table.names.is_sorted_by(|one, two| name_of(one) < name_of(two)));
        assert!(table.unlisted.is_sorted());
        assert!(table.popular().count() > 1000);
    }

    #[test]
    fn owners_are_found_by_name() {
        let known = table().find("yaml").unwrap();
        assert_eq!(known.distribution.as_deref(), Some("pyyaml"));
        assert_eq!(table().find("jwt").unwrap().alternatives, ["jwt"]);
        assert_eq!(table().find("tests"), None, "a folder that many ship by mistake is not a name");
    }
}
