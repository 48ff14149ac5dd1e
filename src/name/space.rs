//! What spaces are called.

use super::{BadName, RESERVED_ON_WINDOWS, bad, text_type};

/// The longest, in bytes: a folder is called so.
const LONGEST: usize = 100;

/// The name of a space: letters, digits, and inside of it `-`, `_` and `.`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SpaceName(String);

text_type!(SpaceName);

impl SpaceName {
    /// Nothing but ASCII, so that a name is the same on every file system.
    pub fn new(text: &str) -> Result<Self, BadName> {
        let is_plain = |c: char| c.is_ascii_alphanumeric();
        if !text.starts_with(is_plain)
            || !text.ends_with(is_plain)
            || !text.chars().all(|c| is_plain(c) || "-_.".contains(c))
        {
            return bad(format!(
                "{text:?} is not a name of a space: use letters and digits, with -, _ and . between them"
            ));
        }
        if text.contains("..") || text.len() > LONGEST {
            return bad(format!(
                "{text:?} is not a name of a space: it may not have two dots in a row, or more than {LONGEST} characters"
            ));
        }
        let name = Self(text.to_owned());
        let folded = name.folded();
        if RESERVED_ON_WINDOWS.contains(&folded.split('.').next().unwrap_or_default()) {
            return bad(format!("{text:?} is not a name of a space: Windows reserves it"));
        }
        Ok(name)
    }

    /// The same for all names that differ only by case.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_folder_on_every_system() {
        for text in ["a", "org-123", "Org_1.eu", "7", &"x".repeat(LONGEST)] {
            assert_eq!(SpaceName::new(text).unwrap().as_str(), text);
        }
        let long = "x".repeat(LONGEST + 1);
        for text in [
            "", ".", "..", "a/b", "a\\b", "../a", ".a", "a.", "-a", "a-", "a..b", "a b", "ö",
            "a\n", "a:b", "NUL", "com1.eu", &long,
        ] {
            assert!(SpaceName::new(text).is_err(), "{text:?}");
        }
        let folded = |text| SpaceName::new(text).unwrap().folded();
        assert_eq!(folded("Org-123"), folded("oRG-123"));
    }
}
