//! Fetching: what is missing becomes a verified blob, once.
//!
//! ```text
//! artifacts ─ not in the store ─ once per process ─ once per machine ─ attempts ─ blob
//!                                (once.rs)          (part file's lock)  (download.rs)
//! ```
//!
//! Everything runs inside the future that the caller polls: dropping it ends the
//! downloads, removes their part files and lets go of their locks.

mod download;
mod once;
mod process;
mod resume;
mod retry;
mod verify;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use url::Url;

use crate::audit::{Act, permit};
use crate::error::{Error, Kind, Result};
use crate::name::Digest;
use crate::origin::file::Files;
use crate::origin::http::Http;
use crate::origin::{Fault, Origin, OriginError, file_name, redact};
use crate::progress::Progress;
use crate::store::blob::{Begin, BlobStore, BlobWriter};

pub use crate::origin::client::Access;
pub use crate::origin::{Transport, Validator};
pub use download::Document;
pub use process::PerProcess;
pub use retry::Limits;

use once::{Leader, Once, Outcome, Role};
use retry::GivenUp;

/// Up to so many artifacts are synced one by one, more of them by one sync of the file system.
const SYNC_EACH: usize = 4;

/// How often another process's part file is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// One thing to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The unit, for events and errors.
    pub label: String,
    pub url: Url,
    pub size: u64,
    pub sha256: Digest,
}

/// What an operation cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fetched {
    /// Bytes of bodies that came from an origin.
    pub bytes: u64,
    /// Requests over the network, redirects included.
    pub requests: u64,
}

/// Brings artifacts into the store. One for a process; a forked child may go on using it.
#[derive(Debug)]
pub struct Fetcher {
    blobs: BlobStore,
    concurrency: usize,
    limits: Limits,
    access: Access,
    shared: PerProcess<Shared>,
}

/// What the downloads of one process share.
#[derive(Debug)]
struct Shared {
    http: Http,
    files: Files,
    once: Once,
    downloads: Semaphore,
    queue: Arc<Semaphore>,
    /// Blobs that another process writes and this one waits for.
    waiting: AtomicUsize,
}

/// One call of [`Fetcher::blobs`].
struct Operation<'a> {
    shared: &'a Shared,
    transport: Transport,
    progress: &'a Progress,
    force: bool,
    sync: bool,
    bytes: AtomicU64,
    requests: AtomicU64,
}

impl Fetcher {
    /// Opens nothing: the HTTP client is built at the first request.
    pub fn new(blobs: BlobStore, concurrency: usize, access: Access) -> Self {
        Self::with_limits(blobs, concurrency, access, Limits::default())
    }

    pub fn with_limits(
        blobs: BlobStore,
        concurrency: usize,
        access: Access,
        limits: Limits,
    ) -> Self {
        let shared = PerProcess::new(Shared::new(concurrency, &access, &limits));
        Self { blobs, concurrency, limits, access, shared }
    }

    pub fn store(&self) -> &BlobStore {
        &self.blobs
    }

    /// Afterwards every artifact is a verified blob. `force` fetches what is there
    /// already, too. The first failure ends all of it.
    pub async fn blobs(
        &self,
        artifacts: &[Artifact],
        transport: Transport,
        progress: &Arc<Progress>,
        force: bool,
    ) -> Result<Fetched> {
        let mut seen = HashSet::new();
        let mut missing: Vec<&Artifact> = artifacts
            .iter()
            .filter(|artifact| force || !self.blobs.has(&artifact.sha256, artifact.size))
            .filter(|artifact| seen.insert(artifact.sha256))
            .collect();
        if missing.is_empty() {
            return Ok(Fetched::default());
        }
        let acts = missing.iter().map(|artifact| Act::Fetch {
            unit: artifact.label.clone(),
            url: redact(&artifact.url),
            size: artifact.size,
            sha256: artifact.sha256.to_hex(),
        });
        permit(acts.collect()).await;
        // Otherwise the largest would begin last and run alone at the end.
        missing.sort_by_key(|artifact| std::cmp::Reverse(artifact.size));
        let operation = Operation {
            shared: self.shared(),
            transport,
            progress,
            force,
            sync: missing.len() <= SYNC_EACH || !cfg!(target_os = "linux"),
            bytes: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        };
        for artifact in &missing {
            progress.expect(artifact.size);
        }
        let mut running: FuturesUnordered<_> =
            missing.iter().map(|artifact| self.one(artifact, &operation)).collect();
        while let Some(done) = running.next().await {
            done?;
        }
        if !operation.sync {
            self.sync_all().await?;
        }
        Ok(Fetched {
            bytes: operation.bytes.load(Ordering::Relaxed),
            requests: operation.requests.load(Ordering::Relaxed),
        })
    }

