//! One artifact into its blob, or one document into memory, in as many attempts as it takes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::lane::Lane;
use super::once::Leader;
use super::operation::{Operation, Shown};
use super::resume::{Answer, Resume};
use super::retry::{Attempts, Failure, Pace};
use super::room::{Place, crowded};
use super::sink::Sink;
use super::{Artifact, Fetcher, Freshness, Validator, failed, late};
use crate::audit::{Act, permit};
use crate::error::{Error, Kind, MORE_MEMORY, Result};
use crate::name::{Digest, SafeUrl};
use crate::origin::{Fault, OriginError, Part, Request, Response, Status, encoded};
use crate::policy::Policy;
use crate::store::blob::BlobWriter;

/// A small document, and what to ask with the next time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// It is still what the validator names.
    NotModified {
        /// For how many seconds that holds, if the server says so.
        fresh_for: Option<u64>,
    },
    /// It is new, or nothing was known of it.
    Body {
        /// All of it.
        bytes: Vec<u8>,
        /// What to ask with the next time, if the server gave anything.
        validator: Option<Validator>,
        /// For how many seconds it need not be asked for again, if the server says so.
        fresh_for: Option<u64>,
    },
}

/// How a download ended that did not fail.
pub(super) enum Ended {
    Done,
    /// The server serves others now; the place in the room was given up. To be tried again.
    Crowded(Duration),
}

/// The state of one artifact over its attempts.
struct Download<'a, 'b> {
    artifact: &'a Artifact,
    operation: &'a Operation,
    lane: &'a Lane,
    leader: &'a Leader<'a>,
    shown: &'a Shown<'a>,
    place: &'a mut Place<'b>,
    sink: Sink,
    resume: Resume,
    /// The last attempt got as far as an answer with a body.
    answered: bool,
    /// How the server says that it encoded the bytes.
    coding: Option<String>,
    /// A login was sent for them.
    with_login: bool,
}

impl Operation {
    pub(super) async fn download(
        &self,
        lane: &Lane,
        writer: BlobWriter,
        artifact: &Artifact,
        leader: &Leader<'_>,
        shown: &Shown<'_>,
        place: &mut Place<'_>,
    ) -> Result<Ended> {
        let mut download = Download {
            artifact,
            operation: self,
            lane,
            leader,
            shown,
            place,
            sink: Sink::new(writer, artifact.size, &self.shared.queue)?,
            resume: Resume::default(),
            answered: false,
            coding: None,
            with_login: false,
        };
        let limit = self.limits.time_for(artifact.size);
        loop {
            let done = tokio::time::timeout(limit, download.all_attempts()).await;
            let ended = done
                .unwrap_or_else(|_| Err(late(&artifact.url, limit)))
                .map_err(|error| error.or_name(&artifact.label))?;
            if let Ended::Crowded(_) = ended {
                return Ok(ended);
            }
            let (digest, mut writer) = download.sink.finish().await?;
            if digest == artifact.sha256 {
                if download.with_login {
                    self.blobs.admit(&digest, &artifact.url)?;
                }
                self.commit(writer).await?;
                return Ok(Ended::Done);
            }
            if !download.resume.begin_again() {
                let wrong = || wrong_digest(artifact, digest);
                return Err(download.coding.map_or_else(wrong, |coding| {
                    failed(&artifact.url, encoded(&coding).into()).or_name(&artifact.label)
                }));
            }
            writer.restart()?;
            download.sink = Sink::new(writer, artifact.size, &self.shared.queue)?;
            download.set_received(0);
        }
    }
}

impl Fetcher {
    /// A document of at most `limit` bytes; with a validator, only if it has changed.
    pub async fn document(
        &self,
        url: &SafeUrl,
        limit: u64,
        validator: Option<&Validator>,
        freshness: Freshness,
        policy: Policy,
    ) -> Result<Document> {
        permit(vec![Act::Resolve { url: url.clone() }]).await;
        let sent = AtomicU64::new(0);
        let request =
            Request { url, policy, part: None, unless: validator, freshness, sent: &sent };
        let mut attempts = Attempts::new(&self.limits);
        let all = async {
            loop {
                match self.read(request, limit).await {
                    Ok(document) => return Ok(document),
                    Err(failure) => {
                        attempts.again(failure, 0).await.map_err(|last| failed(url, last))?;
                    }
                }
            }
        };
        let time = self.limits.time_for(limit);
        tokio::time::timeout(time, all).await.unwrap_or_else(|_| Err(late(url, time)))
    }

    async fn read(&self, request: Request<'_>, limit: u64) -> Result<Document, Failure> {
        let too_large = || {
            let why = format!("it is larger than {limit} bytes");
            Failure::Broken(OriginError::new(Fault::Lasting, why, "check the address"))
        };
        let shared = self.shared();
        let Response { status, length, validator, coding, fresh_for, mut body, .. } =
            shared.origin(&shared.lane, request.url)?.get(request).await?;
        if status == Status::NotModified {
            return Ok(Document::NotModified { fresh_for });
        }
        if length.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut pace = Pace::new(&self.limits);
        let mut bytes = Vec::new();
        while let Some(chunk) = pace.next(&mut *body).await? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            bytes.try_reserve(chunk.len()).map_err(|_| no_room(request.url, bytes.len()))?;
            bytes.extend_from_slice(&chunk);
        }
        // Every document is text.
        if let Some(coding) = coding.filter(|_| std::str::from_utf8(&bytes).is_err()) {
            return Err(encoded(&coding).into());
        }
        Ok(Document::Body { bytes, validator, fresh_for })
    }
}

