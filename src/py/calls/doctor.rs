//! What the doctor finds.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::describe::hidden_by;
use crate::py::bridge::dict::dict;
use crate::py::bridge::runtime::block;
use crate::py::bridge::state::session;
use crate::uses::diagnose::{Finding, environment};

/// The doctor's findings that only the core can make.
#[pyfunction]
pub fn _diagnose(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    if let Some(finding) = environment() {
        return Ok(vec![shown(py, finding)?]);
    }
    let session = session(py)?;
    let mut findings = session.diagnose();
    for mount in session.all_mounts() {
        let asked = mount.clone();
        findings.extend(block(py, session, None, async move |session| {
            Ok(session.diagnose_mount(&asked).await)
        })?);
        for unit in session.known_names(&mount) {
            let name = mount.namespace.join(&unit);
            let hidden = hidden_by(py, session, &name, mount.comes_first())?;
            findings.extend(hidden.map(|by| Finding::hidden(&name, &by)));
        }
    }
    findings.into_iter().map(|finding| shown(py, finding)).collect()
}

fn shown(py: Python<'_>, finding: Finding) -> PyResult<Bound<'_, PyDict>> {
    let Finding { check, ok, message, hint } = finding;
    Ok(dict!(py, check: check, ok: ok, message: message, hint: hint))
}
