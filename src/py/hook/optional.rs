//! Imports that a package could do without: the policy of a lock may withhold what they name.
//!
//! ```text
//! the file that imports ─ its distribution ─ requires the other ─ yes ─▶ found
//!                    └─ the user's own ─▶ found                 └─ no ──▶ as the policy says
//! ```

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

use crate::py::bridge::frames::importer;
use crate::session::{Located, Session};
use crate::supply::Importer;

/// Somebody wants to know who imports what.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// From now on it is noted who imports what.
pub fn watch() {
    WATCHED.store(true, Ordering::Relaxed);
}

/// True if what stands in `folder` of a view is not to be found by whoever imports now.
pub fn is_withheld(
    py: Python<'_>,
    session: &Session,
    folder: &Path,
    located: &Located,
) -> PyResult<bool> {
    let unit = &located.unit;
    let Ok(mount) = unit.mount() else { return Ok(false) };
    let watched = WATCHED.load(Ordering::Relaxed);
    if !watched && !mount.supply.withholds() {
        return Ok(false);
    }
    let Some(view) = mount.supply.view() else { return Ok(false) };
    // A part of a package is found by whoever has found the package.
    if session.owner_of(folder).is_some_and(|(_, owner)| owner == unit.name) {
        return Ok(false);
    }
    let (importer, at_top) = match importer(py)? {
        Some(code) => {
            let place = session.in_store(Path::new(&code.file));
            let owner = place.and_then(|place| session.owner_of(&place));
            let own = owner.filter(|(other, _)| Arc::ptr_eq(other, &mount)).map(|(_, unit)| unit);
            (own, code.at_top)
        }
        None => (None, true),
    };
    let importer = match &importer {
        Some(own) if *own == unit.name => return Ok(false),
        Some(own) if view.resolved.closure(own).contains(&unit.name) => Importer::Requires,
        Some(own) => Importer::Could { unit: own.clone(), at_top },
        None => Importer::Own,
    };
    Ok(view.imported(&*mount.supply, &session.engine.store, &unit.name, importer, watched))
}
