//! Why a name was not found: a unit below a namespace that imports itself, or a unit beside it,
//! as if that were at top level.
//!
//! Every name that nobody knows comes by here, most of them from code that has nothing to do
//! with units: who imports is seen from the frames, before any file of ours or any manifest
//! is read for it.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::mount::Mount;
use crate::session::Session;
use crate::supply::Answer;

/// Raises the error if it is so.
pub fn explain(py: Python<'_>, session: &Session, name: &str) -> PyResult<()> {
    if session.find_mount(is_named_and_bound).is_none() {
        return Ok(());
    }
    let Some(asking) = importing_module(py)? else { return Ok(()) };
    for mount in session.mounts().iter().filter(|mount| is_named_and_bound(mount)) {
        if mount.namespace.strip(&asking).is_none() || !knows(py, mount, name)? {
            continue;
        }
        let full = mount.namespace.join(name);
        let arguments =
            (name, full, asking, mount.namespace.as_str(), mount.supply.url().to_string());
        return py
            .import("magic_module._py.loader")?
            .call_method1("explain_absolute_import", arguments)
            .map(drop);
    }
    Ok(())
}

fn is_named_and_bound(mount: &Mount) -> bool {
    !mount.namespace.is_empty() && mount.is_bound()
}

/// The name of the module whose import statement is being executed.
fn importing_module(py: Python<'_>) -> PyResult<Option<String>> {
    static GET_FRAME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    // Where C code alone is running there is no frame.
    let Ok(mut frame) = GET_FRAME.import(py, "sys", "_getframe")?.call0() else { return Ok(None) };
    while !frame.is_none() {
        let globals = frame.getattr(intern!(py, "f_globals"))?;
        let name = globals.cast::<PyDict>()?.get_item(intern!(py, "__name__"))?;
        let name = name.as_ref().and_then(|name| name.extract::<&str>().ok()).unwrap_or_default();
        if !is_import_system(name) {
            return Ok(Some(name.to_owned()));
        }
        frame = frame.getattr(intern!(py, "f_back"))?;
    }
    Ok(None)
}

/// `importlib`, whose frozen parts have two names.
fn is_import_system(name: &str) -> bool {
    matches!(
        name.split('.').next(),
        Some("importlib" | "_frozen_importlib" | "_frozen_importlib_external")
    )
}

/// True if a mount has a unit of this name, as far as that is known without asking.
fn knows(py: Python<'_>, mount: &Mount, name: &str) -> PyResult<bool> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    if modules.contains(mount.namespace.join(name))? {
        return Ok(true);
    }
    let manifest = mount.bound().and_then(|bound| bound.manifest);
    Ok(manifest.is_some_and(|manifest| {
        matches!(mount.supply.record(&manifest, name), Ok(Answer::Record(_)))
    }))
}
