//! One question: may this be asked, or fetched?
//!
//! | what forbids it  | who says so                       | where the question is put           |
//! |------------------|-----------------------------------|-------------------------------------|
//! | no network       | `MAGIC_MODULE_OFFLINE`, `[policy]` | [`Policy::may_ask`]                |
//! | plain HTTP       | the mount, beyond this machine    | [`Policy::may_come_from`]           |
//! | a frozen lock    | `magic.lock`, or the mount        | `Mount::locked`                     |
//! | taken back, old  | the supply's newest document      | `Session::may_fetch`                |
//! | an administrator | [`Rules`]: `[policy]`             | `Session::allow`, before each fetch |
//! |                  |                                   | `Engine::may_build`                 |
//! | a space          | [`Scripts`]: `[scripts]`           | `py/hook/guard.rs`, at an import    |
//! | a limit of size  | the document: each artifact's own | the fetcher, byte by byte           |

mod reading;
mod rules;
mod scripts;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Kind, Result};
use crate::name::SafeUrl;

pub use scripts::{Refusal, Scripts};

pub use rules::{Asked, Audit, Judgement, Otherwise, Place, Rule, Rules};

/// The remedy wherever plain HTTP is refused.
pub const USE_HTTPS: &str =
    "use https, or allow plain HTTP with allow_http=True or MAGIC_MODULE_ALLOW_HTTP=1";

/// This process is a run without network: it is offline by the limits that it was given.
static WITHOUT_NETWORK: AtomicBool = AtomicBool::new(false);

/// From now on whoever asks somebody in vain is told what a run can do about it.
pub fn run_without_network() {
    WITHOUT_NETWORK.store(true, Ordering::Relaxed);
}

/// What the requests of a mount may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// No request leaves this machine: `MAGIC_MODULE_OFFLINE`.
    pub offline: bool,
    /// The same, because an administrator says so: `offline` of `[policy]`.
    pub closed: bool,
    /// Plain HTTP beyond the loopback.
    pub allow_http: bool,
    /// Servers may be told the logins that uv and pip know for them.
    pub logins: bool,
}

impl Policy {
    /// True if nobody may be asked.
    pub fn is_offline(self) -> bool {
        self.offline || self.closed
    }

    /// Whether a server may be asked; `what` says what is not here.
    pub fn may_ask(self, url: &SafeUrl, what: impl FnOnce() -> String) -> Result<()> {
        if !self.is_offline() {
            return Ok(());
        }
        if !self.offline {
            let why = format!("{}, and `offline` of [policy] forbids asking {url}", what());
            let hint = "fetch it on a machine that may, or change the file that MAGIC_MODULE_REGISTRY names";
            return Err(Error::new(Kind::Offline, why).url(url).hint(hint));
        }
        if WITHOUT_NETWORK.load(Ordering::Relaxed) {
            let why = format!("{}, and a run without network cannot ask {url}", what());
            let hint =
                "have it fetched before the run: --prefetch NAME, or prefetch=[NAME] of run()";
            return Err(Error::new(Kind::Offline, why).url(url).hint(hint));
        }
        let why = format!("{}, and MAGIC_MODULE_OFFLINE forbids asking {url}", what());
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
        let why = format!("{url} is plain HTTP to another machine");
        Err(Error::new(Kind::Policy, why).url(url).hint(USE_HTTPS))
    }
}

/// The rules of an administrator, read when something is to be fetched for the first time: what
/// is here already asks nobody.
#[derive(Debug, Default)]
pub struct Administrator {
    file: Option<PathBuf>,
    /// What is fetched is written down without rules, too.
    watched: bool,
    rules: OnceLock<Result<Option<Arc<Rules>>>>,
}

impl Administrator {
    /// `file` is what `MAGIC_MODULE_REGISTRY` names; it is not read yet. `watched`: names are installed by
    /// themselves, which is written down whatever the file says.
    pub fn new(file: Option<PathBuf>, watched: bool) -> Self {
        Self { file, watched, rules: OnceLock::new() }
    }

    /// What the file says. `None`: there is no file, or no `[policy]` in it. What cannot be read
    /// allows nothing.
    pub fn rules(&self) -> Result<Option<Arc<Rules>>> {
        if self.file.is_none() && !self.watched {
            return Ok(None);
        }
        let read = || {
            let file = self.file.as_deref();
            let rules = file.map_or(Ok(None), reading::read)?;
            let open = || Rules::open(file.unwrap_or(Path::new("MAGIC_MODULE_AUTO_INSTALL")));
            Ok(rules.or_else(|| self.watched.then(open)).map(Arc::new))
        };
        self.rules.get_or_init(read).clone()
    }

    /// True if it says that nobody is asked.
    pub fn is_closed(&self) -> bool {
        self.rules().is_ok_and(|rules| rules.is_some_and(|rules| rules.offline))
    }
}
