//! Wheels in two parts: what is used of one, and the rest.
//!
//! ```text
//! pandas          what was used, the metadata, the scripts   a tree, fetched at the import
//! pandas__rest    all else                                   a tree, fetched after it
//! ```
//!
//! Each part is a unit. The view spans both, as it spans wheels that fill one folder.

use std::collections::{BTreeMap, BTreeSet};

use super::{Distribution, FileEntry, Owner, Owners, Resolved, knots, runs_at_start};
use crate::error::Result;
use crate::manifest::Pack;
use crate::name::{Digest, FilePath, UnitName, parents};

/// The two parts of a wheel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parts<T> {
    /// What comes first.
    pub used: T,
    /// What comes after it.
    pub rest: T,
}

impl Resolved {
    /// The files of both parts. `None`: nothing of the wheel was used, or all of it.
    pub fn parts_of(
        &self,
        files: &[FileEntry],
        used: &BTreeSet<FilePath>,
    ) -> Option<Parts<Vec<FilePath>>> {
        let (site, scripts) = (&self.scheme.site, &self.scheme.scripts);
        let is_metadata = |path: &FilePath| {
            let below = path.as_str().strip_prefix(site.as_str()).unwrap_or_default();
            let top = below.trim_start_matches('/').split('/').next().unwrap_or_default();
            top.ends_with(".dist-info")
        };
        let is_used = |path: &FilePath| used.contains(path) && !is_metadata(path);
        if !files.iter().any(|file| is_used(&file.path)) {
            return None;
        }
        let above: BTreeSet<&str> = used.iter().flat_map(|path| parents(path.as_str())).collect();
        let comes_first = |path: &FilePath| {
            let is_init = path.file_name() == "__init__.py" && above.contains(path.parent());
            let is_run = path.parent() == scripts || runs_at_start(path, site);
            is_used(path) || is_metadata(path) || is_init || is_run
        };
        let paths = files.iter().map(|file| file.path.clone());
        let (used, rest): (Vec<_>, Vec<_>) = paths.partition(comes_first);
        (!rest.is_empty()).then_some(Parts { used, rest })
    }

    /// The same wheels, those of `packs` in two parts. `files` has what is in each wheel; `tree`
    /// names the tree of a part.
    pub fn parted(
        &self,
        files: &BTreeMap<UnitName, Vec<FileEntry>>,
        packs: BTreeMap<UnitName, Parts<Vec<Pack>>>,
        tree: impl Fn(&UnitName, &[Pack]) -> Result<Digest>,
    ) -> Result<Self> {
        let mut parted = self.clone();
        for (unit, Parts { used, rest }) in packs {
            let (Some(whole), Some(left)) = (self.units.get(&unit), unit.rest()) else { continue };
            for (name, packs) in [(unit.clone(), used), (left, rest)] {
                let mut part = whole.clone();
                part.tree = tree(&unit, &packs)?;
                if name.is_rest() {
                    part.requires = BTreeSet::from([unit.clone()]);
                }
                parted.units.insert(name.clone(), part);
                parted.packs.insert(name, packs);
            }
        }
        // Who owned what stays: the order of the lock decided it.
        let is_own = |unit: &UnitName, file: &FileEntry| match self.owners.owner(file.path.as_str())
        {
            Some(Owner::Unit(owner)) => owner == unit,
            Some(Owner::Disputed(owners)) => owners.contains(unit),
            Some(Owner::Shared) | None => true,
        };
        let mut placed = Vec::new();
        for (unit, files) in files {
            let own: Vec<&FileEntry> = files.iter().filter(|file| is_own(unit, file)).collect();
            for name in [Some(unit.clone()), unit.rest()].into_iter().flatten() {
                let paths = parted.paths_of(&name);
                let is_in = |file: &&&FileEntry| match &paths {
                    Some(paths) => paths.contains(&file.path),
                    None => !name.is_rest(),
                };
                let files: Vec<FileEntry> =
                    own.iter().filter(is_in).map(|it| (*it).clone()).collect();
                if !files.is_empty() {
                    placed.push((name, files));
                }
            }
        }
        parted.owners = Owners::of(&self.scheme, &placed);
        let requires = parted.units.iter().map(|(unit, it)| (unit, &it.requires)).collect();
        let added = &self.start.folders;
        let groups = knots(&self.scheme, &placed, &parted.owners, added, &requires);
        parted.knots = groups;
        Ok(parted)
    }

    /// The files of a unit that is a part. `None`: it is a whole wheel.
    pub fn paths_of(&self, unit: &UnitName) -> Option<BTreeSet<&FilePath>> {
        let packs = self.packs.get(unit)?;
        Some(packs.iter().flat_map(|pack| &pack.paths).collect())
    }

