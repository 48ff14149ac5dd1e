//! `--packs-for`: each wheel is packed in two parts: what scripts use of it, and the rest.
//!
//! ```text
//! traces ─▶ paths, and the libraries that those need ─▶ two parts of each wheel ─▶ packs
//!                    a site that lacks each second part ─ the scripts run from it ◀─┘
//! ```
//!
//! A wheel stays whole if nothing of it was used, or everything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lock::keep_document;
use super::site::{MANIFEST, Site, linked};
use super::target::PublishedTarget;
use super::wheels::{Packed, Wheel};
use super::{Options, to_json};
use crate::error::{Error, Kind, Result};
use crate::inspect::elf::Libraries;
use crate::manifest::{Body, FORMAT, LOCK, Manifest, Modules, Pack, PublishedLock, tree_digest};
use crate::name::{Digest, FilePath, Namespace, UnitName};
use crate::resolved::{FileEntry, Parts, Resolved, is_library};
use crate::supply::lock::records::{part_of, record_of};
use crate::supply::lock::site::Document;
use crate::wheel::Contents;

/// Runs scripts from the site in a folder.
type Prove = dyn Fn(&Path) -> Result<()> + Send + Sync;

/// What the packs are for.
#[derive(Clone)]
pub struct PacksFor {
    /// What the scripts have used, below the prefix of an environment.
    pub used: BTreeSet<FilePath>,
    /// An empty folder, for a site that lacks the rest of each wheel.
    pub folder: PathBuf,
    /// Has the scripts run from that site.
    pub prove: Arc<Prove>,
}

impl fmt::Debug for PacksFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacksFor").field("used", &self.used.len()).finish_non_exhaustive()
    }
}

/// A wheel, and what it is for the lock.
struct Whole<'a> {
    wheel: Wheel,
    contents: &'a Contents,
    files: Vec<FileEntry>,
}

/// The same lock with wheels in parts. `known` is what the site has of that already.
pub(super) fn parted(
    resolved: &Resolved,
    contents: &[Contents],
    known: Option<&Resolved>,
    packs_for: &PacksFor,
    options: &Options,
    site: &mut Site,
) -> Result<Resolved> {
    let wholes = wholes(resolved, contents, site)?;
    let used = with_libraries(&wholes, &packs_for.used)?;
    let mut packs: BTreeMap<UnitName, Parts<Vec<Pack>>> = BTreeMap::new();
    let mut code: BTreeMap<UnitName, Vec<Pack>> = BTreeMap::new();
    for (unit, Whole { wheel, files, .. }) in &wholes {
        let (Some(parts), Some(rest)) = (resolved.parts_of(files, &used), unit.rest()) else {
            continue;
        };
        let mut made = Parts::default();
        for (name, paths, made) in
            [(unit.clone(), parts.used, &mut made.used), (rest, parts.rest, &mut made.rest)]
        {
            let paths: BTreeSet<&FilePath> = paths.iter().collect();
            let files = wheel.files(|path| paths.contains(path));
            let same_wheel = known.filter(|it| is_same(it, resolved, unit));
            let same = same_wheel.filter(|it| it.paths_of(&name).as_ref() == Some(&paths));
            let old = same.and_then(|it| it.packs.get(&name));
            let is_held = |packs: &&Vec<Pack>| packs.iter().all(|pack| site.holds_pack(pack));
            let old = old.filter(is_held).cloned();
            let compiled =
                wheel.code(&files, same.and_then(|it| it.code.get(&name)), options, site)?;
            *made = match old {
                Some(old) => old,
                None => wheel
                    .packs(files)?
                    .into_iter()
                    .map(|it| keep(it, site))
                    .collect::<Result<_>>()?,
            };
            if !compiled.is_empty() {
                code.insert(name, compiled);
            }
        }
        packs.insert(unit.clone(), made);
    }
    let tree = |unit: &UnitName, packs: &[Pack]| -> Result<Digest> {
        let (Some(whole), Some(it)) = (wholes.get(unit), resolved.units.get(unit)) else {
            return Err(Error::new(Kind::Manifest, format!("the lock lacks {unit}")));
        };
        let record = record_of(whole.contents, &resolved.scheme, &it.url, &it.version)?;
        Ok(tree_digest(&part_of(record, packs).files))
    };
    let files = wholes.iter().map(|(unit, whole)| (unit.clone(), whole.files.clone())).collect();
    let mut parted = resolved.parted(&files, packs, tree)?;
    parted.code = code;
    Ok(parted)
}

