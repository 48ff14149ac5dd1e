//! Makes room: removes what no generation in use refers to.
//!
//! Kept are the trees of every generation that is current, previous or locked by a process, the blobs that
//! those trees can be rebuilt from, and the manifests that they came from. If that is above a limit, the blobs
//! that only previous trees can be rebuilt from are removed, too. A rollback still finds those trees whole, or
//! fetches them again.
//!
//! A lock whose view nobody used for long goes whole: its view, then its mount, then what only it needs. So do
//! the mounts of a space that was deleted, unless a process is bound to them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::blob::DEAD_AFTER;
use super::generation::{Generation, MountFolder};
use super::lock::Exclusive;
use super::tree::Tree;
use super::unused::Unused;
use super::{Store, disk, wheels};
use crate::error::{Error, Kind, Result};
use crate::manifest::{Body, Manifest, SIZE_LIMIT};
use crate::name::Digest;
use crate::space::is_space;

/// What pruning did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pruned {
    /// A line for people on each.
    pub removed: Vec<String>,
    /// Freed.
    pub bytes: u64,
}

/// What the cache holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Usage {
    /// Of all files.
    pub bytes: u64,
    /// Their number.
    pub blobs: u64,
    /// Their number.
    pub trees: u64,
}

/// How long a download may go on before pruning gives up.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is built in `tmp`, under a lock of that name.
const BUILT: [&str; 5] = ["tree", "early", "view", "knot", "build"];
const LOOK: Duration = Duration::from_millis(20);

/// Removes what nothing refers to; above `limit` (bytes) also what previous trees are made from.
pub fn prune(store: &Store, limit: Option<u64>) -> Result<Pruned> {
    prune_within(store, limit, PATIENCE)
}

/// As [`prune`]; gives up where something is fetched for longer than `patience`.
pub fn prune_within(store: &Store, limit: Option<u64>, patience: Duration) -> Result<Pruned> {
    if !store.may_remove()? {
        return Ok(Pruned::default());
    }
    store.create()?;
    let _alone = alone(store, patience)?;
    // All is read before anything goes: what cannot be read might name what is in use.
    let survey = Survey::of(store)?;
    let (all, least) =
        (survey.references(store, Spare::Previous)?, survey.references(store, Spare::InUse)?);
    usage(store)?;
    let mut broom = Broom::default();
    broom.pruned.bytes += store.blobs().sweep()?;
    broom.sweep_tmp(store)?;
    survey.forgotten.iter().for_each(|forgotten| broom.forget(forgotten));
    broom.sweep_folder(&store.scripts(), |name| !survey.has_script(&store.scripts().join(name)))?;
    for Old { folder, number, .. } in &survey.old {
        let label = format!("generation {number} of {}", short(&folder.path));
        broom.note(&folder.path, 0, Some(label), folder.remove(*number));
    }
    broom.sweep(store, &all)?;
    if limit.is_some_and(|limit| usage(store).is_ok_and(|used| used.bytes > limit)) {
        broom.sweep(store, &least)?;
    }
    broom.failure.map_or(Ok(broom.pruned), Err)
}

