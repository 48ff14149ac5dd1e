//! Work that one thread waits for, which looks after signals and listeners meanwhile.
//!
//! ```text
//! a thread is to be had    it drives the work; the caller waits for what that tells, tick by tick
//! none                     the caller drives the work itself, for one tick at a time
//! ```

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::lane::{Kept, Lane};
use crate::error::{Error, Kind, Result};
use crate::threads::AtWork;

/// How long ended work may take to let go of its files.
const ENDING: Duration = Duration::from_secs(2);

/// A thread whose descriptors were closed does not end.
const LOOK: Duration = Duration::from_millis(50);

/// What is told by work that has begun.
pub struct Work<S> {
    lane: Arc<Lane>,
    told: mpsc::Receiver<S>,
    way: Way,
    _at_work: AtWork,
}

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

enum Way {
    /// Ended by the end of the sender; the receiver tells when it has ended.
    Thread(oneshot::Sender<()>, mpsc::Receiver<()>),
    Here(Boxed),
    Ended,
}

/// What has come of one tick.
pub enum Next<S> {
    /// The next thing that it tells.
    Told(S),
    /// Nothing yet.
    Tick,
    /// It will not tell anything any more.
    Ended,
    /// The program has closed the descriptors of the work.
    Closed,
}

impl<S: Send + 'static> Work<S> {
    pub(super) fn begin<F>(lane: Arc<Lane>, work: impl FnOnce(mpsc::Sender<S>) -> F) -> Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        lane.runtime().map_err(|error| {
            Error::new(Kind::Store, "cannot open what a download waits with")
                .caused_by(&error)
                .hint("close files that are not needed, or raise the limit (`ulimit -n`)")
        })?;
        let at_work = AtWork::begin();
        let (sender, told) = mpsc::channel();
        let work: Boxed = Box::pin(Kept::new(lane.clone(), work(sender)));
        let (running, ended) = mpsc::channel();
        let way = match lane.start("magic_module", work, running) {
            Ok(cancel) => Way::Thread(cancel, ended),
            Err(work) => Way::Here(work),
        };
        Ok(Self { lane, told, way, _at_work: at_work })
    }

    /// Waits until it tells something, for one tick at most.
    pub fn next(&mut self, tick: Duration) -> Next<S> {
        if !self.lane.is_ours() {
            // The thread must not be woken: that would write to a number.
            std::mem::forget(std::mem::replace(&mut self.way, Way::Ended));
            return self.told.try_recv().map_or(Next::Closed, Next::Told);
        }
        match &mut self.way {
            Way::Thread(..) => match self.told.recv_timeout(tick) {
                Ok(step) => Next::Told(step),
                Err(RecvTimeoutError::Timeout) => Next::Tick,
                Err(RecvTimeoutError::Disconnected) if self.lane.is_ours() => Next::Ended,
                Err(RecvTimeoutError::Disconnected) => Next::Closed,
            },
            Way::Ended => self.told.try_recv().map_or(Next::Ended, Next::Told),
            Way::Here(work) => {
                let Ok(runtime) = self.lane.runtime() else { return Next::Ended };
                let told = &self.told;
                let step = std::future::poll_fn(|context| turn(work, told, context));
                let tick = async { tokio::time::timeout(tick, step).await };
                match catch_unwind(AssertUnwindSafe(|| Lane::drive(runtime, tick))) {
                    Ok(Ok(Some(step))) => Next::Told(step),
                    Ok(Err(_)) => Next::Tick,
                    Ok(Ok(None)) | Err(_) => {
                        self.way = Way::Ended;
                        self.next(Duration::ZERO)
                    }
                }
            }
        }
    }

    /// Ends it, whether it is done or not, and waits until it has let go of its files and
    /// connections: the program may do with them what it wants then.
    pub fn end(mut self) {
        match std::mem::replace(&mut self.way, Way::Ended) {
            Way::Thread(cancel, ended) if self.lane.is_ours() => {
                drop(cancel);
                let until = Instant::now() + ENDING;
                while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout)
                    && self.lane.is_ours()
                    && Instant::now() < until
                {}
            }
            way if self.lane.is_ours() => drop(way),
            way => std::mem::forget(way),
        }
    }
}

/// What the work tells, or `None` at its end.
fn turn<S>(
    work: &mut Boxed,
    told: &mpsc::Receiver<S>,
    context: &mut Context<'_>,
) -> Poll<Option<S>> {
    let ended = work.as_mut().poll(context).is_ready();
    match told.try_recv() {
        Ok(step) => Poll::Ready(Some(step)),
        Err(TryRecvError::Empty) if !ended => Poll::Pending,
        Err(_) => Poll::Ready(None),
    }
}
