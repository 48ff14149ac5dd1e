//! What the scripts of a space may import, where its `[scripts]` says so.
//!
//! ```text
//! import x ─ builtins.__import__ ──────────────┐
//! import_module("x") ─ importlib.import_module ┴▶ by a file of the script's own? ─ judged ─▶ PolicyError
//! ```
//!
//! Both functions are replaced, and only where there is such a rule. A finder would not do: it is not
//! asked for what is loaded already, and it cannot tell an import of the script from an import of an
//! extension module that the script has called. It is a guard rail: code that runs can take it away, or
//! go around it.

use std::collections::HashMap;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use super::elsewhere::{Wanted, in_folders};
use crate::audit::Asker;
use crate::error::Result;
use crate::journal::{Decision, Entry};
use crate::policy::Scripts;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::frames::{caller, is_own};
use crate::py::bridge::state::existing;
use crate::session::{OWN, Session};

static GUARD: PyOnceLock<Guard> = PyOnceLock::new();

/// The rule, and the functions as they were.
struct Guard {
    /// One that cannot be read allows nothing.
    rule: Result<Scripts>,
    import: Py<PyAny>,
    import_module: Py<PyAny>,
}

/// Files, and whether they are the script's. Used with the interpreter's lock only: no fork catches it in
/// the hands of another thread.
static OF_SCRIPT: Mutex<Option<HashMap<String, bool>>> = Mutex::new(None);

/// What stands in the place of `builtins.__import__`. Statements have a tuple of names, or nothing; a
/// list is what an extension module gives.
#[pyfunction]
#[pyo3(name = "__import__", signature = (*arguments, **named))]
fn guarded_import<'py>(
    arguments: &Bound<'py, PyTuple>,
    named: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = arguments.py();
    let given = |at: usize, name: &str| match arguments.get_item(at) {
        Ok(value) => Some(value),
        Err(_) => named.and_then(|named| named.get_item(name).ok()?),
    };
    let items = given(3, "fromlist");
    let is_relative = given(4, "level").is_some_and(|it| it.is_truthy().unwrap_or(true));
    let is_foreign = items.as_ref().is_some_and(|items| items.is_instance_of::<PyList>());
    if !is_foreign
        && !is_relative
        && let Some(name) = given(0, "name").and_then(|it| it.extract::<String>().ok())
        && !is_free(py, &name)?
        && let Some(file) = caller(py)?
    {
        judge(py, &name, &file)?;
        let items = items.and_then(|items| items.extract::<Vec<String>>().ok());
        for full in items.iter().flatten().map(|item| format!("{name}.{item}")) {
            if is_module(py, &name, &full)? {
                judge(py, &full, &file)?;
            }
        }
    }
    match GUARD.get(py) {
        Some(guard) => guard.import.bind(py).call(arguments, named),
        None => Ok(py.None().into_bound(py)),
    }
}

/// What stands in the place of `importlib.import_module`.
#[pyfunction]
#[pyo3(name = "import_module", signature = (name, package=None))]
fn guarded_import_module<'py>(
    name: &Bound<'py, PyString>,
    package: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, text) = (name.py(), name.to_str()?);
    if !text.starts_with('.')
        && !is_free(py, text)?
        && let Some(file) = caller(py)?
    {
        judge(py, text, &file)?;
    }
    match GUARD.get(py) {
        Some(guard) => guard.import_module.bind(py).call1((name, package)),
        None => Ok(py.None().into_bound(py)),
    }
}

/// Whether `from a import b` means a module.
fn is_module(py: Python<'_>, name: &str, full: &str) -> PyResult<bool> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    if modules.contains(full)? {
        return Ok(true);
    }
    // What the package has under that name is none, else it would be loaded; what it has not, is.
    let package = modules.get_item(name);
    let item = full.rsplit('.').next().unwrap_or_default();
    Ok(!package.is_ok_and(|package| package.hasattr(item).unwrap_or(false)))
}

/// Puts both in their places, once, if the space has such a rule.
pub fn guard(py: Python<'_>, session: &Session) -> PyResult<()> {
    let Some(space) = &session.engine.settings.space else { return Ok(()) };
    let Some(file) = space.registry() else { return Ok(()) };
    if let Some(guard) = GUARD.get(py) {
        return guard.rule.as_ref().map(drop).map_err(Clone::clone).or_raise(py);
    }
    let Some(rule) = Scripts::read(&file).transpose() else { return Ok(()) };
    let refused = rule.as_ref().err().cloned();
    let (builtins, importlib) = (py.import("builtins")?, py.import("importlib")?);
    let import = builtins.getattr("__import__")?.unbind();
    let import_module = importlib.getattr("import_module")?.unbind();
    if GUARD.set(py, Guard { rule, import, import_module }).is_ok() {
        builtins.setattr("__import__", pyo3::wrap_pyfunction!(guarded_import, py)?)?;
        importlib.setattr("import_module", pyo3::wrap_pyfunction!(guarded_import_module, py)?)?;
    }
    refused.map_or(Ok(()), Err).or_raise(py)
}

