//! The one object of this process for a unit of a mount in one tree.

use std::collections::HashMap;
use std::sync::Arc;

use crate::forking::Lock;
use crate::mount::Mount;
use crate::name::{Digest, UnitName};
use crate::unit::Unit;

/// By their trees: nearly always one for each.
#[derive(Default)]
pub struct Interned(Lock<HashMap<Digest, Vec<Arc<Unit>>>>);

impl Interned {
    /// The unit that stands for this one from now on.
    pub fn add(&self, unit: Unit) -> Arc<Unit> {
        let mut units = self.0.lock();
        let same = units.entry(unit.digest).or_default();
        let known = same.iter().find(|it| it.mount.ptr_eq(&unit.mount) && it.name == unit.name);
        if let Some(known) = known {
            return known.clone();
        }
        let unit = Arc::new(unit);
        same.push(unit.clone());
        unit
    }

    /// The unit of a mount with this name and tree.
    pub fn get(&self, mount: &Arc<Mount>, name: &UnitName, tree: &Digest) -> Option<Arc<Unit>> {
        let units = self.0.lock();
        units.get(tree)?.iter().find(|it| it.is_of(mount) && it.name == *name).cloned()
    }

    /// The first unit of this tree that is `best`, else the first.
    pub fn of_tree(&self, tree: &Digest, best: impl Fn(&Unit) -> bool) -> Option<Arc<Unit>> {
        let units = self.0.lock();
        let same = units.get(tree)?;
        same.iter().find(|unit| best(unit)).or(same.first()).cloned()
    }

    /// A mount that is closed has no units.
    pub fn forget(&self, mount: &Arc<Mount>) {
        self.0.lock().retain(|_, same| {
            same.retain(|unit| !unit.is_of(mount));
            !same.is_empty()
        });
    }
}
