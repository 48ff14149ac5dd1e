//! What must hold between the values of a manifest: one owner for each path, no
//! names that a case-insensitive file system confuses, `requires` that exist.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use super::{Body, File, Manifest, Modules, PATHS, Pack, PackFormat, Record, place_of, wrong};
use crate::error::Result;
use crate::name::{FilePath, Namespace, UnitName, folded};

pub(super) fn manifest(manifest: &Manifest) -> Result<()> {
    if manifest.max_age.is_some() && manifest.expires().is_none() {
        // A freshness that cannot be judged would be no protection.
        return Err(match &manifest.created {
            Some(created) => wrong("created", format!("{created:?} is not a time (RFC 3339)")),
            None => wrong("max_age", "needs `created`, from which it counts"),
        });
    }
    if let Some(lock) = &manifest.lock {
        if lock.parts().any(|part| part.url.as_str().is_empty()) {
            return Err(wrong("lock", "a url is empty"));
        }
        if !manifest.namespace.is_empty() {
            return Err(wrong(
                "lock",
                "needs an empty namespace: what is locked has top-level names",
            ));
        }
        if manifest.modules().is_none_or(|modules| !modules.0.is_empty()) {
            return Err(wrong("lock", "stands beside units, only one is allowed"));
        }
    }
    match &manifest.body {
        Body::Modules(modules) => {
            let forms = match manifest.needs.iter().any(|need| need == PATHS) {
                true => Forms::Any,
                false => Forms::Composed,
            };
            records(&manifest.namespace, modules, forms)?;
            requires(modules)
        }
        Body::Catalogue(_) if manifest.namespace.is_empty() => Err(wrong(
            "catalogue",
            "an empty namespace needs `modules`, because its manifest must answer for every name",
        )),
        Body::Catalogue(catalogue) => catalogue.check(),
    }
}

/// In which forms of Unicode paths of data may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forms {
    Composed,
    Any,
}

/// Checks records that came together: a whole manifest, or one leaf of a catalogue. Paths of
/// data may be in other forms of Unicode where the manifest says so.
pub(super) fn records(namespace: &Namespace, modules: &Modules, forms: Forms) -> Result<()> {
    let twice = Twice::of(modules.0.keys().map(|name| name.as_str().to_lowercase()));
    let mut units: HashMap<String, &UnitName> = HashMap::new();
    for name in modules.0.keys() {
        let place = place_of(name);
        if let Some(why) = namespace.refuses(name) {
            return Err(wrong(place, why));
        }
        let lower = name.as_str().to_lowercase();
        if twice.perhaps(&lower)
            && let Some(other) = units.insert(lower, name)
        {
            return Err(wrong(place, format!("differs from {other} only in case")));
        }
    }
    let files = modules.0.values().flat_map(|record| &record.files);
    let twice = Twice::of(files.map(|file| file.path.folded()));
    let mut paths: HashMap<String, (String, &UnitName)> = HashMap::new();
    for (name, record) in &modules.0 {
        let place = place_of(name);
        record_alone(name, record, &place, forms)?;
        for (index, file) in record.files.iter().enumerate() {
            let here = || format!("{place}.files[{index}].path");
            let folded = file.path.folded();
            if twice.perhaps(&folded)
                && let Some((there, owner)) = paths.insert(folded, (here(), name))
            {
                let why = format!("{} of {name} is at {there} of {owner} already", file.path);
                return Err(wrong(here(), why));
            }
            if let Some(owner) = deeper_owner(name, &file.path, modules) {
                let why = format!("{} of {name} belongs to {owner}", file.path);
                return Err(wrong(here(), why));
            }
        }
    }
    Ok(())
}

/// Which of many texts are perhaps there twice, told by a few bytes each: hardly ever one is.
struct Twice {
    hasher: RandomState,
    hashes: HashSet<u64>,
}

impl Twice {
    fn of(texts: impl Iterator<Item = String>) -> Self {
        let hasher = RandomState::new();
        let mut all: Vec<u64> = texts.map(|text| hasher.hash_one(text)).collect();
        all.sort_unstable();
        let pairs = all.windows(2).filter(|pair| pair.first() == pair.last());
        let hashes = pairs.filter_map(|pair| pair.first().copied()).collect();
        Self { hasher, hashes }
    }

    fn perhaps(&self, text: &str) -> bool {
        !self.hashes.is_empty() && self.hashes.contains(&self.hasher.hash_one(text))
    }
}

fn record_alone(name: &UnitName, record: &Record, place: &str, forms: Forms) -> Result<()> {
    files(name, &record.files, place, forms)?;
    packs(record, &record.files, &record.packs, place)?;
    for (index, variant) in record.variants.iter().enumerate() {
        let place = format!("{place}.variants[{index}]");
        if variant.tag.split('-').count() != 3 {
            let why = format!("{:?} is not a wheel tag of three parts", variant.tag);
            return Err(wrong(format!("{place}.tag"), why));
        }
        files(name, &variant.files, &place, forms)?;
        packs(record, &variant.files, &variant.packs, &place)?;
    }
    for (version, older) in &record.versions {
        let place = format!("{place}.versions.{version}");
        if older.version != *version {
            let why = format!("{} is listed under {version}", older.version);
            return Err(wrong(format!("{place}.version"), why));
        }
        if !older.versions.is_empty() {
            let why = "older records have no versions of their own";
            return Err(wrong(format!("{place}.versions"), why));
        }
        record_alone(name, older, &place, forms)?;
    }
    Ok(())
}

