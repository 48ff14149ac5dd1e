//! Being asked before something is fetched.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::py::bridge::consent::set_callback;

/// Be asked before something is fetched that a policy says to ask about.
///
/// Args:
///     callback: called with a `Request` on the thread that waits; it answers "once", "always" (for
///         as long as this process lives) or "deny" (for as long, too), and what it raises ends the
///         act. With None, whoever sits at the terminal is asked; without a terminal it is refused.
///
/// Raises:
///     TypeError: `callback` cannot be called.
///
/// Example:
///     >>> mm.on_request(lambda request: "once" if request.size < 2**20 else "deny")
#[pyfunction]
pub fn on_request(py: Python<'_>, callback: Option<Py<PyAny>>) -> PyResult<()> {
    if callback.as_ref().is_some_and(|callback| !callback.bind(py).is_callable()) {
        return Err(PyTypeError::new_err("on_request takes a callable or None"));
    }
    set_callback(callback);
    Ok(())
}
