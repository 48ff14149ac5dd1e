//! A site in a bucket. What is new waits until there is much of it, or until the manifest is to be
//! written, and is put there many at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::thread::Builder;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::site::MANIFEST;
use super::{Options, refused};
use crate::error::{Error, Kind, Result};
use crate::fetch::bucket::{Bucket, Found};
use crate::forking;
use crate::name::{Digest, SafeUrl};
use crate::origin::Content;
use crate::origin::client::Access;
use crate::policy::Policy;
use crate::settings::Settings;

/// What waits in memory at most, in bytes.
const MOST: u64 = 64 << 20;
const AT_A_TIME: usize = 16;
/// A store takes no more at once.
const LARGEST: u64 = 5 << 30;
const TICK: Duration = Duration::from_millis(100);

/// Ends publishing with an error, for whoever does not want to wait any longer.
pub type Check = Arc<dyn Fn() -> Result<()> + Send + Sync>;

/// How a bucket is reached.
#[derive(Clone, Default)]
pub struct Reach {
    /// Whom to trust, and by which proxies.
    pub access: Access,
    /// What requests may do.
    pub policy: Policy,
    /// Asked again and again while something is under way.
    pub check: Option<Check>,
}

impl Reach {
    pub(super) fn new(settings: &Settings) -> Self {
        let certificates = settings.certificates.clone();
        let access = Access { certificates, ..Access::default() };
        let (offline, allow_http) = (settings.offline, settings.allow_http);
        let policy = Policy { offline, allow_http, ..Policy::default() };
        Self { access, policy, check: None }
    }
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reach").field("policy", &self.policy).finish_non_exhaustive()
    }
}

pub(super) struct Remote {
    bucket: Bucket,
    runtime: Runtime,
    check: Option<Check>,
    /// The manifest as it was first read.
    manifest: OnceLock<Option<Found>>,
    /// What the manifest before names: it is there.
    known: BTreeSet<String>,
    waiting: BTreeMap<String, Content>,
    /// Where wheels lie on this machine.
    wheels: BTreeMap<Digest, PathBuf>,
    /// Of what waits in memory, in bytes.
    bytes: u64,
}

/// The bucket that OUT names. `None`: it is a folder.
pub(super) fn url_of(output: &Path) -> Option<SafeUrl> {
    let text = output.to_str()?;
    let is_one = ["s3://", "gs://", "az://"].iter().any(|scheme| text.starts_with(scheme));
    let url = SafeUrl::new(&format!("{}/", text.trim_end_matches('/'))).ok();
    url.filter(|_| is_one)
}