    /// One artifact: by this future, by another of this process, or by another process.
    async fn one(&self, artifact: &Artifact, operation: &Operation<'_>) -> Result<()> {
        let shown = Shown::new(operation.progress, artifact);
        loop {
            match operation.shared.once.enter(artifact.sha256, &artifact.url) {
                Role::Leader(leader) => {
                    let done = self.lead(artifact, operation, &leader, &shown).await;
                    leader.finish(match &done {
                        Ok(fresh) => Outcome::Done { fresh: *fresh },
                        Err(error) => Outcome::Failed(error.clone()),
                    });
                    return done.map(drop);
                }
                Role::Follower(flight) => match flight.wait(|bytes| shown.at(bytes)).await {
                    Outcome::Done { fresh } if fresh || !operation.force => {
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
        artifact: &Artifact,
        operation: &Operation<'_>,
        leader: &Leader<'_>,
        shown: &Shown<'_>,
    ) -> Result<bool> {
        if artifact.size == 0 {
            return self.empty(artifact).map(|()| true);
        }
        let stamp = || self.blobs.stamp(&artifact.sha256);
        let before = if operation.force { stamp() } else { None };
        let shared = operation.shared;
        loop {
            // Nobody waits for another process with a permit in hand, and who waits
            // goes to the end of the queue: first what nobody else does.
            let permit = shared.downloads.acquire().await;
            let again = operation.force && stamp() == before;
            match self.blobs.begin(&artifact.sha256, artifact.size, again)? {
                Begin::Ready => {
                    shown.at(artifact.size);
                    leader.at(artifact.size);
                    return Ok(operation.force && stamp() != before);
                }
                Begin::Writer(writer) => {
                    self.download(writer, artifact, operation, leader, shown).await?;
                    return Ok(true);
                }
                Begin::Busy { bytes } => {
                    drop(permit);
                    shown.at(bytes.min(artifact.size));
                    leader.at(bytes.min(artifact.size));
                    let waiting = Waiting::new(&shared.waiting);
                    tokio::time::sleep(waiting.pause()).await;
                }
            }
        }
    }

    /// Nothing to ask for.
    fn empty(&self, artifact: &Artifact) -> Result<()> {
        if artifact.sha256 != Digest::of(b"") {
            return Err(download::wrong_digest(artifact, Digest::of(b"")));
        }
        self.blobs.insert(b"").map(drop)
    }

    async fn commit(&self, writer: BlobWriter, sync: bool) -> Result<()> {
        if !sync {
            return writer.commit(false);
        }
        blocking(move || writer.commit(true)).await
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

    fn shared(&self) -> &Shared {
        self.shared.get(|| Shared::new(self.concurrency, &self.access, &self.limits))
    }
}

impl Shared {
    fn new(concurrency: usize, access: &Access, limits: &Limits) -> Self {
        Self {
            http: Http::new(limits.connect, limits.headers, access.clone()),
            files: Files,
            once: Once::default(),
            downloads: Semaphore::new(concurrency.max(1)),
            queue: Arc::new(Semaphore::new(verify::QUEUE)),
            waiting: AtomicUsize::new(0),
        }
    }

    fn origin(&self, url: &Url) -> Result<&dyn Origin> {
        match url.scheme() {
            "http" | "https" => Ok(&self.http),
            "file" => Ok(&self.files),
            scheme => Err(Error::new(
                Kind::Configuration,
                format!("cannot fetch {}: {scheme}: URLs are not known", redact(url)),
            )
            .url(redact(url))
            .hint("use https, http or file")),
        }
    }
}

/// A disk may take seconds to sync; the downloads beside it go on.
async fn blocking(work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<()> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => {
            Err(Error::new(Kind::Store, "cannot finish writing to the cache").caused_by(&error))
        }
    }
}

/// What progress was told about one artifact.
struct Shown<'a> {
    progress: &'a Progress,
    name: &'a str,
    bytes: AtomicU64,
}

impl<'a> Shown<'a> {
    fn new(progress: &'a Progress, artifact: &'a Artifact) -> Self {
        Self { progress, name: file_name(&artifact.url), bytes: AtomicU64::new(0) }
    }

    fn at(&self, bytes: u64) {
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        if bytes > before {
            self.progress.advance(self.name, bytes - before);
        } else if bytes < before {
            self.progress.retreat(before - bytes);
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

/// How `got` begins where nothing is behind a URL.
const NOTHING: &str = "nothing";

/// True if nothing is behind the URL (404, 410, no such file). The manifest may be
/// older than its site.
pub fn is_absent(error: &Error) -> bool {
    error.kind() == Kind::Fetch
        && error.details().got.as_deref().is_some_and(|got| got.starts_with(NOTHING))
}

fn failed(url: &Url, given_up: GivenUp) -> Error {
    let cause = match given_up {
        GivenUp::Final(error) => return error,
        GivenUp::Origin(cause) => cause,
    };
    let kind = if cause.fault == Fault::Refused { Kind::Policy } else { Kind::Fetch };
    let shown = redact(url);
    let error = Error::new(kind, format!("cannot fetch {shown}"))
        .caused_by(cause.cause())
        .url(shown)
        .hint(cause.hint.clone());
    match cause.fault {
        Fault::Absent => error.got(format!("{NOTHING}: {cause}")),
        _ => error,
    }
}

fn late(url: &Url, limit: Duration) -> Error {
    let cause = OriginError::new(
        Fault::Lasting,
        format!("it took longer than {} s", limit.as_secs()),
        "try again later, or check the network",
    );
    failed(url, GivenUp::Origin(cause))
}
