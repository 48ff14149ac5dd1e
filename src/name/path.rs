//! Paths of files in a unit, which strangers choose.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use unicode_normalization::{UnicodeNormalization as _, is_nfc};

use super::{BadName, RESERVED_ON_WINDOWS, bad, text_type};

/// A relative path with forward slashes that means the same file on every platform.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);
text_type!(FilePath);

impl FilePath {
    /// Refuses what is absolute, leaves its folder, or is another file on another platform.
    pub fn new(text: &str) -> Result<Self, BadName> {
        if text.is_empty() || text.len() > 1000 {
            return bad(format!("a path of {} bytes, but 1 to 1000 are allowed", text.len()));
        }
        if text.starts_with('/') {
            return bad(format!("{text:?} is absolute"));
        }
        for part in text.split('/') {
            Self::check_part(part).map_err(|why| BadName(format!("{text:?} {why}")))?;
        }
        Ok(Self(text.to_owned()))
    }

    /// Refuses all Unicode normal forms but C, in which the interpreter and most authors write.
    pub fn is_composed(&self) -> Result<(), BadName> {
        if is_nfc(&self.0) {
            return Ok(());
        }
        bad(format!("{:?} is not in Unicode normal form C", self.0))
    }

    /// True for what the interpreter finds by a name in its own form: sources and extensions.
    pub fn is_code(&self) -> bool {
        [".py", ".so", ".pyd"].iter().any(|suffix| self.0.ends_with(suffix))
    }

    /// True for what is compiled.
    pub fn is_source(&self) -> bool {
        self.0.ends_with(".py")
    }

    fn check_part(part: &str) -> Result<(), &'static str> {
        let stem = part.split('.').next().unwrap_or(part).trim_end();
        // None of the reserved names is longer, and most parts are.
        let is_reserved =
            || stem.len() <= 8 && RESERVED_ON_WINDOWS.contains(&stem.to_lowercase().as_str());
        Err(if part.is_empty() {
            "has an empty part"
        } else if part == "." || part == ".." {
            "leaves its folder"
        } else if part.len() > 255 {
            "has a part of more than 255 bytes"
        } else if part.ends_with(['.', ' ']) {
            "has a part that ends in a dot or a space"
        } else if part.contains(['\\', ':', '<', '>', '"', '|', '?', '*']) {
            "has a character that Windows does not allow"
        } else if part.chars().any(is_control_or_directional) {
            "has a control or direction-changing character"
        } else if is_reserved() {
            "is reserved on Windows"
        } else {
            return Ok(());
        })
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
        parents(&self.0).next().unwrap_or("")
    }
}

/// The folders above a path, the nearest first.
pub fn parents(path: &str) -> impl Iterator<Item = &str> {
    let above = |path: &str| path.rsplit_once('/').map(|(above, _)| above.len());
    std::iter::successors(above(path), move |end| above(&path[..*end])).map(|end| &path[..end])
}

/// Every folder that one of these files is below.
pub fn folders<'a>(paths: impl Iterator<Item = &'a FilePath>) -> HashSet<&'a str> {
    let mut folders = HashSet::new();
    for path in paths {
        // What is above a folder that is known is known, too.
        let _ = parents(path.as_str()).find(|folder| !folders.insert(*folder));
    }
    folders
}

/// What two paths share when a case-insensitive file system takes them for one. Upper case
/// first: NTFS compares in it, and `ς` and `σ` share it.
pub fn folded(path: &str) -> String {
    if path.is_ascii() {
        return path.to_ascii_lowercase();
    }
    path.nfkd().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// True for what moves or hides other characters when it is shown.
pub fn is_control_or_directional(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "lpt1 .txt",
        ] {
            assert!(FilePath::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_path_is_spelled_as_its_author_likes() {
        let decomposed = FilePath::new("e\u{301}.txt").unwrap();
        assert!(decomposed.is_composed().is_err());
        assert!(FilePath::new("é.txt").unwrap().is_composed().is_ok());
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
}
