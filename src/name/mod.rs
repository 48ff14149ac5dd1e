//! Untrusted text becomes a type here, and nowhere else.
//!
//! | type                 | holds                                           |
//! |----------------------|-------------------------------------------------|
//! | [`UnitName`]         | dotted Python identifiers, no keywords          |
//! | [`Namespace`]        | the same, or empty (top-level names)            |
//! | [`FilePath`]         | a relative path that is safe on every platform  |
//! | [`Digest`]           | a sha256; [`Hasher`] and [`Hashing`] end in one |
//! | [`Version`]          | printable ASCII text that fits in a file name   |
//! | [`Specifiers`]       | conditions for versions, of PEP 440             |
//! | [`DistributionName`] | lower case, single dashes                       |
//! | [`Key`]              | a unit, what holds it, an interpreter's suffix  |
//! | [`SafeUrl`]          | a URL that shows itself without its secrets     |
//! | [`UrlText`]          | the same, whether it is a URL or not            |
//!
//! Each has a private field and a fallible constructor; serde goes through it.

mod digest;
mod distribution;
mod hasher;
mod key;
mod path;
mod similar;
mod space;
mod specifier;
mod unit;
mod url;
mod version;

use std::fmt;

pub use digest::Digest;
pub use distribution::DistributionName;
pub use hasher::{Hasher, Hashing, count_hashed, hashed};
pub use key::Key;
pub use path::{FilePath, folded, folders, is_control_or_directional, parents};
pub use similar::{closest, similar};
pub use space::SpaceName;
pub use specifier::Specifiers;
pub use unit::{API_NAMES, Namespace, UnitName, is_identifier, prefixes};
pub use url::{SafeUrl, UrlText};
pub use version::{Age, Version};

/// Device names that Windows reserves in every directory, with any suffix.
const RESERVED_ON_WINDOWS: &[&str] = &[
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8",
    "com9", "lpt1", "lpt2", "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9", "conin$",
    "conout$", "com¹", "com²", "com³", "lpt¹", "lpt²", "lpt³",
];

/// Why a text is not valid; becomes the cause of a `ManifestError`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadName(String);

impl fmt::Display for BadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadName {}

pub(crate) fn bad<T>(why: impl Into<String>) -> Result<T, BadName> {
    Err(BadName(why.into()))
}

/// What all types that hold a checked text have in common.
macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            /// The text as it was checked.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.0, f)
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
use text_type;
