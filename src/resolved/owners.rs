//! Which wheel owns which path below the prefix.
//!
//! ```text
//! a: site/google/api/x.py ┐  site/google       shared: a real folder of a view
//! b: site/google/auth/y.py├▶ site/google/api   owned by a: one link
//! b: site/six.py          ┘  site/google/auth  owned by b: one link
//!                            site/six.py       owned by b: one link
//! ```
//!
//! Shared folders are not written down: they are what is above the owned paths. The folders of
//! the scheme and those of metadata are shared whatever is in them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::name::{BadName, Digest, FilePath, UnitName, parents};
use crate::wheel::{Contents, Scheme};

/// What stands directly in a folder of metadata and is written by whoever makes the environment.
pub const WRITTEN: [&str; 7] =
    ["METADATA", "WHEEL", "RECORD", "INSTALLER", "REQUESTED", "entry_points.txt", "top_level.txt"];

/// Which wheel owns which path below the prefix.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Owners {
    /// Files and whole folders that one wheel fills; none lies below another.
    pub paths: BTreeMap<FilePath, UnitName>,
    /// What several wheels bring in different bytes, or as a file and as a folder, each with its
    /// units in the order of the lock.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub disputed: BTreeMap<FilePath, Vec<UnitName>>,
}

/// Who has a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'a> {
    /// It is an owned path, or lies below one.
    Unit(&'a UnitName),
    /// It is a folder above owned paths.
    Shared,
    /// Several wheels want to be it, or what it lies below.
    Disputed(&'a [UnitName]),
}

/// A file of a wheel, where an installer puts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Below the prefix.
    pub path: FilePath,
    /// Of its bytes.
    pub sha256: Digest,
}

impl FileEntry {
    /// All files of a wheel.
    pub fn of(contents: &Contents, scheme: &Scheme) -> Result<Vec<Self>, BadName> {
        let files = contents.files.iter();
        files
            .map(|file| {
                Ok(Self { path: contents.place(scheme, &file.entry)?, sha256: file.sha256 })
            })
            .collect()
    }
}

impl Owners {
    /// Takes the units in the order of the lock. Of those that have the same bytes at a path the
    /// first owns it; of those that differ, the last, unless it is code: that is disputed.
    pub fn of(scheme: &Scheme, units: &[(UnitName, Vec<FileEntry>)]) -> Self {
        let fixed = Fixed::new(scheme);
        let mut wanted: BTreeMap<&str, Vec<(usize, &FileEntry)>> = BTreeMap::new();
        for (unit, (_, files)) in units.iter().enumerate() {
            for file in files.iter().filter(|file| !fixed.is_made(file.path.as_str())) {
                wanted.entry(file.path.as_str()).or_default().push((unit, file));
            }
        }
        let blocked = blocked(&wanted);
        let mut disputes: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        let mut owned: Vec<(&FilePath, usize)> = Vec::new();
        for (path, wanting) in &wanted {
            let all = wanting.iter().map(|(unit, _)| *unit);
            let whole = std::iter::once(*path).chain(parents(path));
            if let Some(top) = whole.filter(|above| blocked.contains(above)).last() {
                disputes.entry(top).or_default().extend(all);
                continue;
            }
            let (Some((first, file)), Some((last, _))) = (wanting.first(), wanting.last()) else {
                continue;
            };
            let same = wanting.iter().all(|(_, other)| other.sha256 == file.sha256);
            if !same && file.path.is_code() {
                disputes.entry(path).or_default().extend(all);
            } else {
                owned.push((&file.path, if same { *first } else { *last }));
            }
        }
        let alone = filled_alone(&owned, disputes.keys().copied(), &fixed);
        let name = |unit: usize| units[unit].0.clone();
        let tops = owned.iter().map(|(path, unit)| {
            let is_alone = |folder: &&str| alone.get(*folder).is_some_and(Option::is_some);
            let top = parents(path.as_str()).take_while(is_alone).last();
            (top.unwrap_or(path.as_str()), *unit)
        });
        let tops: BTreeMap<&str, usize> = tops.collect();
        let paths = tops.into_iter();
        let paths = paths.filter_map(|(path, unit)| Some((FilePath::new(path).ok()?, name(unit))));
        let disputed = disputes.iter().filter_map(|(path, units)| {
            Some((FilePath::new(path).ok()?, units.iter().map(|unit| name(*unit)).collect()))
        });
        Self { paths: paths.collect(), disputed: disputed.collect() }
    }

