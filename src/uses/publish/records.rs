//! Where each field of a record comes from.
//!
//! | field                            | first source that has it                              |
//! |----------------------------------|-------------------------------------------------------|
//! | version                          | settings, `.dist-info`, `__version__`, the content    |
//! | summary, `requires_python`       | settings, `.dist-info`                                |
//! | dependencies, requires           | settings, `.dist-info`: what SRC holds is `requires`  |
//! | yanked, lazy, variants           | settings                                              |

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization as _;

use super::code::{self, Compiler};
use super::distribution::{self, Distribution};
use super::overrides::{self, Overrides, RecordOverrides, Yanked};
use super::site::Site;
use super::source::{Source, SourceFile, SourceUnit};
use super::{glob, pack, refused, version};
use crate::distribution::Requirement;
use crate::error::Result;
use crate::manifest::{File, Pack, PackFormat, Place, Record, Variant};
use crate::name::{Digest, UnitName, UrlText, Version};

/// A record whose files are not on the site yet.
#[derive(Debug)]
pub(super) struct Draft {
    pub name: UnitName,
    version: Option<Version>,
    summary: Option<String>,
    requires_python: Option<String>,
    dependencies: Vec<String>,
    requires: BTreeSet<UnitName>,
    yanked: Option<Yanked>,
    unit: SourceUnit,
}

pub(super) fn drafts(source: &mut Source, overrides: &Overrides) -> Result<Vec<Draft>> {
    let distributions = distribution::read_all(source)?;
    let none = RecordOverrides::default();
    let mut drafts = Vec::new();
    for (name, unit) in &source.units {
        let own = overrides.records.get(name).unwrap_or(&none);
        let mut required = own.requires.iter().flatten();
        if let Some(missing) = required.find(|it| !source.units.contains_key(*it)) {
            let why = format!("the source folder has no unit {missing}");
            let remedy = "correct the name, or add the unit";
            return Err(overrides::wrong(&format!("{name}.requires"), why, remedy));
        }
        drafts.push(draft(name, unit, own, &distributions)?);
    }
    Ok(drafts)
}

