//! Files of a tree that are unpacked while their wheel is on its way.
//!
//! ```text
//! part file, growing ─ entry whose bytes are all here ─ its digest is the record's ─▶ tmp/<wheel>.early/
//!     └─ whole and verified ─▶ the tree is built there: what is missing, checked as ever
//! ```
//!
//! Nothing here is trusted: a file is kept only if it has the digest that the tree needs, and the
//! tree is named only when the whole wheel was found to be sound. What is odd ends the reading
//! ahead, and costs nothing but that. Who unpacks a wheel holds its lock: what a process left that
//! was killed goes when the next one begins.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::copies::{create, make_executable};
use super::{Placed, make_folder, stamp_of};
use crate::manifest::{Pack, PackFormat, Record};
use crate::name::FilePath;
use crate::store::tree::{Kept, TreeFile};
use crate::store::{Store, disk};
use crate::threads;
use crate::unpack::{Ahead, Arriving, buffered};

/// Smaller wheels are here before there would be anything to do.
const ENOUGH: u64 = 1 << 20;

/// How often the growing file is looked at.
const LOOK: Duration = Duration::from_millis(3);

/// A thread that unpacks what arrives. Dropped, it ends, and what it made is removed.
pub struct Early {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Option<Placed>>>,
}

struct Work {
    part: PathBuf,
    placed: Placed,
    /// By what the wheel calls them.
    wanted: HashMap<FilePath, TreeFile>,
    stop: Arc<AtomicBool>,
}

impl Early {
    /// Begins with a tree of which nothing is here but what arrives in `part`; `None` where that
    /// does not pay.
    pub fn start(store: &Store, record: &Record, part: &Path) -> Option<Self> {
        let [pack @ Pack { format: PackFormat::Wheel, .. }] = record.packs.as_slice() else {
            return None;
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        if pack.size < ENOUGH || cores < 2 {
            return None;
        }
        let wanted = record.files.iter().filter(|file| !file.lazy).map(|file| {
            let kept = Kept::InPack { pack: pack.sha256, entry: file.entry().clone() };
            (file.entry().clone(), TreeFile { kept: Some(kept), ..TreeFile::new(file) })
        });
        let placed = Placed::ahead(store, &pack.sha256).ok().flatten()?;
        let stop = Arc::new(AtomicBool::new(false));
        let work =
            Work { part: part.to_owned(), placed, wanted: wanted.collect(), stop: stop.clone() };
        let thread = threads::start("magic_module-early", work, Work::run).ok()?;
        Some(Self { stop, thread: Some(thread) })
    }

    /// Ends with the file that it is at.
    pub fn finish(mut self) -> Option<Placed> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take()?.join().ok().flatten()
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Work {
    fn run(mut self) -> Placed {
        // What failed is unpacked again once all is here, and fails there if it has to.
        let _ = self.unpack();
        self.placed
    }

    /// `None` at the end of what can be read ahead.
    fn unpack(&mut self) -> Option<()> {
        let (file, _) = disk::open(&self.part).ok()?;
        let mut here = 0;
        let mut arriving = Arriving::new(buffered(file));
        while !self.stop.load(Ordering::Relaxed) {
            let found = match arriving.next(here).ok()? {
                Ahead::Entry(found) => found,
                Ahead::Later(needed) => {
                    here = arriving.length().ok()?;
                    if here < needed {
                        std::thread::sleep(LOOK);
                    }
                    continue;
                }
            };
            let path = FilePath::new(&found.name).ok();
            let wanted = path.and_then(|path| self.wanted.remove_entry(&path));
            let Some((entry, mut file)) = wanted.filter(|(_, it)| it.size == found.size()) else {
                continue;
            };
            let target = self.placed.aside.join(file.path.as_str());
            make_folder(target.parent()?).ok()?;
            let mut made = create(&target).ok()?;
            let digest = arriving.extract(&entry, &found, &mut made);
            drop(made);
            if digest.ok() != Some(file.sha256) {
                disk::remove(&target).ok()?;
                return None;
            }
            if file.executable {
                make_executable(&target).ok()?;
            }
            file.stamp = stamp_of(&target).ok()?;
            self.placed.files.insert(file.path.clone(), file);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests;
