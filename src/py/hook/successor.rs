//! A version that is gone from its site gives way to the one that took its place.
//!
//! ```text
//! spec of version 1 ─ files of version 1 are gone ─ newest manifest has version 2
//!     └─ nothing of the unit has run: spec, loader and module become those of version 2
//! ```
//!
//! Only the module that is named like the unit can change like this, before its first line
//! runs: below it, modules have seen its path already.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::spec::{UnitHandle, spec_of};
use crate::py::bridge::state::session;

/// Turns `loader`, its spec and its module to the unit that took the place of the loader's.
/// `None`: there is none, or it is too late. `spec` is given where there is no module yet.
pub fn turn_to_successor<'py>(
    loader: &Bound<'py, PyAny>,
    handle: &Bound<'py, UnitHandle>,
    fullname: &Bound<'py, PyString>,
    spec: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, UnitHandle>>> {
    let py = loader.py();
    if !loader.getattr(intern!(py, "_root"))?.is_truthy()? {
        return Ok(None);
    }
    let (spec, module) = match spec {
        Some(spec) => (spec.clone(), None),
        None => match module_of(loader, fullname)? {
            Some((spec, module)) => (spec, Some(module)),
            None => return Ok(None),
        },
    };
    let Some(found) = session(py)?.successor_of(&handle.get().unit) else { return Ok(None) };
    // The manifest that has it came just now.
    found.unit.set_asked();
    let next = spec_of(py, fullname, &found)?;
    let next_loader = next.getattr(intern!(py, "loader"))?;
    if !next_loader.get_type().is(loader.get_type()) {
        return Ok(None);
    }
    for name in ["_path", "_unit"] {
        loader.setattr(name, next_loader.getattr(name)?)?;
    }
    for name in ["origin", "cached", "submodule_search_locations"] {
        spec.setattr(name, next.getattr(name)?)?;
    }
    if let Some(module) = module {
        let locations = next.getattr(intern!(py, "submodule_search_locations"))?;
        if locations.is_none() {
            let _ = module.del_item(intern!(py, "__path__"));
        } else {
            module.set_item(intern!(py, "__path__"), locations)?;
        }
        module.set_item(intern!(py, "__file__"), next.getattr(intern!(py, "origin"))?)?;
        module.set_item(intern!(py, "__cached__"), next.getattr(intern!(py, "cached"))?)?;
        module.set_item(intern!(py, "__package__"), next.getattr(intern!(py, "parent"))?)?;
    }
    Ok(Some(next_loader.getattr(intern!(py, "_unit"))?.cast_into()?))
}

/// The module that `loader` is about to fill, with its spec.
fn module_of<'py>(
    loader: &Bound<'py, PyAny>,
    fullname: &Bound<'py, PyString>,
) -> PyResult<Option<(Bound<'py, PyAny>, Bound<'py, PyDict>)>> {
    let py = loader.py();
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    let module = modules.cast::<PyDict>()?.get_item(fullname)?;
    let Some(Ok(module)) = module.map(|module| module.cast_into::<PyModule>()) else {
        return Ok(None);
    };
    // Not by attribute: a lazy module would begin to load.
    let content = module.dict();
    let Some(spec) = content.get_item(intern!(py, "__spec__"))? else { return Ok(None) };
    let ours = !spec.is_none() && spec.getattr(intern!(py, "loader"))?.is(loader);
    Ok(ours.then_some((spec, content)))
}
