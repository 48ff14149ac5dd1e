//! HTTP, through one client for a process.
//!
//! Redirects are followed here and not by the client: at most ten, never in a
//! circle, never from https to http or to another scheme, and credentials of a
//! URL go to its own origin only.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Client, StatusCode};
use url::Url;

use super::{
    Body, BoxFuture, Fault, Origin, OriginError, PartOf, Request, Response, Status, Validator,
    is_loopback, redact,
};

pub const USER_AGENT: &str = concat!("magic_module/", env!("CARGO_PKG_VERSION"));

const REDIRECTS: usize = 10;

/// A window as small as the default makes one big file wait for each round trip
/// (10 s instead of 2 at 20 ms and 1 Gbit/s).
const STREAM_WINDOW: u32 = 8 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// Built at the first request: the system's certificates take 3 ms to load.
#[derive(Debug)]
pub struct Http {
    client: OnceLock<Result<Client, String>>,
    connect: Duration,
    headers: Duration,
}

impl Http {
    /// `connect` and `headers` are how long a connection and an answer may take.
    pub fn new(connect: Duration, headers: Duration) -> Self {
        Self { client: OnceLock::new(), connect, headers }
    }

    fn client(&self) -> Result<&Client, OriginError> {
        self.client.get_or_init(|| build(self.connect)).as_ref().map_err(|why| {
            OriginError::new(
                Fault::Lasting,
                format!("the HTTP client cannot be built: {why}"),
                "check SSL_CERT_FILE and the proxy variables",
            )
        })
    }

    async fn follow(&self, request: Request<'_>) -> Result<Response, OriginError> {
        let mut seen = vec![request.url.clone()];
        let mut url = request.url.clone();
        loop {
            allowed(&url, request)?;
            let answer = self.send(&url, request).await?;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return read(answer, request);
            }
            url = next(&url, answer.headers())?;
            if seen.contains(&url) {
                return Err(redirected(format!("it redirects in a circle, to {}", redact(&url))));
            }
            if seen.len() > REDIRECTS {
                return Err(redirected(format!("it redirects more than {REDIRECTS} times")));
            }
            seen.push(url.clone());
        }
    }

    async fn send(
        &self,
        url: &Url,
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
        let answer = self.client()?.get(url.clone()).headers(headers).send();
        match tokio::time::timeout(self.headers, answer).await {
            Ok(answer) => answer.map_err(broken),
            Err(_) => Err(OriginError::new(
                Fault::Temporary,
                format!("the server did not answer within {} s", self.headers.as_secs_f32()),
                "try again later",
            )),
        }
    }
}

impl Origin for Http {
    fn get<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Response, OriginError>> {
        Box::pin(self.follow(request))
    }
}

fn build(connect: Duration) -> Result<Client, String> {
    // An error means that somebody else installed one: that serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || {
        Client::builder()
            .user_agent(USER_AGENT)
            .referer(false)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(connect)
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
    };
    // A machine without a certificate store gets the bundled one.
    builder().build().or_else(|_| {
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let mut tls =
            rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        builder().tls_backend_preconfigured(tls).build().map_err(|error| root(&error))
    })
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

/// Where a redirect leads, with the credentials of `from` only if that is the same origin.
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

fn read(answer: reqwest::Response, request: Request<'_>) -> Result<Response, OriginError> {
    let headers = answer.headers();
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let status = match answer.status() {
        StatusCode::OK => Status::Whole,
        StatusCode::PARTIAL_CONTENT if request.rest.is_some() => {
            Status::Part(text(header::CONTENT_RANGE).and_then(content_range))
        }
        StatusCode::NOT_MODIFIED if request.unless.is_some() => Status::NotModified,
        status => return Err(refused(status, headers)),
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

fn refused(status: StatusCode, headers: &HeaderMap) -> OriginError {
    let (fault, hint) = match status.as_u16() {
        404 | 410 => (Fault::Absent, "check the address"),
        408 | 425 | 429 | 500 | 502 | 503 | 504 => (Fault::Temporary, "try again later"),
        401 | 403 => (Fault::Lasting, "check the address and the credentials in it"),
        407 => (Fault::Lasting, "check the credentials in the proxy variables"),
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
        let io = cause.downcast_ref::<io::Error>();
        if io.is_some_and(|io| io.kind() == io::ErrorKind::ConnectionRefused) {
            hint = "start the server, or check the address";
        }
        // An io::Error hides what it was made of from `source()`.
        let inner = io.and_then(io::Error::get_ref).map(|inner| inner as &dyn std::error::Error);
        layer = inner.or_else(|| cause.source());
    }
    OriginError::new(fault, error, hint)
}

fn root(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root)
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
