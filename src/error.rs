//! One error type for every floor.
//!
//! An error states the failed act and its object; what caused it follows in
//! `causes`, outermost first; the remedy is a separate `hint`. `Display` is one
//! sentence:
//!
//! ```text
//! <failed act>: <root cause>; <hint>
//! ```
//!
//! What a server, a file or a caller wrote into it may be of any length: no sentence is
//! longer than [`SENTENCE`].
//!
//! The kinds mirror the exception classes of `magic_module.errors` one to one.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use crate::name::{SafeUrl, is_control_or_directional};

/// The longest sentence that is shown, in bytes.
pub const SENTENCE: usize = 2000;

/// The longest of its parts.
const PART: usize = 660;

/// Why nothing is written to a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The directory of the setting.
    pub cache: PathBuf,
}

impl Sealed {
    /// The remedy.
    pub fn hint(&self) -> String {
        let cache = self.cache.display();
        format!(
            "set MAGIC_MODULE_CACHE_DIR=DIR:{cache}, where DIR is a directory of yours: what is missing comes into that one"
        )
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the cache {} is sealed", self.cache.display())
    }
}

impl std::error::Error for Sealed {}

/// What may fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong; each kind is one Python exception class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// The name is not in the manifest.
    UnitNotFound,
    /// A setting is missing or contradicts another.
    Configuration,
    /// The manifest document is wrong.
    Manifest,
    /// The network or the server failed.
    Fetch,
    /// Something is missing, and `MAGIC_MODULE_OFFLINE` forbids fetching it.
    Offline,
    /// Bytes are not what was pinned.
    Integrity,
    /// A manifest's signature is missing, or not made with an accepted key.
    Signature,
    /// A rule of the user or the author forbids it.
    Policy,
    /// The interpreter or an installed distribution does not fit.
    Requirement,
    /// The cache directory cannot be used.
    #[default]
    Store,
}

/// The details of a failure. Boxed inside [`Error`] so that `Result` stays small.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// Chooses the exception class.
    pub kind: Kind,
    /// The failed act and its object.
    pub message: String,
    /// The module or unit, as it follows `import`.
    pub name: Option<String>,
    /// Without credentials and query.
    pub url: Option<String>,
    /// A file of the store, or a place in a document (`modules.alpha.files[1].sha256`).
    pub path: Option<String>,
    /// What was pinned or asked for: a digest, a size, a number.
    pub expected: Option<String>,
    /// What came instead.
    pub got: Option<String>,
    /// There is nothing behind the URL (404, 410, no such file): the manifest may be older than
    /// its site.
    pub absent: bool,
    /// What the reader can do about it.
    pub hint: Option<String>,
    /// Outermost first: the last one is the root.
    pub causes: Vec<String>,
}

/// A failure, as it is shown, raised and compared.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Details>);

impl Error {
    /// Begins with the failed act and its object; the methods below add what else is known.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Details { kind, message: message.into(), ..Details::default() }))
    }

    /// Chooses the exception class.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// A manifest that is not newer than one seen before.
    pub fn is_of_serial(&self) -> bool {
        self.kind() == Kind::Integrity && self.0.path.as_deref() == Some("serial")
    }

    /// All that is known of it.
    pub fn details(&self) -> &Details {
        &self.0
    }

    /// Says the failed act in other words.
    #[must_use]
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// The failed act and its root cause, without what to do about it.
    pub fn without_hint(&self) -> String {
        let hintless = Details { hint: None, ..self.0.as_ref().clone() };
        Self(Box::new(hintless)).to_string()
    }

    /// Adds what follows `import`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.0.name = Some(name.into());
        self
    }

    /// Keeps a name that was set closer to the failure.
    #[must_use]
    pub fn or_name(mut self, name: impl Into<String>) -> Self {
        self.0.name.get_or_insert_with(|| name.into());
        self
    }

    /// Adds where it happened; the URL must have been made fit to be shown.
    #[must_use]
    pub fn url(mut self, url: &SafeUrl) -> Self {
        self.0.url = Some(url.to_string());
        self
    }

    /// Adds a file, or a place in a document.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.0.path = Some(path.into());
        self
    }

    /// Adds what should have come.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.0.expected = Some(expected.into());
        self
    }

    /// Adds what came instead.
    #[must_use]
    pub fn got(mut self, got: impl Into<String>) -> Self {
        self.0.got = Some(got.into());
        self
    }

    /// Marks that there is nothing behind the URL.
    #[must_use]
    pub fn absent(mut self) -> Self {
        self.0.absent = true;
        self
    }

    /// Names the remedy, instead of one that was set before.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Appends `cause` and everything behind it: `reqwest::Error` prints only
    /// its outermost layer, the reason is at the end of `source()`.
    #[must_use]
    pub fn caused_by(mut self, cause: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(cause);
        while let Some(error) = next {
            let text = error.to_string();
            if self.0.causes.last() != Some(&text) {
                self.0.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// A hint for where nothing more exact is known.
    #[must_use]
    pub fn or_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// A failed act on a file of the store.
    pub fn store(
        message: impl Into<String>,
        path: &std::path::Path,
        cause: &std::io::Error,
    ) -> Self {
        let error =
            Self::new(Kind::Store, message).path(path.display().to_string()).caused_by(cause);
        if let Some(sealed) = cause.get_ref().and_then(|it| it.downcast_ref::<Sealed>()) {
            return error.hint(sealed.hint());
        }
        match cause.kind() {
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                error.hint("set MAGIC_MODULE_CACHE_DIR to a directory that you may write to")
            }
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => error.hint(
                "free some space, run `magic-module prune`, or set MAGIC_MODULE_CACHE_DIR to another disk",
            ),
            std::io::ErrorKind::OutOfMemory => error.hint(MORE_MEMORY),
            // The caller knows better what to do about these.
            std::io::ErrorKind::NotFound
            | std::io::ErrorKind::AlreadyExists
            | std::io::ErrorKind::NotADirectory
            | std::io::ErrorKind::IsADirectory => error,
            _ if too_many_files(cause) => error
                .hint("close what this process has open, or raise its limit (`ulimit -n`), and try again"),
            _ => error.hint("check the disk, or set MAGIC_MODULE_CACHE_DIR to another one"),
        }
    }
}

/// What to do where a buffer could not be had.
pub const MORE_MEMORY: &str =
    "give this process more memory (`ulimit -v`, or the limit of its container)";

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0.message, PART))?;
        if let Some(root) = self.0.causes.last() {
            write!(f, ": {}", shown(root, PART))?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "; {}", shown(hint, PART))?;
        }
        Ok(())
    }
}