fn no_room(url: &SafeUrl, bytes: usize) -> Error {
    Error::new(Kind::Store, format!("cannot fetch {url}: no memory is left after {bytes} bytes"))
        .url(url)
        .hint(MORE_MEMORY)
}

impl Download<'_, '_> {
    async fn all_attempts(&mut self) -> Result<Ended> {
        let limits = &self.operation.limits;
        let mut attempts = Attempts::new(limits);
        loop {
            let before = self.resume.received;
            let Err(failure) = self.attempt().await else { return Ok(Ended::Done) };
            if !self.answered
                && let Some(pause) = crowded(&failure, self.resume.received, limits)
                && self.place.give_up()
            {
                self.set_received(0);
                return Ok(Ended::Crowded(pause));
            }
            let kept = self.resume.rest().map_or(0, |(received, _)| received);
            let gained = kept.saturating_sub(before);
            attempts.again(failure, gained).await.map_err(|mut last| {
                if let Failure::Broken(error) | Failure::Slow(error) = &mut last {
                    self.operation.room.advise(error, limits);
                }
                failed(&self.artifact.url, last)
            })?;
        }
    }

    async fn attempt(&mut self) -> Result<(), Failure> {
        let size = self.artifact.size;
        self.answered = false;
        self.place.begin();
        let request = Request {
            url: &self.artifact.url,
            policy: self.operation.policy,
            part: self.resume.rest().map(|(received, validator)| Part::Rest(received, validator)),
            unless: None,
            freshness: Freshness::AsCached,
            sent: &self.operation.requests,
        };
        let resuming = request.part.is_some();
        let shared = &self.operation.shared;
        let lane = if self.operation.room.is_narrow() { &shared.lane } else { self.lane };
        let answer = shared.origin(lane, &self.artifact.url)?.get(request).await;
        let mut response = answer.map_err(|mut error| {
            // The rest cannot be had; the whole may.
            if resuming && error.status.is_some() && error.fault != Fault::Temporary {
                self.resume.forget();
                error.fault = Fault::Temporary;
            }
            error
        })?;
        self.answered = true;
        self.coding.clone_from(&response.coding);
        self.with_login |= response.with_login;
        if self.resume.judge(&response, size)? == Answer::Afresh {
            if let Some(length) = response.length.filter(|length| *length != size) {
                return Err(self.wrong_size(format!("{length} bytes")));
            }
            if self.resume.received > 0 {
                self.sink.restart()?;
                self.set_received(0);
            }
        }
        let mut pace = Pace::new(&self.operation.limits);
        loop {
            let chunk = match pace.next(&mut *response.body).await {
                Ok(Some(chunk)) => chunk,
                // All of it is here, however the answer ends: the hash decides.
                Err(Failure::Broken(_) | Failure::Slow(_)) if self.resume.received == size => break,
                Ok(None) => break,
                Err(failure) => return Err(failure),
            };
            let length = chunk.len() as u64;
            self.operation.bytes.fetch_add(length, Ordering::Relaxed);
            let received = self.resume.received + length;
            if received > size {
                if self.resume.begin_again() {
                    self.sink.restart()?;
                    self.set_received(0);
                    let why = "the server sent more than the rest that was asked for";
                    return Err(OriginError::temporary(why).into());
                }
                return Err(self.wrong_size("more".to_owned()));
            }
            let from = Instant::now();
            self.sink.write(chunk).await?;
            pace.forgive(from);
            self.set_received(received);
        }
        if self.resume.received == size {
            return Ok(());
        }
        // The length was not announced, so this may be the end or a broken connection.
        let got = format!("the body ended after {} of {size} bytes", self.resume.received);
        Err(OriginError::temporary(got).into())
    }

    fn wrong_size(&self, got: String) -> Failure {
        match &self.coding {
            Some(coding) => encoded(coding).into(),
            None => wrong_size(self.artifact, got).into(),
        }
    }

    fn set_received(&mut self, received: u64) {
        self.resume.received = received;
        self.shown.at(received);
        self.leader.at(received);
    }
}

fn wrong_size(artifact: &Artifact, got: String) -> Error {
    wrong(artifact, format!("it has {got}, but {} were pinned", artifact.size))
        .expected(format!("{} bytes", artifact.size))
        .got(got)
}

pub(super) fn wrong_digest(artifact: &Artifact, got: Digest) -> Error {
    wrong(artifact, "its sha256 is not the one that was pinned".to_owned())
        .expected(artifact.sha256.to_hex())
        .got(got.to_hex())
}

fn wrong(artifact: &Artifact, why: String) -> Error {
    Error::new(Kind::Integrity, format!("cannot accept {}: {why}", artifact.url))
        .or_name(&artifact.label)
        .url(&artifact.url)
        .hint("none of it was kept; try again later, or tell its publisher")
}
