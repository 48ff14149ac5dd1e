//! What a run tells whoever started it, beside what its script prints: a line of JSON each.
//!
//! ```text
//! {"used": …}  {"fetched": …}  {"waited": seconds}  {"refused": …}
//! ```
//!
//! Lines are short enough to be written whole, by a script and all that it forks.

#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::descriptor::Identity;
use crate::error::{Error, Kind, shown};

/// Where the lines go; nobody listens in a process that is not a run.
static REPORT: OnceLock<(i32, Identity)> = OnceLock::new();

/// The longest line: a longer one could be mixed with another's.
const LONGEST: usize = 4096;

/// From now on lines go there.
#[cfg(unix)]
pub fn tell_to(report: i32) {
    // SAFETY: only looked at.
    let open = unsafe { BorrowedFd::borrow_raw(report) };
    if let Some(identity) = Identity::of(&open) {
        let _ = REPORT.set((report, identity));
    }
}

/// Tells one thing, if somebody listens.
pub fn tell(line: impl FnOnce() -> Value) {
    let Some((report, identity)) = REPORT.get() else { return };
    let line = format!("{}\n", line());
    if line.len() <= LONGEST {
        write(*report, *identity, line.as_bytes());
    }
}

/// Tells of what may not be fetched.
pub fn tell_refusal(error: &Error) {
    let kind = match error.kind() {
        Kind::Policy => "PolicyError",
        Kind::Offline => "OfflineError",
        _ => return,
    };
    let (name, message) = (&error.details().name, error.to_string());
    let message = shown(&message, 1500);
    tell(|| json!({"refused": {"name": name, "type": kind, "message": message}}));
}

#[cfg(unix)]
fn write(report: i32, identity: Identity, line: &[u8]) {
    // SAFETY: used only while it is what it was: a daemon may have closed it.
    let report = unsafe { BorrowedFd::borrow_raw(report) };
    if Identity::of(&report) == Some(identity) {
        let _ = rustix::io::write(report, line);
    }
}

#[cfg(not(unix))]
fn write(_: i32, _: Identity, _: &[u8]) {}
