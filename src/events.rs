//! What the engine tells while it works.
//!
//! ```text
//! resolve                   a manifest was asked for: it `changed`, or is `unchanged`
//! fetch    (progress)*      at most ten a second for one operation, the last `done`
//! verify                    a tree was looked at: `whole`, or a file of it `damaged`, `healed`;
//!                           or published code was `refused`
//! load                      a module's code was handed to the interpreter
//! upgrade                   a generation was switched: `done`
//! ```
//!
//! They come in this order for one unit; those of different operations mix. A handler may do
//! what it likes: it runs in the thread that waits, never in a worker. What it raises ends
//! the operation that is waited for.
//!
//! Workers only write into [`Events`] and [`Progress`]; whoever waits for them
//! (the Python floor, every 50 ms) takes events out. A slow reader slows nobody.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The shortest time between two progress events of one operation.
pub const TICK: Duration = Duration::from_millis(100);

/// Events that nobody takes out are dropped, oldest first.
const QUEUE: usize = 4096;

/// One thing that happened. A unit is named as it follows `import`.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A manifest was asked for.
    Resolve { namespace: String, url: String, changed: bool },
    /// Bytes of one operation arrived, over all its artifacts; the last of them was `artifact`.
    Fetch { unit: String, artifact: String, bytes: u64, total: u64, done: bool },
    /// A tree was looked at.
    Verify { unit: String, finding: Finding },
    /// A module's code was handed to the interpreter.
    Load { unit: String, path: String },
    /// A unit moved to this version, or left the generation: then it has none.
    Upgrade { unit: String, version: String },
}

/// What looking at a tree showed.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    Whole,
    Damaged {
        path: String,
    },
    Healed {
        path: String,
    },
    /// Code that was published with the unit is not used.
    Refused {
        url: String,
        why: String,
    },
}

/// An event as handlers see it. Fields that do not apply are empty.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Shown<'a> {
    pub event: &'static str,
    pub unit: &'a str,
    /// The last part of the artifact's URL, or the path in the tree.
    pub artifact: &'a str,
    pub url: &'a str,
    pub bytes: u64,
    pub total: u64,
    /// What was found, in a word of those above; `done` ends a fetch and an upgrade.
    pub status: &'static str,
}

impl Shown<'_> {
    /// 0 to 100; an operation without bytes is complete.
    pub fn percentage(&self) -> f64 {
        if self.total == 0 { 100.0 } else { self.bytes as f64 * 100.0 / self.total as f64 }
    }
}

impl Event {
    pub fn shown(&self) -> Shown<'_> {
        match self {
            Self::Resolve { namespace, url, changed } => Shown {
                event: "resolve",
                unit: namespace,
                url,
                status: if *changed { "changed" } else { "unchanged" },
                ..Shown::default()
            },
            Self::Fetch { unit, artifact, bytes, total, done } => Shown {
                event: "fetch",
                unit,
                artifact,
                bytes: *bytes,
                total: *total,
                status: if *done { "done" } else { "" },
                ..Shown::default()
            },
            Self::Verify { unit, finding } => finding.shown(unit),
            Self::Load { unit, path } => {
                Shown { event: "load", unit, artifact: path, ..Shown::default() }
            }
            Self::Upgrade { unit, version } => Shown {
                event: "upgrade",
                unit,
                artifact: version,
                status: "done",
                ..Shown::default()
            },
        }
    }
}

impl Finding {
    fn shown<'a>(&'a self, unit: &'a str) -> Shown<'a> {
        let (artifact, url, status) = match self {
            Self::Whole => ("", "", "whole"),
            Self::Damaged { path } => (path.as_str(), "", "damaged"),
            Self::Healed { path } => (path.as_str(), "", "healed"),
            Self::Refused { url, why } => (why.as_str(), url.as_str(), "refused"),
        };
        Shown { event: "verify", unit, artifact, url, status, ..Shown::default() }
    }
}

/// Something that a person should know although nothing failed: a warning in Python.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub kind: NoticeKind,
    /// What it is about: told once per process.
    pub subject: String,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoticeKind {
    OldManifest,
    Yanked,
}

#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    notices: Vec<Notice>,
    told: HashSet<(NoticeKind, String)>,
}

/// The queue between workers and whoever shows their work.
#[derive(Debug, Default)]
pub struct Events {
    wanted: AtomicBool,
    noticed: AtomicBool,
    queue: Mutex<Queue>,
}

impl Events {
    /// Nothing is collected until somebody listens.
    pub fn listen(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
        if !wanted {
            self.queue.lock().events.clear();
        }
    }

