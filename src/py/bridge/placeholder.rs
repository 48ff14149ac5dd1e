//! What stands in our package's `__path__`, where `pkgutil` looks for units, until the mount of the
//! environment is made: making it at import would be a fifth of what importing us costs.

use std::path::MAIN_SEPARATOR;
use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::session::{OWN, Session};
use crate::settings::names_a_manifest;

static PLACEHOLDER: OnceLock<String> = OnceLock::new();

/// True if the environment names a manifest: its mount is made when it is needed.
pub fn has_placeholder() -> bool {
    PLACEHOLDER.get().is_some()
}

pub fn is_placeholder(entry: &str) -> bool {
    PLACEHOLDER.get().is_some_and(|placeholder| placeholder == entry)
}

/// Adds the placeholder to a `__path__`, if there will be a mount.
pub fn append(search_path: &Bound<'_, PyList>) -> PyResult<()> {
    if names_a_manifest()
        && let Ok(folder) = search_path.get_item(0)
    {
        let placeholder = format!("{folder}{MAIN_SEPARATOR}_units");
        search_path.append(PLACEHOLDER.get_or_init(|| placeholder))?;
    }
    Ok(())
}

/// Puts the folder of the environment's mount in place of the placeholder.
pub fn settle(py: Python<'_>, session: &Session) -> PyResult<()> {
    let Some(placeholder) = PLACEHOLDER.get() else { return Ok(()) };
    let modules = py.import("sys")?.getattr("modules")?;
    let path = modules.get_item(OWN).and_then(|package| package.getattr("__path__"));
    let Ok(Ok(path)) = path.map(|path| path.cast_into::<PyList>()) else { return Ok(()) };
    let Ok(at) = path.index(placeholder) else { return Ok(()) };
    match session.own_mount() {
        Ok(mount) => path.set_item(at, mount.folder.entry().to_string_lossy().as_ref()),
        Err(_) => path.del_item(at),
    }
}
