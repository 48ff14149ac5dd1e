//! Modules that another loader than ours will open.
//!
//! ```text
//! a hook asks the finders ─▶ it is the import of that very name ─▶ fetched, checked ─▶ spec
//! a hook reads loader.path ──────────────────────────────────────▶ fetched, checked ─▶ path
//! ```
//!
//! Tools that change modules while they are loaded (typeguard, jaxtyping) take a spec from the
//! finders behind them, and give its origin to a loader of their own. That one opens the
//! file as it is on disk: the unit has to be there, and the file right, before they have it.

use std::sync::Arc;

use pyo3::exceptions::PyImportError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::elsewhere::Wanted;
use super::ready::{ready, verified};
use super::spec::{UnitHandle, handle, spec_of};
use crate::py::bridge::frames::asked_by_the_import_system;
use crate::py::bridge::import_lock::ImportLock;
use crate::session::{Located, Session};

/// The spec of what was located, for whoever asks.
pub fn found<'py>(
    session: &'static Arc<Session>,
    wanted: Wanted<'_, 'py>,
    located: &Located,
) -> PyResult<Bound<'py, PyAny>> {
    let py = wanted.py();
    let Some(path) = located.found.path() else { return spec_of(py, wanted.fullname, located) };
    if !is_for_a_hook(wanted)? {
        return spec_of(py, wanted.fullname, located);
    }
    let whole = make_whole(py, &handle(py, &located.unit)?, path);
    let successor = match &whole {
        // As when our own loader fetches it: what was published meanwhile takes its place.
        Err(error) if located.root && error.is_instance_of::<PyImportError>(py) => {
            session.successor_of(&located.unit)
        }
        _ => None,
    };
    let located = match &successor {
        Some(next) => {
            if let Some(path) = next.found.path() {
                make_whole(py, &handle(py, &next.unit)?, path)?;
            }
            next
        }
        None => {
            whole?;
            located
        }
    };
    if located.root
        && let Some(path) = located.found.path()
    {
        adopt_later(py, wanted.fullname, &located.unit.text_of(path))?;
    }
    spec_of(py, wanted.fullname, located)
}

/// Fetches a unit, and makes sure of one file of it. Whoever holds the import lock gives
/// it up meanwhile.
fn make_whole(py: Python<'_>, handle: &Bound<'_, UnitHandle>, path: &str) -> PyResult<()> {
    let _given_up = ImportLock::release(py)?;
    ready(py, handle.get())?;
    verified(py, handle.get(), path)
}

/// What `loader.path` does before it tells the path.
#[pyfunction]
pub fn _make_whole<'py>(
    py: Python<'py>,
    loader: &Bound<'py, PyAny>,
    handle: &Bound<'py, UnitHandle>,
) -> PyResult<()> {
    let place = loader.getattr(intern!(py, "_path"))?.cast_into::<PyString>()?;
    let unit = &handle.get().unit;
    let inside = unit.relative(std::path::Path::new(place.to_str()?));
    let Some(inside) = inside.map(|inside| inside.replace('\\', "/")) else { return Ok(()) };
    make_whole(py, handle, &inside)?;
    if loader.getattr(intern!(py, "_root"))?.is_truthy()? {
        let name = loader.getattr(intern!(py, "name"))?.cast_into::<PyString>()?;
        adopt_later(py, &name, place.to_str()?)?;
    }
    Ok(())
}

/// Once the import that is under way has ended, the root of the unit has its `_upgrade`.
fn adopt_later(py: Python<'_>, name: &Bound<'_, PyString>, place: &str) -> PyResult<()> {
    py.import("magic_module._py.loader")?.call_method1("adopt_later", (name, place)).map(drop)
}

/// True if the spec is for a hook that stands before us, or did: the name is being imported, and it
/// is not the import system that asks.
fn is_for_a_hook(wanted: Wanted<'_, '_>) -> PyResult<bool> {
    let py = wanted.py();
    if asked_by_the_import_system(py)? {
        return Ok(false);
    }
    let reloaded = wanted.target.is_some_and(|target| !target.is_none());
    Ok(reloaded
        || py
            .import("magic_module._py.loader")?
            .call_method1("is_importing", (wanted.fullname,))?
            .is_truthy()?)
}
