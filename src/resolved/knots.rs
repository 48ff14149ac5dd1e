//! Wheels that cannot live apart, as far as their lists of files tell.
//!
//! ```text
//! PyQt6/__init__.py      of a ┐ one regular package with libraries
//! PyQt6/Qt6/lib/libx.so  of b ┘
//! lib/libmkl_rt.so.2     of c ┐ libraries beside each other, where nothing is imported
//! lib/libiomp5.so        of d ┘
//! cmeel.prefix/…         of e ┐ a folder whose name cannot be imported, or that a `.pth` adds
//! cmeel.prefix/…         of f ┘
//! ```
//!
//! A library of one wheel finds those of another by `..`, and leaves its own tree by that: such
//! wheels are seen together, in one folder. Others show only when they are unpacked.

use std::collections::{BTreeMap, BTreeSet};

use super::{FileEntry, Owner, Owners};
use crate::name::{FilePath, UnitName, is_identifier, parents};
use crate::wheel::Scheme;

/// Units that belong together, in groups that do not overlap.
pub type Groups = Vec<BTreeSet<UnitName>>;

/// The groups among all wheels. `added`: folders that `.pth` files put on the path; `requires`:
/// what comes with whom.
pub fn knots(
    scheme: &Scheme,
    files: &[(UnitName, Vec<FileEntry>)],
    owners: &Owners,
    added: &[FilePath],
    requires: &BTreeMap<&UnitName, &BTreeSet<UnitName>>,
) -> Groups {
    let mut places: BTreeMap<String, BTreeSet<&UnitName>> = BTreeMap::new();
    let mut has_library: BTreeSet<String> = BTreeSet::new();
    let mut compiled: BTreeSet<&UnitName> = BTreeSet::new();
    let mut for_others: BTreeSet<&UnitName> = BTreeSet::new();
    let namespaces = namespaces(files);
    for (unit, files) in files {
        for FileEntry { path, .. } in files {
            let path = path.as_str();
            let is_library = is_library(path);
            if is_library {
                compiled.insert(unit);
                if is_for_others(path) {
                    for_others.insert(unit);
                }
            }
            let place = place(scheme, owners, added, &namespaces, path, is_library);
            if let Some((place, always)) = place {
                if is_library || always {
                    has_library.insert(place.clone());
                }
                places.entry(place).or_default().insert(unit);
            }
        }
    }
    places.retain(|place, units| units.len() > 1 && has_library.contains(place));
    let shared = places.into_values().map(|units| units.into_iter().cloned().collect());
    let mut groups: Vec<BTreeSet<UnitName>> = shared.collect();
    // Who has libraries for others is looked into by those that require it and are compiled.
    for unit in compiled {
        for required in requires.get(unit).into_iter().flat_map(|it| it.iter()) {
            if for_others.contains(required) {
                groups.push(BTreeSet::from([unit.clone(), required.clone()]));
            }
        }
    }
    joined(groups)
}

/// Makes one of groups that overlap.
pub fn joined(groups: impl IntoIterator<Item = BTreeSet<UnitName>>) -> Groups {
    let mut joined: Groups = Vec::new();
    for mut group in groups {
        joined.retain(|other| {
            let apart = other.is_disjoint(&group);
            if !apart {
                group.extend(other.iter().cloned());
            }
            apart
        });
        joined.push(group);
    }
    joined.sort();
    joined
}

/// True for a shared library, an extension module among them.
pub fn is_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    [".so", ".dylib", ".dll", ".pyd"].iter().any(|suffix| name.ends_with(suffix))
        || name.contains(".so.")
}

/// True for a library that is not an extension module, and none that was put beside its wheel's own.
fn is_for_others(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = folder.rsplit('/').next().unwrap_or(folder);
    let is_private = [".libs", ".dylibs"].iter().any(|it| folder.ends_with(it));
    name.starts_with("lib") && !is_private
}

/// Folders whose `__init__.py` several wheels bring: each is at home in them.
fn namespaces(files: &[(UnitName, Vec<FileEntry>)]) -> BTreeSet<&str> {
    let (mut once, mut several) = (BTreeSet::new(), BTreeSet::new());
    for file in files.iter().flat_map(|(_, files)| files) {
        if let Some(folder) = file.path.as_str().strip_suffix("/__init__.py")
            && !once.insert(folder)
        {
            several.insert(folder);
        }
    }
    several
}

