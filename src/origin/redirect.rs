//! Where a request may go: the first one, and each that a server sends it on to.

use reqwest::header::{self, HeaderMap};

use super::{Fault, OriginError, Request};
use crate::name::SafeUrl;
use crate::policy::USE_HTTPS;

/// Plain HTTP is allowed on this machine, and where a mount says so.
pub(super) fn allowed(url: &SafeUrl, request: Request<'_>) -> Result<(), OriginError> {
    if request.policy.allows_scheme_of(url) {
        return Ok(());
    }
    let why = if url == request.url {
        "plain HTTP is allowed on this machine only".to_owned()
    } else {
        format!("it redirects to {url}, and plain HTTP is allowed on this machine only")
    };
    Err(OriginError::new(Fault::Refused, why, USE_HTTPS))
}

/// Where a redirect leads.
pub(super) fn next(from: &SafeUrl, headers: &HeaderMap) -> Result<SafeUrl, OriginError> {
    let location = headers
        .get(header::LOCATION)
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .ok_or_else(|| redirected("it redirects without saying where".to_owned()))?;
    let url = from
        .redirect(location)
        .map_err(|error| redirected(format!("it redirects to an invalid URL: {error}")))?;
    Err(redirected(match (from.scheme(), url.scheme()) {
        (_, "https") | ("http", "http") => return Ok(url),
        ("https", "http") => format!("it redirects from https to plain HTTP, to {url}"),
        (_, scheme) => format!("it redirects to a {scheme}: URL"),
    }))
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
        next(&SafeUrl::new(from).unwrap(), &headers)
            .map(|url| url.real().to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn redirects_never_leave_https_or_http() {
        assert!(location("http://a.example/", "https://a.example/").is_ok());
        for (to, why) in [
            ("http://a.example/?token=secret", "from https to plain HTTP, to http://a.example/"),
            ("file:///etc/passwd", "to a file: URL"),
            ("data:,x", "to a data: URL"),
            ("https://[", "invalid URL"),
        ] {
            let error = location("https://a.example/", to).unwrap_err();
            assert!(error.contains(why) && !error.contains("secret"), "{error}");
        }
    }
}
