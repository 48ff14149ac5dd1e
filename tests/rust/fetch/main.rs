//! Fetching against servers that fail, each in its own way.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod crowds;
mod documents;
mod faults;
mod many;
mod once;
mod policy;
mod schedules;
mod secrets;
mod server;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use magic_module::error::{Error, Kind, Result};
use magic_module::events::{Events, Progress};
use magic_module::fetch::{Access, Artifact, Fetched, Fetcher, Limits};
use magic_module::name::Digest;
use magic_module::policy::Policy;
use magic_module::store::Reuse;
use magic_module::store::blob::BlobStore;
use url::Url;

/// A store of its own, and a fetcher that is as patient as a test.
struct Bench {
    fetcher: Fetcher,
    progress: Arc<Progress>,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(Access::default())
    }

    fn with(access: Access) -> Self {
        Self::limited(access, limits())
    }

    fn limited(access: Access, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = BlobStore::new(folder.path());
        let fetcher = Fetcher::with_limits(store, 8, access, limits);
        let events = Arc::new(Events::default());
        events.listen(true);
        Self { fetcher, progress: Progress::new("alpha", events), folder }
    }

    async fn fetch(&self, artifact: &Artifact) -> Result<Fetched> {
        self.fetch_all(std::slice::from_ref(artifact)).await
    }

    async fn fetch_all(&self, artifacts: &[Artifact]) -> Result<Fetched> {
        self.fetcher.blobs(artifacts, Policy::default(), &self.progress, Reuse::WhatIsHere).await
    }

    fn bytes(&self, artifact: &Artifact) -> Vec<u8> {
        self.fetcher.store().read_verified(&artifact.sha256, artifact.size).unwrap()
    }

    /// What lies in `tmp/`.
    fn parts(&self) -> Vec<PathBuf> {
        fs_err::read_dir(self.folder.path().join("tmp"))
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default()
    }

    fn has_nothing(&self, artifact: &Artifact) {
        assert_eq!(self.parts(), Vec::<PathBuf>::new());
        assert!(self.fetcher.store().stamp(&artifact.sha256).is_none());
    }
}

/// On a busy machine a good server begins its answer late.
fn limits() -> Limits {
    Limits {
        backoff: Duration::from_millis(1),
        headers: Duration::from_secs(10),
        window: Duration::from_millis(200),
        ..Limits::default()
    }
}

/// Bytes in which every part differs from every other.
fn data(size: usize) -> Vec<u8> {
    (0..size as u64 / 8 + 1)
        .flat_map(|number| (number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes())
        .take(size)
        .collect()
}

fn artifact(url: Url, bytes: &[u8]) -> Artifact {
    let (label, url) = ("alpha".to_owned(), url.into());
    Artifact { label, url, size: bytes.len() as u64, sha256: Digest::of(bytes) }
}

/// The whole sentence, which is one line and names the file.
#[track_caller]
fn sentence(error: &Error, kind: Kind, contains: &str) -> String {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.contains(contains) && text.lines().count() == 1, "{text}");
    assert!(error.details().hint.is_some(), "{text}");
    text
}
