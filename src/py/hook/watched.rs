//! Modules of others that do not expect what a view is, or that look only at files: completers and
//! debuggers. They are mended when they are loaded.
//!
//! ```text
//! import importlib.metadata ─▶ the spec of whoever has it ─▶ its body runs ─▶ mended
//! ```
//!
//! Which those are, and what is done to them, `magic_module._py.mended` knows; here it is told
//! that one is loaded, at the price of a look at its name.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::elsewhere::Wanted;
use super::filter::Finder;
use crate::py::bridge::state::existing;

/// Whether a module of this name is mended. Some are also vendored, under longer names.
fn is_watched(name: &str) -> bool {
    match name.rsplit('.').next() {
        Some("importlib_metadata" | "pkg_resources") => true,
        Some("metadata") => name == "importlib.metadata",
        Some("readers") => name.starts_with("importlib"),
        Some("resources") => name.ends_with("distlib.resources"),
        Some("__main__") => name == "pip.__main__",
        _ => false,
    }
}

/// What completes the names after `import`, in IPython and at the prompt of Python itself, and what
/// sets breakpoints in files.
const TOOLS: [&str; 5] = [
    "IPython.core.completerlib",
    "_pyrepl._module_completer",
    "jedi.inference.compiled.subprocess.functions",
    "pdb",
    "pydevd_file_utils",
];

/// True for a name that is mended: some are only while a lock is mounted.
pub fn is_mended(name: &str) -> bool {
    if TOOLS.contains(&name) {
        return true;
    }
    is_watched(name)
        && existing().is_some_and(|session| {
            session.find_mount(|mount| mount.supply.view().is_some()).is_some()
        })
}

/// The spec of a module that is mended once its body ran. `found` is ours, if we have it; else the
/// finders behind are asked.
pub fn mended<'py>(
    finder: &Bound<'py, Finder>,
    wanted: Wanted<'_, 'py>,
    found: Option<Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = wanted.py();
    let spec = py
        .import("magic_module._py.mended")?
        .call_method1("spec", (finder, wanted.fullname, wanted.path, wanted.target, found))?;
    Ok((!spec.is_none()).then_some(spec))
}

/// Mends the tools that were loaded before us.
pub fn mend_tools(py: Python<'_>) -> PyResult<()> {
    let modules = py.import("sys")?.getattr("modules")?;
    for name in TOOLS {
        if let Ok(module) = modules.get_item(name) {
            py.import("magic_module._py.mended")?.call_method1("mend", (module,))?;
        }
    }
    Ok(())
}

/// Mends what was loaded before the first lock was mounted.
pub fn mend_loaded(py: Python<'_>) -> PyResult<()> {
    let modules = py.import("sys")?.getattr("modules")?;
    for name in modules.call_method0("copy")?.try_iter()? {
        let name = name?;
        let watched = name.cast::<PyString>().is_ok_and(|name| name.to_str().is_ok_and(is_watched));
        if watched {
            let module = modules.get_item(name)?;
            py.import("magic_module._py.mended")?.call_method1("mend", (module,))?;
        }
    }
    Ok(())
}
