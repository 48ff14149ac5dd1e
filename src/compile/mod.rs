//! Compiling shared with helper interpreters, where a first import has much to compile.
//!
//! ```text
//! tree that an import waits for ─ its top-level modules ─┐
//! module compiled ─ names it imports ─ guess ────────────┴▶ queue ─▶ helper ─▶ code, names ─▶ queue …
//!                                                            └─ wanted now: the import compiles it itself
//! ```
//!
//! The import itself goes on compiling; helpers run ahead of it with what it is likely to
//! ask for next, in whichever tree that is. Where the import waits for a download, they begin
//! with what stands already. Nothing depends on them: whatever fails, or says nothing for two
//! seconds, ends the sharing, and the import compiles alone. Helpers are never started before
//! there is enough to do, and end with the work, at the latest with the process; what was
//! guessed wrongly is forgotten soon after.

mod guess;
mod helper;
mod trees;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::name::Digest;
use crate::per_process::PerProcess;
use crate::store::tree::Tree;
use crate::threads;
use guess::At;
pub use helper::Launch;
use trees::Trees;

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

/// The compiling of one process, and of each that is forked from it.
#[derive(Debug)]
pub struct Compiling {
    launch: Launch,
    /// A forked child has no helpers, and perhaps a lock that nobody lets go of.
    sharing: PerProcess<Arc<Sharing>>,
}

impl Compiling {
    /// Starts nothing yet.
    pub fn new(launch: Launch) -> Self {
        let sharing = PerProcess::new(Sharing::new(launch.clone()));
        Self { launch, sharing }
    }

    /// What this process shares with its helpers.
    pub fn sharing(&self) -> &Arc<Sharing> {
        self.sharing.get(|| Sharing::new(self.launch.clone()))
    }

    /// Has the helpers end that are there: each has a thread, and this process is about to fork.
    pub fn dismiss(&self) {
        let sharing = self.sharing();
        let mut state = sharing.state.lock();
        state.dismissed = state.helpers > 0 || state.waiting > 0;
        sharing.changed.notify_all();
    }
}

/// What one process shares with its helpers.
#[derive(Debug)]
pub struct Sharing {
    launch: Launch,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    trees: Trees,
    modules: HashMap<At, Module>,
    queue: VecDeque<At>,
    /// Bytes of all sources that were in the queue since there were helpers, and of the code
    /// that waits.
    found: u64,
    waiting: usize,
    helpers: usize,
    /// So many imports wait for trees.
    expecting: usize,
    /// A helper was of no use: no other is started.
    ended: bool,
    /// Those that are there end, and so does the keeping of what they made.
    dismissed: bool,
}

#[derive(Debug)]
enum Module {
    Queued,
    /// A helper works on it.
    Working,
    /// The code, and what comes next.
    Ready(Vec<u8>, Vec<At>),
    /// The import has it, or compiles it itself.
    Gone,
}

/// What a helper found out about a source.
struct Compiled {
    /// `None`: it has to be compiled where it is imported, because it warns or fails.
    code: Option<Vec<u8>>,
    names: Vec<String>,
}

/// For as long as an import waits for its trees.
#[derive(Debug)]
pub struct Expecting(Arc<Sharing>);

impl Sharing {
    fn new(launch: Launch) -> Arc<Self> {
        Arc::new(Self { launch, state: Mutex::default(), changed: Condvar::new() })
    }

    /// An import begins to wait for trees.
    pub fn expect(self: &Arc<Self>) -> Expecting {
        self.state.lock().expecting += 1;
        Expecting(self.clone())
    }

    /// A tree stands. If an import waits for it, it is likely to want the modules at its top, in
    /// `site`: helpers begin with them.
    pub fn stands(self: &Arc<Self>, tree: &Arc<Tree>, group: &Path, site: &str) {
        let mut state = self.state.lock();
        if state.expecting == 0 || state.ended {
            return;
        }
        state.trees.add(tree, group, |_, _| false);
        for at in state.trees.tops(&tree.digest, site) {
            if let Entry::Vacant(entry) = state.modules.entry(at) {
                entry.insert(Module::Queued);
                state.queue.push_back(at);
            }
        }
        // Who wants the top of much is likely to want more of it.
        let sources = tree.files.iter().filter(|file| !file.lazy && file.path.is_source());
        let bytes: u64 = sources.map(|file| file.size).sum();
        state.found = state.found.saturating_add(bytes);
        self.start(&mut state);
        self.changed.notify_all();
    }

    /// Makes a tree known whose modules are compiled; `is_kept` says of a path and its source
    /// whether there is code of it.
    pub fn add(&self, tree: &Arc<Tree>, group: &Path, is_kept: impl Fn(&str, &Digest) -> bool) {
        self.state.lock().trees.add(tree, group, is_kept);
    }

