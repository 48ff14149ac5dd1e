//! What a failure leaves in doubt: whether a newer manifest would mend it.

use crate::error::Kind;

/// Why something newer may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    Refused,
    Gone,
    Absent,
    Unknown,
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
