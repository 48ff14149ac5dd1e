//! HTTP, through one client for a process.
//!
//! Redirects are followed here and not by the client: at most ten, never in a
//! circle, never from https to http or to another scheme.
//!
//! Credentials (of the URL, else of the netrc file) belong to the origin that was
//! asked first: once a redirect has left it, none are sent any more, and none over
//! plain HTTP beyond this machine.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Client, StatusCode};
use rustls::ClientConfig;
use url::Url;

use super::client::{self, Access};
use super::netrc::Netrc;
use super::{
    Body, BoxFuture, Fault, Origin, OriginError, PartOf, Request, Response, Status, Validator,
    is_loopback, redact,
};

const REDIRECTS: usize = 10;

const PROXY_CREDENTIALS: &str = "check the credentials in the proxy variables";

/// Built at the first request: the system's certificates take 3 ms to load.
#[derive(Debug)]
pub struct Http {
    client: OnceLock<Client>,
    known: Arc<Known>,
    connect: Duration,
    headers: Duration,
}

/// What is read once, for all clients of a process.
#[derive(Debug)]
struct Known {
    access: Access,
    trust: OnceLock<ClientConfig>,
    netrc: OnceLock<Netrc>,
}

/// Whether the way so far has stayed at the origin that was asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    AtOrigin,
    Left,
}

impl Http {
    /// `connect` and `headers` are how long a connection and an answer may take.
    pub fn new(connect: Duration, headers: Duration, access: Access) -> Self {
        let known = Known { access, trust: OnceLock::new(), netrc: OnceLock::new() };
        Self { client: OnceLock::new(), known: Arc::new(known), connect, headers }
    }

    /// The same with connections of its own.
    pub fn beside(&self) -> Self {
        let known = self.known.clone();
        Self { client: OnceLock::new(), known, connect: self.connect, headers: self.headers }
    }

    fn client(&self) -> Result<&Client, OriginError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = client::build(self.connect, self.known.trust()?.clone())?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The request for `url`, with what may be told to its server.
    fn request(&self, url: &Url, way: Way) -> Result<reqwest::RequestBuilder, OriginError> {
        if way == Way::Left || !is_private(url) {
            return Ok(self.client()?.get(without_credentials(url)));
        }
        // The client takes the URL's own credentials out of it.
        let request = self.client()?.get(url.clone());
        if url.password().is_some() {
            return Ok(request);
        }
        let login = percent_decode_str(url.username()).decode_utf8_lossy();
        Ok(match url.host_str().and_then(|host| self.known.netrc().find(host, &login)) {
            Some(entry) => self
                .client()?
                .get(without_credentials(url))
                .basic_auth(&entry.login, Some(&entry.password)),
            None => request,
        })
    }

    async fn follow(&self, request: Request<'_>) -> Result<Response, OriginError> {
        let mut seen = vec![request.url.clone()];
        let mut url = request.url.clone();
        let mut way = Way::AtOrigin;
        loop {
            allowed(&url, request)?;
            let answer = self.send(&url, way, request).await?;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return read(answer, &url, request);
            }
            url = next(&url, answer.headers())?;
            if seen.contains(&url) {
                return Err(redirected(format!("it redirects in a circle, to {}", redact(&url))));
            }
            if seen.len() > REDIRECTS {
                return Err(redirected(format!("it redirects more than {REDIRECTS} times")));
            }
            if url.origin() != request.url.origin() {
                way = Way::Left;
            }
            seen.push(url.clone());
        }
    }

    async fn send(
        &self,
        url: &Url,
        way: Way,
        request: Request<'_>,
    ) -> Result<reqwest::Response, OriginError> {
        let mut headers = HeaderMap::new();
        // Compressed bytes are not the bytes that were pinned.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if request.no_cache {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        if let Some(known) = request.unless {
            insert(&mut headers, header::IF_NONE_MATCH, known.etag.as_deref());
            insert(&mut headers, header::IF_MODIFIED_SINCE, known.last_modified.as_deref());
        }
        if let Some((offset, validator)) = request.rest {
            insert(&mut headers, header::RANGE, Some(&format!("bytes={offset}-")));
            insert(&mut headers, header::IF_RANGE, Some(validator));
        }
        request.sent.fetch_add(1, Ordering::Relaxed);
        let answer = self.request(url, way)?.headers(headers).send();
        match tokio::time::timeout(self.headers, answer).await {
            Ok(answer) => answer.map_err(broken),
            Err(_) => Err(OriginError {
                silent: true,
                ..OriginError::new(
                    Fault::Temporary,
                    format!("the server did not answer within {} s", self.headers.as_secs_f32()),
                    "try again later",
                )
            }),
        }
    }
}

impl Known {
    fn trust(&self) -> Result<&ClientConfig, OriginError> {
        if let Some(trust) = self.trust.get() {
            return Ok(trust);
        }
        let trust = client::trust(self.access.certificates.as_deref())?;
        Ok(self.trust.get_or_init(|| trust))
    }

    fn netrc(&self) -> &Netrc {
        self.netrc.get_or_init(|| self.access.netrc.as_deref().map(Netrc::read).unwrap_or_default())
    }
}

impl Origin for Http {
    fn get<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Response, OriginError>> {
        Box::pin(self.follow(request))
    }
}

/// Nobody on the way can read along.
fn is_private(url: &Url) -> bool {
    url.scheme() == "https" || is_loopback(url)
}

