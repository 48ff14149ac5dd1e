//! Under what name a unit stands in a generation.
//!
//! ```text
//! alpha                             the unit itself
//! alpha==1.1.0                      held to a version by a pin
//! alpha==1.1.0=3f5b0c…              held to a tree by `magic.lock`
//! alpha@.cpython-313-….so           the variant for the interpreter with this suffix
//! alpha==1.1.0@.cpython-313-….so    both
//! ```
//!
//! So processes with other pins or interpreters share a generation without moving each other's units.

use serde::{Deserialize, Serialize};

use super::{BadName, Digest, UnitName, Version, text_type};

/// The name of an entry of a generation.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);
text_type!(Key);

impl Key {
    /// The key that stands in a file.
    fn new(text: &str) -> Result<Self, BadName> {
        let key = Self(text.to_owned());
        UnitName::new(key.unit()).map(|_| key)
    }

    /// The unit that nothing holds.
    pub fn of(unit: &str) -> Self {
        Self(unit.to_owned())
    }

    /// The unit that a pin holds to a version.
    pub fn pinned(unit: &str, version: &Version) -> Self {
        Self(format!("{unit}=={version}"))
    }

    /// The unit that `magic.lock` holds to a tree.
    pub fn locked(unit: &str, version: &Version, tree: &Digest) -> Self {
        Self(format!("{unit}=={version}={}", &tree.to_hex()[..16]))
    }

    /// The same for an interpreter whose extension modules end in `suffix`.
    pub fn variant(&self, suffix: &str) -> Self {
        Self(format!("{self}@{suffix}"))
    }

    /// The unit's name.
    pub fn unit(&self) -> &str {
        self.0.split(['@', '=']).next().unwrap_or(&self.0)
    }

    /// True if a pin or `magic.lock` holds the unit: it does not move with others.
    pub fn is_held(&self) -> bool {
        self.0[self.unit().len()..].starts_with('=')
    }

    /// The suffix of the interpreter that the variant is for.
    pub fn suffix(&self) -> Option<&str> {
        self.0.split_once('@').map(|(_, suffix)| suffix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_parts() {
        let version = Version::new("1.1.0").unwrap();
        let plain = Key::of("a.b");
        let pinned = Key::pinned("a.b", &version);
        let locked = Key::locked("a.b", &version, &Digest::of(b""));
        assert_eq!(locked.as_str(), "a.b==1.1.0=e3b0c44298fc1c14");
        for (key, held) in [(plain, false), (pinned, true), (locked, true)] {
            let variant = key.variant(".cpython-313-x86_64-linux-gnu.so");
            assert_eq!((key.unit(), key.is_held(), key.suffix()), ("a.b", held, None));
            assert_eq!((variant.unit(), variant.is_held()), ("a.b", held));
            assert_eq!(variant.suffix(), Some(".cpython-313-x86_64-linux-gnu.so"));
            assert_eq!(Key::new(variant.as_str()).unwrap(), variant);
        }
    }

    #[test]
    fn a_file_cannot_name_what_is_no_unit() {
        for wrong in ["", "==1.0", "@x", "../a", "a/b==1"] {
            assert!(Key::new(wrong).is_err(), "{wrong}");
        }
    }
}
