//! Hashing ahead: the extension modules that earlier imports loaded are hashed beside the import
//! that is likely to load them again.
//!
//! ```text
//! code pack ─ which were loaded, in which order ─▶ thread ─ hashes one after the other ─▶ stamps
//!                                                     import wants one: waits for it, and compares its stamp
//! ```
//!
//! Nothing depends on it: what was not hashed, is other than it was, or takes too long is hashed by
//! whoever loads it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::name::count_hashed;
use crate::store::tree::{Stamp, Tree};
use crate::threads;

/// From so many bytes on a thread pays.
const ENOUGH: u64 = 1 << 20;

/// How long an import waits for the thread.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a thread hashes for one process.
#[derive(Debug)]
pub(super) struct Ahead {
    /// A forked child has no such thread, and perhaps a lock that nobody lets go of.
    process: u32,
    files: Mutex<HashMap<String, State>>,
    changed: Condvar,
}

#[derive(Debug)]
enum State {
    Working,
    /// It is what was pinned, with this stamp.
    Good(Stamp),
    /// An import hashes it itself, or it is damaged.
    Left,
}

impl Ahead {
    /// Begins with `paths`; `None` where that does not pay.
    pub fn start(tree: &Arc<Tree>, paths: Vec<String>) -> Option<Arc<Self>> {
        let size = |path: &String| tree.position(path).map_or(0, |at| tree.files[at].size);
        if paths.iter().map(size).sum::<u64>() < ENOUGH {
            return None;
        }
        // To ask for them takes system calls.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        if cores < 2 {
            return None;
        }
        let ahead = Arc::new(Self::new());
        let work = |(ahead, tree, paths): (Arc<Self>, Arc<Tree>, Vec<String>)| {
            paths.into_iter().for_each(|path| ahead.hash(&tree, path));
        };
        let started =
            threads::start("magic_module-ahead", (ahead.clone(), tree.clone(), paths), work);
        started.is_ok().then_some(ahead)
    }

    fn new() -> Self {
        let process = std::process::id();
        Self { process, files: Mutex::default(), changed: Condvar::new() }
    }

    fn hash(&self, tree: &Tree, path: String) {
        let Some(at) = tree.position(&path) else { return };
        {
            let mut files = self.files.lock();
            if files.contains_key(&path) {
                return;
            }
            files.insert(path.clone(), State::Working);
        }
        let file = &tree.files[at];
        // Taken first: whatever changes it later changes the stamp.
        let stamp = tree.stamp_of(file);
        let good = stamp.filter(|_| tree.verify_file(file).is_ok());
        self.files.lock().insert(path, good.map_or(State::Left, State::Good));
        self.changed.notify_all();
    }

    /// True if the file was hashed, and is what it was then.
    pub fn is_good(&self, tree: &Tree, path: &str) -> bool {
        if self.process != std::process::id() {
            return false;
        }
        let from = Instant::now();
        let until = from + PATIENCE;
        let mut files = self.files.lock();
        while let Some(State::Working) = files.get(path) {
            if self.changed.wait_until(&mut files, until).timed_out() {
                break;
            }
        }
        count_hashed(0, from.elapsed());
        // Good for one load: the next one is hashed for itself.
        let state = files.insert(path.to_owned(), State::Left);
        drop(files);
        let file = tree.position(path).map(|at| &tree.files[at]);
        match (state, file) {
            (Some(State::Good(stamp)), Some(file)) => tree.stamp_of(file) == Some(stamp),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{File, Place};
    use crate::name::{Digest, FilePath, UrlText};
    use crate::store::tree::TreeFile;

    fn tree(folder: &std::path::Path, bytes: &[u8]) -> Tree {
        let file = File {
            path: FilePath::new("fast.so").unwrap(),
            place: Place::Url(UrlText::new("u")),
            size: bytes.len() as u64,
            sha256: Digest::of(bytes),
            lazy: false,
            executable: false,
        };
        Tree::new(Digest::of(b"tree"), folder.to_owned(), vec![TreeFile::new(&file)])
    }

    #[test]
    fn what_was_hashed_ahead_counts_once_and_only_as_long_as_nobody_touches_it() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("fast.so");
        let tree = tree(folder.path(), b"machine code");
        fs_err::write(&place, b"machine code").unwrap();

        let ahead = Ahead::new();
        ahead.hash(&tree, "fast.so".into());
        assert!(ahead.is_good(&tree, "fast.so"));
        assert!(!ahead.is_good(&tree, "fast.so"), "a second load is hashed for itself");

        let ahead = Ahead::new();
        ahead.hash(&tree, "fast.so".into());
        fs_err::remove_file(&place).unwrap();
        fs_err::write(&place, b"machine c0de").unwrap();
        assert!(!ahead.is_good(&tree, "fast.so"), "it is another file since");

        let ahead = Ahead::new();
        ahead.hash(&tree, "fast.so".into());
        assert!(!ahead.is_good(&tree, "fast.so"), "it was damaged before");
        assert!(!Ahead::new().is_good(&tree, "fast.so"), "nobody looked at it");
    }
}
