//! Untrusted text becomes a type here, and nowhere else.
//!
//! | type          | holds                                               |
//! |---------------|-----------------------------------------------------|
//! | [`UnitName`]  | dotted Python identifiers, no keywords               |
//! | [`Namespace`] | the same, or empty (top-level names)                 |
//! | [`FilePath`]  | a relative path that is safe on every platform       |
//! | [`Digest`]    | a sha256                                             |
//! | [`Version`]   | printable ASCII text that fits in a file name        |
//!
//! Each has a private field and a fallible constructor; serde goes through it.

use std::fmt;

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization, is_nfc, is_nfkc};

/// Names of the public API, which no unit of `magic_module` may take.
pub const API_NAMES: &[&str] = &[
    "aprefetch",
    "available",
    "cache_dir",
    "check_script",
    "data_path",
    "errors",
    "info",
    "mount",
    "mount_lock",
    "on_event",
    "prefetch",
    "prune",
    "rollback",
    "upgrade",
    "verify",
    "Mount",
    "ModuleInfo",
    "Report",
    "ScriptReport",
    "Upgrade",
];

/// The keywords of Python 3.10 to 3.14 (`keyword.kwlist`).
const KEYWORDS: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

/// Device names that Windows reserves in every directory, with any suffix.
const RESERVED_ON_WINDOWS: &[&str] = &[
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8",
    "com9", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9", "conin$",
    "conout$", "com¹", "com²", "com³", "lpt¹", "lpt²", "lpt³",
];

/// Why a text is not what it should be; becomes the cause of a `ManifestError`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadName(String);

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadName {}

fn bad<T>(why: impl Into<String>) -> Result<T, BadName> {
    Err(BadName(why.into()))
}

/// True for one Python identifier that is no keyword, in the NFKC form in which
/// CPython looks it up (<https://docs.python.org/3/reference/lexical_analysis.html#identifiers>).
pub fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return false };
    (first == '_' || unicode_ident::is_xid_start(first))
        && chars.all(unicode_ident::is_xid_continue)
        && !KEYWORDS.contains(&text)
        && is_nfkc(text)
}

macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                Self::new(&text)
            }
        }
    };
}

/// The dotted name of a unit below its namespace: `alpha`, `tools.csv`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(String);
text_type!(UnitName);

impl UnitName {
    pub fn new(text: &str) -> Result<Self, BadName> {
        if text.len() > 200 {
            return bad(format!("name of {} bytes, at most 200 are allowed", text.len()));
        }
        for part in text.split('.') {
            if KEYWORDS.contains(&part) {
                return bad(format!("{text:?} cannot be imported: {part:?} is a Python keyword"));
            }
            if !is_identifier(part) {
                return bad(format!(
                    "{text:?} cannot be imported: {part:?} is not a Python identifier"
                ));
            }
            if RESERVED_ON_WINDOWS.contains(&part.to_lowercase().as_str()) {
                return bad(format!("{text:?} cannot be a file: {part:?} is reserved on Windows"));
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The part before the first dot.
    pub fn top(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }

    /// The name as a path without a suffix: `tools/csv`.
    pub fn to_path(&self) -> String {
        self.0.replace('.', "/")
    }
}

/// The importable prefix that a mount serves; empty for top-level names.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(String);
text_type!(Namespace);

impl Namespace {
    pub fn new(text: &str) -> Result<Self, BadName> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        UnitName::new(text).map(|name| Self(name.0))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `a.b` of namespace `acme` is imported as `acme.a.b`.
    pub fn join(&self, unit: &str) -> String {
        if self.0.is_empty() { unit.to_owned() } else { format!("{}.{unit}", self.0) }
    }

    /// The part of a full module name that lies below this namespace.
    pub fn strip<'a>(&self, full: &'a str) -> Option<&'a str> {
        if self.0.is_empty() {
            return Some(full);
        }
        full.strip_prefix(&self.0)?.strip_prefix('.')
    }

    /// Why `unit` cannot live in this namespace, if it cannot.
    pub fn refuses(&self, unit: &UnitName) -> Option<String> {
        if self.0 != "magic_module" {
            return None;
        }
        let top = unit.top();
        if top.starts_with('_') {
            return Some(format!(
                "{unit:?} starts with an underscore, which magic_module keeps for itself"
            ));
        }
        API_NAMES.contains(&top).then(|| format!("{unit:?} is a name of magic_module's own API"))
    }
}

/// A relative path with forward slashes that means the same file on every platform.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);
text_type!(FilePath);

impl FilePath {
    pub fn new(text: &str) -> Result<Self, BadName> {
        if text.is_empty() || text.len() > 1000 {
            return bad(format!("path of {} bytes, 1 to 1000 are allowed", text.len()));
        }
        if text.starts_with('/') {
            return bad(format!("{text:?} is absolute"));
        }
        for part in text.split('/') {
            Self::check_part(part).map_err(|why| BadName(format!("{text:?} {why}")))?;
        }
        if !is_nfc(text) {
            return bad(format!("{text:?} is not in Unicode normal form C"));
        }
        Ok(Self(text.to_owned()))
    }