/// What a stranger wrote into a name cannot break the line, nor speak to the terminal, nor
/// fill it: of what is longer than `limit` bytes, both ends are shown.
pub fn shown(text: &str, limit: usize) -> Cow<'_, str> {
    /// `[… 18446744073709551615 bytes …]`
    const NOTE: usize = 38;
    if text.len() <= limit && !text.chars().any(is_control_or_directional) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len().min(limit.saturating_mul(2)));
    for c in text.chars() {
        if is_control_or_directional(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    if safe.len() > limit {
        let room = limit.saturating_sub(NOTE);
        let head = safe.floor_char_boundary(room - room / 4);
        let tail = safe.ceil_char_boundary(safe.len() - room / 4);
        let note = format!("[… {} bytes …]", tail - head);
        safe.replace_range(head..tail, &note);
    }
    Cow::Owned(safe)
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::error::Error for Error {}

/// EMFILE or ENFILE. The error that `fs_err` makes of it keeps the number only in its text.
fn too_many_files(error: &std::io::Error) -> bool {
    let text = error.to_string();
    cfg!(unix) && [23, 24].iter().any(|code| text.ends_with(&format!("(os error {code})")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_the_act_the_root_cause_and_the_hint() {
        let inner = std::io::Error::other("connection refused");
        let error = Error::new(Kind::Fetch, "cannot fetch http://h/m.json")
            .caused_by(&std::io::Error::other(inner))
            .hint("start the server");
        assert_eq!(
            error.to_string(),
            "cannot fetch http://h/m.json: connection refused; start the server"
        );
    }

    #[cfg(unix)]
    #[test]
    fn every_failure_of_the_disk_names_a_remedy() {
        let at = std::path::Path::new("/cache");
        let hint = |code| {
            let error = Error::store("x", at, &std::io::Error::from_raw_os_error(code));
            error.details().hint.clone().unwrap()
        };
        assert!(hint(5).contains("check the disk"));
        assert!(hint(24).contains("ulimit -n"));
        assert!(hint(28).contains("free some space"));
        assert!(hint(13).contains("MAGIC_MODULE_CACHE_DIR"));
    }

    #[test]
    fn display_is_one_line_that_no_terminal_obeys() {
        let error = Error::new(Kind::Manifest, "wrong at \x1b[2Jalpha\n").hint("h\u{202e}");
        assert_eq!(error.to_string(), r"wrong at \u{1b}[2Jalpha\n; h\u{202e}");
    }

    #[test]
    fn no_sentence_is_longer_than_people_read() {
        for c in ["a", "\x1b", "\u{1f642}"] {
            let long = c.repeat(1 << 20);
            let error = Error::new(Kind::Manifest, format!("start {long} end"))
                .caused_by(&std::io::Error::other(format!("start {long} end")))
                .hint(format!("start {long} end"));
            let text = error.to_string();
            assert!(text.len() <= SENTENCE, "{}", text.len());
            assert_eq!(text.matches("start").count() + text.matches(" end").count(), 6);
            assert_eq!(text.matches(" bytes …]").count(), 3);
        }
        assert!(matches!(shown(&"a".repeat(PART), PART), Cow::Borrowed(_)));
    }

    #[test]
    fn the_name_closest_to_the_failure_stays() {
        let error = Error::new(Kind::Fetch, "x").name("inner").or_name("outer");
        assert_eq!(error.details().name.as_deref(), Some("inner"));
    }
}
