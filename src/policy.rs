//! One question: may this be asked, or fetched?
//!
//! | what forbids it            | who says so                                  |
//! |----------------------------|----------------------------------------------|
//! | no network                 | `MAGIC_MODULE_OFFLINE`                       |
//! | plain HTTP                 | the mount, beyond this machine               |

use crate::error::{Error, Kind, Result};
use crate::name::SafeUrl;

/// No request leaves this machine; `what` is needed all the same.
pub fn offline(what: &str, url: &SafeUrl) -> Error {
    Error::new(Kind::Offline, format!("{what}, and MAGIC_MODULE_OFFLINE forbids to ask {url}"))
        .url(url)
        .hint("unset MAGIC_MODULE_OFFLINE once, or run `magic-module fetch` while online")
}

/// Plain HTTP is for the loopback, unless the mount allows more.
pub fn check_transport(url: &SafeUrl, allow_http: bool) -> Result<()> {
    if url.scheme() != "http" || allow_http || url.is_loopback() {
        return Ok(());
    }
    Err(Error::new(Kind::Policy, format!("{url} is plain HTTP beyond this machine"))
        .url(url)
        .hint("use https, or allow plain HTTP with allow_http=True or MAGIC_MODULE_ALLOW_HTTP=1"))
}