    fn check_part(part: &str) -> Result<(), &'static str> {
        if part.is_empty() {
            return Err("has an empty part");
        }
        if part == "." || part == ".." {
            return Err("leaves its folder");
        }
        if part.len() > 255 {
            return Err("has a part of more than 255 bytes");
        }
        if part.ends_with(['.', ' ']) {
            return Err("has a part that ends in a dot or a space");
        }
        if part.contains(['\\', ':', '<', '>', '"', '|', '?', '*']) {
            return Err("has a character that Windows does not allow");
        }
        if part.chars().any(is_control_or_directional) {
            return Err("has a control or direction-changing character");
        }
        let stem = part.split('.').next().unwrap_or(part).trim_end().to_lowercase();
        if RESERVED_ON_WINDOWS.contains(&stem.as_str()) {
            return Err("is reserved on Windows");
        }
        Ok(())
    }

    /// See [`folded`].
    pub fn folded(&self) -> String {
        folded(&self.0)
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// All above the last part; empty at the top.
    pub fn parent(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(parent, _)| parent)
    }
}

/// What two paths share when a case-insensitive file system takes them for one. Upper case
/// first: NTFS compares in it, and `ς` and `σ` share it.
pub fn folded(path: &str) -> String {
    path.nfkd().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// True for what moves or hides other characters when it is shown.
pub fn is_control_or_directional(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// A version as its author wrote it. Compared for equality only, never ordered.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(String);
text_type!(Version);

impl Version {
    pub fn new(text: &str) -> Result<Self, BadName> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-+!".contains(c);
        if text.is_empty() || text.len() > 100 || !text.chars().all(allowed) {
            return bad(format!(
                "version {text:?} must be 1 to 100 ASCII letters, digits, or any of . _ - + !"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A sha256, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn new(text: &str) -> Result<Self, BadName> {
        let mut bytes = [0; 32];
        let nibble = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let parsed = text.len() == 64
            && bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)).all(|(byte, pair)| {
                match (nibble(pair[0]), nibble(pair[1])) {
                    (Some(high), Some(low)) => {
                        *byte = high << 4 | low;
                        true
                    }
                    _ => false,
                }
            });
        if !parsed {
            return bad(format!("{text:?} is not a sha256 of 64 lower-case hexadecimal digits"));
        }
        Ok(Self(bytes))
    }

    /// The digest of `data`, held in memory.
    pub fn of(data: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(data).into())
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub fn to_hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl From<Digest> for String {
    fn from(value: Digest) -> String {
        value.to_hex()
    }
}

impl TryFrom<String> for Digest {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        Self::new(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_names_are_dotted_identifiers() {
        for good in ["alpha", "a.b", "_x", "größe", "match", "type"] {
            assert!(UnitName::new(good).is_ok(), "{good}");
        }
        for wrong in
            ["", "a.", ".a", "a b", "1a", "class", "a.def", "a-b", "ﬁ", "a/b", "con", "x.Aux"]
        {
            assert!(UnitName::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn paths_mean_the_same_file_everywhere() {
        for good in ["alpha.py", "a/b.csv", "données/é.txt", "a/.hidden", "con_/x", "a b.txt"] {
            assert!(FilePath::new(good).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            "./a",
            "C:/x",
            "a\\b",
            "nul",
            "a/CON.txt",
            "a.",
            "a ",
            "a\u{202e}b",
            "a\nb",
            "x:stream",
            "e\u{301}.txt",
            "lpt1 .txt",
        ] {
            assert!(FilePath::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn paths_that_a_file_system_takes_for_one_fold_alike() {
        for (one, other) in
            [("A/b", "a/B"), ("é", "e\u{301}"), ("σ", "ς"), ("ﬁ", "fi"), ("ß", "SS")]
        {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
        assert_ne!(folded("a-b"), folded("a_b"));
    }

    #[test]
    fn digests_round_trip() {
        let digest = Digest::of(b"");
        assert_eq!(
            digest.to_hex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(Digest::new(&digest.to_hex()).unwrap(), digest);
        assert!(Digest::new(&digest.to_hex().to_uppercase()).is_err());
        assert!(Digest::new("é").is_err());
    }

    #[test]
    fn magic_module_keeps_its_own_names() {
        let own = Namespace::new("magic_module").unwrap();
        assert!(own.refuses(&UnitName::new("mount").unwrap()).is_some());
        assert!(own.refuses(&UnitName::new("_py.x").unwrap()).is_some());
        assert!(own.refuses(&UnitName::new("alpha").unwrap()).is_none());
        assert!(Namespace::default().refuses(&UnitName::new("mount").unwrap()).is_none());
    }
}
