//! What happens to an import that its package could do without.
//!
//! ```text
//! [tool.magic-module.optional]
//! pyarrow = "deny"
//! ```
//!
//! An import is optional if the distribution whose file imports does not have the imported one
//! among what it requires, directly or by others. The user's own files never import optionally.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Resolved;
use crate::name::UnitName;

/// What an optional import does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optional {
    /// As in an environment in which all is installed.
    #[default]
    Fetch,
    /// It finds what is here already.
    PresentOnly,
    /// It finds nothing.
    Deny,
}

/// Units that are treated in their own way.
pub type ByName = BTreeMap<UnitName, Optional>;

impl FromStr for Optional {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "fetch" => Ok(Self::Fetch),
            "present-only" => Ok(Self::PresentOnly),
            "deny" => Ok(Self::Deny),
            _ => Err(()),
        }
    }
}

impl Resolved {
    /// All that comes with `unit`, itself among it.
    pub fn closure<'a>(&'a self, unit: &'a UnitName) -> BTreeSet<&'a UnitName> {
        let mut all = BTreeSet::from([unit]);
        let mut next = vec![unit];
        while let Some(known) = next.pop().and_then(|unit| self.units.get(unit)) {
            next.extend(known.requires.iter().filter(|required| all.insert(required)));
        }
        all
    }

    /// A unit that `unit` requires, although the lock denies it by its name.
    pub fn denied_need(&self, unit: &UnitName) -> Option<&UnitName> {
        let is_denied = |it: &&&UnitName| self.optional.get(**it) == Some(&Optional::Deny);
        if self.optional.is_empty() {
            return None;
        }
        let closure = self.closure(unit);
        let needed = closure.iter().find(|it| **it != unit && is_denied(it))?;
        self.optional.get_key_value(*needed).map(|(name, _)| name)
    }
}