/// One at a time, and nothing is fetched meanwhile that no generation refers to yet.
fn alone(store: &Store, patience: Duration) -> Result<Exclusive> {
    let started = Instant::now();
    loop {
        if let Some(alone) = Exclusive::try_take(&store.pruning())? {
            return Ok(alone);
        }
        if started.elapsed() >= patience {
            let what = "cannot prune the cache while something is downloaded into it";
            return Err(Error::new(Kind::Store, what)
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

/// A generation that goes. Until it has, nobody can bind to it.
struct Old {
    folder: MountFolder,
    number: u64,
    _lock: Exclusive,
}

/// What all mounts say that they need.
#[derive(Default)]
struct Survey {
    folders: Vec<MountFolder>,
    kept: Vec<Kept>,
    old: Vec<Old>,
    forgotten: Vec<Forgotten>,
    /// The newest manifests.
    manifests: BTreeSet<Digest>,
    /// The locks that mounts are of.
    locks: BTreeSet<PathBuf>,
    /// Those that views lead into.
    knots: BTreeSet<Digest>,
}

/// A mount of a lock that nobody used for long, or of a space that is gone. Nobody can bind to it
/// until it has gone.
struct Forgotten {
    folder: MountFolder,
    view: Option<Unused>,
    label: String,
    _locks: Vec<Exclusive>,
}

impl Forgotten {
    /// `None`: it was used not long ago, or a process is bound to it.
    fn of(store: &Store, folder: &MountFolder) -> Result<Option<Self>> {
        let Ok(identity) = Digest::new(&name_of(&folder.path)) else { return Ok(None) };
        let described = folder.described()?;
        let space = described["space"].as_str().filter(|it| !is_space(Path::new(it)));
        let view = Unused::take(store, &identity, space.is_some())?;
        if view.is_none() && space.is_none() {
            return Ok(None);
        }
        let mut locks = Vec::new();
        for number in folder.numbers()? {
            match Exclusive::try_take(&folder.lock_of(number))? {
                Some(lock) => locks.push(lock),
                None => return Ok(None),
            }
        }
        let label = match (described["lock"].as_str(), space) {
            (Some(lock), _) => format!("the view of {lock}"),
            (None, Some(space)) => format!("a mount of {space}"),
            (None, None) => format!("view {}", short(&folder.path)),
        };
        Ok(Some(Self { folder: folder.clone(), view, label, _locks: locks }))
    }
}

impl Survey {
    fn of(store: &Store) -> Result<Self> {
        let mut survey = Self::default();
        for folder in mount_folders(store)? {
            let _lock = folder.lock()?;
            if let Some(forgotten) = Forgotten::of(store, &folder)? {
                survey.forgotten.push(forgotten);
                continue;
            }
            let state = folder.state()?;
            survey.manifests.extend(state.manifest);
            survey.knots.extend(state.knots.into_keys());
            survey.locks.extend(folder.described()?["lock"].as_str().map(PathBuf::from));
            survey.look_at(&folder)?;
            survey.folders.push(folder);
        }
        Ok(survey)
    }

    /// True while a mount is of the lock that is kept there, or may be made of it soon.
    fn has_script(&self, folder: &Path) -> bool {
        let is_in =
            |lock: &PathBuf| lock.parent().is_some_and(|it| it.file_name() == folder.file_name());
        self.locks.iter().any(is_in) || !older_than(folder, DEAD_AFTER)
    }

    fn look_at(&mut self, folder: &MountFolder) -> Result<()> {
        let current = folder.current()?;
        let newest = folder.find(current)?;
        let previous = newest.as_ref().and_then(|generation| generation.parent);
        for number in folder.numbers()? {
            // Where the newest is damaged, nobody knows which the previous one is.
            let current = current == Some(number) || newest.is_none();
            // Whoever is bound to a generation holds its lock, shared.
            let unused = Exclusive::try_take(&folder.lock_of(number))?;
            let in_use = current || unused.is_none();
            if !in_use && previous != Some(number) {
                let old = |lock| Old { folder: folder.clone(), number, _lock: lock };
                self.old.extend(unused.map(old));
                continue;
            }
            match folder.read(number)? {
                Some(generation) => self.kept.push(Kept { generation, in_use }),
                // Damaged under a process that is bound to it: what it uses is not known.
                None if unused.is_none() && folder.holds(number) => {
                    return Err(unreadable(folder, number));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn references(&self, store: &Store, spare: Spare) -> Result<References> {
        let active = || self.kept.iter().flat_map(|kept| kept.generation.active.values());
        let rebuilt = self.kept.iter().filter(|kept| kept.in_use || spare == Spare::Previous);
        let rebuilt = rebuilt.flat_map(|kept| kept.generation.active.values());
        let (mut blobs, mut lazy, mut wheels) =
            <(BTreeSet<_>, BTreeSet<_>, BTreeSet<_>)>::default();
        for digest in rebuilt.map(|active| active.tree).collect::<BTreeSet<_>>() {
            if let Some(tree) = Tree::open(store, &digest)? {
                blobs.extend(tree.blobs());
                lazy.extend(tree.files.iter().filter(|file| file.lazy).map(|file| file.sha256));
            }
        }
        blobs.extend(&lazy);
        let manifests = active()
            .map(|active| active.manifest)
            .chain(self.kept.iter().filter_map(|kept| kept.generation.manifest))
            .chain(self.manifests.iter().copied());
        for manifest in manifests.collect::<BTreeSet<_>>() {
            blobs.insert(manifest);
            let Some(bytes) = bytes_of(store, &manifest)? else { continue };
            blobs.extend(parts(store, &bytes)?);
            wheels.extend(wheels::named_by(&bytes)?);
        }
        let trees = active().map(|active| active.tree).collect();
        let code = self.folders.iter().map(MountFolder::code).collect();
        let views =
            self.folders.iter().filter_map(|folder| Digest::new(&name_of(&folder.path)).ok());
        let (views, knots) = (views.collect(), self.knots.clone());
        Ok(References { trees, blobs, lazy, wheels, code, views, knots })
    }
}

/// Of which trees the blobs stay, too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spare {
    /// Of those in use, and of those that a rollback leads to.
    Previous,
    /// Of those in use.
    InUse,
}

/// What must stay, by name; `code`: the folders of code packs; `views`: the mounts, whose view has
/// their name.
struct References {
    trees: BTreeSet<Digest>,
    blobs: BTreeSet<Digest>,
    lazy: BTreeSet<Digest>,
    wheels: BTreeSet<Digest>,
    code: Vec<PathBuf>,
    views: BTreeSet<Digest>,
    knots: BTreeSet<Digest>,
}

fn unreadable(folder: &MountFolder, number: u64) -> Error {
    let path = folder.generations().join(number.to_string()).display().to_string();
    let what = format!("cannot prune the cache: a process uses {path}, which is damaged");
    Error::new(Kind::Store, what).path(path).hint("try again when that process has ended")
}

/// The folders of all mounts that were ever used.
pub fn mount_folders(store: &Store) -> Result<Vec<MountFolder>> {
    Ok(entries(&store.mounts())?
        .iter()
        .filter_map(|entry| Digest::new(entry.file_name()?.to_str()?).ok())
        .map(|identity| MountFolder::new(store, &identity))
        .collect())
}

/// The parts of a catalogue that are here.
fn parts(store: &Store, manifest: &[u8]) -> Result<Vec<Digest>> {
    let Manifest { body: Body::Catalogue(catalogue), .. } = Manifest::parse(manifest)? else {
        return Ok(Vec::new());
    };
    let mut parts = Vec::new();
    for table in catalogue.tables.iter().flatten() {
        let Some(bytes) = bytes_of(store, table)? else { continue };
        parts.push(*table);
        parts.extend(catalogue.parse_table(&bytes)?.into_iter().flatten());
    }
    Ok(parts)
}

/// A blob's bytes; `None` if it is not there, or damaged: then it is fetched again, with its parts.
fn bytes_of(store: &Store, digest: &Digest) -> Result<Option<Vec<u8>>> {
    match fs_err::symlink_metadata(store.blobs().path(digest)) {
        Err(error) if disk::is_absent(&error) => return Ok(None),
        _ => {}
    }
    match store.blobs().read_verified(digest, SIZE_LIMIT) {
        Err(error) if error.kind() == Kind::Integrity => Ok(None),
        read => read.map(Some),
    }
}

/// Removes, and counts what it removed.
#[derive(Default)]
struct Broom {
    pruned: Pruned,
    /// The first thing that could not be removed; the others go all the same.
    failure: Option<Error>,
}

impl Broom {
    fn sweep(&mut self, store: &Store, keep: &References) -> Result<()> {
        let goes = |name: &str, keep: &BTreeSet<Digest>| {
            Digest::new(name).is_ok_and(|digest| !keep.contains(&digest))
        };
        // Who leads somewhere goes before what is there.
        self.sweep_folder(&store.views(), |name| {
            goes(name.trim_end_matches(".index"), &keep.views)
        })?;
        self.sweep_folder(&store.knots(), |name| {
            goes(name.trim_end_matches(".index"), &keep.knots)
        })?;
        for entry in entries(&store.trees())? {
            let name = name_of(&entry);
            if goes(name.trim_end_matches(".index"), &keep.trees) {
                let is_index = name.ends_with(".index");
                self.remove(&entry, (!is_index).then(|| format!("tree {}", &name[..12])));
            }
        }
        for folder in entries(&store.root().join("blobs"))? {
            self.sweep_folder(&folder, |name| goes(name, &keep.blobs))?;
        }
        self.sweep_folder(&store.root().join("private"), |name| goes(name, &keep.blobs))?;
        self.sweep_folder(&store.lazy(), |name| goes(name, &keep.lazy))?;
        self.sweep_folder(&store.wheels(), |name| goes(name, &keep.wheels))?;
        self.sweep_folder(&store.builds(), |name| {
            // A key that names no wheel is of no use.
            let is_needed =
                |text: &str| Digest::new(text).is_ok_and(|it| keep.wheels.contains(&it));
            match name.ends_with(".key") {
                true => !is_needed(&wheel_of_key(&store.builds().join(name))),
                false => !is_needed(name),
            }
        })?;
        for folder in &keep.code {
            self.sweep_folder(folder, |name| {
                let tree = name.get(..64).and_then(|digest| Digest::new(digest).ok());
                tree.is_none_or(|tree| !keep.trees.contains(&tree))
            })?;
        }
        for lock in entries(&store.locks())? {
            let name = name_of(&lock);
            let is_old = match name.split_once('.') {
                Some((tree, "tree")) => goes(tree, &keep.trees),
                Some((identity, "view")) => goes(identity, &keep.views),
                Some((knot, "knot")) => goes(knot, &keep.knots),
                Some((_, "part")) => true,
                Some((either, "early")) => goes(either, &keep.wheels) && goes(either, &keep.trees),
                Some((key, "build")) => !store.builds().join(format!("{key}.key")).exists(),
                _ => false,
            };
            if is_old && Exclusive::try_take(&lock)?.is_some() {
                self.remove(&lock, None);
            }
        }
        Ok(())
    }

    /// The view goes first: without it nobody takes the rest for whole.
    fn forget(&mut self, forgotten: &Forgotten) {
        let label = Some(forgotten.label.clone());
        let Some(unused) = &forgotten.view else {
            self.remove(&forgotten.folder.path, label);
            return;
        };
        let view = unused.folder();
        if self.remove(view, label) && self.note(view, 0, None, unused.gone()) {
            self.remove(&forgotten.folder.path, None);
        }
    }

    fn sweep_folder(&mut self, folder: &Path, goes: impl Fn(&str) -> bool) -> Result<()> {
        for entry in entries(folder)? {
            if goes(&name_of(&entry)) {
                self.remove(&entry, None);
            }
        }
        Ok(())
    }

    /// Halves whose maker is gone: the lock of what they were to become can be taken.
    fn sweep_tmp(&mut self, store: &Store) -> Result<()> {
        for entry in entries(&store.tmp())? {
            let name = name_of(&entry);
            let of_lock = name.rsplit_once('.').filter(|(_, what)| BUILT.contains(what));
            let dead = match of_lock {
                Some((maker, what)) => {
                    let digest = maker.split('.').next().unwrap_or(maker);
                    let lock = store.locks().join(format!("{digest}.{what}"));
                    match Exclusive::try_take(&lock)? {
                        Some(lock) => lock.is_real() || older_than(&entry, DEAD_AFTER),
                        None => false,
                    }
                }
                // Written and renamed within one call, without a lock.
                None => !name.ends_with(".part") && older_than(&entry, DEAD_AFTER),
            };
            if dead {
                self.remove(&entry, None);
            }
        }
        Ok(())
    }

    /// True if it is gone.
    fn remove(&mut self, path: &Path, label: Option<String>) -> bool {
        let size = size_of(path).unwrap_or(0);
        let removed = disk::remove(path);
        self.note(path, size, label, removed)
    }

    fn note(
        &mut self,
        path: &Path,
        size: u64,
        label: Option<String>,
        removed: io::Result<()>,
    ) -> bool {
        if let Err(error) = removed {
            let cannot = || Error::store("cannot remove from the cache", path, &error);
            self.failure.get_or_insert_with(cannot);
            return false;
        }
        self.pruned.bytes += size;
        self.pruned.removed.extend(label);
        true
    }
}

/// The digest of the wheel that was built for a key.
fn wheel_of_key(path: &Path) -> String {
    let text = disk::read_private(path, 4096).unwrap_or_default();
    String::from_utf8_lossy(&text).chars().take(64).collect()
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn older_than(path: &Path, age: Duration) -> bool {
    let since = || fs_err::symlink_metadata(path).ok()?.modified().ok()?.elapsed().ok();
    since().is_some_and(|since| since > age)
}

/// The bytes below `path`, links not followed. What goes meanwhile counts nothing.
pub fn size_of(path: &Path) -> Result<u64> {
    match fs_err::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            entries(path)?.iter().map(|entry| size_of(entry)).sum()
        }
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if disk::is_absent(&error) => Ok(0),
        Err(error) => Err(cannot_look(path, &error)),
    }
}

pub(crate) fn usage(store: &Store) -> Result<Usage> {
    let count = |folder: &Path| -> Result<u64> {
        Ok(entries(folder)?.iter().filter(|entry| entry.extension().is_none()).count() as u64)
    };
    let folders = entries(&store.root().join("blobs"))?;
    Ok(Usage {
        bytes: size_of(store.root())?,
        blobs: folders.iter().map(|folder| count(folder)).sum::<Result<u64>>()?,
        trees: count(&store.trees())?,
    })
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    disk::list(folder).map_err(|error| cannot_look(folder, &error))
}

fn cannot_look(path: &Path, error: &io::Error) -> Error {
    Error::store(format!("cannot look into {}", path.display()), path, error)
}

fn short(path: &Path) -> String {
    name_of(path).chars().take(12).collect()
}
