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
    files: Vec<DraftFile>,
    variants: Vec<(String, Vec<DraftFile>)>,
}

#[derive(Debug)]
struct DraftFile {
    file: SourceFile,
    lazy: bool,
}

pub(super) fn drafts(source: &mut Source, overrides: &Overrides) -> Result<Vec<Draft>> {
    let distributions = distribution::read_all(source)?;
    let none = RecordOverrides::default();
    let mut drafts = Vec::new();
    for (name, unit) in &source.units {
        let own = overrides.records.get(name).unwrap_or(&none);
        if let Some(missing) =
            own.requires.iter().flatten().find(|it| !source.units.contains_key(*it))
        {
            return Err(overrides::wrong(
                &format!("{name}.requires"),
                format!("the source folder has no unit {missing}"),
                "correct the name, or add the unit",
            ));
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
    let mut files = unit.files.clone();
    files.extend(of.iter().filter(|it| it.home == *name).flat_map(|it| it.files.clone()));
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let specifiers: BTreeSet<&str> =
        of.iter().filter_map(|it| it.metadata.requires_python.as_deref()).collect();
    let joined = specifiers.into_iter().collect::<Vec<_>>().join(",");
    let mut draft = Draft {
        name: name.clone(),
        version: own
            .version
            .clone()
            .or_else(|| main.map(|it| it.metadata.version.clone()))
            .or_else(|| version::declared(name, text)),
        summary: own.summary.clone().or_else(|| main?.metadata.summary.clone()),
        requires_python: own
            .requires_python
            .clone()
            .or_else(|| (!joined.is_empty()).then_some(joined)),
        dependencies: own.dependencies.clone().unwrap_or(dependencies),
        requires: own.requires.clone().unwrap_or(requires),
        yanked: own.yanked.clone(),
        files: drafted(files),
        variants: unit
            .variants
            .iter()
            .map(|(tag, files)| (tag.clone(), drafted(files.clone())))
            .collect(),
    };
    lazy(&mut draft, &own.lazy)?;
    Ok(draft)
}

fn drafted(files: Vec<SourceFile>) -> Vec<DraftFile> {
    files.into_iter().map(|file| DraftFile { file, lazy: false }).collect()
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
fn lazy(draft: &mut Draft, globs: &[String]) -> Result<()> {
    let stem = draft.name.to_path();
    let folder = format!("{stem}/");
    let parent = stem.rfind('/').map_or(0, |at| at + 1);
    for pattern in globs {
        let mut found = false;
        let variants = draft.variants.iter_mut().flat_map(|(_, files)| files);
        for drafted in draft.files.iter_mut().chain(variants) {
            let path = drafted.file.path.as_str();
            let below = match path.strip_prefix(&folder) {
                Some(below) => below,
                None if path.starts_with(&stem) && !path[parent..].contains('/') => &path[parent..],
                None => continue,
            };
            let below: String = below.nfc().collect();
            if !is_opened_unasked(path) && glob::matches(&pattern.nfc().collect::<String>(), &below)
            {
                drafted.lazy = true;
                found = true;
            }
        }
        if !found {
            return Err(overrides::wrong(
                &format!("{}.lazy", draft.name),
                format!("{pattern:?} names no data file of {}", draft.name),
                "write globs below the unit's folder, such as data/*.bin, or remove it",
            ));
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
    let files = keep(&draft.files, site)?;
    let mut packs = packs(&draft.files, before, site)?;
    let old = before.map(|it| (&it.files[..], &it.packs[..]));
    packs.extend(code::packs(eager(&draft.files), old, compiler, site)?);
    let mut variants = Vec::new();
    for (tag, drafted) in &draft.variants {
        let mut packs = self::packs(drafted, before, site)?;
        let old = before.and_then(|it| it.variants.iter().find(|variant| variant.tag == *tag));
        let old = old.map(|it| (&it.files[..], &it.packs[..]));
        packs.extend(code::packs(eager(drafted), old, compiler, site)?);
        variants.push(Variant { tag: tag.clone(), files: keep(drafted, site)?, packs });
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

fn keep(drafted: &[DraftFile], site: &mut Site) -> Result<Vec<File>> {
    let file = |drafted: &DraftFile| {
        Ok(File {
            path: drafted.file.path.clone(),
            place: Place::Url(UrlText::new(site.keep_file(&drafted.file)?)),
            size: drafted.file.size,
            sha256: drafted.file.sha256,
            lazy: drafted.lazy,
            executable: drafted.file.executable && !is_library(drafted.file.path.as_str()),
        })
    };
    drafted.iter().map(file).collect()
}

fn eager(drafted: &[DraftFile]) -> Vec<&SourceFile> {
    drafted.iter().filter(|it| !it.lazy).map(|it| &it.file).collect()
}

/// Names in an archive have one Unicode normal form, because extractors choose; others come alone.
fn packable(drafted: &[DraftFile]) -> Vec<&SourceFile> {
    eager(drafted).into_iter().filter(|file| file.path.is_composed().is_ok()).collect()
}

fn packs(drafted: &[DraftFile], before: Option<&Record>, site: &mut Site) -> Result<Vec<Pack>> {
    let groups = pack::groups(packable(drafted));
    let kept: Vec<Option<Pack>> = groups
        .iter()
        .map(|group| before.and_then(|before| reusable(before, group, site)))
        .collect();
    let missing = groups.iter().zip(&kept).filter(|(_, kept)| kept.is_none());
    let missing: Vec<_> = missing.map(|(group, _)| group).collect();
    let mut made = pack::each(&missing, |group| {
        let read = |file: &&SourceFile| Ok((file.path.to_string(), file.read()?));
        pack::zip_zstd(&group.iter().map(read).collect::<Result<Vec<_>>>()?)
    })?
    .into_iter();
    let mut packs = Vec::new();
    for (group, kept) in groups.iter().zip(kept) {
        if let Some(pack) = kept {
            packs.push(pack);
        } else if let Some(bytes) = made.next() {
            let (url, sha256) = site.keep_pack(&bytes)?;
            packs.push(Pack {
                format: PackFormat::ZipZstd,
                tag: None,
                url: UrlText::new(url),
                size: bytes.len() as u64,
                sha256,
                paths: group.iter().map(|file| file.path.clone()).collect(),
            });
        }
    }
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
            && site.holds(pack.url.as_str(), pack.size, &pack.sha256)
    };
    let own = before.packs.iter().find(|pack| fits(&before.files, pack));
    own.or_else(|| {
        let mut variants = before.variants.iter();
        variants.find_map(|variant| variant.packs.iter().find(|pack| fits(&variant.files, pack)))
    })
    .cloned()
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
