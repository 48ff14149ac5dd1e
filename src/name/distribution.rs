//! The name of a distribution, in the one way that an index spells it.

use super::{BadName, bad, text_type};

/// In lower case, with single dashes
/// (<https://packaging.python.org/en/latest/specifications/name-normalization/>).
#[derive(Clone, PartialEq, Eq)]
pub struct DistributionName(String);

impl DistributionName {
    /// However `text` spells it.
    pub fn new(text: &str) -> Result<Self, BadName> {
        let parts = text.split(['-', '_', '.']).filter(|part| !part.is_empty());
        let name = parts.collect::<Vec<_>>().join("-").to_lowercase();
        if name.is_empty() {
            return bad(format!("{text:?} is not the name of a distribution"));
        }
        Ok(Self(name))
    }

    /// True if `text` is the same name in any spelling.
    pub fn is(&self, text: &str) -> bool {
        Self::new(text).as_ref() == Ok(self)
    }
}

text_type!(DistributionName);