    /// Every wheel once, in however many parts.
    pub fn wheels(&self) -> impl Iterator<Item = (&UnitName, &Distribution)> {
        self.units.iter().filter(|(unit, _)| !unit.is_rest())
    }

    /// The unit with the rest of a wheel, where that is a unit of its own.
    pub fn rest_of(&self, unit: &UnitName) -> Option<UnitName> {
        unit.rest().filter(|rest| self.units.contains_key(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::PackFormat;
    use crate::name::{UrlText, Version};
    use crate::resolved::{ByName, Start};
    use crate::wheel::Scheme;

    const FILES: [&str; 7] = [
        "l/site/p/__init__.py",
        "l/site/p/used.py",
        "l/site/p/rest.py",
        "l/site/p/deep/__init__.py",
        "l/site/p-1.dist-info/METADATA",
        "bin/p",
        "share/p.txt",
    ];

    fn path(text: &str) -> FilePath {
        FilePath::new(text).unwrap()
    }

    fn whole() -> (Resolved, BTreeMap<UnitName, Vec<FileEntry>>) {
        let [site, scripts, headers] = ["l/site", "bin", "include"].map(str::to_owned);
        let scheme = Scheme { site, scripts, headers };
        let unit = UnitName::new("p").unwrap();
        let distribution = Distribution {
            name: "p".to_owned(),
            version: Version::new("1").unwrap(),
            url: UrlText::new("https://example.com/p.whl"),
            size: 1,
            sha256: Digest::of(b"p"),
            tree: Digest::of(b"tree"),
            requires: BTreeSet::new(),
        };
        let entry = |it: &&str| FileEntry { path: path(it), sha256: Digest::of(it.as_bytes()) };
        let files = [(unit.clone(), FILES.iter().map(entry).collect::<Vec<_>>())];
        let resolved = Resolved {
            owners: Owners::of(&scheme, &files),
            scheme,
            units: [(unit, distribution)].into(),
            editable: Vec::new(),
            projects: BTreeMap::new(),
            knots: Vec::new(),
            optional: ByName::default(),
            start: Start::default(),
            code: BTreeMap::new(),
            packs: BTreeMap::new(),
        };
        (resolved, files.into())
    }

    fn parts(used: &[&str]) -> Option<Parts<Vec<String>>> {
        let (resolved, files) = whole();
        let used = used.iter().map(|it| path(it)).collect();
        let texts = |paths: Vec<FilePath>| paths.iter().map(ToString::to_string).collect();
        let parts = resolved.parts_of(files.values().next()?, &used)?;
        Some(Parts { used: texts(parts.used), rest: texts(parts.rest) })
    }

    #[test]
    fn what_is_used_comes_first_with_metadata_scripts_and_the_packages_above() {
        let found = parts(&["l/site/p/deep/x.py", "l/site/p/used.py"]).unwrap();
        assert_eq!(found.rest, ["l/site/p/rest.py", "share/p.txt"]);
        assert_eq!(found.used.len(), 5);
        assert!(parts(&[]).is_none());
        assert!(parts(&["l/site/p-1.dist-info/METADATA"]).is_none(), "metadata is in every view");
        assert!(parts(&FILES).is_none(), "nothing is left");
    }

    #[test]
    fn each_part_is_a_unit_with_what_it_has() {
        let (resolved, files) = whole();
        let unit = UnitName::new("p").unwrap();
        let pack = |paths: &[&str]| Pack {
            format: PackFormat::ZipZstd,
            tag: None,
            url: UrlText::new("packs/x"),
            size: 1,
            sha256: Digest::of(b"pack"),
            paths: paths.iter().map(|it| path(it)).collect(),
        };
        let (used, rest) = (["l/site/p/__init__.py", "bin/p"], ["l/site/p/rest.py", "share/p.txt"]);
        let packs = Parts { used: vec![pack(&used)], rest: vec![pack(&rest)] };
        let tree =
            |_: &UnitName, packs: &[Pack]| Ok(Digest::of(packs[0].paths[0].as_str().as_bytes()));
        let parted = resolved.parted(&files, [(unit.clone(), packs)].into(), tree).unwrap();
        let second = parted.rest_of(&unit).unwrap();
        assert_eq!(second.as_str(), "p__rest");
        assert_ne!(parted.units[&unit].tree, parted.units[&second].tree);
        assert_eq!(parted.units[&second].requires, BTreeSet::from([unit.clone()]));
        let owner = |path: &str| match parted.owners.owner(path) {
            Some(Owner::Unit(unit)) => unit.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(owner("l/site/p/__init__.py"), "p");
        assert_eq!(owner("l/site/p/rest.py"), "p__rest");
        assert_eq!(owner("share/p.txt"), "p__rest");
        assert_eq!(parted.wheels().count(), 1);
    }
}
