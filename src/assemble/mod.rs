//! Building and healing trees out of verified bytes.
//!
//! ```text
//! blob ──────────┐
//! pack ─ unpack ─┼─▶ tmp/<digest>.tree/ ─ rename ─▶ trees/<digest>/ ─ index
//! another tree ──┘
//! ```
//!
//! A tree is built under a lock by one process, aside, and named when it is whole.
//! Nothing here asks the network: what cannot be made is told to the caller.

mod ahead;
mod compose;
mod copies;
mod early;
mod fill;
mod packs;
mod placed;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;
use crate::manifest::{self, Record};
use crate::name::{Digest, FilePath};
use crate::store::lock::Exclusive;
use crate::store::tree::{Kept, Scrutiny, Stamp, Tree, folder_of};
use crate::store::{Reuse, Store, aside, disk, in_the_way, make_folders, make_way, rename_onto};

pub use ahead::{small_packs, unpack_ahead};
pub use compose::compose;
pub use copies::{link, make_executable};
pub use early::Early;
use fill::fill;
use packs::{Declared, Packs};
pub use placed::Placed;

/// So often is a folder put into the place of another that comes back.
const ATTEMPTS: usize = 16;

/// Where the bytes of one file are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What they can always be made from again.
    pub kept: Kept,
    /// A file that holds them already, and is nearer: the same file of another tree.
    pub file: Option<PathBuf>,
    /// The blob was hashed just now, while it arrived.
    pub fresh: bool,
}

impl Source {
    /// The pack that the bytes are read from, and the entry in it.
    fn packed(&self) -> Option<(&Digest, &FilePath)> {
        match self {
            Self { kept: Kept::InPack { pack, entry }, file: None, .. } => Some((pack, entry)),
            _ => None,
        }
    }
}

/// Builds the tree of `record`; another process may have done so meanwhile. Without reuse it is
/// built even where a good one stands; who has that one's files open keeps them. A pack is
/// good if it holds what the record says and nothing else. Some files
/// may have been unpacked before.
pub fn build(
    store: &Store,
    digest: &Digest,
    record: &Record,
    sources: &BTreeMap<FilePath, Source>,
    reuse: Reuse,
    placed: Option<Placed>,
) -> Result<Tree> {
    store.create()?;
    let lock = Exclusive::wait(&store.locks().join(format!("{digest}.tree")))?;
    if reuse == Reuse::WhatIsHere
        && let Some(tree) = whole(store, digest)?
    {
        return Ok(tree);
    }
    // Where there are no locks, others build it at the same time. What is not named is removed.
    if lock.is_real() {
        disk::remove_left(&store.tmp(), &digest.to_hex(), "tree");
    }
    let nothing = || Placed::new(aside(&store.tmp(), digest, "tree"), None);
    let placed = placed.filter(Placed::is_whole).or_else(|| Placed::left(store, digest));
    let mut placed = placed.unwrap_or_else(nothing);
    let files = fill(store, &mut placed, record, sources)?;
    name(store, &placed.aside, Tree::new(*digest, folder_of(store, digest), files), reuse)
}

/// The tree that stands, if nothing in it is damaged.
fn whole(store: &Store, digest: &Digest) -> Result<Option<Tree>> {
    let Some(mut tree) = Tree::open(store, digest)? else { return Ok(None) };
    Ok(tree.check(store, Scrutiny::Stamps).damaged.is_empty().then_some(tree))
}

/// Gives the tree that was built aside its name. Where there are no locks, somebody else may
/// have been quicker: a whole folder is never taken away from those who read it.
fn name(store: &Store, aside: &Path, tree: Tree, reuse: Reuse) -> Result<Tree> {
    for attempt in 1..=ATTEMPTS {
        match files::rename_folder(aside, &tree.folder) {
            Ok(()) => break,
            Err(error) if in_the_way(&error) && attempt < ATTEMPTS => {}
            Err(error) => return Err(cannot_build(&tree.folder, &error)),
        }
        if reuse == Reuse::WhatIsHere
            && let Some(standing) = standing(store, &tree)
        {
            standing.write_index(store)?;
            return Ok(standing);
        }
        make_way(&store.tmp(), &tree.folder).map_err(|error| cannot_build(&tree.folder, &error))?;
    }
    tree.write_index(store)?;
    Ok(tree)
}

/// What stands in the tree's place, perhaps without its index yet, if nothing in it is damaged.
fn standing(store: &Store, tree: &Tree) -> Option<Tree> {
    let is_ours = fs_err::symlink_metadata(&tree.folder).is_ok_and(|it| store.is_own_folder(&it));
    let mut found = tree.clone();
    (is_ours && found.check(store, Scrutiny::Stamps).damaged.is_empty()).then_some(found)
}