fn without_credentials(url: &Url) -> Url {
    let mut url = url.clone();
    // Cannot fail: the URL has a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

fn allowed(url: &Url, request: Request<'_>) -> Result<(), OriginError> {
    if url.scheme() == "https" || request.transport.allow_http || is_loopback(url) {
        return Ok(());
    }
    let why = if url == request.url {
        "plain HTTP is allowed on this machine only".to_owned()
    } else {
        format!("it redirects to {}, and plain HTTP is allowed on this machine only", redact(url))
    };
    Err(OriginError::new(
        Fault::Refused,
        why,
        "use https, or allow plain HTTP with allow_http=True or MAGIC_MODULE_ALLOW_HTTP=1",
    ))
}

/// Where a redirect leads, with the credentials of `from` only if that is the same origin:
/// what the server writes there itself is not sent to anybody.
fn next(from: &Url, headers: &HeaderMap) -> Result<Url, OriginError> {
    let location = headers
        .get(header::LOCATION)
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .ok_or_else(|| redirected("it redirects without saying where".to_owned()))?;
    let mut url = from
        .join(location)
        .map_err(|error| redirected(format!("it redirects to what is no URL: {error}")))?;
    match (from.scheme(), url.scheme()) {
        (_, "https") | ("http", "http") => {}
        ("https", "http") => {
            return Err(redirected(format!(
                "it redirects from https to plain HTTP, to {}",
                redact(&url)
            )));
        }
        (_, scheme) => {
            return Err(redirected(format!("it redirects to a {scheme}: URL")));
        }
    }
    url.set_fragment(None);
    let same = url.origin() == from.origin();
    let (name, password) = if same { (from.username(), from.password()) } else { ("", None) };
    // Cannot fail: both URLs have a host.
    let _ = url.set_username(name);
    let _ = url.set_password(password);
    Ok(url)
}

fn redirected(why: String) -> OriginError {
    OriginError::new(Fault::Lasting, why, "check the address")
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: Option<&str>) {
    if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
        headers.insert(name, value);
    }
}

fn read(
    answer: reqwest::Response,
    url: &Url,
    request: Request<'_>,
) -> Result<Response, OriginError> {
    let headers = answer.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let status = match answer.status() {
        StatusCode::OK => Status::Whole,
        StatusCode::PARTIAL_CONTENT if request.rest.is_some() => {
            Status::Part(text(header::CONTENT_RANGE).and_then(content_range))
        }
        StatusCode::NOT_MODIFIED if request.unless.is_some() => Status::NotModified,
        status => return Err(refused(status, headers, url)),
    };
    match text(header::CONTENT_ENCODING) {
        None | Some("" | "identity") => {}
        Some(encoding) => {
            return Err(OriginError::new(
                Fault::Lasting,
                format!("the server encoded it as {encoding}, which was not asked for"),
                "switch compression off for this file on the server",
            ));
        }
    }
    let validator = Validator {
        etag: text(header::ETAG).map(str::to_owned),
        last_modified: text(header::LAST_MODIFIED).map(str::to_owned),
    };
    Ok(Response {
        status,
        length: answer.content_length(),
        validator: (validator != Validator::default()).then_some(validator),
        body: Box::new(Stream(answer)),
    })
}

fn content_range(text: &str) -> Option<PartOf> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some(PartOf { first: first.parse().ok()?, last: last.parse().ok()?, total })
}

fn refused(status: StatusCode, headers: &HeaderMap, url: &Url) -> OriginError {
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
    let retry_after = headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| retry_after(text.trim(), SystemTime::now()));
    OriginError {
        status: Some(status.as_u16()),
        retry_after,
        ..OriginError::new(fault, format!("the server answered {status}"), hint)
    }
}

/// Seconds, or a date (<https://www.rfc-editor.org/rfc/rfc9110#name-retry-after>).
fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
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
fn broken(error: reqwest::Error) -> OriginError {
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
    let mut layer: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = layer {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            fault = Fault::Lasting;
            hint = match tls {
                rustls::Error::InvalidCertificate(_) => {
                    "check the server's certificate, or let SSL_CERT_FILE name a file with the authority that signed it"
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
    OriginError { silent, ..OriginError::new(fault, error, hint) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(from: &str, to: &str) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, HeaderValue::from_str(to).unwrap());
        next(&Url::parse(from).unwrap(), &headers)
            .map(String::from)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn credentials_stay_at_their_origin() {
        let from = "https://me:pw@a.example/x";
        assert_eq!(location(from, "/y").unwrap(), "https://me:pw@a.example/y");
        assert_eq!(location(from, "https://a.example/y").unwrap(), "https://me:pw@a.example/y");
        assert_eq!(location(from, "https://b.example/y").unwrap(), "https://b.example/y");
        assert_eq!(location(from, "https://a.example:8/y").unwrap(), "https://a.example:8/y");
    }

    #[test]
    fn redirects_never_leave_https_or_http() {
        assert!(location("http://a.example/", "https://a.example/").is_ok());
        for (to, why) in [
            ("http://a.example/?token=secret", "from https to plain HTTP, to http://a.example/"),
            ("file:///etc/passwd", "to a file: URL"),
            ("data:,x", "to a data: URL"),
            ("https://[", "no URL"),
        ] {
            let error = location("https://a.example/", to).unwrap_err();
            assert!(error.contains(why) && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn headers_are_read_as_their_standards_say() {
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
        assert_eq!(retry_after("soon", now), None);
    }
}
