//! Where a request may go: the first one, and each that a server sends it on to.

use reqwest::header::{self, HeaderMap};
use url::Url;

use super::{Fault, OriginError, Request, is_loopback, redact};

/// Plain HTTP is allowed on this machine, and where a mount says so.
pub(super) fn allowed(url: &Url, request: Request<'_>) -> Result<(), OriginError> {
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
pub(super) fn next(from: &Url, headers: &HeaderMap) -> Result<Url, OriginError> {
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

pub(super) fn redirected(why: String) -> OriginError {
    OriginError::new(Fault::Lasting, why, "check the address")
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

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
}
