//! What a server answered: status, headers and body, or what went wrong and what helps.

use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{self, HeaderMap};
use rustls::CertificateError;
use url::Position;

use super::http::is_private;
use super::{Body, BoxFuture, Fault, OriginError, PartOf, Request, Response, Status, Validator};
use crate::name::SafeUrl;

const PROXY_CREDENTIALS: &str = "check the credentials in the proxy variables";

/// Codings that change bytes.
const CODINGS: &[&str] =
    &["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress", "aws-chunked"];

/// An answer that is of use, or why it is none.
pub(super) fn read(
    answer: reqwest::Response,
    url: &SafeUrl,
    request: Request<'_>,
) -> Result<Response, OriginError> {
    let headers = answer.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let status = match answer.status() {
        StatusCode::OK => Status::Whole,
        StatusCode::PARTIAL_CONTENT => {
            let part = text(header::CONTENT_RANGE).and_then(content_range);
            match part {
                _ if request.part.is_some() => Status::Part(part),
                // Nobody asked for a part, and all of it is here.
                Some(part) if part.is_all() => Status::Whole,
                _ => return Err(refused(answer.status(), headers, url, request)),
            }
        }
        StatusCode::NOT_MODIFIED if request.unless.is_some() => Status::NotModified,
        status => return Err(refused(status, headers, url, request)),
    };
    let coding = coding(headers);
    let validator = Validator {
        etag: text(header::ETAG).map(str::to_owned),
        last_modified: text(header::LAST_MODIFIED).map(str::to_owned),
    };
    Ok(Response {
        status,
        length: answer.content_length(),
        coding,
        validator: (validator != Validator::default()).then_some(validator),
        fresh_for: text(header::CACHE_CONTROL).and_then(|said| fresh_for(said, text(header::AGE))),
        with_login: false,
        body: Box::new(Stream(answer)),
    })
}

/// What `Cache-Control` says, less the time that the answer has lain in caches already.
fn fresh_for(said: &str, age: Option<&str>) -> Option<u64> {
    let words = || said.split(',').map(|word| word.trim().to_ascii_lowercase());
    if words().any(|word| ["no-cache", "no-store"].contains(&word.as_str())) {
        return Some(0);
    }
    let seconds =
        words().find_map(|word| word.strip_prefix("max-age=")?.trim_matches('"').parse().ok());
    let age: u64 = age.and_then(|age| age.trim().parse().ok()).unwrap_or(0);
    seconds.map(|seconds: u64| seconds.saturating_sub(age))
}

/// What the server says that it did to the bytes. Many say of plain bytes that they are encoded
/// as `none`, `utf-8` or `binary`: whether bytes are right, they tell themselves.
fn coding(headers: &HeaderMap) -> Option<String> {
    let named = headers.get_all(header::CONTENT_ENCODING).iter();
    let named = named.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    let mut named = named.map(|coding| coding.trim().to_lowercase());
    named.find(|coding| CODINGS.contains(&coding.as_str()))
}

/// Bytes that are really encoded, although that was not asked for.
pub fn encoded(coding: &str) -> OriginError {
    let why = format!("the server encoded it as {coding}, which was not asked for");
    OriginError::new(Fault::Lasting, why, "switch compression off for this file on the server")
}

fn content_range(text: &str) -> Option<PartOf> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some(PartOf { first: first.parse().ok()?, last: last.parse().ok()?, total })
}

fn refused(
    status: StatusCode,
    headers: &HeaderMap,
    url: &SafeUrl,
    request: Request<'_>,
) -> OriginError {
    let (fault, hint) = match status.as_u16() {
        404 | 410 => (Fault::Absent, "check the address"),
        408 | 425 | 429 | 500 | 502 | 503 | 504 => (Fault::Temporary, "try again later"),
        401 | 403 if !is_private(url) => {
            (Fault::Lasting, "use https: credentials are not sent over plain HTTP")
        }
        401 | 403 => {
            (Fault::Lasting, "check the address, and the credentials in it or in the netrc file")
        }
        407 => (Fault::Lasting, PROXY_CREDENTIALS),
        _ => (Fault::Lasting, "check the address"),
    };
    let error = OriginError {
        status: Some(status.as_u16()),
        retry_after: wait(headers),
        ..OriginError::new(fault, format!("the server answered {status}"), hint)
    };
    let wants_login = matches!(status.as_u16(), 401 | 403) && is_private(url);
    if wants_login && request.policy.logins {
        OriginError { hint: where_logins_stand(request.url).into(), ..error }
    } else {
        error
    }
}

