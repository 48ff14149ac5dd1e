//! What a failure leaves in doubt: whether a newer manifest would mend it.

use crate::error::Kind;

/// Why something newer may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// What the manifest has may not be used, or is wrong.
    Refused,
    /// An artifact cannot be had, or is other than it was pinned.
    Gone,
    /// The manifest does not have the name.
    Absent,
    /// No manifest that is here has the record of a tree.
    Unknown,
    /// The manifest is older than its author wants.
    Old,
}

impl Doubt {
    /// `None` if no manifest can help.
    pub fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Fetch | Kind::Integrity => Some(Self::Gone),
            Kind::Requirement | Kind::Policy | Kind::Manifest => Some(Self::Refused),
            Kind::UnitNotFound
            | Kind::Configuration
            | Kind::Offline
            | Kind::Signature
            | Kind::Store => None,
        }
    }
}
