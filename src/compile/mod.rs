//! Compiling shared with helper interpreters, where a first import has much to compile.
//!
//! ```text
//! module compiled ─ names it imports ─ guess ─▶ queue ─▶ helper ─▶ code, names ─▶ queue …
//!                                                 └─ wanted now: the import compiles it itself
//! ```
//!
//! The import itself goes on compiling; helpers run ahead of it with what it is likely to
//! ask for next. Nothing depends on them: whatever fails, or says nothing for two seconds,
//! ends the sharing, and the import compiles alone. Helpers are never started before there
//! is enough to do, and end with the work, at the latest with the process; what was guessed
//! wrongly is forgotten soon after.

mod guess;
mod helper;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::name::Digest;
use crate::store::tree::Tree;
pub use helper::Launch;

/// Helpers start once the sources that were compiled or wait for it have so many bytes:
/// who compiles much is likely to compile more.
const ENOUGH: u64 = 256 << 10;
/// Code that waits for its import, in bytes: helpers never run further ahead.
const AHEAD: usize = 8 << 20;
const HELPERS: usize = 4;
/// How long the import waits for a helper that works on what it wants.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a helper waits for work before it ends.
const IDLE: Duration = Duration::from_secs(1);
/// How long code is kept once nobody asks for any, and no helper works any more.
const KEPT: Duration = Duration::from_secs(10);

/// The compiling of one tree, shared by the helpers of one process.
#[derive(Debug)]
pub struct Sharing {
    tree: Arc<Tree>,
    launch: Launch,
    /// A forked child has no helpers, and perhaps a lock that nobody lets go of.
    process: u32,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    modules: HashMap<String, Module>,
    queue: VecDeque<String>,
    /// Bytes of all sources that ever were in the queue, and of the code that waits.
    found: u64,
    waiting: usize,
    helpers: usize,
    started: bool,
    ended: bool,
}

#[derive(Debug)]
enum Module {
    Queued,
    /// A helper works on it.
    Working,
    Ready(Vec<u8>),
    /// The import has it, or compiles it itself.
    Gone,
}

/// What a helper found out about a source.
struct Compiled {
    /// `None`: it has to be compiled where it is imported, because it warns or fails.
    code: Option<Vec<u8>>,
    names: Vec<String>,
}

impl Sharing {
    /// Starts nothing yet.
    pub fn new(tree: Arc<Tree>, launch: Launch) -> Arc<Self> {
        let (process, state) = (std::process::id(), Mutex::default());
        Arc::new(Self { tree, launch, process, state, changed: Condvar::new() })
    }

    /// The code of a module that is imported now, if a helper has it or is about to;
    /// otherwise the caller compiles it.
    pub fn take(&self, path: &str) -> Option<Vec<u8>> {
        if self.process != std::process::id() {
            return None;
        }
        let until = Instant::now() + PATIENCE;
        let mut state = self.state.lock();
        while let Some(Module::Working) = state.modules.get(path)
            && !state.ended
        {
            if self.changed.wait_until(&mut state, until).timed_out() {
                state.ended = true;
            }
        }
        let code = match state.modules.insert(path.to_owned(), Module::Gone) {
            Some(Module::Ready(code)) => Some(code),
            _ => None,
        };
        state.waiting -= code.as_ref().map_or(0, Vec::len);
        self.changed.notify_all();
        code
    }

    /// A module that was compiled, and the names in it: what it imports comes next.
    /// `wanted` says of a path and its source whether it is still to be compiled.
    pub fn compiled(
        self: &Arc<Self>,
        path: &str,
        names: &[String],
        wanted: impl Fn(&str, &Digest) -> bool,
    ) {
        if self.process != std::process::id() {
            return;
        }
        let mut state = self.state.lock();
        if state.ended {
            return;
        }
        self.queue(&mut state, path, names, wanted);
        if state.found < ENOUGH || state.started {
            return;
        }
        state.started = true;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        state.helpers = cores.saturating_sub(1).min(HELPERS);
        for _ in 0..state.helpers {
            let sharing = self.clone();
            let started = std::thread::Builder::new()
                .name("compiling".to_owned())
                .spawn(move || sharing.work());
            if started.is_err() {
                state.helpers -= 1;
            }
        }
        state.ended = state.helpers == 0;
    }

    /// What comes first in a module is imported first, and before what waited already.
    fn queue(
        &self,
        state: &mut State,
        path: &str,
        names: &[String],
        wanted: impl Fn(&str, &Digest) -> bool,
    ) {
        for guessed in guess::imports(path, names, &self.tree).into_iter().rev() {
            let Some(at) = self.tree.position(&guessed) else { continue };
            let file = &self.tree.files[at];
            if state.modules.contains_key(&guessed) || !wanted(&guessed, &file.sha256) {
                continue;
            }
            state.found = state.found.saturating_add(file.size);
            state.modules.insert(guessed.clone(), Module::Queued);
            state.queue.push_front(guessed);
        }
        self.changed.notify_all();
    }

    /// One helper, from its start to its end.
    fn work(&self) {
        let helper = helper::Helper::start(&self.launch);
        if let Some(mut helper) = helper {
            while let Some(path) = self.next() {
                let place = self.tree.folder.join(&path);
                let source = self.tree.position(&path).map(|at| &self.tree.files[at]);
                let source = source.and_then(|file| self.tree.read(file).ok());
                let done = source.and_then(|source| helper.compile(&place, &source));
                if !self.finish(&path, done) {
                    break;
                }
            }
        }
        let mut state = self.state.lock();
        state.helpers -= 1;
        // Without helpers nothing may look as if one were about to begin.
        state.ended |= state.helpers == 0;
        self.changed.notify_all();
        if state.helpers == 0 {
            self.forget(state, KEPT);
        }
    }

    /// Once nobody has asked for so long, the import does not want what is left.
    fn forget(&self, mut state: MutexGuard<'_, State>, kept: Duration) {
        while state.waiting > 0 && !self.changed.wait_for(&mut state, kept).timed_out() {}
        state.modules.retain(|_, module| !matches!(module, Module::Ready(_)));
        state.waiting = 0;
    }

    fn next(&self) -> Option<String> {
        let mut state = self.state.lock();
        loop {
            if state.ended {
                return None;
            }
            if state.waiting < AHEAD
                && let Some(path) = state.queue.pop_front()
            {
                // What the import took itself meanwhile is in the queue no more.
                let Some(Module::Queued) = state.modules.get(&path) else { continue };
                state.modules.insert(path.clone(), Module::Working);
                return Some(path);
            }
            if self.changed.wait_for(&mut state, IDLE).timed_out() {
                return None;
            }
        }
    }

    /// False if the helper is of no use any more.
    fn finish(&self, path: &str, done: Option<Compiled>) -> bool {
        let mut state = self.state.lock();
        let useful = done.is_some();
        let code = done.and_then(|done| {
            self.queue(&mut state, path, &done.names, |_, _| true);
            done.code
        });
        if let Some(Module::Working) = state.modules.get(path) {
            state.waiting += code.as_ref().map_or(0, Vec::len);
            state.modules.insert(path.to_owned(), code.map_or(Module::Gone, Module::Ready));
        }
        self.changed.notify_all();
        useful
    }
}

#[cfg(test)]
mod tests;
