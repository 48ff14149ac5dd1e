//! Why a name is not there: no package of a lock that is mounted provides it.
//!
//! Only an import that is about to fail comes by here: who merely asks whether there is such a
//! module is told that there is none.

use std::collections::HashMap;

use parking_lot::Mutex;
use pyo3::exceptions::PyModuleNotFoundError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3::{PyTypeInfo, intern};

use super::filter::{Finder, Place, changes};
use crate::py::bridge::frames::is_import;
use crate::session::Session;

/// So many notes are kept.
const MOST: usize = 4096;

/// Raises what the import would raise, with a note which name comes closest, and how to add one.
pub fn explain(py: Python<'_>, session: &Session, name: &str) -> PyResult<()> {
    if !session.has_view() || !is_import(py)? || !is_last(py)? {
        return Ok(());
    }
    match note(session, name) {
        Some(note) => Err(raised(py, name, &note)?),
        None => Ok(()),
    }
}

/// Notes are searched for among all names of a lock, and packages try one missing name again and
/// again: they are kept as long as the mounts are the same.
#[derive(Default)]
struct Notes {
    changes: u64,
    notes: HashMap<String, Option<String>>,
}

/// Used with the interpreter's lock only: no fork catches it in the hands of another thread.
static NOTES: Mutex<Option<Notes>> = Mutex::new(None);

fn note(session: &Session, name: &str) -> Option<String> {
    let mut kept = NOTES.lock();
    let kept = kept.get_or_insert_default();
    if kept.changes != changes() || kept.notes.len() == MOST {
        *kept = Notes { changes: changes(), notes: HashMap::new() };
    }
    if let Some(note) = kept.notes.get(name) {
        return note.clone();
    }
    let note = session.missing(name);
    kept.notes.insert(name.to_owned(), note.clone());
    note
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
