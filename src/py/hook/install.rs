//! Putting the finders and the hook in their places, and what a fork does to us.
//!
//! Nothing else happens at `import magic_module`: the session is made when it is needed.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::elsewhere::stock;
use super::entry::_path_hook;
use super::filter::{Finder, Place, serve_own_namespace};
use super::watched::mend_tools;
use crate::files;
use crate::py::bridge::{placeholder, state};

/// Puts the finders and the hook in their places; called once, by `magic_module/__init__.py`.
#[pyfunction]
pub fn _install(py: Python<'_>, search_path: &Bound<'_, PyList>) -> PyResult<()> {
    let sys = py.import("sys")?;
    let meta_path = sys.getattr("meta_path")?;
    for finder in meta_path.try_iter()? {
        if finder?.is_instance_of::<Finder>() {
            return Ok(());
        }
    }
    serve_own_namespace();
    leave_view(search_path)?;
    meta_path.call_method1("insert", (place(py, &meta_path)?, Finder { place: Place::Front }))?;
    meta_path.call_method1("append", (Finder { place: Place::Behind },))?;
    let hook = pyo3::wrap_pyfunction!(_path_hook, py)?;
    sys.getattr("path_hooks")?.call_method1("insert", (0, hook))?;
    if let Ok(posix) = py.import("posix") {
        let keywords = PyDict::new(py);
        keywords.set_item("before", pyo3::wrap_pyfunction!(_before_fork, py)?)?;
        keywords.set_item("after_in_parent", pyo3::wrap_pyfunction!(_after_fork_in_parent, py)?)?;
        keywords.set_item("after_in_child", pyo3::wrap_pyfunction!(_after_fork_in_child, py)?)?;
        posix.call_method("register_at_fork", (), Some(&keywords))?;
    }
    placeholder::append(search_path)?;
    mend_tools(py)
}

/// In a view our own package is a link. Its parts are looked for where it leads: nothing but what
/// its lock lists is found in a view.
fn leave_view(search_path: &Bound<'_, PyList>) -> PyResult<()> {
    for (at, entry) in search_path.iter().enumerate() {
        let Ok(folder) = entry.extract::<PathBuf>() else { continue };
        if folder.components().any(|part| part.as_os_str() == "views")
            && let Ok(real) = files::real(&folder)
        {
            search_path.set_item(at, real.to_string_lossy().as_ref())?;
        }
    }
    Ok(())
}

/// Right before the interpreter's own finders: the hooks of tools such as pytest, which
/// put themselves first, go on standing before us.
fn place(py: Python<'_>, meta_path: &Bound<'_, PyAny>) -> PyResult<usize> {
    for (at, finder) in meta_path.try_iter()?.enumerate() {
        let finder = finder?;
        if stock(py)?.iter().any(|own| finder.is(own.bind(py))) {
            return Ok(at);
        }
    }
    Ok(0)
}

#[pyfunction]
fn _before_fork(py: Python<'_>) {
    state::before_fork(py);
}

#[pyfunction]
fn _after_fork_in_parent() {
    state::after_fork_in_parent();
}

#[pyfunction]
fn _after_fork_in_child(py: Python<'_>) -> PyResult<()> {
    state::after_fork_in_child();
    let modules = py.import("sys")?.getattr("modules")?;
    // Nobody imported a unit before this is loaded.
    match modules.get_item("magic_module._loader") {
        Ok(loader) => loader.call_method0("after_fork_in_child").map(drop),
        Err(_) => Ok(()),
    }
}
