//! Fetching: what is missing becomes a verified blob, once.
//!
//! ```text
//! artifacts ─ not in the store ─ once per process ─ once per machine ─ attempts ─ blob
//!                                (once.rs)          (part file's lock)  (download.rs)
//! ```
//!
//! Few artifacts are fetched inside the future that the caller polls, many on threads of
//! their own (lane.rs). Dropping the future ends the downloads, removes their part files
//! and lets go of their locks.

pub mod bucket;
mod bundles;
mod download;
mod lane;
mod once;
mod operation;
mod part;
mod resume;
mod retry;
mod room;
mod sink;
mod unpinned;
mod work;

use std::collections::HashSet;
use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::audit::{Act, permit};
use crate::error::{Error, Kind, Result};
use crate::events::Progress;
use crate::name::{Digest, SafeUrl};
use crate::origin::file::Files;
use crate::origin::http::Http;
use crate::origin::{Fault, Origin, OriginError};
use crate::per_process::PerProcess;
use crate::policy::Policy;
use crate::store::blob::BlobStore;
use crate::store::{Reuse, Sync};

pub use crate::origin::client::Access;
pub use crate::origin::logins::{Places, has_login};
pub use crate::origin::{Freshness, Validator};
pub use bundles::{Bundle, Bundles, Member, Sought};
pub use download::Document;
pub use part::{Piece, Range};
pub use retry::Limits;
pub use work::{Next, Work};

use lane::Lane;
use once::Once;
use operation::Operation;
use retry::Failure;
use room::Rooms;

/// Up to so many artifacts are synced one by one, more of them by one sync of the file system.
const SYNC_EACH: usize = 4;

/// One thing to download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The unit, for events and errors.
    pub label: String,
    /// Absolute.
    pub url: SafeUrl,
    /// In bytes; anything else is refused.
    pub size: u64,
    /// Names the blob; anything else is refused.
    pub sha256: Digest,
}

/// What is told of one blob.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    /// This process writes it, beginning now, to this file. What is there of it was not verified.
    Begun(&'a Digest, &'a Path),
    /// It is there, and verified.
    Arrived(&'a Digest),
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
    shared: PerProcess<Arc<Shared>>,
    /// What was carried here, and is looked into before anybody is asked.
    pub bundles: Arc<Bundles>,
}

/// What the downloads of one process share.
#[derive(Debug)]
struct Shared {
    /// Where a few artifacts, and documents, come through.
    lane: Arc<Lane>,
    /// Where many do. Made when they are needed.
    lanes: OnceLock<Vec<Arc<Lane>>>,
    concurrency: usize,
    files: Files,
    once: Once,
    queue: Arc<Semaphore>,
    rooms: Rooms,
    /// Blobs that another process writes and this one waits for.
    waiting: AtomicUsize,
}

impl Fetcher {
    /// Opens nothing: the HTTP client is built at the first request.
    pub fn new(blobs: BlobStore, concurrency: usize, access: Access) -> Self {
        Self::with_limits(blobs, concurrency, access, Limits::default())
    }

    /// As [`new`](Self::new), with another patience.
    pub fn with_limits(
        blobs: BlobStore,
        concurrency: usize,
        access: Access,
        limits: Limits,
    ) -> Self {
        let shared = PerProcess::new(Arc::new(Shared::new(concurrency, &access, &limits)));
        Self { blobs, concurrency, limits, access, shared, bundles: Arc::default() }
    }

    /// Where the blobs are put.
    pub fn store(&self) -> &BlobStore {
        &self.blobs
    }

    /// Afterwards every artifact is a verified blob. The first failure ends all of it.
    pub async fn blobs(
        &self,
        artifacts: &[Artifact],
        policy: Policy,
        progress: &Arc<Progress>,
        reuse: Reuse,
    ) -> Result<Fetched> {
        self.blobs_one_by_one(artifacts, policy, progress, reuse, |_| ()).await
    }