impl Remote {
    pub fn new(url: SafeUrl, options: &Options) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            Error::new(Kind::Store, format!("cannot publish into {url}"))
                .caused_by(&error)
                .hint("close files that are not needed, or raise the limit (`ulimit -n`)")
        })?;
        let what = || format!("cannot publish into {url}");
        options.reach.policy.may_ask(&url, what)?;
        Ok(Self {
            bucket: Bucket::new(url, options.reach.access.clone(), options.reach.policy),
            runtime,
            check: options.reach.check.clone(),
            manifest: OnceLock::new(),
            known: BTreeSet::new(),
            waiting: BTreeMap::new(),
            wheels: BTreeMap::new(),
            bytes: 0,
        })
    }

    pub fn manifest_url(&self) -> String {
        self.bucket.url_of(MANIFEST).map_or_else(|_| MANIFEST.to_owned(), |url| url.to_string())
    }

    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        if name == MANIFEST {
            return Ok(self.manifest()?.map(|found| found.bytes.to_vec()));
        }
        let found = self.run(|| self.bucket.read(name))?;
        Ok(found.map(|found| found.bytes.to_vec()))
    }

    /// The bytes of what is there, or waits to be put there.
    pub fn whole(&self, name: &str) -> Result<Vec<u8>> {
        if let Some(Content::Bytes(bytes)) = self.waiting.get(name) {
            return Ok(bytes.to_vec());
        }
        self.read(name)?.ok_or_else(|| {
            let what = format!("cannot publish: {name} is not in the bucket any more");
            Error::new(Kind::Store, what).hint("publish again")
        })
    }

    fn manifest(&self) -> Result<Option<&Found>> {
        if let Some(found) = self.manifest.get() {
            return Ok(found.as_ref());
        }
        let found = self.run(|| self.bucket.read(MANIFEST))?;
        Ok(self.manifest.get_or_init(|| found).as_ref())
    }

    pub fn know(&mut self, names: impl IntoIterator<Item = String>) {
        self.known.extend(names);
    }

    pub fn holds(&self, name: &str) -> bool {
        self.known.contains(name) || self.waiting.contains_key(name)
    }

    /// Where a wheel lies on this machine.
    pub fn local(&self, sha256: &Digest) -> PathBuf {
        self.wheels.get(sha256).cloned().unwrap_or_default()
    }

    /// A wheel of the cache, which may be there already.
    pub fn keep_wheel(&mut self, name: &str, blob: &Path, sha256: Digest, size: u64) -> Result<()> {
        let path = blob.to_owned();
        self.wheels.insert(sha256, path.clone());
        if self.holds(name) {
            return Ok(());
        }
        self.keep(name.to_owned(), Content::File { path, size, sha256 })
    }

    /// Has something put there before the manifest.
    pub fn keep(&mut self, name: String, content: Content) -> Result<()> {
        if content.size() > LARGEST {
            let why = "it is larger than 5 GiB, the most that a store takes at once";
            return Err(refused(name, why, "split it, or publish into a folder"));
        }
        if let Content::Bytes(bytes) = &content {
            self.bytes += bytes.len() as u64;
        }
        self.waiting.insert(name, content);
        if self.bytes > MOST { self.flush() } else { Ok(()) }
    }

    /// Puts there what waits: first what never changes.
    pub fn flush(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        let (lasting, changing): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(name, _)| name.contains('/'));
        self.run(|| async {
            let each = lasting.iter().map(|(name, content)| self.bucket.keep(name, content));
            stream::iter(each).buffer_unordered(AT_A_TIME).try_collect::<()>().await?;
            for (name, content) in &changing {
                self.bucket.replace(name, content).await?;
            }
            Ok(())
        })?;
        self.known.extend(lasting.into_iter().map(|(name, _)| name));
        Ok(())
    }

    /// Puts the manifest there last. False: somebody else has published meanwhile.
    pub fn commit(&mut self, manifest: &[u8]) -> Result<bool> {
        self.flush()?;
        let before = self.manifest()?;
        let content = Content::Bytes(Bytes::copy_from_slice(manifest));
        self.run(|| self.bucket.change(MANIFEST, before, &content))
    }

    /// Does the work in a thread of its own, so that this one can be told to stop.
    fn run<T: Send, F: Future<Output = Result<T>>>(
        &self,
        work: impl FnOnce() -> F + Send,
    ) -> Result<T> {
        std::thread::scope(|scope| {
            let (cancel, cancelled) = oneshot::channel::<()>();
            let (sender, done) = mpsc::channel();
            let body = move || {
                let done = self.runtime.block_on(async {
                    tokio::select! {
                        done = work() => Some(done),
                        _ = cancelled => None,
                    }
                });
                // Nobody waits any more who was told to stop.
                let _ = sender.send(done);
            };
            Builder::new()
                .name("magic_module-publish".to_owned())
                .spawn_scoped(scope, || forking::beside(body))
                .map_err(|error| {
                    Error::new(Kind::Store, "cannot start a thread to publish with")
                        .caused_by(&error)
                        .hint("end other programs, or raise the limit (`ulimit -u`)")
                })?;
            let stopped = || Error::new(Kind::Store, "publishing ended before its end");
            loop {
                match done.recv_timeout(TICK) {
                    Ok(done) => return done.unwrap_or_else(|| Err(stopped())),
                    Err(RecvTimeoutError::Disconnected) => return Err(stopped()),
                    Err(RecvTimeoutError::Timeout) => {
                        if let Some(Err(error)) = self.check.as_ref().map(|check| check()) {
                            drop(cancel);
                            return Err(error);
                        }
                    }
                }
            }
        })
    }
}
