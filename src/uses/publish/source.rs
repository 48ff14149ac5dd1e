//! Which file of SRC belongs to which unit.
//!
//! ```text
//! alpha.py  alpha.csv          unit alpha: a module with a file beside it
//! beta/…    beta.libs/…        unit beta: a package, and the libraries of its wheel
//! beta/deep/…                  unit beta, or beta.deep where the settings name it
//! beta-1.0.dist-info/…         a distribution: fields for the units that it lists
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::overrides::Overrides;
use super::walk::{self, Found, walk};
use super::{LeftOut, distribution, refused, unreadable};
use crate::error::{Error, Result};
use crate::manifest::{Territory, owner_rule};
use crate::name::{Digest, FilePath, Namespace, UnitName};
use crate::status::Status;

const MOVE: &str = "name it like the module it belongs to, or move it out of the source folder";

/// A file of SRC that was read once.
#[derive(Debug, Clone)]
pub(super) struct SourceFile {
    pub path: FilePath,
    pub disk: PathBuf,
    pub size: u64,
    pub sha256: Digest,
    pub executable: bool,
    /// The settings say so; not known before they are looked at.
    pub lazy: bool,
}

impl SourceFile {
    /// The bytes, if they still are those that were read first.
    pub fn read(&self) -> Result<Vec<u8>> {
        let bytes = fs_err::read(&self.disk).map_err(|error| unreadable(&self.path, &error))?;
        if Digest::of(&bytes) == self.sha256 { Ok(bytes) } else { Err(self.changed()) }
    }

    /// Somebody writes to it.
    pub fn changed(&self) -> Error {
        let remedy = "publish again when nothing writes to the source folder";
        refused(&self.path, "it changed while it was read", remedy)
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct SourceUnit {
    pub files: Vec<SourceFile>,
    /// Files for one platform, by wheel tag, in the order of the settings.
    pub variants: Vec<(String, Vec<SourceFile>)>,
}

impl SourceUnit {
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut SourceFile> {
        self.files.iter_mut().chain(self.variants.iter_mut().flat_map(|(_, files)| files))
    }

    /// Its files, and those of all its variants.
    fn all(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().chain(self.variants.iter().flat_map(|(_, files)| files))
    }
}

#[derive(Debug, Default)]
pub(super) struct Source {
    pub units: BTreeMap<UnitName, SourceUnit>,
    /// The files of each `x.dist-info`, by the folder's name.
    pub distributions: BTreeMap<String, Vec<SourceFile>>,
    /// What is not published.
    pub left_out: Vec<LeftOut>,
}

/// Whose a path is.
#[derive(Debug, PartialEq, Eq)]
enum Owner {
    Unit(UnitName),
    Distribution(String),
}

pub(super) fn read(root: &Path, namespace: &Namespace, overrides: &Overrides) -> Result<Source> {
    let folders: Vec<PathBuf> =
        overrides.variant_folders().map(|folder| root.join(folder)).collect();
    let listed = distribution::dotted(root)?;
    let mut source = Source::default();
    let found = walk(root, root, &folders, &listed, &mut source.left_out)?;
    let owners = Owners::new(&found, overrides);
    for found in found {
        let owner = owners.of(&found)?;
        let file = hashed(found, &mut source.left_out)?;
        match owner {
            Owner::Unit(name) => source.units.entry(name).or_default().files.push(file),
            Owner::Distribution(folder) => {
                source.distributions.entry(folder).or_default().push(file);
            }
        }
    }
    variants(root, overrides, &owners, &mut source)?;
    check(&source, namespace, overrides)?;
    Ok(source)
}

struct Owners<'a> {
    /// Submodules that are units of their own, the deepest first.
    deeper: Vec<&'a UnitName>,
    /// Names that a top-level file or folder makes importable.
    top: BTreeSet<String>,
}

impl<'a> Owners<'a> {
    fn new(found: &[Found], overrides: &'a Overrides) -> Self {
        let mut deeper: Vec<&UnitName> = overrides.units.iter().collect();
        deeper.sort_by_key(|name| std::cmp::Reverse(name.as_str().len()));
        let importable = |found: &Found| match found.path.as_str().split_once('/') {
            Some((folder, _)) if !folder.contains('.') => Some(folder.to_owned()),
            Some(_) => None,
            None => {
                let (stem, suffix) = found.path.as_str().split_once('.')?;
                let last = suffix.rsplit('.').next()?;
                (suffix == "py" || last == "so" || last == "pyd").then(|| stem.to_owned())
            }
        };
        let mut top: BTreeSet<String> = found.iter().filter_map(importable).collect();
        top.extend(overrides.records.keys().map(|name| name.top().to_owned()));
        Self { deeper, top }
    }

