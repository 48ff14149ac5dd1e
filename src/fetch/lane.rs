//! Threads that download, each with a runtime and connections of its own.
//!
//! ```text
//! few artifacts    the task that asked
//! many             lane ─ lane ─ lane ─ lane      each takes the largest that is left
//! ```
//!
//! A small file costs less than waking the thread that waits for it: within a lane a
//! connection, the file and its hash stay on one thread, and nobody is woken.

use std::future::Future;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::error::{Error, Kind, Result};
use crate::origin::http::Http;

/// From this many artifacts on, lanes pay.
pub const ENOUGH: usize = 12;

/// More of them would only take turns with the server and the disk.
const MOST: usize = 4;

/// From this size on a download counts twice: the more arrives on a connection, the more of
/// it is in memory, up to 400 KiB.
const LARGE: u64 = 256 << 10;

/// How long cancelled work may take to remove its part files: a moment, but a busy machine
/// may keep a lane from running at all.
const LET_GO: Duration = Duration::from_secs(2);

/// Where downloads run, and with which connections.
#[derive(Debug)]
pub struct Lane {
    pub http: Http,
    /// How many at a time. A lane has its share of what the process may do at once.
    downloads: Semaphore,
    slots: usize,
}

impl Lane {
    pub fn new(http: Http, downloads: usize) -> Self {
        let slots = downloads.max(1);
        Self { http, downloads: Semaphore::new(slots), slots }
    }

    /// One download's place, until it is dropped.
    pub async fn turn(&self, size: u64) -> impl Sized + '_ {
        let places = if size < LARGE || self.slots == 1 { 1 } else { 2 };
        self.downloads.acquire_many(places).await
    }

    /// How many downloads it makes at once, when it has nothing else to do.
    pub fn slots(&self) -> usize {
        self.slots
    }
}

/// A lane with a thread, which ends when this is dropped.
#[derive(Debug)]
pub struct Threaded {
    pub lane: Arc<Lane>,
    handle: Handle,
    _running: oneshot::Sender<()>,
}

/// As many lanes as pay here; none, where one thread does as well.
pub fn start(http: &Http, concurrency: usize) -> Vec<Threaded> {
    let count = std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST);
    if count < 2 || concurrency < 2 * count {
        return Vec::new();
    }
    let one = |at: usize| {
        let share = concurrency / count + usize::from(at < concurrency % count);
        Threaded::start(Lane::new(http.beside(), share))
    };
    // Without threads it goes on more slowly.
    (0..count).map(one).collect::<std::io::Result<_>>().unwrap_or_default()
}

impl Threaded {
    fn start(lane: Lane) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .thread_name("magic_module-sync")
            .enable_all()
            .build()?;
        let (running, ended) = oneshot::channel();
        let handle = runtime.handle().clone();
        let body = move || {
            // Either outcome is the end.
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("magic_module-lane".to_owned()).spawn(body)?;
        Ok(Self { lane: Arc::new(lane), handle, _running: running })
    }
}

/// Work on several lanes. Dropped before its end, it has ended when `drop` returns.
pub struct Running {
    tasks: Vec<JoinHandle<Result<()>>>,
    ended: mpsc::Receiver<()>,
}

impl Running {
    pub fn start<F: Future<Output = Result<()>> + Send + 'static>(
        lanes: &[Threaded],
        work: impl Fn(Arc<Lane>) -> F,
    ) -> Self {
        let (sender, ended) = mpsc::channel();
        let one = |threaded: &Threaded| {
            let (work, running) = (work(threaded.lane.clone()), sender.clone());
            threaded.handle.spawn(async move {
                // Dropped last, whether the work is done or was cancelled.
                let _running = running;
                work.await
            })
        };
        Self { tasks: lanes.iter().map(one).collect(), ended }
    }

    /// The first failure ends all of it.
    pub async fn finish(mut self) -> Result<()> {
        use futures_util::StreamExt;
        use futures_util::stream::FuturesUnordered;
        let mut running: FuturesUnordered<_> = self.tasks.iter_mut().collect();
        while let Some(done) = running.next().await {
            done.map_err(|error| {
                Error::new(Kind::Fetch, "a thread that downloads ended unexpectedly")
                    .caused_by(&error)
                    .hint("try again")
            })??;
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.tasks.iter().all(JoinHandle::is_finished) {
            return;
        }
        for task in &self.tasks {
            task.abort();
        }
        // Nobody sends: it returns when every task has let go.
        let _ = self.ended.recv_timeout(LET_GO);
    }
}
