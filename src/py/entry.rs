//! The hook on `sys.path_hooks`: folders of the store hold what the record lists.

use std::path::Path;
use std::sync::Arc;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::errors::OrRaise;
use super::finder::{refresh_filter, resolve};
use super::install::is_placeholder;
use super::runtime;
use super::spec::{is_in_trees, spec_of};
use super::state::session;
use crate::session::{Session, TopLevel};

/// A folder of the store on a search path: it holds what the record lists, whatever
/// else may lie there.
#[pyclass(frozen, module = "magic_module", name = "_Entry")]
pub struct Entry {
    #[pyo3(get)]
    path: String,
}

#[pymethods]
impl Entry {
    #[pyo3(signature = (fullname, target=None))]
    fn find_spec<'py>(
        &self,
        fullname: &Bound<'py, PyString>,
        target: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let _ = target;
        let py = fullname.py();
        let session = session(py)?;
        let name = fullname.to_str()?;
        if !is_in_trees(session, &self.path) {
            return resolve(py, session, fullname, name, TopLevel::First);
        }
        let tail = name.rsplit('.').next().unwrap_or(name);
        let located = session.located_in(Path::new(&self.path), tail);
        let located = located.filter(|located| !session.is_of_another(name, located));
        located.map(|located| spec_of(py, fullname, &located)).transpose()
    }

    /// `(name, is package)` of everything that can be imported from here, downloaded or not.
    #[pyo3(signature = (prefix=""))]
    fn iter_modules<'py>(&self, py: Python<'py>, prefix: &str) -> PyResult<Bound<'py, PyAny>> {
        let session = session(py)?;
        let path = Path::new(&self.path);
        let found = if is_in_trees(session, &self.path) {
            session.modules_in_tree(path)
        } else {
            self.list(py, session)?
        };
        let names = found.into_iter().map(|(name, package)| (format!("{prefix}{name}"), package));
        PyList::new(py, names)?.try_iter().map(Bound::into_any)
    }

    fn invalidate_caches(&self) {}

    fn __repr__(&self) -> String {
        format!("<magic_module entry {:?}>", self.path)
    }
}

impl Entry {
    /// The units of a mount; the manifest is asked for if none is known. Listing never
    /// fails: tools walk paths that nobody means to import from.
    fn list(
        &self,
        py: Python<'_>,
        session: &'static Arc<Session>,
    ) -> PyResult<Vec<(String, bool)>> {
        let path = Path::new(&self.path);
        let _ = session.own_mount();
        refresh_filter(session);
        let Some((mount, below)) = session.mount_of_entry(path) else { return Ok(Vec::new()) };
        if let Some(found) = session.modules_of_mount(&mount, &below) {
            return Ok(found);
        }
        let asked = {
            let (session, mount) = (session.clone(), mount.clone());
            async move { mount.refresh(&session.context(), false).await }
        };
        match runtime::block(py, session, None, asked) {
            Err(error) if error.is_instance_of::<PyImportError>(py) => Ok(Vec::new()),
            Err(error) => Err(error),
            Ok(_) => Ok(session.modules_of_mount(&mount, &below).unwrap_or_default()),
        }
    }
}

/// Claims the folders of the store; every other path is somebody else's.
#[pyfunction]
pub fn _path_hook(py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<Entry> {
    let foreign = || PyImportError::new_err("only folders of magic_module's store are claimed");
    let path: String = path.extract().map_err(|_| foreign())?;
    if is_placeholder(&path) {
        let mount = session(py)?.own_mount().or_raise(py)?;
        return Ok(Entry { path: mount.folder.entry().to_string_lossy().into_owned() });
    }
    // Cheap for everybody else's paths, also before there is a session.
    if !path.contains("v1") {
        return Err(foreign());
    }
    let session = session(py)?;
    let inside = Path::new(&path);
    let ours =
        inside.starts_with(session.store.trees()) || inside.starts_with(session.store.mounts());
    if ours && !session.is_in_file_of_tree(inside) { Ok(Entry { path }) } else { Err(foreign()) }
}