fn draft(
    name: &UnitName,
    unit: &SourceUnit,
    own: &RecordOverrides,
    distributions: &[Distribution],
) -> Result<Draft> {
    let of: Vec<&Distribution> =
        distributions.iter().filter(|it| it.units.contains(name)).collect();
    // A namespace folder may hold several distributions; then none speaks for all.
    let main = match of[..] {
        [only] => Some(only),
        _ => of.iter().copied().find(|it| it.metadata.name.is(name.as_str())),
    };
    let text = |path: &str| {
        let file = unit.files.iter().find(|file| file.path.as_str() == path)?;
        let bytes = fs_err::read(&file.disk).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let (dependencies, requires) = needs(name, &of, distributions);
    let mut unit = unit.clone();
    unit.files.extend(of.iter().filter(|it| it.home == *name).flat_map(|it| it.files.clone()));
    unit.files.sort_by(|a, b| a.path.cmp(&b.path));
    lazy(name, &mut unit, &own.lazy)?;
    let specifiers: BTreeSet<&str> =
        of.iter().filter_map(|it| it.metadata.requires_python.as_deref()).collect();
    let joined = specifiers.into_iter().collect::<Vec<_>>().join(",");
    let version = own.version.clone().or_else(|| Some(main?.metadata.version.clone()));
    let requires_python = own.requires_python.clone();
    Ok(Draft {
        name: name.clone(),
        version: version.or_else(|| version::declared(name, text)),
        summary: own.summary.clone().or_else(|| main?.metadata.summary.clone()),
        requires_python: requires_python.or_else(|| (!joined.is_empty()).then_some(joined)),
        dependencies: own.dependencies.clone().unwrap_or(dependencies),
        requires: own.requires.clone().unwrap_or(requires),
        yanked: own.yanked.clone(),
        unit,
    })
}

/// `dependencies` and `requires` of a unit: what SRC holds comes with the unit,
/// whatever its marker says; the rest must be installed.
fn needs(
    name: &UnitName,
    of: &[&Distribution],
    all: &[Distribution],
) -> (Vec<String>, BTreeSet<UnitName>) {
    let mut dependencies = Vec::new();
    let mut requires = BTreeSet::new();
    for distribution in of {
        requires.insert(distribution.home.clone());
        let needed = |it: &&Requirement| !it.needs_extra();
        for requirement in distribution.metadata.requirements.iter().filter(needed) {
            let text = requirement.as_str();
            match all.iter().find(|it| it.metadata.name == *requirement.name()) {
                Some(found) => requires.extend(found.units.iter().cloned()),
                None if dependencies.iter().any(|it| it == text) => {}
                None => dependencies.push(text.to_owned()),
            }
        }
    }
    requires.remove(name);
    (dependencies, requires)
}

/// Marks the data files that a glob names. Code and metadata are never lazy: the
/// interpreter opens them without asking.
fn lazy(name: &UnitName, unit: &mut SourceUnit, globs: &[String]) -> Result<()> {
    let stem = name.to_path();
    let folder = format!("{stem}/");
    let parent = stem.rfind('/').map_or(0, |at| at + 1);
    for pattern in globs {
        let mut found = false;
        let whole: String = pattern.nfc().collect();
        for file in unit.all_mut() {
            let path = file.path.as_str();
            let below = match path.strip_prefix(&folder) {
                Some(below) => below,
                None if path.starts_with(&stem) && !path[parent..].contains('/') => &path[parent..],
                None => continue,
            };
            let below: String = below.nfc().collect();
            if !is_opened_unasked(path) && glob::matches(&whole, &below) {
                file.lazy = true;
                found = true;
            }
        }
        if !found {
            let why = format!("{pattern:?} names no data file of {name}");
            let remedy = "write globs below the unit's folder, such as data/*.bin, or remove it";
            return Err(overrides::wrong(&format!("{name}.lazy"), why, remedy));
        }
    }
    Ok(())
}

fn is_opened_unasked(path: &str) -> bool {
    path.ends_with(".py") || is_library(path)
}

/// Libraries are loaded, never run, although most wheels mark them so: without the mark their
/// trees are those of earlier versions, and share their bytes with the artifacts.
fn is_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let suffixes = [".so", ".pyd", ".dll", ".dylib"];
    suffixes.iter().any(|suffix| name.ends_with(suffix)) || name.contains(".so.")
}

/// Puts the files of a draft on the site; packs of `before` that still fit stay.
pub(super) fn record(
    draft: Draft,
    before: Option<&Record>,
    compiler: Option<&Compiler>,
    site: &mut Site,
) -> Result<Record> {
    let mut made = |files: &[SourceFile], old: Option<(&[File], &[Pack])>| {
        let mut packs = packs(files, before, site)?;
        packs.extend(code::packs(eager(files), old, compiler, site)?);
        Ok((keep(files, site)?, packs))
    };
    let (files, packs) = made(&draft.unit.files, before.map(|it| (&it.files[..], &it.packs[..])))?;
    let mut variants = Vec::new();
    for (tag, files) in draft.unit.variants {
        let old = before.and_then(|it| it.variants.iter().find(|variant| variant.tag == tag));
        let (files, packs) = made(&files, old.map(|it| (&it.files[..], &it.packs[..])))?;
        variants.push(Variant { tag, files, packs });
    }
    let version = match draft.version {
        Some(version) => version,
        None => content_version(&draft.name, &files, &variants)?,
    };
    let yanked = match draft.yanked {
        Some(Yanked::This(reason)) => Some(reason),
        Some(Yanked::Versions(reasons)) => reasons.get(&version).cloned(),
        None => None,
    };
    Ok(Record {
        version,
        summary: draft.summary,
        requires_python: draft.requires_python,
        dependencies: draft.dependencies,
        requires: draft.requires,
        yanked: yanked.filter(|reason| !reason.is_empty()),
        files,
        packs,
        variants,
        versions: Default::default(),
        published: None,
    })
}

