//! A bucket that is published into: reads what is there, and puts more there, with the retries that
//! downloads have.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use super::retry::{Attempts, Limits};
use super::{failed, late};
use crate::error::{Error, Kind, Result};
use crate::name::SafeUrl;
use crate::origin::client::Access;
use crate::origin::http::Http;
use crate::origin::{Condition, Content, OriginError, Put, Version};
use crate::policy::Policy;

/// What is named by its content never changes.
const FOREVER: &str = "public, max-age=31536000, immutable";
/// What changes may be old for a minute, and for ten while somebody asks for it.
const SHORTLY: &str = "public, max-age=60, stale-while-revalidate=600";

/// A folder of a bucket.
#[derive(Debug)]
pub struct Bucket {
    http: Http,
    limits: Limits,
    /// With a slash at its end.
    url: SafeUrl,
    policy: Policy,
}

/// What stood at a name when it was read.
#[derive(Debug, Clone)]
pub struct Found {
    /// All of it.
    pub bytes: Bytes,
    version: Option<Version>,
}

impl Bucket {
    /// Asks nobody yet.
    pub fn new(url: SafeUrl, access: Access, policy: Policy) -> Self {
        let limits = Limits::default();
        let http = Http::new(limits.connect, limits.headers, access);
        Self { http, limits, url, policy }
    }

    /// Of what has this name.
    pub fn url_of(&self, name: &str) -> Result<SafeUrl> {
        self.url.join(name).map_err(|error| {
            let what = format!("{name} is not a name in a bucket");
            Error::new(Kind::Configuration, what).caused_by(&error)
        })
    }

    /// What is there; `None` if nothing is.
    pub async fn read(&self, name: &str) -> Result<Option<Found>> {
        let url = self.url_of(name)?;
        let found = self.patiently(&url, 0, || self.http.object(&url, self.policy)).await?;
        Ok(found.map(|(bytes, version)| Found { bytes, version }))
    }

    /// Puts something there whose name says what it is, if it is not there yet.
    pub async fn keep(&self, name: &str, content: &Content) -> Result<()> {
        let url = self.url_of(name)?;
        let size = content.size();
        let there = self.patiently(&url, 0, || self.http.object_size(&url, self.policy)).await?;
        if there == Some(size) {
            return Ok(());
        }
        let put = Put { condition: Condition::None, cache_control: FOREVER, time: self.time(size) };
        let put = || self.http.put_object(&url, self.policy, content, put);
        self.patiently(&url, size, put).await.map(drop)
    }

    /// Puts something in the place of whatever is there.
    pub async fn replace(&self, name: &str, content: &Content) -> Result<()> {
        let url = self.url_of(name)?;
        let time = self.time(content.size());
        let put = Put { condition: Condition::None, cache_control: SHORTLY, time };
        let put = || self.http.put_object(&url, self.policy, content, put);
        self.patiently(&url, content.size(), put).await.map(drop)
    }

    /// Puts something in the place of what was found there. False: somebody else did so meanwhile.
    pub async fn change(
        &self,
        name: &str,
        before: Option<&Found>,
        content: &Content,
    ) -> Result<bool> {
        let url = self.url_of(name)?;
        let condition = match before {
            None => Condition::Absent,
            Some(Found { version: Some(version), .. }) => Condition::Is(version),
            // A store that names no versions knows no conditions.
            Some(Found { version: None, .. }) => Condition::None,
        };
        let time = self.time(content.size());
        let put = |condition| Put { condition, cache_control: SHORTLY, time };
        let attempt = || async {
            let done = self.http.put_object(&url, self.policy, content, put(condition)).await;
            match done {
                // A store that knows no conditions says so.
                Err(error) if error.status == Some(501) => {
                    self.http.put_object(&url, self.policy, content, put(Condition::None)).await
                }
                done => done,
            }
        };
        if self.patiently(&url, content.size(), attempt).await? {
            return Ok(true);
        }
        // It may have been us, where an answer was lost on its way.
        let now = self.read(name).await?;
        Ok(matches!((content, now), (Content::Bytes(own), Some(found)) if *own == found.bytes))
    }

    fn time(&self, size: u64) -> Duration {
        self.limits.time_for(size)
    }

    async fn patiently<T, F: Future<Output = std::result::Result<T, OriginError>>>(
        &self,
        url: &SafeUrl,
        size: u64,
        attempt: impl Fn() -> F,
    ) -> Result<T> {
        let mut attempts = Attempts::new(&self.limits);
        let all = async {
            loop {
                match attempt().await {
                    Ok(done) => return Ok(done),
                    Err(error) => attempts.again(error.into(), 0).await.map_err(|last| {
                        failed(url, last).message(format!("cannot publish {url}"))
                    })?,
                }
            }
        };
        let time = self.time(size);
        tokio::time::timeout(time, all).await.unwrap_or_else(|_| Err(late(url, time)))
    }
}
