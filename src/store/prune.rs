//! Making room: what no generation in use refers to goes.
//!
//! Kept are the trees of every generation that is current, previous or locked by a
//! process, the blobs that those trees can be rebuilt from, and the manifests that
//! they came from. Where that is above a limit, the blobs go that only previous trees
//! are made from: a rollback still finds these whole, or has them fetched again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Store;
use super::blob::DEAD_AFTER;
use super::generation::{Generation, MountFolder};
use super::lock::Exclusive;
use super::tree::Tree;
use crate::error::{Error, Kind, Result};
use crate::manifest::{Body, Manifest, SIZE_LIMIT};
use crate::name::Digest;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pruned {
    pub removed: Vec<String>,
    pub bytes: u64,
}

/// What the cache holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    pub bytes: u64,
    pub blobs: u64,
    pub trees: u64,
}

/// How long a download may go on before pruning gives up.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// Removes what nothing refers to; above `limit` (bytes) also what previous trees are made from.
pub fn prune(store: &Store, limit: Option<u64>) -> Result<Pruned> {
    prune_within(store, limit, PATIENCE)
}

/// As [`prune`]; gives up where something is fetched for longer than `patience`.
pub fn prune_within(store: &Store, limit: Option<u64>, patience: Duration) -> Result<Pruned> {
    let mut pruned = Pruned::default();
    if !store.check()? {
        return Ok(pruned);
    }
    let _alone = alone(store, patience)?;
    pruned.bytes += store.blobs().sweep();
    sweep_tmp(store, &mut pruned);
    let kept = generations(store, &mut pruned)?;
    sweep(store, &kept, true, &mut pruned)?;
    if limit.is_some_and(|limit| usage(store).bytes > limit) {
        sweep(store, &kept, false, &mut pruned)?;
    }
    Ok(pruned)
}

/// One at a time, and nothing is fetched meanwhile that no generation refers to yet.
fn alone(store: &Store, patience: Duration) -> Result<Exclusive> {
    let started = Instant::now();
    loop {
        if let Some(alone) = Exclusive::try_take(&store.pruning())? {
            return Ok(alone);
        }
        if started.elapsed() >= patience {
            return Err(Error::new(
                Kind::Store,
                "cannot prune the cache while something is downloaded into it",
            )
            .path(store.root().display().to_string())
            .hint("try again when the download has ended"));
        }
        std::thread::sleep(LOOK);
    }
}

/// A generation that stays.
struct Kept {
    generation: Generation,
    /// It is current, or a process is bound to it.
    in_use: bool,
}

/// The generations that stay; the others are removed.
fn generations(store: &Store, pruned: &mut Pruned) -> Result<Vec<Kept>> {
    let mut kept = Vec::new();
    for folder in mount_folders(store) {
        let _lock = folder.lock()?;
        let current = folder.current();
        let newest = current.and_then(|number| folder.read(number));
        let previous = newest.as_ref().and_then(|generation| generation.parent);
        for number in folder.numbers() {
            // Where the newest is damaged, nobody knows which the previous one is.
            let current = current == Some(number) || newest.is_none();
            // Whoever is bound to a generation holds its lock, shared.
            let unused = Exclusive::try_take(&folder.lock_of(number)).ok().flatten().is_some();
            let in_use = current || !unused;
            if in_use || previous == Some(number) {
                kept.extend(folder.read(number).map(|generation| Kept { generation, in_use }));
            } else {
                folder.remove(number);
                pruned.removed.push(format!("generation {number} of {}", short(&folder.path)));
            }
        }
    }
    Ok(kept)
}

pub fn mount_folders(store: &Store) -> Vec<MountFolder> {
    let Ok(entries) = fs_err::read_dir(store.mounts()) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| Digest::new(entry.file_name().to_str()?).ok())
        .map(|identity| MountFolder::new(store, &identity))
        .collect()
}

