//! Mounts of the environment that could not be made: who imports from one of them is told why.
//!
//! | what it would serve   | an import of it that is about to fail                        |
//! |-----------------------|--------------------------------------------------------------|
//! | a namespace           | raises why it could not be made                              |
//! | any name, or unknown  | says so in a note: a package may be able to do without       |
//!
//! An interpreter starts whatever its environment says, and what is installed is imported as ever.

use parking_lot::Mutex;
use pyo3::prelude::*;

use super::elsewhere::{Wanted, known_to_finders};
use super::filter::{Place, serve_broken};
use super::missing;
use crate::py::bridge::errors::kind_of;
use crate::py::bridge::frames::is_import;
use crate::session::Session;
use crate::settings::Exported;

/// A mount that is not there.
struct Broken {
    mount: Exported,
    error: Py<PyAny>,
}

/// Used with the interpreter's lock only: no fork catches it in the hands of another thread.
static BROKEN: Mutex<Vec<Broken>> = Mutex::new(Vec::new());

/// Keeps why a mount could not be made.
pub fn note(py: Python<'_>, mount: &Exported, error: &PyErr) {
    if kind_of(py, error).is_some() {
        let error = error.value(py).clone().into_any().unbind();
        let mut broken = BROKEN.lock();
        if !broken.iter().any(|it| it.mount == *mount) {
            broken.push(Broken { mount: mount.clone(), error });
        }
        serve_broken();
    }
}

/// It could be made after all.
pub fn forget(mount: &Exported) {
    let gone: Vec<_> = BROKEN.lock().extract_if(.., |it| it.mount == *mount).collect();
    // The end of an error may run Python, which must not meet the lock.
    drop(gone);
}

/// Raises it, if the name is one of those that the mount would have served.
pub fn explain(session: Option<&Session>, wanted: Wanted<'_, '_>) -> PyResult<()> {
    let (py, name) = (wanted.py(), wanted.name);
    let found = BROKEN.lock().iter().find_map(|it| {
        let is_meant =
            it.mount.namespace.is_empty() || is_around(it.mount.namespace.as_str(), name);
        is_meant.then(|| (it.mount.namespace.clone(), it.error.clone_ref(py)))
    });
    let Some((namespace, error)) = found else { return Ok(()) };
    let is_mounted = session.is_some_and(|session| session.mount_around(name).is_some());
    if is_mounted || !is_import(py)? {
        return Ok(());
    }
    if !namespace.is_empty() {
        return match known_to_finders(wanted, Place::Behind)? {
            Some(_) => Ok(()),
            None => {
                Err(PyErr::from_value(error.bind(py).call_method1("with_traceback", (py.None(),))?))
            }
        };
    }
    if name.contains('.') || !missing::is_last(py)? {
        return Ok(());
    }
    Err(missing::raised(py, name, &error.bind(py).str()?.to_string_lossy())?)
}

/// True for the namespace, what is below it, and what it is below.
fn is_around(namespace: &str, name: &str) -> bool {
    let is_below = |whole: &str, part: &str| {
        whole.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    is_below(name, namespace) || is_below(namespace, name)
}
