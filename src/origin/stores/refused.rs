//! What a store refuses, in words that name the remedy.
//!
//! Of an answer only its status, its code and its region are told: the rest may hold keys.

use std::error::Error;
use std::time::{Duration, SystemTime};

use object_store::client::HttpError;
use reqwest::header::{self, HeaderMap};

use super::super::answer;
use super::super::{Fault, OriginError};
use super::{Cloud, Store, named, unusable};

/// Of an answer that explains itself.
const MOST: usize = 16 << 10;
const PATIENCE: Duration = Duration::from_secs(5);
/// A clock that is off by less is not why a store refuses.
const SKEW: Duration = Duration::from_secs(4 * 60);

const EXPIRED: &[&str] = &["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"];
const UNKNOWN: &[&str] = &[
    "AuthenticationFailed",
    "InvalidAccessKeyId",
    "InvalidAuthenticationInfo",
    "InvalidToken",
    "NoAuthenticationInformation",
    "SignatureDoesNotMatch",
];
const NO_BUCKET: &[&str] = &["NoSuchBucket", "ContainerNotFound"];

/// What a store answered that is of no use.
#[derive(Debug, Default)]
struct Said {
    status: u16,
    reason: String,
    code: Option<String>,
    region: Option<String>,
    /// By how much this machine's clock is ahead, or behind.
    clock: Option<(Duration, &'static str)>,
}

/// Reads what the store says, and tells what helps.
pub(in super::super) async fn refused(store: &Store, answer: reqwest::Response) -> OriginError {
    let retry_after = answer::wait(answer.headers());
    let said = Said::read(answer).await;
    let error = said.error(store);
    OriginError { status: Some(said.status), retry_after, ..error }
}

impl Said {
    async fn read(mut answer: reqwest::Response) -> Self {
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        let read = async {
            while let Ok(Some(chunk)) = answer.chunk().await {
                body.extend_from_slice(&chunk);
                if body.len() > MOST {
                    break;
                }
            }
        };
        // What has come until then is read.
        let _ = tokio::time::timeout(PATIENCE, read).await;
        let body = String::from_utf8_lossy(&body);
        let text = |name| headers.get(name).and_then(|it| it.to_str().ok()).and_then(plain);
        Self {
            status: status.as_u16(),
            reason: status.to_string(),
            code: text("x-ms-error-code").or_else(|| element(&body, "Code")),
            region: text("x-amz-bucket-region").or_else(|| element(&body, "Region")),
            clock: clock(&headers, SystemTime::now()),
        }
    }

    fn error(&self, store: &Store) -> OriginError {
        let is = |codes: &[&str]| self.code.as_deref().is_some_and(|code| codes.contains(&code));
        let answered = match &self.code {
            Some(code) => format!("the store answered {} ({code})", self.reason),
            None => format!("the store answered {}", self.reason),
        };
        let mut fault = Fault::Lasting;
        if let Some(there) = self.other_region(store) {
            let here = store.region.as_deref().unwrap_or("another one");
            let why = format!("the bucket lies in {there}, and was looked for in {here}");
            return named(why, format!("set AWS_REGION={there}"));
        }
        let (why, hint) = match self.status {
            400 | 401 | 403 if self.clock.is_some() || is(&["RequestTimeTooSkewed"]) => {
                let by = match self.clock {
                    Some((by, way)) => format!("{} minutes {way}", by.as_secs() / 60),
                    None => "wrong".to_owned(),
                };
                let why = format!("{answered}: this machine's clock is {by}");
                return named(why, "set this machine's clock".to_owned());
            }
            400 | 401 | 403 if is(EXPIRED) => {
                if store.may_change {
                    fault = Fault::Temporary;
                }
                (format!("{answered}: the credentials have expired"), renew(store.cloud))
            }
            404 if is(NO_BUCKET) => {
                fault = Fault::Absent;
                (answered, "check the name of the bucket")
            }
            404 | 410 => {
                fault = Fault::Absent;
                (answered, "check the address")
            }
            408 | 425 | 429 | 500 | 502..=504 => {
                fault = Fault::Temporary;
                (answered, "try again later")
            }
            401 => (answered, check(store.cloud)),
            400 | 403 if is(UNKNOWN) => (answered, check(store.cloud)),
            403 if store.is_signed() => (
                answered,
                "check the address, and that these credentials may read it: a store says the same of what is not there to whoever may not list the bucket",
            ),
            403 => {
                (answered, "check the address, and that everybody may read it, or give credentials")
            }
            300..=399 => (answered, "check the name of the bucket, and its region"),
            _ => (answered, "check the address"),
        };
        OriginError::new(fault, why, hint)
    }

    fn other_region<'a>(&'a self, store: &Store) -> Option<&'a str> {
        let there = self.region.as_deref()?;
        let is_told = matches!(self.status, 300..=399 | 400 | 403);
        (store.cloud == Cloud::Amazon && is_told && store.region.as_deref() != Some(there))
            .then_some(there)
    }
}

/// The text of an element of an answer's XML, if it is a plain word.
fn element(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    plain(rest.split_once("</")?.0)
}

fn plain(text: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    ((1..=64).contains(&text.len()) && text.chars().all(is_plain)).then(|| text.to_owned())
}

/// How this machine's clock differs from the store's, if that is much.
fn clock(headers: &HeaderMap, now: SystemTime) -> Option<(Duration, &'static str)> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let theirs = httpdate::parse_http_date(date).ok()?;
    let (by, way) = match now.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of the store's"),
        Err(behind) => (behind.duration(), "behind the store's"),
    };
    (by >= SKEW).then_some((by, way))
}

/// Nobody gives credentials. `error` may hold what was asked for them, and is not shown.
pub(super) fn missing(cloud: Cloud, error: Option<&object_store::Error>) -> OriginError {
    let mut why = "no credentials were found".to_owned();
    let mut layer: Option<&(dyn Error + 'static)> = error.map(|error| error as _);
    while let Some(cause) = layer {
        if let Some(http) = cause.downcast_ref::<HttpError>().and_then(Error::source) {
            // These are our own words.
            why = format!("{why}: the service that gives them was asked in vain: {http}");
            break;
        }
        layer = cause.source();
    }
    unusable(&why, give(cloud))
}

/// A variable or a file is of no use.
pub(super) fn unreadable(cloud: Cloud) -> OriginError {
    unusable("the credentials cannot be read", check(cloud))
}

fn give(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Amazon => {
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; for a bucket that everybody may read, AWS_SKIP_SIGNATURE=true"
        }
        Cloud::Google => {
            "let GOOGLE_APPLICATION_CREDENTIALS name a file, or run `gcloud auth application-default login`; for a bucket that everybody may read, set GOOGLE_SKIP_SIGNATURE=true"
        }
        Cloud::Azure => {
            "set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN; for a container that everybody may read, AZURE_SKIP_SIGNATURE=true"
        }
    }
}

fn check(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Amazon => {
            "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the profile that AWS_PROFILE names"
        }
        Cloud::Google => {
            "check the file that GOOGLE_APPLICATION_CREDENTIALS names, or run `gcloud auth application-default login`"
        }
        Cloud::Azure => {
            "check AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_SAS_TOKEN"
        }
    }
}

fn renew(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Amazon => {
            "get new credentials: log in again, or set new values for AWS_SESSION_TOKEN and its keys"
        }
        Cloud::Google => "run `gcloud auth application-default login`",
        Cloud::Azure => "get a new token, and set AZURE_STORAGE_SAS_TOKEN",
    }
}
