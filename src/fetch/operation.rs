//! One call of [`Fetcher::blobs`](super::Fetcher::blobs): each artifact by this process or by
//! another, and what that cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::download::Ended;
use super::lane::{Lane, Running};
use super::once::{Leader, Outcome, Role};
use super::room::Room;
use super::{Artifact, Fetched, Limits, Shared, Told, download, lane};
use crate::error::{Error, Kind, Result};
use crate::events::Progress;
use crate::name::Digest;
use crate::policy::Policy;
use crate::store::blob::{Begin, BlobStore, BlobWriter};
use crate::store::{Reuse, Sync};
use crate::threads;

/// How often another process's part file is looked at.
const LOOK: Duration = Duration::from_millis(20);

pub(super) struct Operation {
    pub(super) blobs: BlobStore,
    pub(super) limits: Limits,
    pub(super) shared: Arc<Shared>,
    pub(super) room: Arc<Room>,
    pub(super) artifacts: Vec<Artifact>,
    /// So many of them have been taken by a lane.
    pub taken: AtomicUsize,
    pub(super) policy: Policy,
    pub(super) progress: Arc<Progress>,
    pub(super) reuse: Reuse,
    /// Who is told of each blob.
    pub(super) tell: Box<dyn Fn(Told<'_>) + Send + std::marker::Sync>,
    /// Of each blob on its own.
    pub sync: Sync,
    pub(super) bytes: AtomicU64,
    pub(super) requests: AtomicU64,
}

impl Operation {
    /// The first failure ends all of it.
    pub async fn run(self) -> Result<Fetched> {
        let operation = Arc::new(self);
        if operation.artifacts.len() < lane::ENOUGH {
            operation.share(&operation.shared.lane).await?;
        } else {
            operation.clone().spread().await?;
        }
        if operation.sync == Sync::Later {
            operation.sync_all().await?;
        }
        Ok(Fetched {
            bytes: operation.bytes.load(Ordering::Relaxed),
            requests: operation.requests.load(Ordering::Relaxed),
        })
    }

    async fn spread(self: Arc<Self>) -> Result<()> {
        let lanes = self.shared.lanes();
        let work = |lane: Arc<Lane>| {
            let operation = self.clone();
            async move { operation.share(&lane).await }
        };
        let Some(mut running) = Running::start(lanes, work) else {
            return self.share(&self.shared.lane).await;
        };
        let done = running.finish().await;
        if self.room.is_narrow() {
            // They belong to lanes that end now.
            self.shared.lane.http.forget();
        }
        done
    }

    /// What is left is taken piece by piece: a lane that is held up leaves it to the others.
    async fn share(&self, lane: &Lane) -> Result<()> {
        let mut running = FuturesUnordered::new();
        loop {
            // What waits for another process makes room for what nobody does yet.
            let room = lane.slots() + self.shared.waiting.load(Ordering::Relaxed);
            while running.len() < room {
                let at = self.taken.fetch_add(1, Ordering::Relaxed);
                let Some(artifact) = self.artifacts.get(at) else { break };
                running.push(self.one(lane, artifact));
            }
            match tokio::time::timeout(LOOK, running.next()).await {
                Ok(Some(done)) => done?,
                Ok(None) => return Ok(()),
                Err(_) => {}
            }
        }
    }

    async fn one(&self, lane: &Lane, artifact: &Artifact) -> Result<()> {
        self.bring(lane, artifact).await?;
        (self.tell)(Told::Arrived(&artifact.sha256));
        Ok(())
    }

    /// One artifact: by this future, by another of this process, or by another process.
    async fn bring(&self, lane: &Lane, artifact: &Artifact) -> Result<()> {
        let shown = Shown::new(&self.progress, artifact);
        loop {
            match self.shared.once.enter(artifact.sha256, &artifact.url) {
                Role::Leader(leader) => {
                    let done = self.lead(lane, artifact, &leader, &shown).await;
                    leader.finish(match &done {
                        Ok(fresh) => Outcome::Done { fresh: *fresh },
                        Err(error) => Outcome::Failed(error.clone()),
                    });
                    return done.map(drop);
                }
                Role::Follower(flight) => match flight.wait(|bytes| shown.at(bytes)).await {
                    Outcome::Done { fresh } if fresh || self.reuse == Reuse::WhatIsHere => {
                        shown.at(artifact.size);
                        return Ok(());
                    }
                    Outcome::Failed(error) if flight.url == artifact.url => return Err(error),
                    _ => {}
                },
            }
        }
    }

