//! Telling what happens.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::py::bridge::listeners::{set_callback, unwatch, watch};
use crate::py::bridge::state::session;

/// Call a function when something happens: resolve, fetch, verify, load, upgrade.
///
/// Args:
///     callback: called with each event, a dict, on the thread that waits, at most 10 times a second
///         with progress; what it raises ends the act. None: call nobody.
///
/// Raises:
///     TypeError: `callback` cannot be called.
///
/// Example:
///     >>> mm.on_event(lambda event: print(event["event"], event["unit"]))
#[pyfunction]
pub fn on_event(py: Python<'_>, callback: Option<Py<PyAny>>) -> PyResult<()> {
    if callback.as_ref().is_some_and(|callback| !callback.bind(py).is_callable()) {
        return Err(PyTypeError::new_err("on_event takes a callable or None"));
    }
    set_callback(session(py)?, callback);
    Ok(())
}

/// One more is told of every event, beside the callback of `on_event`.
#[pyfunction]
pub fn _watch(py: Python<'_>, watcher: Py<PyAny>) -> PyResult<()> {
    watch(session(py)?, watcher);
    Ok(())
}

/// It is told of no further one.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "as Python gives it")]
pub fn _unwatch(py: Python<'_>, watcher: Py<PyAny>) -> PyResult<()> {
    unwatch(session(py)?, &watcher);
    Ok(())
}