fn wholes<'a>(
    resolved: &Resolved,
    contents: &'a [Contents],
    site: &Site,
) -> Result<BTreeMap<UnitName, Whole<'a>>> {
    let by_wheel: BTreeMap<&Digest, &Contents> =
        contents.iter().map(|it| (&it.sha256, it)).collect();
    let mut wholes = BTreeMap::new();
    for (unit, it) in &resolved.units {
        let Some(contents) = by_wheel.get(&it.sha256) else { continue };
        let wheel = Wheel::of(it, contents, &resolved.scheme, site)?;
        let files = wheel.placed();
        wholes.insert(unit.clone(), Whole { wheel, contents, files });
    }
    Ok(wholes)
}

/// What was used, and every library of the lock that one of these needs, or one that such a one
/// needs.
fn with_libraries(
    wholes: &BTreeMap<UnitName, Whole<'_>>,
    used: &BTreeSet<FilePath>,
) -> Result<BTreeSet<FilePath>> {
    let mut by_name: BTreeMap<&str, Vec<&FilePath>> = BTreeMap::new();
    let all = wholes.values().flat_map(|whole| &whole.files);
    for file in all.filter(|file| is_library(file.path.as_str())) {
        by_name.entry(file.path.file_name()).or_default().push(&file.path);
    }
    let mut used = used.clone();
    let mut looked: BTreeSet<FilePath> = BTreeSet::new();
    loop {
        let mut needed: BTreeSet<String> = BTreeSet::new();
        let mut seen = Vec::new();
        for whole in wholes.values() {
            let is_new = |path: &FilePath| {
                used.contains(path) && is_library(path.as_str()) && !looked.contains(path)
            };
            let libraries = whole.wheel.files(is_new);
            if libraries.is_empty() {
                continue;
            }
            whole.wheel.each(&libraries, |file, bytes| {
                let found = Libraries::read(&mut Cursor::new(bytes)).unwrap_or_default();
                needed.extend(found.needed);
                seen.push(file.path.clone());
                Ok(())
            })?;
        }
        if seen.is_empty() {
            return Ok(used);
        }
        looked.extend(seen);
        let paths = needed.iter().filter_map(|name| by_name.get(name.as_str())).flatten();
        used.extend(paths.map(|path| (*path).clone()));
    }
}

/// True if both mean the same wheel.
fn is_same(known: &Resolved, resolved: &Resolved, unit: &UnitName) -> bool {
    let wheel = |of: &Resolved| of.units.get(unit).map(|it| it.sha256);
    wheel(known) == wheel(resolved)
}

fn keep(Packed { format, bytes, paths }: Packed, site: &mut Site) -> Result<Pack> {
    site.keep_pack(format, None, &bytes, paths)
}

/// Has the scripts run from a site that has the first part of each wheel, and not the rest.
pub(super) fn prove(
    text: &[u8],
    target: PublishedTarget,
    parted: &Document,
    packs_for: &PacksFor,
    options: &Options,
    site: &Site,
) -> Result<()> {
    let folder = &packs_for.folder;
    let mut trial = Site::open(folder, options)?;
    // Its code may lie in a bucket only, and is compiled again where it is missing.
    let mut tried =
        Document { resolved: parted.resolved.clone(), contents: parted.contents.clone() };
    tried.resolved.code.clear();
    let resolved = &tried.resolved;
    for (unit, it) in resolved.wheels() {
        match resolved.packs.get(unit) {
            Some(packs) => packs.iter().try_for_each(|pack| {
                site.copy(pack.url.as_str(), &folder.join(pack.url.as_str()))
            })?,
            None => linked(&site.wheel(&it.sha256), &trial.wheel(&it.sha256))?,
        }
    }
    let part = keep_document(&tried, &mut trial)?;
    let text = trial.keep_lock_part(".toml", text)?;
    let lock = PublishedLock { text, documents: vec![target.document(part, None)] };
    let manifest = Manifest {
        manifest: FORMAT,
        namespace: Namespace::default(),
        serial: Some(1),
        created: None,
        max_age: None,
        needs: vec![LOCK.to_owned()],
        body: Body::Modules(Modules::default()),
        lock: Some(lock),
    };
    trial.replace(MANIFEST, &to_json(&manifest)?)?;
    drop(trial);
    (packs_for.prove)(folder)
}