fn sweep(store: &Store, kept: &[Kept], all_blobs: bool, pruned: &mut Pruned) -> Result<()> {
    let of = |kept: &Kept| kept.generation.active.values().cloned().collect::<Vec<_>>();
    let trees: BTreeSet<Digest> = kept.iter().flat_map(of).map(|active| active.tree).collect();
    let rebuilt: BTreeSet<Digest> = kept
        .iter()
        .filter(|kept| kept.in_use || all_blobs)
        .flat_map(of)
        .map(|active| active.tree)
        .collect();
    let mut blobs = BTreeSet::new();
    let mut lazy = BTreeSet::new();
    for digest in &rebuilt {
        if let Some(tree) = Tree::open(store, digest)? {
            blobs.extend(&tree.sources);
            lazy.extend(tree.files.iter().filter(|file| file.lazy).map(|file| file.sha256));
        }
    }
    blobs.extend(&lazy);
    let mut manifests: BTreeSet<Digest> =
        kept.iter().flat_map(of).map(|active| active.manifest).collect();
    manifests.extend(kept.iter().filter_map(|kept| kept.generation.manifest));
    manifests.extend(mount_folders(store).iter().filter_map(|folder| folder.state().manifest));
    for manifest in manifests {
        blobs.insert(manifest);
        blobs.extend(parts(store, &manifest));
    }
    for entry in entries(&store.trees()) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let digest = Digest::new(name.trim_end_matches(".index"));
        if digest.is_ok_and(|digest| !trees.contains(&digest)) {
            let label =
                if name.ends_with(".index") { None } else { Some(format!("tree {}", &name[..12])) };
            remove(&entry, label, pruned);
        }
    }
    for folder in entries(&store.root().join("blobs")) {
        for blob in entries(&folder) {
            let digest = Digest::new(&blob.file_name().unwrap_or_default().to_string_lossy());
            if digest.is_ok_and(|digest| !blobs.contains(&digest)) {
                remove(&blob, None, pruned);
            }
        }
    }
    for entry in entries(&store.root().join("lazy")) {
        let digest = Digest::new(&entry.file_name().unwrap_or_default().to_string_lossy());
        if digest.is_ok_and(|digest| !lazy.contains(&digest)) {
            remove(&entry, None, pruned);
        }
    }
    for folder in mount_folders(store) {
        for pack in entries(&folder.code()) {
            let name = pack.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let tree = name.get(..64).and_then(|digest| Digest::new(digest).ok());
            if tree.is_none_or(|tree| !trees.contains(&tree)) {
                remove(&pack, None, pruned);
            }
        }
    }
    for lock in entries(&store.locks()) {
        let name = lock.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let tree = name.strip_suffix(".tree").and_then(|digest| Digest::new(digest).ok());
        if tree.is_some_and(|tree| !trees.contains(&tree))
            && Exclusive::try_take(&lock).ok().flatten().is_some()
        {
            remove(&lock, None, pruned);
        }
    }
    Ok(())
}

/// The parts of a catalogue that are here.
fn parts(store: &Store, manifest: &Digest) -> Vec<Digest> {
    let blobs = store.blobs();
    let Ok(bytes) = blobs.read_verified(manifest, SIZE_LIMIT) else { return Vec::new() };
    let Ok(Manifest { body: Body::Catalogue(catalogue), .. }) = Manifest::parse(&bytes) else {
        return Vec::new();
    };
    let mut parts = Vec::new();
    for table in catalogue.tables.iter().flatten() {
        let Ok(bytes) = blobs.read_verified(table, SIZE_LIMIT) else { continue };
        parts.push(*table);
        parts.extend(catalogue.parse_table(&bytes).unwrap_or_default().into_iter().flatten());
    }
    parts
}

/// Halves whose maker is gone: the lock of what they were to become can be taken.
fn sweep_tmp(store: &Store, pruned: &mut Pruned) {
    for entry in entries(&store.tmp()) {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let dead = match name.strip_suffix(".tree") {
            Some(tree) => Exclusive::try_take(&store.locks().join(format!("{tree}.tree")))
                .ok()
                .flatten()
                .is_some(),
            // Written and renamed within one call, without a lock.
            None => !name.ends_with(".part") && older_than(&entry, DEAD_AFTER),
        };
        if dead {
            remove(&entry, None, pruned);
        }
    }
}

fn older_than(path: &Path, age: Duration) -> bool {
    let modified =
        fs_err::symlink_metadata(path).ok().and_then(|metadata| metadata.modified().ok());
    modified.and_then(|time| time.elapsed().ok()).is_some_and(|since| since > age)
}

fn remove(path: &Path, label: Option<String>, pruned: &mut Pruned) {
    let size = size_of(path);
    let removed = match fs_err::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs_err::remove_dir_all(path),
        Ok(_) => fs_err::remove_file(path),
        Err(error) => Err(error),
    };
    if removed.is_ok() {
        pruned.bytes += size;
        pruned.removed.extend(label);
    }
}

/// The bytes below `path`, links not followed.
pub fn size_of(path: &Path) -> u64 {
    match fs_err::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => entries(path).iter().map(|entry| size_of(entry)).sum(),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    }
}

pub fn usage(store: &Store) -> Usage {
    let count = |folder: &Path| {
        entries(folder).iter().filter(|entry| entry.extension().is_none()).count() as u64
    };
    Usage {
        bytes: size_of(store.root()),
        blobs: entries(&store.root().join("blobs")).iter().map(|folder| count(folder)).sum(),
        trees: count(&store.trees()),
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs_err::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).collect()
}

fn short(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().chars().take(12).collect()
}