fn keep(files: &[SourceFile], site: &mut Site) -> Result<Vec<File>> {
    let file = |file: &SourceFile| {
        Ok(File {
            path: file.path.clone(),
            place: Place::Url(UrlText::new(site.keep_file(file)?)),
            size: file.size,
            sha256: file.sha256,
            lazy: file.lazy,
            executable: file.executable && !is_library(file.path.as_str()),
        })
    };
    files.iter().map(file).collect()
}

fn eager(files: &[SourceFile]) -> impl Iterator<Item = &SourceFile> {
    files.iter().filter(|file| !file.lazy)
}

fn packs(files: &[SourceFile], before: Option<&Record>, site: &mut Site) -> Result<Vec<Pack>> {
    // Names in an archive have one Unicode normal form, because extractors choose; others come
    // alone.
    let groups = pack::groups(eager(files).filter(|file| file.path.is_composed().is_ok()));
    let (mut packs, mut missing) = (Vec::new(), Vec::new());
    for group in groups {
        match before.and_then(|before| reusable(before, &group, site)) {
            Some(pack) => packs.push(pack),
            None => missing.push(group),
        }
    }
    let made = pack::each(&missing, |group| {
        let read = |file: &&SourceFile| Ok((file.path.to_string(), file.read()?));
        pack::zip_zstd(&group.iter().map(read).collect::<Result<Vec<_>>>()?)
    })?;
    for (group, bytes) in missing.iter().zip(made) {
        let paths = group.iter().map(|file| file.path.clone()).collect();
        packs.push(site.keep_pack(PackFormat::ZipZstd, None, &bytes, paths)?);
    }
    // In the order of the files, as the groups are.
    packs.sort_by(|one, other| one.paths.cmp(&other.paths));
    Ok(packs)
}

/// A pack of the same files: another compressor would only give it other bytes.
fn reusable(before: &Record, group: &[&SourceFile], site: &Site) -> Option<Pack> {
    let holds = |files: &[File], file: &SourceFile| {
        files.iter().any(|it| it.path == file.path && it.sha256 == file.sha256)
    };
    let fits = |files: &[File], pack: &&Pack| {
        pack.format == PackFormat::ZipZstd
            && pack.paths.iter().eq(group.iter().map(|file| &file.path))
            && group.iter().all(|file| holds(files, file))
            && site.holds_pack(pack)
    };
    let variants = before.variants.iter().map(|variant| (&variant.files, &variant.packs));
    let mut all = std::iter::once((&before.files, &before.packs)).chain(variants);
    all.find_map(|(files, packs)| packs.iter().find(|pack| fits(files, pack))).cloned()
}

/// `0+` and 12 digits of the tree's digest; platforms count where there are any.
fn content_version(name: &UnitName, files: &[File], variants: &[Variant]) -> Result<Version> {
    let mut digest = crate::manifest::tree_digest(files);
    for variant in variants {
        let other = crate::manifest::tree_digest(&variant.files);
        digest = Digest::of(format!("{digest} {} {other}", variant.tag).as_bytes());
    }
    Version::new(&format!("0+{}", &digest.to_hex()[..12]))
        .map_err(|why| refused(name, why, "set its version in magic-module.toml"))
}

#[cfg(test)]
mod tests {
    use super::is_opened_unasked;

    #[test]
    fn what_the_interpreter_opens_is_never_lazy() {
        for path in ["a/b.py", "a/x.cpython-313-x86_64-linux-gnu.so", "a/libz.so.1", "a/x.pyd"] {
            assert!(is_opened_unasked(path), "{path}");
        }
        for path in ["a/b.pyx", "a/so", "a.so/x.csv", "a/b.pyi"] {
            assert!(!is_opened_unasked(path), "{path}");
        }
    }
}
