//! Who imported what in a process: what was decided of optional imports, and which deny list a
//! trace proposes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Supply, View};
use crate::forking::Lock;
use crate::name::UnitName;
use crate::resolved::Optional;
use crate::store::Store;

/// By whom a unit is imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Importer {
    /// The user's own file, or one of the standard library.
    Own,
    /// A distribution that requires it.
    Requires,
    /// One that could do without.
    Could {
        /// Whose file it is.
        unit: UnitName,
        /// It imports where it is loaded, not in a function.
        at_top: bool,
    },
}

/// What a process knows of the imports of a view.
#[derive(Debug, Default)]
pub struct Imports(Lock<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Whether a unit is found by optional imports, where that depends on what is here.
    present: BTreeMap<UnitName, bool>,
    /// Whether a unit was imported in such a way only that nothing would miss it.
    spare: BTreeMap<UnitName, bool>,
}

impl View {
    /// An import of `unit`; true if it is withheld. What depends on what is here is decided once.
    pub fn imported(
        &self,
        supply: &dyn Supply,
        store: &Store,
        unit: &UnitName,
        importer: Importer,
        watched: bool,
    ) -> bool {
        let mut known = self.imports.0.lock();
        if watched {
            let is_spare = matches!(importer, Importer::Could { at_top: true, .. });
            *known.spare.entry(unit.clone()).or_insert(true) &= is_spare;
        }
        if !matches!(importer, Importer::Could { .. }) {
            return false;
        }
        match supply.optional(unit) {
            Optional::Fetch => false,
            Optional::Deny => true,
            Optional::PresentOnly => {
                let closure = || self.resolved.closure(unit).into_iter();
                let is_here = |it: &UnitName| {
                    let known = self.resolved.units.get(it);
                    known.is_some_and(|it| store.lists_tree(&it.tree))
                };
                !*known.present.entry(unit.clone()).or_insert_with(|| closure().all(is_here))
            }
        }
    }

    /// What was decided by what is here, in this process.
    pub fn decided(&self) -> BTreeMap<UnitName, bool> {
        self.imports.0.lock().present.clone()
    }

    /// The units that this process would not have missed: they were imported where a package that
    /// could do without is loaded, and nobody else wanted them.
    pub fn spare(&self) -> BTreeSet<UnitName> {
        let known = self.imports.0.lock();
        let (spare, wanted): (Vec<_>, Vec<_>) = known.spare.iter().partition(|(_, spare)| **spare);
        let needed: BTreeSet<&UnitName> =
            wanted.iter().flat_map(|(unit, _)| self.resolved.closure(unit)).collect();
        spare.into_iter().map(|(unit, _)| unit).filter(|it| !needed.contains(it)).cloned().collect()
    }
}
