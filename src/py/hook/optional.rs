//! Imports that a package could do without: the policy of a lock may withhold what they name.
//!
//! ```text
//! the file that imports ─ its distribution ─ requires the other ─ yes ─▶ found
//!                    └─ the user's own ─▶ found                 └─ no ──▶ as the policy says
//! ```

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::intern;
use pyo3::prelude::*;

use super::whole::frame_at;
use crate::session::{Located, Session};
use crate::supply::Importer;

/// Somebody wants to know who imports what.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// Modules that import for others, each with those below it.
const MACHINERY: [&str; 6] = [
    "importlib",
    "_frozen_importlib",
    "_frozen_importlib_external",
    "pkgutil",
    "runpy",
    "magic_module",
];

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
    let (importer, at_top) = match importing(py)? {
        Some((file, at_top)) => {
            let owner = session.in_store(Path::new(&file)).and_then(|it| session.owner_of(&it));
            let own = owner.filter(|(other, _)| Arc::ptr_eq(other, &mount)).map(|(_, unit)| unit);
            (own, at_top)
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

/// The file that imports, and whether it does so where it is loaded, not in a function.
fn importing(py: Python<'_>) -> PyResult<Option<(String, bool)>> {
    let Ok(mut frame) = frame_at(py, 0) else { return Ok(None) };
    while !frame.is_none() {
        let globals = frame.getattr(intern!(py, "f_globals"))?;
        let name = globals.get_item(intern!(py, "__name__")).ok();
        let name = name.as_ref().and_then(|name| name.extract::<&str>().ok()).unwrap_or_default();
        if !MACHINERY.contains(&name.split('.').next().unwrap_or_default()) {
            let code = frame.getattr(intern!(py, "f_code"))?;
            let function = code.getattr(intern!(py, "co_name"))?;
            let file = code.getattr(intern!(py, "co_filename"))?.extract()?;
            return Ok(Some((file, function.extract::<&str>()? == "<module>")));
        }
        frame = frame.getattr(intern!(py, "f_back"))?;
    }
    Ok(None)
}
