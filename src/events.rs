//! What the engine tells while it works.
//!
//! ```text
//! resolve                   a manifest was asked for: it `changed`, or is `unchanged`
//! fetch    (progress)*      at most ten a second for one operation, the last `done`; none
//!                           where everything is there
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

use crate::forking::Lock;
use crate::name::{SafeUrl, UrlText};

/// The shortest time between two progress events of one operation.
pub const TICK: Duration = Duration::from_millis(100);

/// Events that nobody takes out are dropped, oldest first.
const QUEUE: usize = 4096;

/// One thing that happened. A unit is named as it follows `import`.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A manifest was asked for.
    Resolve {
        /// Empty for top-level names.
        namespace: String,
        /// What was asked for.
        url: SafeUrl,
        /// The server had another one than was known.
        changed: bool,
    },
    /// Bytes of one operation arrived, over all its artifacts; the last of them was `artifact`.
    Fetch {
        /// What the operation is for.
        unit: String,
        /// The last part of a URL.
        artifact: String,
        /// Arrived until now.
        bytes: u64,
        /// To arrive in the end, as far as is known.
        total: u64,
        /// Nothing more follows.
        done: bool,
    },
    /// A tree was looked at.
    Verify {
        /// Whose tree it is.
        unit: String,
        /// How the tree is.
        finding: Finding,
    },
    /// A module's code was handed to the interpreter.
    Load {
        /// Where the module belongs.
        unit: String,
        /// The module's file, in the tree.
        path: String,
    },
    /// A unit moved to this version, or left the generation: then it has none.
    Upgrade {
        /// What moved.
        unit: String,
        /// Empty, if it left.
        version: String,
    },
}

/// What looking at a tree showed.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// Every file is as it was built.
    Whole,
    /// A file is gone, or other than it was built.
    Damaged {
        /// In the tree.
        path: String,
    },
    /// A file was built again.
    Healed {
        /// In the tree.
        path: String,
    },
    /// Code that was published with the unit is not used.
    Refused {
        /// The pack that it came in, or should have.
        url: UrlText,
        /// A sentence for people.
        why: String,
    },
}

/// An event as handlers see it. Fields that do not apply are empty.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shown<'a> {
    /// `resolve`, `fetch`, `verify`, `load` or `upgrade`.
    pub event: &'static str,
    /// What follows `import`; the namespace, where a manifest was asked for.
    pub unit: &'a str,
    /// The last part of the artifact's URL, or the path in the tree.
    pub artifact: &'a str,
    /// Without credentials and query.
    pub url: String,
    /// Arrived until now.
    pub bytes: u64,
    /// To arrive in the end.
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
    /// Gives every event the same fields.
    pub fn shown(&self) -> Shown<'_> {
        match self {
            Self::Resolve { namespace, url, changed } => Shown {
                event: "resolve",
                unit: namespace,
                url: url.to_string(),
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
            Self::Whole => ("", String::new(), "whole"),
            Self::Damaged { path } => (path.as_str(), String::new(), "damaged"),
            Self::Healed { path } => (path.as_str(), String::new(), "healed"),
            Self::Refused { url, why } => (why.as_str(), url.to_string(), "refused"),
        };
        Shown { event: "verify", unit, artifact, url, status, ..Shown::default() }
    }
}

/// Something that a person should know although nothing failed: a warning in Python.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Chooses the class of the warning.
    pub kind: NoticeKind,
    /// What it is about: told once per process.
    pub subject: String,
    /// One sentence for people.
    pub text: String,
}

/// What a notice warns of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoticeKind {
    /// The manifest is older than its author or the mount allows.
    OldManifest,
    /// A version in use was taken back.
    Yanked,
    /// More was downloaded than was needed.
    Costly,
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
    queue: Lock<Queue>,
}

impl Events {
    /// Nothing is collected until somebody listens.
    pub fn listen(&self, wanted: bool) {
        self.wanted.store(wanted, Ordering::Relaxed);
        if !wanted {
            self.queue.lock().events.clear();
        }
    }

    pub(crate) fn wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    pub(crate) fn emit(&self, event: impl FnOnce() -> Event) {
        if self.wanted() {
            let events = &mut self.queue.lock().events;
            if events.len() == QUEUE {
                events.pop_front();
            }
            events.push_back(event());
        }
    }

    /// Empties the queue, the oldest first.
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

    /// Empties the notices; quick, where there is none.
    pub fn take_notices(&self) -> Vec<Notice> {
        if !self.noticed.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut queue = self.queue.lock();
        self.noticed.store(false, Ordering::Release);
        std::mem::take(&mut queue.notices)
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

/// Which event of an operation is due.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Tick,
    Last,
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
    /// Begins at zero, heard by whoever [`heard`] surrounds.
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

    /// The queue that it reports to.
    pub fn events(&self) -> &Arc<Events> {
        &self.events
    }

    pub(crate) fn expect(&self, bytes: u64) {
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
            self.report(artifact, Step::Tick);
        }
    }

    /// Bytes that arrived in vain: the artifact starts again from zero.
    pub fn retreat(&self, bytes: u64) {
        self.done.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// The bytes until now.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// The last event of an operation that moved bytes.
    pub fn finish(&self, artifact: &str) {
        if self.total.load(Ordering::Relaxed) > 0 {
            self.report(artifact, Step::Last);
        }
    }

    fn report(&self, artifact: &str, step: Step) {
        let event = || Event::Fetch {
            unit: self.unit.clone(),
            artifact: artifact.to_owned(),
            bytes: self.done(),
            total: self.total.load(Ordering::Relaxed),
            done: step == Step::Last,
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