/// Reads all of a pack, to know whether it holds what the record says to the last byte.
pub fn read_pack(store: &Store, record: &Record, pack: &manifest::Pack) -> Result<()> {
    let mut open = Declared::of(record).open(store, &pack.sha256)?;
    let held: BTreeSet<&FilePath> = pack.paths.iter().collect();
    for file in record.files.iter().filter(|file| held.contains(&file.path)) {
        open.copy(file.entry(), file.size, &file.sha256, &mut io::sink())?;
    }
    Ok(())
}

/// Mends `damaged` files from the blobs that are here. Returns the positions that
/// could not be mended, because their blob is gone or damaged too.
/// A tree that lies in a further cache is made again in the first.
pub fn heal(store: &Store, tree: &mut Tree, damaged: &[usize]) -> Result<Vec<usize>> {
    store.may_write(|| "what is damaged cannot be mended".to_owned())?;
    store.create()?;
    let _lock = Exclusive::wait(&store.locks().join(format!("{}.tree", tree.digest)))?;
    if let Some(behind) = tree.behind.clone() {
        return Ok(match again(store, tree, &behind, damaged)? {
            Some(whole) => {
                *tree = whole;
                Vec::new()
            }
            None => damaged.to_vec(),
        });
    }
    for at in damaged {
        tree.remove_strangers(store, &tree.files[*at])
            .map_err(|error| cannot_build(&tree.folder, &error))?;
    }
    let declared = Declared::default();
    let mut packs = Packs::new(store, &declared);
    let mut left = Vec::new();
    let mut damaged = damaged.to_vec();
    damaged.sort_by_key(|at| tree.files[*at].blob().copied());
    for at in damaged {
        let file = &tree.files[at];
        let target = tree.folder.join(file.path.as_str());
        let Some(kept) = file.kept.clone() else {
            left.push(at);
            continue;
        };
        let source = Source { kept, file: None, fresh: false };
        let aside = aside(&store.tmp(), tree.digest, "heal");
        let made = make_again(&aside, &target, || packs.place(&aside, file, &source));
        let _ = disk::remove(&aside);
        match made.map_err(|error| cannot_build(&target, &error))? {
            Some(stamp) => tree.files[at].stamp = stamp,
            None => left.push(at),
        }
    }
    Ok(left)
}

/// The tree whose files lie `behind`, with those that are damaged made of blobs. `None`: these are
/// not here.
fn again(store: &Store, tree: &Tree, behind: &Path, damaged: &[usize]) -> Result<Option<Tree>> {
    let placed = Placed::new(aside(&store.tmp(), tree.digest, "tree"), None);
    let declared = Declared::default();
    let mut packs = Packs::new(store, &declared);
    let mut files = tree.files.clone();
    for (at, file) in files.iter_mut().enumerate().filter(|(_, file)| !file.lazy) {
        let Some(kept) = file.kept.clone() else { return Ok(None) };
        let whole = (!damaged.contains(&at)).then(|| behind.join(file.path.as_str()));
        let target = placed.aside.join(file.path.as_str());
        make_folder(target.parent().unwrap_or(&placed.aside))?;
        if packs.place(&target, file, &Source { kept, file: whole, fresh: false }).is_err() {
            return Ok(None);
        }
        file.stamp = stamp_of(&target)?;
    }
    let made = Tree::new(tree.digest, tree.folder.clone(), files);
    name(store, &placed.aside, made, Reuse::Nothing).map(Some)
}

/// `None` if it cannot be placed aside. Where there are no locks, somebody else may be replacing
/// the tree at the same time.
fn make_again(
    aside: &Path,
    target: &Path,
    mut place: impl FnMut() -> Result<()>,
) -> io::Result<Option<Stamp>> {
    for attempt in 1..=ATTEMPTS {
        if place().is_err() {
            break;
        }
        match put(aside, target) {
            Err(error) if disk::is_absent(&error) && attempt < ATTEMPTS => {
                let _ = disk::remove(aside);
            }
            done => return done.map(Some),
        }
    }
    Ok(None)
}

/// Renames a healed file to its place, whose folders may be gone.
fn put(aside: &Path, target: &Path) -> io::Result<Stamp> {
    if let Some(folder) = target.parent() {
        make_folders(folder)?;
    }
    rename_onto(aside, target)?;
    fs_err::symlink_metadata(target).map(|metadata| Stamp::of(&metadata))
}

fn make_folder(path: &Path) -> Result<()> {
    make_folders(path).map_err(|error| cannot_build(path, &error))
}

fn stamp_of(file: &Path) -> Result<Stamp> {
    let metadata = fs_err::symlink_metadata(file).map_err(|error| cannot_build(file, &error))?;
    Ok(Stamp::of(&metadata))
}

fn remove(folder: &Path) -> Result<()> {
    disk::remove(folder).map_err(|error| cannot_build(folder, &error))
}

fn cannot_build(path: &Path, error: &io::Error) -> Error {
    Error::store("cannot write to the cache", path, error)
}
