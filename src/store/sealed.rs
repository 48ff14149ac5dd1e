//! Sealed caches that this process has met. They behave like read-only disks, whichever path leads
//! into them.
//!
//! The few functions that lock and write ask here, so that every floor above meets what it meets on
//! such a disk, for root, too.
//! How a cache is found to be sealed stands in `seal.rs`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::error::Sealed;

/// What helps against damage in one.
pub const PUT_A_COPY: &str = "put a whole copy of the sealed cache in its place, or name a \
    directory of yours before it in MAGIC_MODULE_CACHE_DIR";

/// It is not, or not any more.
pub(super) const OPEN: u8 = 0;
/// Nothing is written to it, and its listing settles nothing.
pub(super) const DOUBTED: u8 = 1;
/// Its listing settles all that is in it.
pub(super) const HOLDS: u8 = 2;

/// Entries are added and never go: nobody waits for a lock here, a forked child least of all.
static MET: Slot = Slot(OnceLock::new());

struct Slot(OnceLock<Box<Met>>);

struct Met {
    root: PathBuf,
    state: AtomicU8,
    next: Slot,
}

impl Slot {
    fn all() -> impl Iterator<Item = &'static Met> {
        std::iter::successors(MET.0.get(), |met| met.next.0.get()).map(Box::as_ref)
    }
}

/// Notes what a cache was found to be.
pub(super) fn set(root: &Path, state: u8) {
    if let Some(met) = Slot::all().find(|met| met.root == root) {
        return met.state.store(state, Ordering::Release);
    }
    if state == OPEN {
        return;
    }
    let state = AtomicU8::new(state);
    let mut new = Box::new(Met { root: root.to_owned(), state, next: Slot(OnceLock::new()) });
    let mut slot = &MET;
    // Somebody else may add one at the same time.
    while let Err(back) = slot.0.set(new) {
        new = back;
        let Some(met) = slot.0.get() else { return };
        slot = &met.next;
    }
}

fn state_of(path: &Path) -> u8 {
    let met = Slot::all().find(|met| path.starts_with(&met.root));
    met.map_or(OPEN, |met| met.state.load(Ordering::Acquire))
}

/// True below a sealed cache: nothing is locked or written there.
pub fn is_sealed(path: &Path) -> bool {
    state_of(path) != OPEN
}

/// True for what a listing settles: its names, sizes and owners are known.
pub fn settles(path: &Path) -> bool {
    state_of(path) == HOLDS
}

/// What whoever wants to write to a sealed cache is told, as by a read-only disk.
pub fn refuse(path: &Path) -> io::Result<()> {
    let sealed = Slot::all()
        .find(|met| path.starts_with(&met.root) && met.state.load(Ordering::Acquire) != OPEN);
    sealed.map_or(Ok(()), |met| {
        let cache = met.root.parent().unwrap_or(&met.root).to_owned();
        Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, Sealed { cache }))
    })
}