    fn of(&self, found: &Found) -> Result<Owner> {
        let path = &found.path;
        let first = path.as_str().split('/').next().unwrap_or_default();
        let inside = first != path.as_str();
        if inside && first.ends_with(".dist-info") {
            return Ok(Owner::Distribution(first.to_owned()));
        }
        let beside = inside && first.ends_with(".libs");
        if !beside {
            let deeper = self.deeper.iter().find(|name| owner_rule(name, path).is_some());
            if let Some(name) = deeper {
                return Ok(Owner::Unit((*name).clone()));
            }
        }
        let stem = match first.strip_suffix(".libs") {
            Some(stem) if inside => stem,
            _ if inside => first,
            _ => first.split('.').next().unwrap_or(first),
        };
        let what = if inside { format!("{first}/") } else { first.to_owned() };
        if (beside || !inside) && !self.top.contains(stem) {
            let why = format!("there is no module {stem:?} that it belongs to");
            return Err(refused(what, why, MOVE));
        }
        if stem.contains('.') {
            let why = "a folder with a dot in its name cannot be imported";
            return Err(refused(what, why, walk::RENAME));
        }
        let name = UnitName::new(stem).map_err(|why| refused(what, why, walk::RENAME))?;
        Ok(Owner::Unit(name))
    }
}

/// Reads the folders of the variants. A file that is the same for every platform
/// stays with the record; a `.dist-info` there says nothing new.
fn variants(
    root: &Path,
    overrides: &Overrides,
    owners: &Owners,
    source: &mut Source,
) -> Result<()> {
    // What lies in each folder, and whether some unit took it.
    let mut folders: BTreeMap<&str, Vec<(Found, bool)>> = BTreeMap::new();
    for (name, settings) in &overrides.records {
        for variant in &settings.variants {
            let mut files = match folders.remove(variant.folder.as_str()) {
                Some(files) => files,
                None => variant_folder(root, &variant.folder, &mut source.left_out)?,
            };
            let mut chosen = Vec::new();
            for (found, taken) in &mut files {
                match owners.of(found)? {
                    Owner::Distribution(_) => *taken = true,
                    Owner::Unit(owner) if owner == *name => {
                        *taken = true;
                        chosen.push(hashed(found.clone(), &mut source.left_out)?);
                    }
                    Owner::Unit(_) => {}
                }
            }
            folders.insert(variant.folder.as_str(), files);
            let unit = source.units.entry(name.clone()).or_default();
            let is_own = |it: &SourceFile| {
                unit.files.iter().any(|own| own.path == it.path && own.sha256 == it.sha256)
            };
            chosen.retain(|file| !is_own(file));
            unit.variants.push((variant.tag.clone(), chosen));
        }
    }
    for (folder, files) in &folders {
        if let Some((stray, _)) = files.iter().find(|(_, taken)| !taken) {
            let what = format!("{folder}/{}", stray.path);
            let why = "no unit has a variant with this folder that may hold it";
            let remedy =
                "add the variant to the unit's table in magic-module.toml, or move the file away";
            return Err(refused(what, why, remedy));
        }
    }
    Ok(())
}

fn variant_folder(
    root: &Path,
    folder: &FilePath,
    left_out: &mut Vec<LeftOut>,
) -> Result<Vec<(Found, bool)>> {
    let disk = root.join(folder.as_str());
    // A link would lead out of SRC unseen.
    if !fs_err::symlink_metadata(&disk).is_ok_and(|meta| meta.is_dir()) {
        let remedy = "correct `folder` in magic-module.toml, or create it";
        return Err(refused(folder, "the folder of a variant is missing", remedy));
    }
    let found = walk(root, &disk, &[], &distribution::dotted(&disk)?, left_out)?;
    Ok(found.into_iter().map(|found| (found, false)).collect())
}

/// What must hold between the files and the names of units.
fn check(source: &Source, namespace: &Namespace, overrides: &Overrides) -> Result<()> {
    let mut seen: HashMap<String, &UnitName> = HashMap::new();
    for (name, unit) in &source.units {
        if let Some(why) = namespace.refuses(name) {
            return Err(refused(name, why, "rename it, or publish with another --namespace"));
        }
        if let Some(other) = seen.insert(name.as_str().to_lowercase(), name) {
            let why = format!("{other} differs only in case");
            return Err(refused(name, why, "rename one of them"));
        }
        let stem = name.to_path();
        let in_territory =
            |territory| unit.all().find(|file| owner_rule(name, &file.path) == Some(territory));
        let (folder, flat) = (in_territory(Territory::Folder), in_territory(Territory::Flat));
        if let (Some(_), Some(flat)) = (folder, flat) {
            let why = format!("{stem}/ is there too, and a unit is a module or a folder");
            let hint = format!("move it into {stem}/, or rename one of them");
            return Err(refused(&flat.path, why, &hint));
        }
    }
    for name in overrides.units.iter().chain(overrides.records.keys()) {
        if !source.units.contains_key(name) {
            let stem = name.to_path();
            let place = if overrides.units.contains(name) { "units" } else { name.as_str() };
            let why = format!("there is no unit {name}, because {stem}.py and {stem}/ are missing");
            let remedy =
                "correct the name, or remove it; a submodule is a unit only if `units` lists it";
            return Err(super::overrides::wrong(place, why, remedy));
        }
    }
    let compiled = source.left_out.iter().find(|left| left.reason == walk::COMPILED);
    if let Some(left) = compiled.filter(|_| source.units.is_empty()) {
        return Err(refused(&left.path, left.reason, "put the sources into the source folder"));
    }
    if source.units.is_empty() {
        let why = "it holds no module and no package";
        return Err(refused("an empty folder", why, "name the folder that holds the modules"));
    }
    Ok(())
}

fn hashed(found: Found, left_out: &mut Vec<LeftOut>) -> Result<SourceFile> {
    let failed = |error: std::io::Error| unreadable(&found.path, &error);
    let mode = Status::of(&fs_err::metadata(&found.disk).map_err(failed)?).mode;
    if mode & 0o6000 != 0 {
        let reason = "published, but without the right to act as its owner or group (setuid)";
        left_out.push(LeftOut::file(found.path.to_string(), reason));
    }
    let executable = mode & 0o111 != 0;
    let (size, sha256) = super::site::digest_of(&found.disk).map_err(failed)?;
    let Found { path, disk } = found;
    Ok(SourceFile { path, disk, size, sha256, executable, lazy: false })
}
