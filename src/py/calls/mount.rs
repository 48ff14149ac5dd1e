//! What `mount()` and `mount_lock()` return.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;

use super::environ::{take_back, without_login};
use super::search_path::leave_search_path;
use crate::mount::Mount as CoreMount;
use crate::py::bridge::state::session;
use crate::py::hook::filter::refresh_filter;
use crate::session::Session;
use crate::settings::text_of_mounts;

/// A namespace bound to where its units come from; leaving the context closes it.
///
/// Made by `mount()`. Two are equal if they are the same mount. It is pickled as the call that made
/// it, without the login in a URL: whoever unpickles it has the mount.
#[pyclass(frozen, eq, module = "magic_module")]
pub struct Mount(pub Arc<CoreMount>);

impl PartialEq for Mount {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[pymethods]
impl Mount {
    /// The importable prefix that is served; empty for top-level names.
    #[getter]
    fn namespace(&self) -> &str {
        self.0.namespace.as_str()
    }

    /// Where the units come from, without credentials; for a lock, its file.
    #[getter]
    fn manifest_url(&self) -> String {
        self.0.supply.url().to_string()
    }

    /// The folder in which a lock's packages are seen; None for a manifest.
    ///
    /// It is shaped like a virtual environment.
    #[getter]
    fn view(&self) -> Option<PathBuf> {
        self.0.supply.view().map(|view| view.folder.clone())
    }

    /// The entries of `sys.path` for a lock's packages, for interpreters without magic_module.
    ///
    /// Such an interpreter finds only what was fetched before, for example by `prefetch()`.
    ///
    /// Returns:
    ///     The view's `site-packages`, then folders that wheels add, and editable projects;
    ///     nothing for a manifest, whose units only magic_module finds.
    ///
    /// Example:
    ///     >>> os.environ | {"PYTHONPATH": os.pathsep.join(mount.paths())}
    fn paths(&self) -> Vec<String> {
        self.0.supply.view().map_or_else(Vec::new, |view| {
            let site = view.site().to_string_lossy().into_owned();
            std::iter::once(site).chain(view.further_folders()).collect()
        })
    }

    /// The digest under which the store keeps this mount's generations.
    #[getter]
    fn identity(&self) -> String {
        self.0.identity.to_hex()
    }

    /// Undo the mount; what is imported stays imported.
    ///
    /// Example:
    ///     >>> mount.close()
    pub fn close(&self, py: Python<'_>) -> PyResult<()> {
        let session = session(py)?;
        session.close(&self.0);
        refresh_filter(session);
        take_back(py, &self.0.request)?;
        if let Some(view) = self.0.supply.view() {
            leave_search_path(py, view)?;
        } else if let Some(path) = search_path(py, &self.0)? {
            let entry = self.0.folder.entry();
            let _ = path.call_method1("remove", (entry.to_string_lossy().as_ref(),));
        }
        Ok(())
    }

    /// The mount itself.
    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    /// Undo the mount, whatever happened in the context.
    ///
    /// Args:
    ///     exc_type: not looked at.
    ///     exc_value: not looked at; it goes on to the caller.
    ///     traceback: not looked at.
    #[pyo3(signature = (exc_type, exc_value, traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc_value: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc_value, traceback);
        self.close(py)
    }

    /// As the call that made it, without the login in a URL: whoever unpickles it has the mount.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        let make = py.import("magic_module._native")?.getattr("_unpickled")?;
        Ok((make, (text_of_mounts(&[without_login(&self.0.request)]),)))
    }

    fn __hash__(&self) -> u64 {
        Arc::as_ptr(&self.0) as u64
    }

    fn __repr__(&self) -> String {
        let namespace = self.0.namespace.as_str();
        match self.0.request.source.as_lock() {
            Some(lock) => format!("Mount({namespace:?}, lock {:?})", lock.path),
            None => format!("Mount({namespace:?}, {:?})", self.0.supply.url()),
        }
    }
}

/// The `__path__` of a namespace that is imported already; for top-level names `sys.path`,
/// unless the mount comes before that.
fn search_path<'py>(py: Python<'py>, mount: &CoreMount) -> PyResult<Option<Bound<'py, PyAny>>> {
    let sys = py.import("sys")?;
    if mount.namespace.is_empty() {
        return if mount.request.first { Ok(None) } else { sys.getattr("path").map(Some) };
    }
    let namespace = sys.getattr("modules")?.get_item(mount.namespace.as_str());
    Ok(namespace.and_then(|module| module.getattr("__path__")).ok())
}

/// Puts a mount's entry into the `__path__` of its namespace.
pub fn join_search_path(py: Python<'_>, session: &Session, mount: &CoreMount) -> PyResult<()> {
    let Some(path) = search_path(py, mount)? else { return Ok(()) };
    let entry = mount.folder.entry().to_string_lossy().into_owned();
    if mount.namespace.is_empty() {
        // A child inherits `sys.path`, and may have looked for the folder before we claimed it.
        let known = py.import("sys")?.getattr("path_importer_cache")?;
        known.call_method1("pop", (&entry, py.None()))?;
    }
    let root = session.engine.store.mounts().to_string_lossy().into_owned();
    let others: Vec<String> = path
        .try_iter()?
        .filter_map(|item| item.ok()?.extract::<String>().ok())
        .filter(|item| item.starts_with(&root))
        .collect();
    if others.contains(&entry) {
        return Ok(());
    }
    if mount.namespace.is_empty() {
        return path.call_method1("append", (entry,)).map(drop);
    }
    // The mount that this one replaces.
    for other in others.iter().filter(|other| other.ends_with("units")) {
        let _ = path.call_method1("remove", (other,));
    }
    path.call_method1("append", (entry,)).map(drop)
}