/// The standard library, and our own package but its units.
fn is_free(py: Python<'_>, name: &str) -> PyResult<bool> {
    let top = name.split('.').next().unwrap_or_default();
    let below = name.strip_prefix(OWN);
    if below.is_some_and(|it| it.is_empty() || it.starts_with("._") || it == ".errors") {
        return Ok(true);
    }
    let standard = py.import(intern!(py, "sys"))?.getattr(intern!(py, "stdlib_module_names"))?;
    Ok(top == "__main__" || standard.contains(top)?)
}

/// Raises what a rule refuses, and writes it down.
fn judge(py: Python<'_>, full: &str, file: &str) -> PyResult<()> {
    let (Some(session), Some(guard)) = (existing(), GUARD.get(py)) else { return Ok(()) };
    if !is_of_script(py, session, file)? {
        return Ok(());
    }
    let scripts = guard.rule.as_ref().map_err(Clone::clone).or_raise(py)?;
    let Some(refusal) = scripts.judge(full) else { return Ok(()) };
    if refusal.unlisted && is_own_module(py, session, full)? {
        return Ok(());
    }
    let (import, importer) = (Some(full.to_owned()), Some(file.to_owned()));
    let asker = Asker { import, importer, script: None };
    let entry = Entry {
        decision: Decision::Refused,
        distribution: "",
        version: "",
        source: String::new(),
        sha256: String::new(),
        bytes: 0,
        rule: &refusal.rule,
        error: refusal.why.clone(),
    };
    // It is refused whether that can be written or not.
    let _ = session.engine.journal.write(&asker, entry);
    Err(scripts.error(full, file, &refusal)).or_raise(py)
}

/// A module that is one of the script's files, or a folder of such.
fn is_own_module(py: Python<'_>, session: &Arc<Session>, full: &str) -> PyResult<bool> {
    let top = full.split('.').next().unwrap_or_default();
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    let known = modules.get_item(top).and_then(|module| module.getattr("__spec__"));
    let spec = match known.ok().filter(|spec| !spec.is_none()) {
        Some(spec) => Some(spec),
        None => {
            let fullname = PyString::new(py, top);
            in_folders(Wanted { fullname: &fullname, name: top, path: None, target: None }, None)?
        }
    };
    let Some(spec) = spec else { return Ok(false) };
    let place = spec.getattr("origin")?.extract::<String>();
    let folder = || spec.getattr("submodule_search_locations")?.get_item(0)?.extract::<String>();
    match place.or_else(|_| folder()) {
        Ok(place) => is_of_script(py, session, &place),
        Err(_) => Ok(false),
    }
}

/// True for a file of the script: one of nobody's package, in its folder, in the working directory, or
/// nowhere on `sys.path`.
fn is_of_script(py: Python<'_>, session: &Session, file: &str) -> PyResult<bool> {
    if let Some(known) = OF_SCRIPT.lock().get_or_insert_default().get(file) {
        return Ok(*known);
    }
    let of_script = is_own(py, session, file)? && !is_on_path(py, file)?;
    OF_SCRIPT.lock().get_or_insert_default().insert(file.to_owned(), of_script);
    Ok(of_script)
}

/// True for a file below a folder of `sys.path` that is not the script's own.
fn is_on_path(py: Python<'_>, file: &str) -> PyResult<bool> {
    let sys = py.import(intern!(py, "sys"))?;
    let Ok(file) = absolute(file) else { return Ok(false) };
    let main = sys.getattr(intern!(py, "modules"))?.get_item("__main__");
    let main = main.and_then(|main| main.getattr("__file__")?.extract::<PathBuf>());
    let script = main.ok().and_then(|main| absolute(main).ok()?.parent().map(Path::to_owned));
    let own = [script, absolute(".").ok()];
    let entries: Vec<PathBuf> = sys
        .getattr(intern!(py, "path"))?
        .try_iter()?
        .filter_map(|entry| entry.ok()?.extract::<PathBuf>().ok())
        .filter(|entry| !entry.as_os_str().is_empty())
        .collect();
    let length = |folder: &PathBuf| folder.components().count();
    let nearest = |folders: &mut dyn Iterator<Item = &PathBuf>| {
        folders.filter(|it| file.starts_with(it)).map(length).max().unwrap_or(0)
    };
    let others =
        nearest(&mut entries.iter().filter(|it| !own.iter().flatten().any(|own| own == *it)));
    Ok(others > nearest(&mut own.iter().flatten()))
}