/// The folder that a file shares its fate with, and whether it does so without libraries.
fn place(
    scheme: &Scheme,
    owners: &Owners,
    added: &[FilePath],
    namespaces: &BTreeSet<&str>,
    path: &str,
    is_library: bool,
) -> Option<(String, bool)> {
    let is_in = |folder: &str| path.strip_prefix(folder).is_some_and(|it| it.starts_with('/'));
    if let Some(folder) = added.iter().find(|folder| is_in(folder.as_str())) {
        return Some((folder.to_string(), true));
    }
    if !is_in(&scheme.site) {
        // Data of all kinds is beside each other there, and no library looks for it by `..`.
        let folder = parents(path).next().unwrap_or("");
        return is_library.then(|| (folder.to_owned(), false));
    }
    let top = path[scheme.site.len() + 1..].split_once('/')?.0;
    if !is_identifier(top) {
        let is_metadata = [".dist-info", ".data", ".egg-info"].iter().any(|it| top.ends_with(it));
        return (!is_metadata).then(|| (format!("{}/{top}", scheme.site), true));
    }
    // The outermost package that is one wheel's own.
    let mut above: Vec<&str> =
        parents(path).filter(|folder| is_below(folder, &scheme.site)).collect();
    above.reverse();
    let is_regular = |folder: &&&str| {
        let code = format!("{folder}/__init__.py");
        !namespaces.contains(**folder) && has_file(owners, folder, &code)
    };
    above.iter().find(is_regular).map(|folder| ((*folder).to_owned(), false))
}

fn is_below(folder: &str, site: &str) -> bool {
    folder.strip_prefix(site).is_some_and(|rest| rest.starts_with('/'))
}

/// True if a shared folder is a package; a folder of one wheel alone ties nobody.
fn has_file(owners: &Owners, folder: &str, path: &str) -> bool {
    matches!(owners.owner(folder), Some(Owner::Shared))
        && matches!(owners.owner(path), Some(Owner::Unit(_) | Owner::Disputed(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Digest;

    fn tied(units: &[(&str, &[&str])], added: &[&str], requires: &[(&str, &str)]) -> Vec<String> {
        let [site, scripts, headers] = ["l/site", "bin", "include"].map(str::to_owned);
        let scheme = Scheme { site, scripts, headers };
        let name = |text: &str| UnitName::new(text).unwrap();
        let path = |text: &str| FilePath::new(&text.replace('@', "l/site")).unwrap();
        let entry = |it: &&str| FileEntry { path: path(it), sha256: Digest::of(it.as_bytes()) };
        let files: Vec<_> = units
            .iter()
            .map(|(unit, files)| (name(unit), files.iter().map(entry).collect()))
            .collect();
        let owners = Owners::of(&scheme, &files);
        let added: Vec<_> = added.iter().map(|it| path(it)).collect();
        let requires: Vec<_> =
            requires.iter().map(|(who, whom)| (name(who), BTreeSet::from([name(whom)]))).collect();
        let requires = requires.iter().map(|(who, whom)| (who, whom)).collect();
        let groups = knots(&scheme, &files, &owners, &added, &requires);
        let text = |group: &BTreeSet<UnitName>| {
            group.iter().map(UnitName::as_str).collect::<Vec<_>>().join(" ")
        };
        groups.iter().map(text).collect()
    }

    #[test]
    fn one_package_of_several_wheels_is_a_knot_if_it_has_libraries() {
        let whole = [
            ("a", &["@/q/__init__.py", "@/q/core.so"][..]),
            ("b", &["@/q/lib/x.so.6"]),
            ("c", &["@/c.py"]),
        ];
        assert_eq!(tied(&whole, &[], &[]), ["a b"]);
        let plain = [("a", &["@/q/__init__.py", "@/q/core.py"][..]), ("b", &["@/q/other.py"])];
        assert!(tied(&plain, &[], &[]).is_empty());
    }

    #[test]
    fn a_namespace_is_no_knot() {
        let plain = [("a", &["@/n/a/x.so"][..]), ("b", &["@/n/b/x.so"])];
        assert!(tied(&plain, &[], &[]).is_empty());
        let old = [
            ("a", &["@/n/__init__.py", "@/n/a/x.so"][..]),
            ("b", &["@/n/__init__.py", "@/n/b/x.so"]),
        ];
        assert!(tied(&old, &[], &[]).is_empty());
    }

    #[test]
    fn libraries_beside_each_other_are_a_knot_and_data_is_none() {
        let libraries = [
            ("a", &["lib/liba.so.2"][..]),
            ("b", &["lib/libb.so", "share/b"]),
            ("c", &["share/c"]),
        ];
        assert_eq!(tied(&libraries, &[], &[]), ["a b"]);
    }

    #[test]
    fn folders_that_cannot_be_imported_or_that_are_added_are_knots() {
        let files =
            [("a", &["@/c.prefix/x", "@/a-1.dist-info/METADATA"][..]), ("b", &["@/c.prefix/y"])];
        assert_eq!(tied(&files, &[], &[]), ["a b"]);
        let files = [("a", &["@/added/x.py"][..]), ("b", &["@/added/y.py"])];
        assert_eq!(tied(&files, &["@/added"], &[]), ["a b"]);
    }

    #[test]
    fn who_is_compiled_is_tied_to_libraries_that_it_requires() {
        let files = [
            ("a", &["@/a/x.so"][..]),
            ("b", &["@/b/__init__.py", "@/b/libb.so"]),
            ("c", &["@/c.py"]),
            ("d", &["@/d/x.so", "@/d.libs/libd-1.so"]),
        ];
        assert_eq!(tied(&files, &[], &[("a", "b"), ("c", "b"), ("b", "d")]), ["a b"]);
    }
}
