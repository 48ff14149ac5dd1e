//! Audit events (PEP 578), raised in the thread of the program that acts, before the act.
//! What a hook raises ends the act. `docs/reference/api.md` lists the arguments.

use pyo3::call::PyCallArgs;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use serde_json::json;

use super::told;
use crate::audit::Act;

/// Raises one event; `arguments` begin with its name.
pub fn raise<'py>(py: Python<'py>, arguments: impl PyCallArgs<'py>) -> PyResult<()> {
    static AUDIT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let audit =
        AUDIT.get_or_try_init(py, || py.import("sys")?.getattr("audit").map(Bound::unbind))?;
    audit.bind(py).call1(arguments).map(drop)
}

/// What workers are about to do.
pub fn acts(py: Python<'_>, acts: &[Act]) -> PyResult<()> {
    for act in acts {
        match act {
            Act::Resolve { url } => raise(py, ("magic_module.resolve", url.to_string()))?,
            Act::Fetch { unit, url, size, sha256 } => {
                raise(py, ("magic_module.fetch", unit, url.to_string(), size, sha256))?;
                told::tell(|| json!({"fetched": {"name": unit, "bytes": size}}));
            }
        }
    }
    Ok(())
}