    /// The same; `tell` is told of each blob on its way, on whatever thread.
    pub async fn blobs_one_by_one(
        &self,
        artifacts: &[Artifact],
        policy: Policy,
        progress: &Arc<Progress>,
        reuse: Reuse,
        tell: impl Fn(Told<'_>) + Send + std::marker::Sync + 'static,
    ) -> Result<Fetched> {
        let mut seen = HashSet::new();
        let glance = self.blobs.glance(artifacts.len());
        let is_here = |artifact: &Artifact| {
            reuse == Reuse::WhatIsHere && glance.has(&artifact.sha256, artifact.size)
        };
        let (here, mut missing): (Vec<&Artifact>, Vec<&Artifact>) =
            artifacts.iter().partition(|artifact| is_here(artifact));
        here.iter().for_each(|artifact| tell(Told::Arrived(&artifact.sha256)));
        missing.retain(|artifact| seen.insert(artifact.sha256));
        if missing.is_empty() {
            return Ok(Fetched::default());
        }
        let acts = missing.iter().map(|artifact| Act::Fetch {
            unit: artifact.label.clone(),
            url: artifact.url.clone(),
            size: artifact.size,
            sha256: artifact.sha256.to_hex(),
        });
        permit(acts.collect()).await;
        // Otherwise the largest would begin last and run alone at the end.
        missing.sort_by_key(|artifact| std::cmp::Reverse(artifact.size));
        missing.iter().for_each(|artifact| progress.expect(artifact.size));
        let shared = self.shared().clone();
        let operation = Operation {
            blobs: self.blobs.clone(),
            limits: self.limits.clone(),
            room: shared.rooms.enter(self.concurrency),
            shared,
            sync: if missing.len() <= SYNC_EACH || !cfg!(target_os = "linux") {
                Sync::Now
            } else {
                Sync::Later
            },
            artifacts: missing.into_iter().cloned().collect(),
            taken: AtomicUsize::new(0),
            policy,
            progress: progress.clone(),
            reuse,
            tell: Box::new(tell),
            bytes: AtomicU64::new(0),
            requests: AtomicU64::new(0),
        };
        operation.run().await
    }

    /// Begins what `work` makes of the way to tell its caller something. Nothing of it waits
    /// for the caller but where no thread can be had: there it goes on while that waits.
    pub fn begin<S, F>(&self, work: impl FnOnce(mpsc::Sender<S>) -> F) -> Result<Work<S>>
    where
        S: Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Work::begin(self.shared().lane.clone(), work)
    }

    fn shared(&self) -> &Arc<Shared> {
        let make = || Arc::new(Shared::new(self.concurrency, &self.access, &self.limits));
        self.shared.get_good(make, |shared| shared.is_ours())
    }
}

impl Shared {
    fn new(concurrency: usize, access: &Access, limits: &Limits) -> Self {
        let http = Http::new(limits.connect, limits.headers, access.clone());
        Self {
            lane: Arc::new(Lane::new(http, concurrency)),
            lanes: OnceLock::new(),
            concurrency,
            files: Files,
            once: Once::default(),
            queue: Arc::new(Semaphore::new(sink::QUEUE)),
            rooms: Rooms::default(),
            waiting: AtomicUsize::new(0),
        }
    }

    fn lanes(&self) -> &[Arc<Lane>] {
        self.lanes.get_or_init(|| lane::beside(&self.lane.http, self.concurrency))
    }

    /// False once the program has closed connections of it.
    fn is_ours(&self) -> bool {
        let mut lanes = self.lanes.get().into_iter().flatten().chain([&self.lane]);
        lanes.all(|lane| lane.is_ours())
    }

    fn origin<'a>(&'a self, lane: &'a Lane, url: &SafeUrl) -> Result<&'a dyn Origin> {
        match url.scheme() {
            "http" | "https" => Ok(&*lane.http),
            "file" => Ok(&self.files),
            _ if url.is_in_object_store() => Ok(&*lane.http),
            scheme => {
                let why = format!("cannot fetch {url}: {scheme}: URLs are not known");
                let error = Error::new(Kind::Configuration, why).url(url);
                Err(error.hint("use https, http, file, or an object store: s3, gs or az"))
            }
        }
    }
}

fn failed(url: &SafeUrl, failure: Failure) -> Error {
    let cause = match failure {
        Failure::Final(error) => return error,
        Failure::Broken(cause) | Failure::Slow(cause) => cause,
    };
    let kind = if cause.fault == Fault::Refused { Kind::Policy } else { Kind::Fetch };
    let error = Error::new(kind, format!("cannot fetch {url}"))
        .caused_by(cause.cause())
        .url(url)
        .hint(cause.hint.clone());
    match cause.fault {
        Fault::Absent => error.absent().got(format!("nothing: {cause}")),
        _ => error,
    }
}

fn late(url: &SafeUrl, limit: Duration) -> Error {
    let why = format!("it took longer than {} s", limit.as_secs());
    let hint = "try again later, or check the network";
    failed(url, OriginError::new(Fault::Lasting, why, hint).into())
}
