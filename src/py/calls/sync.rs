//! What `sync` looks at, and what an interpreter does that starts with `MAGIC_MODULE_SYNC`.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::lock::environment;
use crate::py::bridge::dict::dict;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::state::session;
use crate::uses::sync::{Look, State};

/// What lies at a path: a folder, a script, or the lock of a folder.
#[pyfunction]
pub fn _sync_look(py: Python<'_>, path: PathBuf) -> PyResult<Bound<'_, PyDict>> {
    let look = Look::at(&std::path::absolute(path)?).or_raise(py)?;
    Ok(dict!(py,
        folder: look.folder.to_string_lossy(),
        state: look.state().as_str(),
        source: look.source.as_ref().map(|source| source.name),
        digest: look.source.as_ref().map(|source| source.digest.to_hex()),
        scripts: look.scripts.iter().map(|it| it.to_string_lossy()).collect::<Vec<_>>(),
    ))
}

/// What `sync` answered when everything there was as it is; None if something is to be done.
#[pyfunction]
pub fn _synced(py: Python<'_>, path: PathBuf) -> PyResult<Option<String>> {
    let environment = environment(py)?;
    let look = Look::at(&std::path::absolute(path)?).or_raise(py)?;
    Ok(look.answer(&session(py)?.engine.store, &environment))
}

/// Notes that answer.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "as Python gives it")]
pub fn _note_synced(
    py: Python<'_>,
    path: PathBuf,
    needed: Vec<String>,
    answer: &str,
) -> PyResult<()> {
    let environment = environment(py)?;
    let look = Look::at(&std::path::absolute(path)?).or_raise(py)?;
    look.keep(&session(py)?.engine.store, &environment, &needed, answer).or_raise(py)
}

/// Makes the lock again, if what its project requires has changed; neither this process nor its
/// children look again.
pub fn sync_at_start(py: Python<'_>, lock: &Path) -> PyResult<()> {
    let looked = Look::at(lock).or_raise(py);
    let outcome = looked.and_then(|look| match look.state() {
        State::Due => {
            py.import("magic_module._py.syncing")?.call_method1("make", (lock,)).map(drop)
        }
        State::Nothing | State::Own | State::Fresh => Ok(()),
    });
    py.import("os")?.getattr("environ")?.set_item("MAGIC_MODULE_SYNC", "0")?;
    outcome
}

/// The same for a command that is about to become a program with this lock.
#[pyfunction]
pub fn _sync_before(py: Python<'_>, lock: PathBuf) -> PyResult<()> {
    let is_asked: String = py
        .import("os")?
        .getattr("environ")?
        .call_method1("get", ("MAGIC_MODULE_SYNC", ""))?
        .extract()?;
    if !session(py)?.engine.settings.sync || is_asked == "0" {
        return Ok(());
    }
    sync_at_start(py, &std::path::absolute(lock)?)
}
