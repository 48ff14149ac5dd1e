//! A lock as its author's tools wrote it: `pylock.toml` (PEP 751).
//!
//! ```text
//! bytes ─ TOML ─ lock-version ─ [[packages]] ─▶ Pylock: the same as JSON, with dates as texts
//! ```
//!
//! What this checks is what must hold before anybody reads on. The rest of the document is
//! checked by `packaging`, in the interpreter that chooses the wheels.
//!
//! <https://packaging.python.org/en/latest/specifications/pylock-toml/>

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::name::{DistributionName, UnitName};
use crate::notation;
use crate::resolved::ByName;

/// The largest lock, in bytes; a thousand packages with fifty wheels each are a third of it.
pub const SIZE_LIMIT: u64 = 64 << 20;

/// A lock of a version that is known, with packages.
#[derive(Debug, Clone, PartialEq)]
pub struct Pylock {
    document: Value,
}

impl Pylock {
    /// Reads the bytes of the file at `path`, which is named where they are wrong.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let file = path.display();
        let wrong = |why: String| {
            Error::new(Kind::Manifest, format!("cannot read the lock {file}: {why}"))
                .hint("make it again with `magic-module lock`, `uv export` or `pip lock`")
        };
        if bytes.len() as u64 > SIZE_LIMIT {
            return Err(wrong(format!("it is longer than {SIZE_LIMIT} bytes")));
        }
        let table = notation::read(bytes).map_err(wrong)?;
        let at = |key: &str, why: &str| wrong(format!("{key} {why}")).path(key);
        match table.get("lock-version") {
            None => return Err(at("lock-version", "is missing")),
            Some(toml::Value::String(version)) if is_known(version) => {}
            Some(toml::Value::String(version)) => {
                return Err(at("lock-version", &format!("is {version:?}, but only 1.0 is supported"))
                    .expected("1.0")
                    .got(version)
                    .hint("upgrade magic_module (`pip install -U magic_module`), or make a lock of version 1.0"));
            }
            Some(other) => {
                let why =
                    format!("is of type {}, and must be the string \"1.0\"", other.type_str());
                return Err(at("lock-version", &why));
            }
        }
        match table.get("packages") {
            None => return Err(at("packages", "is missing")),
            Some(toml::Value::Array(_)) => {}
            Some(other) => {
                let why =
                    format!("is of type {}, and must be an array of tables", other.type_str());
                return Err(at("packages", &why));
            }
        }
        Ok(Self { document: notation::json(toml::Value::Table(table)) })
    }

    /// What `[tool.magic-module.optional]` says: what optional imports of which package do.
    pub fn optional(&self, path: &Path) -> Result<ByName> {
        let Some(table) = self.document.pointer("/tool/magic-module/optional") else {
            return Ok(ByName::new());
        };
        let wrong = |at: &str, why: &str| {
            let at = format!("tool.magic-module.optional{at}");
            Error::new(
                Kind::Manifest,
                format!("cannot read the lock {}: {at} {why}", path.display()),
            )
            .path(at)
            .hint("write a table: pyarrow = \"deny\", and so on")
        };
        let table = table.as_object().ok_or_else(|| wrong("", "is not a table"))?;
        let read = |(name, value): (&String, &Value)| {
            let at = format!(".{name}");
            let unit = DistributionName::new(name)
                .and_then(|name| UnitName::of_distribution(&name))
                .map_err(|why| wrong(&at, "names no package").caused_by(&why))?;
            let value = value.as_str().and_then(|value| value.parse().ok());
            let known = "must be \"fetch\", \"present-only\" or \"deny\"";
            Ok((unit, value.ok_or_else(|| wrong(&at, known))?))
        };
        table.iter().map(read).collect()
    }

    /// All of it; dates as ISO 8601 writes them.
    pub fn document(&self) -> &Value {
        &self.document
    }
}

/// True if an entry may point at something beside the lock, whose folder then says which. Looks
/// for `path =` anywhere, without parsing.
pub fn has_paths(bytes: &[u8]) -> bool {
    let key = b"path";
    let is_key = |at: usize| {
        // It may be quoted.
        let next = bytes.iter().skip(at + key.len()).find(|byte| !b" \t\"'".contains(byte));
        next == Some(&b'=')
    };
    let mut keys = bytes.windows(key.len()).enumerate().filter(|(_, window)| window == key);
    // And written in escapes, as nobody does.
    let escaped = |pair: &[u8]| matches!(pair, [b'\\', b'u' | b'U' | b'x']);
    keys.any(|(at, _)| is_key(at)) || bytes.windows(2).any(escaped)
}

/// Minor versions add what may be passed over.
fn is_known(version: &str) -> bool {
    version == "1" || version.starts_with("1.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: impl AsRef<[u8]>) -> Result<Pylock> {
        Pylock::parse(Path::new("/a/pylock.toml"), bytes.as_ref())
    }

    #[test]
    fn a_lock_is_kept_as_json() {
        let lock = parse(
            "\u{feff}lock-version = '1.0'\ncreated-by = 'x'\n[[packages]]\nname = 'a'\nwheels = \
             [{url = 'https://h/a.whl', upload-time = 2024-01-02T03:04:05Z, size = 7}]\n",
        );
        let expected = serde_json::json!({
            "lock-version": "1.0", "created-by": "x", "packages": [{"name": "a", "wheels": [
                {"url": "https://h/a.whl", "upload-time": "2024-01-02T03:04:05Z", "size": 7}]}]});
        assert_eq!(lock.unwrap().document(), &expected);
        assert!(parse("lock-version = '1.7'\npackages = []").is_ok());
    }

    #[test]
    fn what_is_no_lock_is_named_with_its_place() {
        for (bytes, why, place) in [
            (&b"lock-version = '1.0'\na b"[..], "it is not TOML in line 2, column 3: ", None),
            (b"a = 1\nb = '\xff'", "it is not UTF-8 in line 2, column 6", None),
            (b"", "lock-version is missing", Some("lock-version")),
            (
                b"lock-version = 1.0",
                "lock-version is of type float, and must be the string \"1.0\"",
                Some("lock-version"),
            ),
            (
                b"lock-version = '2.0'",
                "lock-version is \"2.0\", but only 1.0 is supported",
                Some("lock-version"),
            ),
            (
                b"lock-version = '10'",
                "lock-version is \"10\", but only 1.0 is supported",
                Some("lock-version"),
            ),
            (b"lock-version = '1.0'", "packages is missing", Some("packages")),
            (
                b"lock-version = '1.0'\n[packages]",
                "packages is of type table, and must be an array of tables",
                Some("packages"),
            ),
        ] {
            let error = parse(bytes).unwrap_err();
            let start = format!("cannot read the lock /a/pylock.toml: {why}");
            assert!(error.details().message.starts_with(&start), "{error}");
            assert_eq!(error.details().path.as_deref(), place);
            assert_eq!(error.kind(), Kind::Manifest);
            assert!(error.details().hint.is_some());
        }
        assert!(parse(vec![b'#'; SIZE_LIMIT as usize + 1]).is_err());
        assert!(parse("[".repeat(100_000)).is_err());
    }

    #[test]
    fn paths_are_seen_without_parsing() {
        for text in
            ["path = 'x'", "{path='x'}", "\"path\"\t= 1", "x path path =", r#""p\u0061th" = "x""#]
        {
            assert!(has_paths(text.as_bytes()), "{text}");
        }
        for text in ["", "path", "paths = 1", "url = 'https://h/path'", "pat = 'h'"] {
            assert!(!has_paths(text.as_bytes()), "{text}");
        }
    }
}
