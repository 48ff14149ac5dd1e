//! One question: may this be asked, or fetched?
//!
//! | what forbids it  | who says so                       | where the question is put           |
//! |------------------|-----------------------------------|-------------------------------------|
//! | no network       | `MAGIC_MODULE_OFFLINE`            | [`Policy::may_ask`]                 |
//! | plain HTTP       | the mount, beyond this machine    | [`Policy::may_come_from`]           |
//! | a frozen lock    | `magic.lock`, or the mount        | `Mount::locked`                     |
//! | taken back, old  | the supply's newest document      | `Session::may_fetch`                |
//! | a limit of size  | the document: each artifact's own | the fetcher, byte by byte           |

use crate::error::{Error, Kind, Result};
use crate::name::SafeUrl;

/// The remedy wherever plain HTTP is refused.
pub const USE_HTTPS: &str =
    "use https, or allow plain HTTP with allow_http=True or MAGIC_MODULE_ALLOW_HTTP=1";

/// What the requests of a mount may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// No request leaves this machine.
    pub offline: bool,
    /// Plain HTTP beyond the loopback.
    pub allow_http: bool,
    /// Servers may be told the logins that uv and pip know for them.
    pub logins: bool,
}

impl Policy {
    /// Whether a server may be asked; `what` says what is not here.
    pub fn may_ask(self, url: &SafeUrl, what: impl FnOnce() -> String) -> Result<()> {
        if !self.offline {
            return Ok(());
        }
        let why = format!("{}, and MAGIC_MODULE_OFFLINE forbids to ask {url}", what());
        Err(Error::new(Kind::Offline, why)
            .url(url)
            .hint("unset MAGIC_MODULE_OFFLINE once, or run `magic-module fetch` while online"))
    }

    /// True if bytes may come from there as far as the scheme tells.
    pub fn allows_scheme_of(self, url: &SafeUrl) -> bool {
        url.scheme() != "http" || self.allow_http || url.is_loopback()
    }

    /// The same, as an error.
    pub fn may_come_from(self, url: &SafeUrl) -> Result<()> {
        if self.allows_scheme_of(url) {
            return Ok(());
        }
        let why = format!("{url} is plain HTTP beyond this machine");
        Err(Error::new(Kind::Policy, why).url(url).hint(USE_HTTPS))
    }
}
