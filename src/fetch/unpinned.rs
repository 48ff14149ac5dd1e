//! Downloads an artifact whose size or sha256 is not known yet, and names the bytes by their
//! sha256.

use std::sync::atomic::{AtomicU64, Ordering};

use super::retry::{Attempts, Failure, Pace};
use super::{Fetcher, Freshness, failed, late};
use crate::audit::{Act, permit};
use crate::error::Result;
use crate::events::Progress;
use crate::name::{Digest, Hasher, SafeUrl};
use crate::origin::{Fault, OriginError, Request, Response};
use crate::policy::Policy;
use crate::store::Sync;
use crate::store::blob::BlobWriter;

impl Fetcher {
    /// Downloads at most `limit` bytes into a blob; tells its digest and its size.
    pub async fn unpinned(
        &self,
        url: &SafeUrl,
        limit: u64,
        policy: Policy,
        progress: &Progress,
    ) -> Result<(Digest, u64)> {
        permit(vec![Act::Resolve { url: url.clone() }]).await;
        let shared = self.shared().clone();
        let _turn = shared.lane.turn(limit).await;
        let mut attempts = Attempts::new(&self.limits);
        let mut writer = self.blobs.begin_unnamed()?;
        let all = async {
            loop {
                let shown = Shown { progress, name: url.file_name(), bytes: AtomicU64::new(0) };
                match self.write(&mut writer, url, limit, policy, &shown).await {
                    Ok(digest) => return Ok((digest, shown.bytes.into_inner())),
                    Err(failure) => {
                        progress.retreat(shown.bytes.into_inner());
                        attempts.again(failure, 0).await.map_err(|last| failed(url, last))?;
                        writer.restart()?;
                    }
                }
            }
        };
        let time = self.limits.time_for(limit);
        let done = tokio::time::timeout(time, all).await;
        let ((digest, with_login), size) = done.unwrap_or_else(|_| Err(late(url, time)))?;
        if with_login {
            self.blobs.admit(&digest, url)?;
        }
        progress.expect(size);
        self.blobs.name(writer, &digest, Sync::Now)?;
        Ok((digest, size))
    }

    async fn write(
        &self,
        writer: &mut BlobWriter,
        url: &SafeUrl,
        limit: u64,
        policy: Policy,
        shown: &Shown<'_>,
    ) -> Result<(Digest, bool), Failure> {
        let shared = self.shared();
        let (sent, freshness) = (AtomicU64::new(0), Freshness::AsCached);
        let request = Request { url, policy, part: None, unless: None, freshness, sent: &sent };
        let Response { length, with_login, mut body, .. } =
            shared.origin(&shared.lane, url)?.get(request).await?;
        let mut pace = Pace::new(&self.limits);
        let mut hasher = Hasher::default();
        while let Some(chunk) = pace.next(&mut *body).await? {
            writer.write(&chunk)?;
            hasher.update(&chunk);
            if shown.add(chunk.len() as u64) > limit {
                let why = format!("it is larger than {limit} bytes");
                return Err(OriginError::new(Fault::Lasting, why, "check the address").into());
            }
        }
        let got = shown.bytes.load(Ordering::Relaxed);
        if length.is_some_and(|length| length != got) {
            return Err(OriginError::temporary(format!("the body ended after {got} bytes")).into());
        }
        Ok((hasher.finish(), with_login))
    }
}

/// What progress was told in one attempt.
struct Shown<'a> {
    progress: &'a Progress,
    name: &'a str,
    bytes: AtomicU64,
}

impl Shown<'_> {
    fn add(&self, bytes: u64) -> u64 {
        self.progress.advance(self.name, bytes);
        self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes
    }
}
