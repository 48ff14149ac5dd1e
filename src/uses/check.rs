//! What is left to do before code of a unit runs.
//!
//! ```text
//! tree on disk and whole, and active ─ no ─▶ Fetch
//!   └─ requirements are met, in this environment ─ not known ─▶ Check
//!        └─ yes ─▶ Nothing
//! ```
//!
//! What was met is remembered for each environment. Whether it is met, only Python's own tools
//! can tell.

use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::session::Session;
use crate::unit::Unit;
use crate::uses::activate::Member;

/// The next step to a unit that can be used.
pub enum Need {
    /// Its code may run.
    Nothing,
    /// Its requirements are to be checked, as it was fetched for another environment.
    Check(Member),
    /// It is to be activated, with what it requires.
    Fetch,
}

impl Session {
    /// What a unit needs before code of it runs.
    pub fn need_of(&self, unit: &Arc<Unit>) -> Result<Need> {
        if !self.is_ready(unit)? {
            return Ok(Need::Fetch);
        }
        if !self.must_check(unit)? {
            return Ok(Need::Nothing);
        }
        let member = self.member_of_tree(&*unit.mount()?, &unit.manifest, unit);
        Ok(member.map_or(Need::Nothing, Need::Check))
    }

    /// True if a unit has requirements of which it is not known that they are met here.
    pub fn must_check(&self, unit: &Unit) -> Result<bool> {
        Ok(unit.checked && !unit.mount()?.folder.is_checked(&self.python.environment, &unit.digest))
    }

    /// The requirements of a unit are met, in this environment.
    pub fn remember_checked(&self, unit: &Unit) -> Result<()> {
        unit.mount()?.folder.mark_checked(&self.python.environment, &unit.digest);
        Ok(())
    }
}

/// An error if a unit requires what its lock denies by name.
pub fn is_not_denied(unit: &Unit) -> Result<()> {
    let Ok(mount) = unit.mount() else { return Ok(()) };
    let Some(view) = mount.supply.view() else { return Ok(()) };
    let Some(needed) = view.resolved.denied_need(&unit.name) else { return Ok(()) };
    let (who, needed) = (&unit.full_name, mount.supply.title(needed));
    let lock = mount.request.source.as_lock().map(|lock| lock.path.display().to_string());
    let lock = lock.unwrap_or_default();
    let what = format!("{who} requires {needed}, which the lock {lock} denies");
    Err(Error::new(Kind::Policy, what)
        .name(who.clone())
        .path(lock)
        .hint(format!("remove {needed} from [tool.magic-module.optional] of the lock")))
}
