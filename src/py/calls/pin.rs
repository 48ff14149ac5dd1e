//! The project's lock.

use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};

use crate::py::bridge::dict::dict;
use crate::py::bridge::runtime::block;
use crate::py::bridge::state::{know_tags, session};

/// `pin` and `upgrade` look at what there is, not at what was locked.
#[pyfunction]
pub fn _ignore_lock(py: Python<'_>) -> PyResult<()> {
    session(py)?.project.ignore();
    Ok(())
}

/// Every mount of this process refuses what is not locked.
#[pyfunction]
pub fn _freeze(py: Python<'_>) -> PyResult<()> {
    session(py)?.project.freeze();
    Ok(())
}

/// Writes `magic.lock`; without names, everything in use of the namespace.
#[pyfunction]
#[pyo3(signature = (namespace, names, frozen=None))]
pub fn _pin(
    py: Python<'_>,
    namespace: String,
    names: Vec<String>,
    frozen: Option<bool>,
) -> PyResult<Bound<'_, PyDict>> {
    let session = session(py)?;
    know_tags(py, session)?;
    let here = std::env::current_dir()?;
    let pinned = block(py, session, None, async move |session| {
        session.pin(&here, &namespace, &names, frozen).await
    })?;
    let units = pinned.units.iter().map(|(name, version)| (name, version.as_str()));
    Ok(dict!(py,
        path: pinned.lock.path.to_string_lossy(),
        frozen: pinned.lock.frozen,
        units: units.into_py_dict(py)?,
    ))
}
