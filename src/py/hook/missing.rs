//! Why a name is not there: no package of a lock that is mounted provides it.
//!
//! Only an import that is about to fail comes by here: who merely asks whether there is such a
//! module is told that there is none.

use pyo3::exceptions::PyModuleNotFoundError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3::{PyTypeInfo, intern};

use super::filter::{Finder, Place};
use super::whole::is_import;
use crate::session::Session;

/// Raises what the import would raise, with a note which name comes closest, and how to add one.
pub fn explain(py: Python<'_>, session: &Session, name: &str) -> PyResult<()> {
    if !session.has_view() || !is_import(py)? || !is_last(py)? {
        return Ok(());
    }
    match session.missing(name) {
        Some(note) => Err(raised(py, name, &note)?),
        None => Ok(()),
    }
}

/// What an import raises, with a note.
pub fn raised(py: Python<'_>, name: &str, note: &str) -> PyResult<PyErr> {
    let message = format!("No module named '{name}'");
    let raised = |message: &str| {
        let error = PyModuleNotFoundError::type_object(py).call1((message,))?;
        error.setattr(intern!(py, "name"), name)?;
        PyResult::Ok(error)
    };
    let error = raised(&message)?;
    // Before Python 3.11 there are no notes.
    let error = match error.call_method1(intern!(py, "add_note"), (note,)) {
        Ok(_) => error,
        Err(_) => raised(&format!("{message}; {note}"))?,
    };
    Ok(PyErr::from_value(error))
}

/// True if nobody is asked after us.
pub fn is_last(py: Python<'_>) -> PyResult<bool> {
    let finders = py.import(intern!(py, "sys"))?.getattr(intern!(py, "meta_path"))?;
    let last = finders.cast::<PyList>()?.iter().next_back();
    Ok(last.is_some_and(|last| {
        last.cast::<Finder>().is_ok_and(|finder| finder.get().place == Place::Behind)
    }))
}