    /// Who has `path`, which is relative to the prefix. `None`: nobody.
    pub fn owner(&self, path: &str) -> Option<Owner<'_>> {
        std::iter::once(path)
            .chain(parents(path))
            .find_map(|path| self.exactly(path))
            .or_else(|| self.is_above(path).then_some(Owner::Shared))
    }

    /// The names directly in a shared folder, sorted; of any other folder none.
    pub fn children<'a>(&'a self, folder: &str) -> BTreeMap<&'a str, Owner<'a>> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut children = BTreeMap::new();
        names(&self.paths, &prefix, |name, unit| {
            children.insert(name, unit.map_or(Owner::Shared, Owner::Unit));
        });
        names(&self.disputed, &prefix, |name, units| {
            let owner = units.map_or(Owner::Shared, |units| Owner::Disputed(units));
            children.insert(name, owner);
        });
        children
    }

    /// Who owns something below a shared folder.
    pub fn below(&self, folder: &str) -> impl Iterator<Item = &UnitName> {
        let prefix = format!("{folder}/");
        let from = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let paths = self.paths.range::<str, _>(from);
        paths.take_while(move |(path, _)| path.as_str().starts_with(&prefix)).map(|(_, unit)| unit)
    }

    fn exactly(&self, path: &str) -> Option<Owner<'_>> {
        let disputed = || self.disputed.get(path).map(|units| Owner::Disputed(units));
        self.paths.get(path).map(Owner::Unit).or_else(disputed)
    }

    fn is_above(&self, folder: &str) -> bool {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        first_below(&self.paths, &prefix, &prefix).is_some()
            || first_below(&self.disputed, &prefix, &prefix).is_some()
    }
}

/// Tells each name directly below `prefix` once, with what stands there itself. All that is below
/// a folder is stepped over.
fn names<'a, T>(
    map: &'a BTreeMap<FilePath, T>,
    prefix: &str,
    mut tell: impl FnMut(&'a str, Option<&'a T>),
) {
    let mut from = prefix.to_owned();
    while let Some((path, value)) = first_below(map, prefix, &from) {
        let rest = &path.as_str()[prefix.len()..];
        match rest.split_once('/') {
            Some((name, _)) => {
                tell(name, None);
                // What comes after all that begins with a slash.
                from = format!("{prefix}{name}0");
            }
            None => {
                tell(rest, Some(value));
                from = format!("{path}\0");
            }
        }
    }
}

fn first_below<'a, T>(
    map: &'a BTreeMap<FilePath, T>,
    prefix: &str,
    from: &str,
) -> Option<(&'a FilePath, &'a T)> {
    let (path, value) = map.range::<str, _>((Bound::Included(from), Bound::Unbounded)).next()?;
    path.as_str().starts_with(prefix).then_some((path, value))
}

/// The paths that are a file for one and a folder for another.
fn blocked<'a, T>(wanted: &BTreeMap<&'a str, T>) -> BTreeSet<&'a str> {
    let mut folders: HashSet<&str> = HashSet::new();
    for path in wanted.keys() {
        // What is above a folder that is known is known, too.
        let _ = parents(path).find(|folder| !folders.insert(*folder));
    }
    folders.into_iter().filter(|folder| wanted.contains_key(folder)).collect()
}

/// Every folder, with the one unit that fills it; `None` where there are several, and for those
/// that are shared whatever is in them.
fn filled_alone<'a>(
    owned: &[(&'a FilePath, usize)],
    disputed: impl Iterator<Item = &'a str>,
    fixed: &Fixed<'_>,
) -> HashMap<&'a str, Option<usize>> {
    let mut alone: HashMap<&str, Option<usize>> = HashMap::new();
    for (path, unit) in owned {
        for folder in parents(path.as_str()) {
            match alone.entry(folder) {
                Entry::Vacant(new) => _ = new.insert(Some(*unit)),
                // The folders above know of this unit, or of several.
                Entry::Occupied(filled) if matches!(filled.get(), Some(by) if by != unit) => {
                    *filled.into_mut() = None;
                }
                Entry::Occupied(_) => break,
            }
        }
    }
    for folder in disputed.flat_map(parents) {
        alone.insert(folder, None);
    }
    for (folder, filled) in &mut alone {
        if fixed.is_shared(folder) {
            *filled = None;
        }
    }
    alone
}

/// What no wheel owns, whatever it brings.
struct Fixed<'a> {
    scheme: &'a Scheme,
    /// The folders of the scheme, and those above them.
    folders: HashSet<&'a str>,
}

impl<'a> Fixed<'a> {
    fn new(scheme: &'a Scheme) -> Self {
        let Scheme { site, scripts, headers } = scheme;
        let own = [site, scripts, headers].map(String::as_str);
        let above = own.into_iter().flat_map(parents);
        Self { scheme, folders: own.into_iter().chain(above).chain(["share", "etc"]).collect() }
    }

    /// The folders of the scheme, and those of metadata.
    fn is_shared(&self, folder: &str) -> bool {
        self.folders.contains(folder) || self.is_metadata(folder)
    }

    fn is_metadata(&self, folder: &str) -> bool {
        let name = folder.strip_prefix(self.scheme.site.as_str());
        let name = name.and_then(|name| name.strip_prefix('/'));
        name.is_some_and(|name| name.ends_with(".dist-info") && !name.contains('/'))
    }

    /// What whoever makes an environment writes itself: scripts, metadata, its settings. No file
    /// can be in the place of a folder of the scheme.
    fn is_made(&self, path: &str) -> bool {
        let script = path.strip_prefix(self.scheme.scripts.as_str());
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        path == "pyvenv.cfg"
            || script.is_some_and(|name| name.starts_with('/'))
            || (WRITTEN.contains(&name) && self.is_metadata(folder))
            || self.is_shared(path)
    }
}

#[cfg(test)]
mod tests;
