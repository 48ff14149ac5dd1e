//! Putting the finders and the hook in their places, and what a fork does to us.
//!
//! Nothing else happens at `import magic_module`: making the session and the mount of the
//! environment would be a fifth of what it costs. In the package's `__path__`, where
//! `pkgutil` looks for units, a placeholder stands for that mount until it is needed.

use std::path::MAIN_SEPARATOR;
use std::sync::OnceLock;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::entry::_path_hook;
use super::finder::{Finder, serve_own_namespace};
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

/// Puts the finders and the hook in their places; called once, by `magic_module/__init__.py`.
#[pyfunction]
fn _install(py: Python<'_>, search_path: &Bound<'_, PyList>) -> PyResult<()> {
    let sys = py.import("sys")?;
    let meta_path = sys.getattr("meta_path")?;
    for finder in meta_path.try_iter()? {
        if finder?.is_instance_of::<Finder>() {
            return Ok(());
        }
    }
    serve_own_namespace();
    meta_path.call_method1("insert", (place(py, &meta_path)?, Finder { behind: false }))?;
    meta_path.call_method1("append", (Finder { behind: true },))?;
    let hook = pyo3::wrap_pyfunction!(_path_hook, py)?;
    sys.getattr("path_hooks")?.call_method1("insert", (0, hook))?;
    if let Ok(posix) = py.import("posix") {
        let keywords = PyDict::new(py);
        keywords.set_item("before", pyo3::wrap_pyfunction!(_before_fork, py)?)?;
        keywords.set_item("after_in_parent", pyo3::wrap_pyfunction!(_after_fork_in_parent, py)?)?;
        keywords.set_item("after_in_child", pyo3::wrap_pyfunction!(_after_fork_in_child, py)?)?;
        posix.call_method("register_at_fork", (), Some(&keywords))?;
    }
    if names_a_manifest()
        && let Ok(folder) = search_path.get_item(0)
    {
        let placeholder = format!("{folder}{MAIN_SEPARATOR}_units");
        search_path.append(PLACEHOLDER.get_or_init(|| placeholder))?;
    }
    Ok(())
}

/// Right before the interpreter's own finders: the hooks of tools such as pytest, which
/// put themselves first, go on standing before us.
fn place(py: Python<'_>, meta_path: &Bound<'_, PyAny>) -> PyResult<usize> {
    let bootstrap = py.import("_frozen_importlib")?;
    let stock = [
        bootstrap.getattr("BuiltinImporter")?,
        bootstrap.getattr("FrozenImporter")?,
        py.import("_frozen_importlib_external")?.getattr("PathFinder")?,
    ];
    for (at, finder) in meta_path.try_iter()?.enumerate() {
        let finder = finder?;
        if stock.iter().any(|own| finder.is(own)) {
            return Ok(at);
        }
    }
    Ok(0)
}

#[pyfunction]
fn _before_fork() {
    crate::py::bridge::state::before_fork();
}

#[pyfunction]
fn _after_fork_in_parent() {
    crate::py::bridge::state::after_fork_in_parent();
}

#[pyfunction]
fn _after_fork_in_child(py: Python<'_>) -> PyResult<()> {
    crate::py::bridge::state::after_fork_in_child();
    let modules = py.import("sys")?.getattr("modules")?;
    // Nobody imported a unit before this is loaded.
    match modules.get_item("magic_module._loader") {
        Ok(loader) => loader.call_method0("after_fork_in_child").map(drop),
        Err(_) => Ok(()),
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(pyo3::wrap_pyfunction!(_install, module)?)
}