    pub fn wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    pub fn emit(&self, event: impl FnOnce() -> Event) {
        if self.wanted() {
            let events = &mut self.queue.lock().events;
            if events.len() == QUEUE {
                events.pop_front();
            }
            events.push_back(event());
        }
    }

    pub fn lock(&self) -> &dyn ForkLock {
        &self.queue
    }

    pub fn take(&self) -> Vec<Event> {
        if self.wanted() { self.queue.lock().events.drain(..).collect() } else { Vec::new() }
    }

    /// Keeps a notice until somebody takes it, also when nobody listens to events.
    pub fn notice(&self, notice: Notice) {
        let mut queue = self.queue.lock();
        if queue.told.insert((notice.kind, notice.subject.clone())) {
            queue.notices.push(notice);
            self.noticed.store(true, Ordering::Release);
        }
    }

    pub fn take_notices(&self) -> Vec<Notice> {
        if !self.noticed.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut queue = self.queue.lock();
        self.noticed.store(false, Ordering::Release);
        std::mem::take(&mut queue.notices)
    }
}

/// A lock that `fork()` must not catch in the hands of another thread.
pub trait ForkLock: Sync {
    fn hold(&self);
    /// # Safety
    /// Only after `hold` in the same thread, once.
    unsafe fn release(&self);
}

impl<T: Send> ForkLock for Mutex<T> {
    fn hold(&self) {
        std::mem::forget(self.lock());
    }

    unsafe fn release(&self) {
        // SAFETY: `hold` forgot the guard of this lock.
        unsafe { self.force_unlock() }
    }
}

/// The fetch events of one operation, for whoever asked for them; the queue of all is for
/// those who watch everything.
pub type Heard = Arc<Mutex<VecDeque<Event>>>;

tokio::task_local! {
    static HEARD: Heard;
}

/// Runs `work` so that what it fetches is told to `heard`, too.
pub async fn heard<F: Future>(heard: Option<Heard>, work: F) -> F::Output {
    match heard {
        Some(heard) => HEARD.scope(heard, work).await,
        None => work.await,
    }
}

/// The bytes of one operation (an import, a prefetch, an upgrade), over all its artifacts.
#[derive(Debug)]
pub struct Progress {
    unit: String,
    events: Arc<Events>,
    heard: Option<Heard>,
    done: AtomicU64,
    total: AtomicU64,
    last: Mutex<Option<Instant>>,
}

impl Progress {
    pub fn new(unit: impl Into<String>, events: Arc<Events>) -> Arc<Self> {
        Arc::new(Self {
            unit: unit.into(),
            events,
            heard: HEARD.try_with(Clone::clone).ok(),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            last: Mutex::new(None),
        })
    }

    pub fn events(&self) -> &Arc<Events> {
        &self.events
    }

    pub fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes of `artifact` that arrived.
    pub fn advance(&self, artifact: &str, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
        if self.heard.is_none() && !self.events.wanted() {
            return;
        }
        let mut last = self.last.lock();
        if last.is_none_or(|at| at.elapsed() >= TICK) {
            *last = Some(Instant::now());
            self.report(artifact, false);
        }
    }

    /// Bytes that arrived in vain: the artifact starts again from zero.
    pub fn retreat(&self, bytes: u64) {
        self.done.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// The last event of an operation that moved bytes.
    pub fn finish(&self, artifact: &str) {
        if self.total.load(Ordering::Relaxed) > 0 {
            self.report(artifact, true);
        }
    }

    fn report(&self, artifact: &str, done: bool) {
        let event = || Event::Fetch {
            unit: self.unit.clone(),
            artifact: artifact.to_owned(),
            bytes: self.done(),
            total: self.total.load(Ordering::Relaxed),
            done,
        };
        if let Some(heard) = &self.heard {
            heard.lock().push_back(event());
        }
        self.events.emit(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_chunks_are_two_events() {
        let events = Arc::new(Events::default());
        events.listen(true);
        let progress = Progress::new("alpha", events.clone());
        progress.expect(1000);
        for _ in 0..1000 {
            progress.advance("alpha.csv", 1);
        }
        progress.finish("alpha.csv");
        let seen = events.take();
        assert!(seen.len() < 10, "{}", seen.len());
        let last = seen.last().unwrap().shown();
        assert_eq!((last.percentage(), last.status), (100.0, "done"));
    }

    #[test]
    fn nobody_listens_nothing_is_kept() {
        let events = Arc::new(Events::default());
        events.emit(|| Event::Load { unit: "alpha".to_owned(), path: "alpha.py".to_owned() });
        assert!(events.take().is_empty());
    }
}
