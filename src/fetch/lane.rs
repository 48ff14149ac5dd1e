//! Lanes: a runtime and connections that belong together, and where many download at once.
//!
//! ```text
//! few artifacts    the lane of whoever asked
//! many             lane ─ lane ─ lane ─ lane      each takes the largest that is left
//! ```
//!
//! A small file costs less than waking the thread that waits for it: within a lane a
//! connection, the file and its hash stay on one thread, and nobody is woken.
//!
//! A lane has a thread only while there is something to do. In between nobody waits for its
//! descriptors, so that a program may close them: then the lane is left behind as it is.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::mem::ManuallyDrop;
use std::num::NonZero;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, mpsc};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot};

use crate::descriptor::Witness;
use crate::error::{Error, Kind, Result};
use crate::origin::http::Http;
use crate::threads;

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
    pub(super) http: ManuallyDrop<Http>,
    /// How many at a time. A lane has its share of what the process may do at once.
    downloads: Semaphore,
    slots: usize,
    /// Made when it is needed.
    drive: OnceLock<Drive>,
}

#[derive(Debug)]
struct Drive {
    witness: Arc<Witness>,
    runtime: Runtime,
}

impl Lane {
    pub(super) fn new(http: Http, downloads: usize) -> Self {
        let slots = downloads.max(1);
        let (http, downloads) = (ManuallyDrop::new(http), Semaphore::new(slots));
        Self { http, downloads, slots, drive: OnceLock::new() }
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

    /// False once the program has closed its descriptors, and in a forked child.
    pub fn is_ours(&self) -> bool {
        self.drive.get().is_none_or(|drive| drive.witness.is_ours())
    }

    pub(super) fn runtime(&self) -> io::Result<&Runtime> {
        if self.drive.get().is_none() {
            let witness = Arc::new(Witness::new()?);
            let (parking, woken) = (witness.clone(), witness.clone());
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .on_thread_park(move || rest_if_closed(&parking))
                .on_thread_unpark(move || rest_if_closed(&woken))
                .build()?;
            self.drive.get_or_init(|| Drive { witness, runtime });
        }
        let drive = self.drive.get().ok_or(io::ErrorKind::NotFound)?;
        Ok(&drive.runtime)
    }

    /// Drives `work` in a thread that is started for it, until it has ended or what this gives is
    /// dropped; `running` is held as long. `Err` has the work where no thread can be had.
    pub(super) fn start<W: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        name: &str,
        work: W,
        running: mpsc::Sender<()>,
    ) -> Result<oneshot::Sender<()>, W> {
        let (cancel, cancelled) = oneshot::channel();
        let lane = self.clone();
        let body = move |work: W| {
            let _running = running;
            DRIVES.set(true);
            let Ok(runtime) = lane.runtime() else { return };
            Self::drive(runtime, async {
                tokio::select! {
                    biased;
                    _ = cancelled => (),
                    () = work => (),
                }
            });
        };
        threads::start(name, work, body).map(|_| cancel)
    }

    /// Does `work` in this thread. What servers closed since the last time is seen first, and
    /// last what becomes of the connections that the work does not need any more.
    pub fn drive<T>(runtime: &Runtime, work: impl Future<Output = T>) -> T {
        runtime.block_on(async {
            turns().await;
            let done = work.await;
            turns().await;
            done
        })
    }
}

/// Two turns of the runtime: it learns of what has happened in the first.
async fn turns() {
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
}

thread_local! {
    /// This thread drives a lane, and does nothing else.
    static DRIVES: Cell<bool> = const { Cell::new(false) };
}

/// Nobody goes on with numbers that are not ours any more, or waits for them. A thread of ours
/// rests here for ever: if it ended, it would close some of them. The caller's cannot.
fn rest_if_closed(witness: &Witness) {
    if witness.is_ours() {
        return;
    }
    while DRIVES.get() {
        std::thread::park();
    }
    std::panic::resume_unwind(Box::new("the descriptors of a download were closed"));
}

/// Work that is left as it is where its descriptors are not ours any more: dropped, it would
/// wake and close what has their numbers.
pub struct Kept<F> {
    lane: Arc<Lane>,
    work: ManuallyDrop<Pin<Box<F>>>,
}

impl<F> Kept<F> {
    pub(super) fn new(lane: Arc<Lane>, work: F) -> Self {
        Self { lane, work: ManuallyDrop::new(Box::pin(work)) }
    }
}

impl<F: Future> Future for Kept<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.work.as_mut().poll(context)
    }
}

impl<F> Drop for Kept<F> {
    fn drop(&mut self) {
        if self.lane.is_ours() {
            // SAFETY: dropped here only, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.work) };
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if !self.is_ours() {
            // Connections and runtime would close numbers that are not theirs any more.
            std::mem::forget(self.drive.take());
            return;
        }
        // SAFETY: dropped here only, and not used afterwards.
        unsafe { ManuallyDrop::drop(&mut self.http) };
        if let Some(drive) = self.drive.take() {
            drive.runtime.shutdown_background();
        }
    }
}

/// As many lanes as pay beside that of `http`; none, where one does as well.
pub fn beside(http: &Http, concurrency: usize) -> Vec<Arc<Lane>> {
    let count = std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST);
    if count < 2 || concurrency < 2 * count {
        return Vec::new();
    }
    let share = |at: usize| concurrency / count + usize::from(at < concurrency % count);
    (0..count).map(|at| Arc::new(Lane::new(http.beside(), share(at)))).collect()
}

/// Work on several lanes, in a thread for each. Dropped before its end, it has ended when
/// `drop` returns.
pub struct Running {
    tasks: Vec<oneshot::Receiver<Result<()>>>,
    /// Dropped, each of them ends the work of its lane.
    cancel: Vec<oneshot::Sender<()>>,
    ended: mpsc::Receiver<()>,
}

impl Running {
    /// `None` where there is no thread for any of them. Fewer threads leave more to each.
    pub fn start<F: Future<Output = Result<()>> + Send + 'static>(
        lanes: &[Arc<Lane>],
        work: impl Fn(Arc<Lane>) -> F,
    ) -> Option<Self> {
        let (sender, ended) = mpsc::channel();
        let mut started = Self { tasks: Vec::new(), cancel: Vec::new(), ended };
        for lane in lanes.iter().filter(|lane| lane.runtime().is_ok()) {
            let (answer, task) = oneshot::channel();
            let share = Kept::new(lane.clone(), work(lane.clone()));
            let share = async move {
                // Nobody may wait for it any more.
                let _ = answer.send(share.await);
                std::future::pending().await
            };
            let Ok(cancel) = lane.start("magic_module-lane", share, sender.clone()) else { break };
            started.tasks.push(task);
            started.cancel.push(cancel);
        }
        (!started.tasks.is_empty()).then_some(started)
    }

    /// The first failure ends all of it. The lanes go on until this is dropped: they may share
    /// connections, each of which is driven by one of them.
    pub async fn finish(&mut self) -> Result<()> {
        use futures_util::StreamExt;
        use futures_util::stream::FuturesUnordered;
        let mut running: FuturesUnordered<_> = self.tasks.iter_mut().collect();
        while let Some(done) = running.next().await {
            done.map_err(|_| {
                Error::new(Kind::Fetch, "a thread that downloads ended unexpectedly")
                    .hint("try again")
            })??;
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Each wakes its lane, if it has not ended.
        self.cancel.clear();
        // Nobody sends: it returns when every thread has let go, at once after the end.
        let _ = self.ended.recv_timeout(LET_GO);
    }
}