fn files(name: &UnitName, files: &[File], place: &str, forms: Forms) -> Result<()> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    // By the hash of its folded form: spelled out, the folders of one path would take hundreds
    // of times what it does.
    let mut parents: HashMap<u64, (usize, &str)> = HashMap::new();
    let hasher = RandomState::new();
    let mut flat = None;
    let mut below = None;
    for (index, file) in files.iter().enumerate() {
        let here = format!("{place}.files[{index}].path");
        if forms == Forms::Composed || file.path.is_code() {
            file.path.is_composed().map_err(|why| wrong(&here, why))?;
        }
        match owner_rule(name, &file.path) {
            Some(Territory::Flat) => flat = Some(&file.path),
            Some(Territory::Folder) => below = Some(&file.path),
            Some(Territory::Beside) => {}
            None => {
                let stem = name.to_path();
                let why = format!(
                    "{} is not below {stem}/ and not {stem}.<suffix>, so it cannot belong to {name}",
                    file.path
                );
                return Err(wrong(here, why));
            }
        }
        if let Some(first) = seen.insert(file.path.folded(), index) {
            let why = format!("{} is the same file as {place}.files[{first}].path", file.path);
            return Err(wrong(here, why));
        }
        let mut folded_parent = String::new();
        for (end, _) in file.path.as_str().match_indices('/') {
            let parent = &file.path.as_str()[..end];
            let name = parent.rsplit('/').next().unwrap_or(parent);
            folded_parent.push_str(&folded(name));
            let key = hasher.hash_one(&folded_parent);
            folded_parent.push('/');
            let (first, spelled) = *parents.entry(key).or_insert((index, parent));
            if spelled != parent && folded(spelled) == folded(parent) {
                let why = format!(
                    "its folder {parent} is that of {place}.files[{first}].path on systems that ignore case"
                );
                return Err(wrong(here, why));
            }
        }
        if file.url().is_some_and(|url| url.as_str().is_empty()) {
            return Err(wrong(format!("{place}.files[{index}].url"), "is empty"));
        }
    }
    if let (Some(flat), Some(below)) = (flat, below) {
        let why = format!("{name} is a module ({flat}) and a folder ({below}) at once");
        return Err(wrong(place, why));
    }
    for (path, index) in &seen {
        if let Some((inner, spelled)) = parents.get(&hasher.hash_one(path))
            && folded(spelled) == *path
        {
            let why = format!("{} lies below a file, {}", files[*inner].path, files[*index].path);
            return Err(wrong(format!("{place}.files[{inner}].path"), why));
        }
    }
    Ok(())
}

fn packs(record: &Record, own: &[File], packs: &[Pack], place: &str) -> Result<()> {
    // A variant's own files come last, and so replace the record's.
    let files: HashMap<&FilePath, &File> = if packs.is_empty() {
        HashMap::new()
    } else {
        record.files.iter().chain(own).map(|file| (&file.path, file)).collect()
    };
    for (index, pack) in packs.iter().enumerate() {
        if pack.format == PackFormat::Code && pack.tag.is_none() {
            let here = format!("{place}.packs[{index}].tag");
            return Err(wrong(here, "is missing: code is for one interpreter"));
        }
        for (at, path) in pack.paths.iter().enumerate() {
            let here = format!("{place}.packs[{index}].paths[{at}]");
            match files.get(path) {
                None => return Err(wrong(here, format!("{path} is not among the files"))),
                Some(file) if file.lazy => {
                    let why = format!("{path} is lazy, so no pack may hold it");
                    return Err(wrong(here, why));
                }
                Some(_) => {}
            }
        }
    }
    Ok(())
}

fn requires(modules: &Modules) -> Result<()> {
    for (name, record) in &modules.0 {
        for required in record.with_older().flat_map(|record| &record.requires) {
            if !modules.0.contains_key(required) {
                let why = format!("{name} requires {required}, which is not in the manifest");
                return Err(wrong(format!("{}.requires", place_of(name)), why));
            }
        }
    }
    Ok(())
}

/// Where a path stands relative to its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Territory {
    /// `a/b.py`, `a/b.csv`: a module with files beside it.
    Flat,
    /// Anything below `a/b/`.
    Folder,
    /// `name.libs/…` (shared libraries of a wheel) and `name.dist-info/…` (metadata).
    Beside,
}

/// The territory of `unit` that `path` lies in; `None` if it is not the unit's to own.
pub fn owner_rule(unit: &UnitName, path: &FilePath) -> Option<Territory> {
    let (top, rest) = path.as_str().split_once('/').unwrap_or((path.as_str(), ""));
    if !rest.is_empty() && (top.ends_with(".dist-info") || top == format!("{}.libs", unit.top())) {
        return Some(Territory::Beside);
    }
    let rest = path.as_str().strip_prefix(&unit.to_path())?;
    match rest.as_bytes().first() {
        Some(b'/') => Some(Territory::Folder),
        Some(b'.') if !rest.contains('/') => Some(Territory::Flat),
        _ => None,
    }
}

/// A unit with a longer name that owns `path` too: then it belongs to that one.
fn deeper_owner<'a>(
    name: &UnitName,
    path: &FilePath,
    modules: &'a Modules,
) -> Option<&'a UnitName> {
    let mut end = name.as_str().len();
    let dotted = path.as_str().replace('/', ".");
    while let Some(dot) = dotted.get(end + 1..).and_then(|rest| rest.find('.')) {
        end += 1 + dot;
        if let Some((other, _)) =
            dotted.get(..end).and_then(|deeper| modules.0.get_key_value(deeper))
        {
            let territory = owner_rule(other, path);
            if matches!(territory, Some(Territory::Flat | Territory::Folder)) {
                return Some(other);
            }
        }
    }
    None
}
