//! One artifact into its blob, or one document into memory, in as many attempts as it takes.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;
use url::Url;

use super::lane::Lane;
use super::once::Leader;
use super::operation::{Operation, Shown};
use super::resume::{Answer, Resume};
use super::retry::{Attempts, Failure, GivenUp, Pace};
use super::verify::Sink;
use super::{Artifact, Fetcher, Transport, Validator, failed, late};
use crate::audit::{Act, permit};
use crate::error::{Error, Kind, Result};
use crate::name::Digest;
use crate::origin::{Fault, OriginError, Request, Response, Status, redact};
use crate::store::blob::BlobWriter;

/// A small document, and what to ask with the next time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    NotModified,
    Body { bytes: Vec<u8>, validator: Option<Validator> },
}

/// The state of one artifact over its attempts.
struct Download<'a> {
    artifact: &'a Artifact,
    operation: &'a Operation,
    lane: &'a Lane,
    leader: &'a Leader<'a>,
    shown: &'a Shown<'a>,
    sink: Sink,
    resume: Resume,
}

impl Operation {
    pub(super) async fn download(
        &self,
        lane: &Lane,
        writer: BlobWriter,
        artifact: &Artifact,
        leader: &Leader<'_>,
        shown: &Shown<'_>,
    ) -> Result<()> {
        let sink = Sink::new(writer, artifact.size, &self.shared.queue)?;
        let resume = Resume::default();
        let mut download =
            Download { artifact, operation: self, lane, leader, shown, sink, resume };
        let limit = self.limits.time_for(artifact.size);
        let done = tokio::time::timeout(limit, download.all_attempts()).await;
        done.unwrap_or_else(|_| Err(late(&artifact.url, limit)))
            .map_err(|error| error.or_name(&artifact.label))?;
        let (digest, writer) = download.sink.finish().await?;
        if digest != artifact.sha256 {
            return Err(wrong_digest(artifact, digest));
        }
        self.commit(writer).await
    }
}

impl Fetcher {
    /// A document of at most `limit` bytes; with a validator, only if it has changed.
    pub async fn document(
        &self,
        url: &Url,
        limit: u64,
        validator: Option<&Validator>,
        no_cache: bool,
        transport: Transport,
    ) -> Result<Document> {
        permit(vec![Act::Resolve { url: redact(url) }]).await;
        let sent = AtomicU64::new(0);
        let request =
            Request { url, transport, rest: None, unless: validator, no_cache, sent: &sent };
        let mut attempts = Attempts::new(&self.limits);
        let all = async {
            loop {
                match self.read(request, limit).await {
                    Ok(document) => return Ok(document),
                    Err(failure) => attempts
                        .again(failure, 0)
                        .await
                        .map_err(|given_up| failed(url, given_up))?,
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
        let Response { status, length, validator, mut body } =
            shared.origin(&shared.lane, request.url)?.get(request).await?;
        if status == Status::NotModified {
            return Ok(Document::NotModified);
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
            bytes.extend_from_slice(&chunk);
        }
        Ok(Document::Body { bytes, validator })
    }
}

impl Download<'_> {
    async fn all_attempts(&mut self) -> Result<()> {
        let mut attempts = Attempts::new(&self.operation.limits);
        loop {
            let before = self.resume.received;
            let Err(failure) = self.attempt().await else { return Ok(()) };
            let gained = match self.resume.rest() {
                Some((received, _)) => received.saturating_sub(before),
                None => 0,
            };
            attempts
                .again(failure, gained)
                .await
                .map_err(|given_up: GivenUp| failed(&self.artifact.url, given_up))?;
        }
    }

    async fn attempt(&mut self) -> Result<(), Failure> {
        let size = self.artifact.size;
        let request = Request {
            url: &self.artifact.url,
            transport: self.operation.transport,
            rest: self.resume.rest(),
            unless: None,
            no_cache: false,
            sent: &self.operation.requests,
        };
        let resuming = request.rest.is_some();
        let answer =
            self.operation.shared.origin(self.lane, &self.artifact.url)?.get(request).await;
        let mut response = answer.map_err(|mut error| match error.status {
            // The rest cannot be had; the whole may.
            Some(416) if resuming => {
                self.resume.forget();
                error.fault = Fault::Temporary;
                error
            }
            _ => error,
        })?;
        if self.resume.judge(&response, size)? == Answer::Afresh {
            if let Some(length) = response.length.filter(|length| *length != size) {
                return Err(wrong_size(self.artifact, format!("{length} bytes")).into());
            }
            if self.resume.received > 0 {
                self.sink.restart()?;
                self.set_received(0);
            }
        }
        let mut pace = Pace::new(&self.operation.limits);
        while let Some(chunk) = pace.next(&mut *response.body).await? {
            let length = chunk.len() as u64;
            self.operation.bytes.fetch_add(length, Ordering::Relaxed);
            let received = self.resume.received + length;
            if received > size {
                return Err(wrong_size(self.artifact, "more".to_owned()).into());
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
        Err(OriginError::new(Fault::Temporary, got, "try again later").into())
    }

    fn set_received(&mut self, received: u64) {
        self.resume.received = received;
        self.shown.at(received);
        self.leader.at(received);
    }
}

fn wrong_size(artifact: &Artifact, got: String) -> Error {
    wrong(artifact, format!("it has {got} where {} were pinned", artifact.size))
        .expected(format!("{} bytes", artifact.size))
        .got(got)
}

pub(super) fn wrong_digest(artifact: &Artifact, got: Digest) -> Error {
    wrong(artifact, "its sha256 is not the one that was pinned".to_owned())
        .expected(artifact.sha256.to_hex())
        .got(got.to_hex())
}

fn wrong(artifact: &Artifact, why: String) -> Error {
    let shown = redact(&artifact.url);
    Error::new(Kind::Integrity, format!("cannot accept {shown}: {why}"))
        .or_name(&artifact.label)
        .url(shown)
        .hint("nothing of it was kept; try again later, or tell its publisher")
}
