//! What serves artifacts and documents.
//!
//! An origin has one method. Its error says what the caller has to know: nothing
//! is there ([`Fault::Absent`]), another attempt may help ([`Fault::Temporary`]),
//! none will ([`Fault::Lasting`]), or it is forbidden ([`Fault::Refused`]).
//! Retrying, resuming and verifying happen above.

mod answer;
pub(crate) mod client;
pub(crate) mod file;
pub(crate) mod http;
pub(crate) mod logins;
pub mod netrc;
pub(crate) mod proxy;
mod redirect;
mod stores;

pub use answer::encoded;
pub use stores::{Condition, Content, Put, Version};

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::name::SafeUrl;
use crate::policy::Policy;

/// A future that a trait can name.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What serves things behind URLs of one kind: the web, or the disk.
pub trait Origin: Send + Sync {
    /// Answers with a body that has yet to arrive, or says what is wrong.
    fn get<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Response, OriginError>>;
}

/// How old an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// As old as caches on the way keep it.
    AsCached,
    /// What the server has now: caches are asked past.
    PastCaches,
}

/// What is asked for, and under which conditions.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Absolute.
    pub url: &'a SafeUrl,
    /// What the mount that asks has allowed.
    pub policy: Policy,
    /// Only a part; whoever serves it may answer with all of it.
    pub part: Option<Part<'a>>,
    /// Only if it is no longer what this names.
    pub unless: Option<&'a Validator>,
    /// How old the answer may be.
    pub freshness: Freshness,
    /// Counts what goes over the network, redirects included.
    pub sent: &'a AtomicU64,
}

/// Which bytes are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// What follows the first so many bytes, if the thing is still what the validator names.
    Rest(u64, &'a str),
    /// From an offset on, and how many; at least one.
    At(u64, u64),
    /// So many at the end; at least one.
    Last(u64),
}

/// What tells one state of a thing behind a URL from another.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Validator {
    /// As the server wrote it, quotes included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// As the server wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

impl Validator {
    /// What may stand in `If-Range`: a weak ETag names no exact bytes
    /// (<https://www.rfc-editor.org/rfc/rfc9110#name-if-range>).
    pub fn for_range(&self) -> Option<&str> {
        match self.etag.as_deref() {
            Some(etag) if !etag.starts_with("W/") => Some(etag),
            _ => self.last_modified.as_deref(),
        }
    }
}

/// The head of an answer; its body is read chunk by chunk.
pub struct Response {
    /// How the body answers the request.
    pub status: Status,
    /// Of this body, where it is known before it has arrived.
    pub length: Option<u64>,
    /// How the server says that it encoded the body; the bytes tell whether it did.
    pub coding: Option<String>,
    /// What to ask with the next time, if the server gave anything.
    pub validator: Option<Validator>,
    /// For how many seconds the server says that it may be used; 0: it is to be asked each time.
    pub fresh_for: Option<u64>,
    /// Whoever asked sent a login.
    pub with_login: bool,
    /// Arrives chunk by chunk.
    pub body: Box<dyn Body>,
}

/// How an answer relates to its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// All of the thing, from its first byte.
    Whole,
    /// An answer to `part`; `None` if it does not say which part it is.
    Part(Option<PartOf>),
    /// An answer to `unless`: nothing has changed.
    NotModified,
}

/// `Content-Range: bytes first-last/total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartOf {
    /// The offset of the first byte.
    pub first: u64,
    /// The offset of the last byte, inclusive.
    pub last: u64,
    /// The size of the whole thing, if the server knows it.
    pub total: Option<u64>,
}

impl PartOf {
    pub(crate) fn is_all(self) -> bool {
        self.first == 0 && self.last.checked_add(1) == self.total
    }
}

/// Bytes that arrive.
pub trait Body: Send {
    /// The next bytes; `None` at the end.
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, OriginError>>;
}

/// What may be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There is nothing behind the URL: a newer manifest may know better.
    Absent,
    /// Ask again.
    Temporary,
    /// Asking again is in vain.
    Lasting,
    /// A rule forbids the request, or a redirect of it.
    Refused,
}

/// Why there is no answer, or no more of its body.
#[derive(Debug)]
pub struct OriginError {
    /// What may be done about it.
    pub fault: Fault,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// When the server wants to be asked again.
    pub retry_after: Option<Duration>,
    /// Nobody answered for as long as an answer may take.
    pub silent: bool,
    /// Names the remedy; empty where there is none.
    pub hint: Cow<'static, str>,
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl OriginError {
    /// Says what happened and what helps; whatever else the answer said is added by the caller.
    pub fn new(
        fault: Fault,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
        hint: &'static str,
    ) -> Self {
        let (hint, cause) = (hint.into(), cause.into());
        Self { fault, status: None, retry_after: None, silent: false, hint, cause }
    }

    /// What another attempt may mend.
    pub fn temporary(why: impl Into<String>) -> Self {
        Self::new(Fault::Temporary, why.into(), "try again later")
    }

    /// What happened, to be walked down to its root.
    pub fn cause(&self) -> &(dyn std::error::Error + 'static) {
        &*self.cause
    }
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl std::error::Error for OriginError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_etag_names_no_bytes() {
        let weak = |last_modified| Validator { etag: Some("W/\"1\"".into()), last_modified };
        assert_eq!(weak(None).for_range(), None);
        assert_eq!(weak(Some("date".into())).for_range(), Some("date"));
    }
}