    /// The code of a module that is imported now, if a helper has it or is about to;
    /// otherwise the caller compiles it.
    pub fn take(&self, tree: &Digest, path: &str) -> Option<Vec<u8>> {
        let until = Instant::now() + PATIENCE;
        let mut state = self.state.lock();
        let at = state.trees.at(tree, path)?;
        while let Some(Module::Working) = state.modules.get(&at)
            && !state.ended
        {
            if self.changed.wait_until(&mut state, until).timed_out() {
                state.ended = true;
            }
        }
        let code = match state.modules.insert(at, Module::Gone) {
            Some(Module::Ready(code, next)) => {
                // What this module imports is wanted now.
                state.first(&next);
                state.waiting -= code.len();
                Some(code)
            }
            _ => None,
        };
        self.changed.notify_all();
        code
    }

    /// A module that was compiled, and the names in it: what it imports comes next.
    pub fn compiled(self: &Arc<Self>, tree: &Digest, path: &str, names: &[String]) {
        let mut state = self.state.lock();
        if state.ended {
            return;
        }
        let Some(at) = state.trees.at(tree, path) else { return };
        self.queue(&mut state, at, names);
        self.start(&mut state);
    }

    /// What comes first in a module is imported first, and before what waited already.
    fn queue(&self, state: &mut State, at: At, names: &[String]) -> Vec<At> {
        let next = state.trees.imports(at, names);
        for guessed in &next {
            if let Entry::Vacant(entry) = state.modules.entry(*guessed) {
                entry.insert(Module::Queued);
                state.found = state.found.saturating_add(state.trees.size(*guessed));
            }
        }
        state.first(&next);
        self.changed.notify_all();
        next
    }

    /// Starts helpers, if there is enough to do for them and none is there.
    fn start(self: &Arc<Self>, state: &mut State) {
        if state.found < ENOUGH || state.helpers > 0 || state.queue.is_empty() {
            return;
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        state.helpers = cores.saturating_sub(1).min(HELPERS);
        state.found = 0;
        state.dismissed = false;
        for _ in 0..state.helpers {
            let work = |sharing: Arc<Self>| sharing.work();
            if threads::start("magic_module-compile", self.clone(), work).is_err() {
                state.helpers -= 1;
            }
        }
        state.ended = state.helpers == 0;
    }

    /// One helper, from its start to its end.
    fn work(&self) {
        let mut useful = false;
        if let Some(mut helper) = helper::Helper::start(&self.launch) {
            useful = true;
            while let Some((at, tree)) = self.next() {
                let file = &tree.files[at.file];
                let place = tree.folder.join(file.path.as_str());
                let source = tree.read(file).ok();
                let done = source.and_then(|source| helper.compile(&place, &source));
                useful = self.finish(at, done);
                if !useful {
                    break;
                }
            }
        }
        let mut state = self.state.lock();
        state.helpers -= 1;
        state.ended |= !useful;
        self.changed.notify_all();
        if state.helpers == 0 {
            state.found = 0;
            self.forget(state, KEPT);
        }
    }

    /// Once nobody has asked for so long, the import does not want what is left.
    fn forget(&self, mut state: MutexGuard<'_, State>, kept: Duration) {
        while state.waiting > 0
            && !state.dismissed
            && !self.changed.wait_for(&mut state, kept).timed_out()
        {
            if state.helpers > 0 {
                return;
            }
        }
        for module in state.modules.values_mut() {
            if let Module::Ready(..) = module {
                *module = Module::Gone;
            }
        }
        state.waiting = 0;
    }

    fn next(&self) -> Option<(At, Arc<Tree>)> {
        let mut state = self.state.lock();
        loop {
            if state.ended || state.dismissed {
                return None;
            }
            if state.waiting < AHEAD
                && let Some(at) = state.queue.pop_front()
            {
                // What the import took itself meanwhile is in the queue no more.
                let Some(Module::Queued) = state.modules.get(&at) else { continue };
                let Some(tree) = state.trees.get(at) else { continue };
                state.modules.insert(at, Module::Working);
                return Some((at, tree));
            }
            if self.changed.wait_for(&mut state, IDLE).timed_out() {
                return None;
            }
        }
    }

    /// False if the helper is of no use any more.
    fn finish(&self, at: At, done: Option<Compiled>) -> bool {
        let mut state = self.state.lock();
        let useful = done.is_some();
        let ready = done.and_then(|done| {
            let next = self.queue(&mut state, at, &done.names);
            done.code.map(|code| (code, next))
        });
        if let Some(Module::Working) = state.modules.get(&at) {
            state.waiting += ready.as_ref().map_or(0, |(code, _)| code.len());
            let done = ready.map_or(Module::Gone, |(code, next)| Module::Ready(code, next));
            state.modules.insert(at, done);
        }
        self.changed.notify_all();
        useful
    }
}

impl State {
    /// Puts those of `next` that still wait at the front, in their order.
    fn first(&mut self, next: &[At]) {
        for at in next.iter().rev() {
            if let Some(Module::Queued) = self.modules.get(at) {
                self.queue.push_front(*at);
            }
        }
    }
}

impl Drop for Expecting {
    fn drop(&mut self) {
        self.0.state.lock().expecting -= 1;
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
