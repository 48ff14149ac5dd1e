//! Where the code of a module comes from, and where it is kept.
//!
//! ```text
//! code pack of the tree ─ else verified source ─▶ a helper has compiled it, or we do ─▶ code pack
//! ```

use std::sync::Arc;

use crate::compile::Sharing;
use crate::error::Result;
use crate::name::Digest;
use crate::session::Session;
use crate::store::code::{Code, CodePack};
use crate::unit::Unit;

/// A module whose code is wanted.
pub struct Module<'a> {
    unit: &'a Unit,
    /// Relative to the tree.
    path: String,
    /// What its source is, as it was pinned.
    pub source: Digest,
    pack: Option<&'a CodePack>,
}

impl Session {
    /// The module at `path` in a unit. VERIFY=full neither takes code from a pack nor adds any.
    pub fn module<'a>(&self, unit: &'a Unit, path: String, source: Digest) -> Result<Module<'a>> {
        let pack = match self.engine.settings.verify_full {
            true => None,
            false => Some(unit.code(&self.python)?),
        };
        Ok(Module { unit, path, source, pack })
    }
}

impl Module<'_> {
    /// The marshalled code that is kept.
    pub fn kept(&self) -> Option<Code> {
        self.pack?.get(&self.path, &self.source)
    }

    /// True if code is kept for the next import: only then others may share the compiling.
    pub fn keeps(&self) -> bool {
        self.pack.is_some()
    }

    /// What a helper has compiled; waits for one that is at work on it.
    pub fn of_helper(&self, sharing: &Sharing) -> Option<Vec<u8>> {
        self.unit.share(sharing, self.pack?);
        sharing.take(&self.unit.digest, &self.path)
    }

    /// Keeps what was compiled.
    pub fn keep(&self, marshalled: &[u8]) {
        if let Some(pack) = self.pack {
            pack.add(&self.path, &self.source, marshalled);
        }
    }

    /// Lets helpers compile what `names` in this module's code may be.
    pub fn share(&self, sharing: &Arc<Sharing>, names: &[String]) {
        sharing.compiled(&self.unit.digest, &self.path, names);
    }
}