    /// True if the blob is known to have been written now, by whomever.
    async fn lead(
        &self,
        lane: &Lane,
        artifact: &Artifact,
        leader: &Leader<'_>,
        shown: &Shown<'_>,
    ) -> Result<bool> {
        if artifact.size == 0 {
            return self.empty(artifact).map(|()| true);
        }
        let stamp = || self.blobs.stamp(&artifact.sha256);
        let force = self.reuse == Reuse::Nothing;
        let before = if force { stamp() } else { None };
        let mut waited = false;
        let mut other = Other::default();
        loop {
            // Nobody waits for another process while it is its turn, and who waits
            // goes to the end of the queue: first what nobody else does.
            let mut place = self.room.place().await;
            let turn = self.turn(lane, artifact.size).await;
            let again = force && stamp() == before;
            let reuse = if again { Reuse::Nothing } else { Reuse::WhatIsHere };
            let here = waited && !again && self.blobs.has(&artifact.sha256, artifact.size);
            let begun = match here {
                true => Begin::Ready,
                false => self.blobs.begin(&artifact.sha256, artifact.size, reuse)?,
            };
            let writer = match begun {
                Begin::Ready => {
                    shown.at(artifact.size);
                    leader.at(artifact.size);
                    return Ok(force && stamp() != before);
                }
                Begin::Writer(writer) => writer,
                Begin::Busy { bytes }
                    if other.rests(bytes, self.limits.standstill(artifact.size)) =>
                {
                    self.blobs.begin_apart(&artifact.sha256)?
                }
                Begin::Busy { bytes } => {
                    drop((turn, place));
                    shown.at(bytes.min(artifact.size));
                    leader.at(bytes.min(artifact.size));
                    let waiting = Waiting::new(&self.shared.waiting);
                    tokio::time::sleep(waiting.pause()).await;
                    waited = true;
                    continue;
                }
            };
            (self.tell)(Told::Begun(&artifact.sha256, writer.part()));
            match self.download(lane, writer, artifact, leader, shown, &mut place).await? {
                Ended::Done => return Ok(true),
                Ended::Crowded(pause) => {
                    drop((turn, place));
                    self.gather();
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// Lanes share what the process may do at once with whatever else it does.
    async fn turn<'a>(&'a self, lane: &'a Lane, size: u64) -> impl Sized + 'a {
        let own = lane.turn(size).await;
        let is_shared = std::ptr::eq(lane, &raw const *self.shared.lane);
        let all = if is_shared { None } else { Some(self.shared.lane.turn(size).await) };
        (own, all)
    }

    /// A server that takes few connections has none to spare for idle ones: from here on all
    /// lanes share those of one client.
    fn gather(&self) {
        for lane in self.shared.lanes.get().into_iter().flatten() {
            lane.http.forget();
        }
    }

    /// Nothing to ask for.
    fn empty(&self, artifact: &Artifact) -> Result<()> {
        if artifact.sha256 != Digest::of(b"") {
            return Err(download::wrong_digest(artifact, Digest::of(b"")));
        }
        self.blobs.insert(b"").map(drop)
    }

    pub(super) async fn commit(&self, writer: BlobWriter) -> Result<()> {
        match self.sync {
            Sync::Later => writer.commit(Sync::Later),
            Sync::Now => blocking(move || writer.commit(Sync::Now)).await,
        }
    }

    #[cfg(target_os = "linux")]
    async fn sync_all(&self) -> Result<()> {
        let blobs = self.blobs.clone();
        blocking(move || blobs.sync()).await
    }

    #[cfg(not(target_os = "linux"))]
    async fn sync_all(&self) -> Result<()> {
        Ok(())
    }
}

/// A disk may take seconds to sync; the downloads beside it go on.
async fn blocking(work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    let ended = || Error::new(Kind::Store, "cannot finish writing to the cache");
    threads::beside(work).await.unwrap_or_else(|| Err(ended()))
}

/// What progress was told about one artifact.
pub struct Shown<'a> {
    progress: &'a Progress,
    name: &'a str,
    bytes: AtomicU64,
}

impl<'a> Shown<'a> {
    fn new(progress: &'a Progress, artifact: &'a Artifact) -> Self {
        Self { progress, name: artifact.url.file_name(), bytes: AtomicU64::new(0) }
    }

    pub(super) fn at(&self, bytes: u64) {
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        if bytes > before {
            self.progress.advance(self.name, bytes - before);
        } else if bytes < before {
            self.progress.retreat(before - bytes);
        }
    }
}

/// How far another process is, and since when: one that was stopped keeps its lock.
#[derive(Default)]
struct Other(Option<(u64, Instant)>);

impl Other {
    /// True if it has been at the same byte for so long.
    fn rests(&mut self, bytes: u64, limit: Duration) -> bool {
        match self.0 {
            Some((before, since)) if before == bytes => since.elapsed() >= limit,
            _ => {
                self.0 = Some((bytes, Instant::now()));
                false
            }
        }
    }
}

/// Counts those who look at part files: the more there are, the less often each looks.
struct Waiting<'a>(&'a AtomicUsize, usize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        Self(count, count.fetch_add(1, Ordering::Relaxed))
    }

    fn pause(&self) -> Duration {
        let more = Duration::from_micros(200 * self.1 as u64);
        (LOOK + more).min(Duration::from_millis(250))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