/// In the order in which they count.
fn where_logins_stand(url: &SafeUrl) -> String {
    let host = &url.real()[Position::BeforeHost..Position::AfterPort];
    format!(
        "give a user and a password for {host}: in UV_INDEX_<NAME>_USERNAME and \
         UV_INDEX_<NAME>_PASSWORD, in the URL of an index of uv's or pip's settings, in the netrc \
         file, or in a keyring with UV_KEYRING_PROVIDER=subprocess"
    )
}

/// How long a server wants to be left alone.
pub(super) fn wait(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    retry_after(text.trim(), SystemTime::now())
}

/// Seconds, or a date (<https://www.rfc-editor.org/rfc/rfc9110#name-retry-after>).
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

struct Stream(reqwest::Response);

impl Body for Stream {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, OriginError>> {
        Box::pin(async move { self.0.chunk().await.map_err(broken) })
    }
}

/// A request or a body that failed on the way. What the client prints first is
/// only its outermost layer, and may hold the URL with its query.
pub(super) fn broken(error: reqwest::Error) -> OriginError {
    let error = error.without_url();
    let silent = error.is_connect() && error.is_timeout();
    let mut fault = Fault::Temporary;
    let mut hint = if error.is_connect() || error.is_timeout() {
        "check the address and the network"
    } else {
        "try again later"
    };
    if error.is_builder() {
        (fault, hint) = (Fault::Lasting, "check the address");
    }
    let mut said = None;
    let mut layer: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = layer {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            fault = Fault::Lasting;
            said = in_words(tls);
            hint = match tls {
                rustls::Error::InvalidCertificate(_) => {
                    "check the server's certificate, or set SSL_CERT_FILE to a file with the authority that signed it"
                }
                _ => "check the address: the server may not speak TLS there",
            };
        }
        // The client says it in words only.
        if cause.to_string().ends_with("proxy authorization required") {
            (fault, hint) = (Fault::Lasting, PROXY_CREDENTIALS);
        }
        let io = cause.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused) {
            hint = "start the server, or check the address";
        }
        // An io::Error hides what it was made of from `source()`.
        let inner = io.and_then(io::Error::get_ref).map(|inner| inner as &dyn std::error::Error);
        layer = inner.or_else(|| cause.source());
    }
    let error = match said {
        Some(said) => OriginError::new(fault, said, hint),
        None => OriginError::new(fault, error, hint),
    };
    OriginError { silent, ..error }
}

/// What rustls would print as it is written in its source: `Other(OtherError(…))`.
fn in_words(error: &rustls::Error) -> Option<String> {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        return None;
    };
    let mut text = other.to_string();
    // The commonest: a certificate that somebody made for himself, of the kind that signs others.
    if text == "CaUsedAsEndEntity" {
        text = "it is an authority's own, not a server's (CaUsedAsEndEntity)".to_owned();
    }
    Some(format!("invalid peer certificate: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_their_standards_say() {
        for (said, age, seconds) in [
            ("public, max-age=60", None, Some(60)),
            ("Max-Age=\"60\"", Some("20"), Some(40)),
            ("max-age=60", Some("90"), Some(0)),
            ("max-age=60, no-cache", None, Some(0)),
            ("no-store", None, Some(0)),
            ("max-age=soon", None, None),
            ("public", Some("5"), None),
        ] {
            assert_eq!(fresh_for(said, age), seconds, "{said}");
        }
        assert_eq!(
            content_range("bytes 5-9/10"),
            Some(PartOf { first: 5, last: 9, total: Some(10) })
        );
        assert_eq!(content_range("bytes 5-9/*").unwrap().total, None);
        assert_eq!(content_range("bytes */10"), None);
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        let date = httpdate::fmt_http_date(now + Duration::from_secs(90));
        assert_eq!(retry_after(&date, now), Some(Duration::from_secs(90)));
        assert_eq!(retry_after(&"9".repeat(99), now), Some(Duration::from_secs(u64::MAX)));
        for wrong in ["", "soon", "-5", "+5", "1.5"] {
            assert_eq!(retry_after(wrong, now), None, "{wrong}");
        }
    }
}
