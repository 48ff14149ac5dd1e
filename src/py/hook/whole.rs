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
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;

use super::elsewhere::Wanted;
use super::ready::{ready, verified};
use super::spec::{UnitHandle, handle, spec_of};
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

/// True if the finders are asked by an import, one frame above the search.
pub fn is_import(py: Python<'_>) -> PyResult<bool> {
    static IMPORTING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let importing = IMPORTING.get_or_try_init(py, || {
        let function = py.import("_frozen_importlib")?.getattr("_find_and_load_unlocked")?;
        function.getattr("__code__").map(Bound::unbind)
    })?;
    let Ok(frame) = frame_at(py, 1) else { return Ok(false) };
    Ok(frame.getattr(intern!(py, "f_code"))?.is(importing.bind(py)))
}

pub fn frame_at(py: Python<'_>, depth: usize) -> PyResult<Bound<'_, PyAny>> {
    static FRAME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let frame_at =
        FRAME.get_or_try_init(py, || py.import("sys")?.getattr("_getframe").map(Bound::unbind))?;
    frame_at.bind(py).call1((depth,))
}

/// Whether the nearest frame outside of `PathFinder` is that of an import, or of a reload.
fn asked_by_the_import_system(py: Python<'_>) -> PyResult<bool> {
    // Nearly always it is the import itself.
    if is_import(py)? {
        return Ok(true);
    }
    // Where C code alone is running there is no frame.
    let Ok(mut frame) = frame_at(py, 0) else { return Ok(true) };
    let mut finding = false;
    while !frame.is_none() {
        let globals = frame.getattr(intern!(py, "f_globals"))?;
        let module = globals.get_item(intern!(py, "__name__")).ok();
        let module = module.as_ref().and_then(|name| name.extract::<&str>().ok());
        let code = frame.getattr(intern!(py, "f_code"))?;
        let function = code.getattr(intern!(py, "co_name"))?;
        let function = function.extract::<&str>()?;
        match (module, function) {
            (
                Some(
                    "importlib._bootstrap_external"
                    | "_frozen_importlib_external"
                    | "magic_module._py.loader",
                ),
                _,
            ) if !finding => {}
            (Some("importlib._bootstrap" | "_frozen_importlib"), "_find_spec") if !finding => {
                finding = true;
            }
            (Some("importlib._bootstrap" | "_frozen_importlib"), "_find_and_load_unlocked")
            | (Some("importlib"), "reload") => return Ok(finding),
            _ => return Ok(false),
        }
        frame = frame.getattr(intern!(py, "f_back"))?;
    }
    Ok(true)
}
