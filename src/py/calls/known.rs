//! Import name to distribution.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::known::{Known, distribution};
use crate::py::bridge::dict::dict;

/// What the tables know of a name that follows `import`; `None` if it cannot be one.
#[pyfunction]
pub fn _known<'py>(py: Python<'py>, import_name: &str) -> PyResult<Option<Bound<'py, PyDict>>> {
    distribution(import_name).map(|known| as_dict(py, &known)).transpose()
}

fn as_dict<'py>(py: Python<'py>, known: &Known) -> PyResult<Bound<'py, PyDict>> {
    Ok(dict!(py,
        import: &known.import,
        distribution: &known.distribution,
        requirement: &known.requirement,
        confidence: known.confidence.as_str(),
        source: known.source.as_str(),
        alternatives: &known.alternatives,
        extras: &known.extras,
        indexes: &known.indexes,
        system: &known.system,
        note: &known.note,
        meant: &known.meant,
    ))
}
