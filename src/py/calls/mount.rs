//! `mount()` and what it returns.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::environ::{hand_down, may_be_handed_down, take_back, without_login};
use super::search_path::leave_search_path;
use crate::error::{Error, Kind};
use crate::mount::{Mount as CoreMount, MountRequest};
use crate::name::{Namespace, UnitName, UrlText, Version};
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::state::session;
use crate::py::hook::filter::refresh_filter;
use crate::py::hook::finder::inherit;
use crate::session::Session;
use crate::settings::text_of_mounts;
use crate::supply::Source;
use crate::supply::manifest::{self, WhenOld};

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

    /// Where the units come from, without credentials; of a lock its own file.
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

    /// What stands on `sys.path` for a lock's packages, for whoever starts interpreters alone.
    ///
    /// An interpreter without magic_module finds there what was fetched before, as `prefetch()`
    /// does, and nothing else.
    ///
    /// Returns:
    ///     The view's `site-packages`, then folders that wheels add and projects that are worked on;
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
    fn close(&self, py: Python<'_>) -> PyResult<()> {
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

/// Serve `namespace` from a manifest; the same call twice is the same mount.
///
/// Nothing is asked before a name of the namespace is looked up.
///
/// Args:
///     namespace: the importable prefix, such as a package's `__name__`; empty for top-level names.
///     manifest_url: where the `manifest.json` is: https, http to this machine, or a file.
///     public_key: a minisign key, or several of which one must have signed; None asks for none.
///     first: serve top-level names before what is installed; for an empty namespace only.
///     pins: versions by unit that are used whatever is newest: `{"alpha": "1.1.0"}`.
///     allow_http: accept plain http from other machines, too.
///     max_age: what a manifest that is too old does: "warn" or "fail".
///     frozen: refuse all that the project's `magic.lock` does not hold.
///     export: every process that is started from now on has the mount, too, until it is closed;
///         for a named namespace only.
///
/// Returns:
///     The mount, a context manager that undoes it.
///
/// Raises:
///     ConfigurationError: an argument is wrong, or contradicts an earlier mount.
///     StoreError: the cache directory cannot be used.
///     ValueError: `max_age` is neither of the two.
///
/// Example:
///     >>> mm.mount("acme", "https://example.com/acme/manifest.json")
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of the public function")]
#[pyo3(signature = (namespace, manifest_url, *, public_key=None, first=false, pins=None, allow_http=false, max_age="warn", frozen=false, export=false))]
pub fn mount(
    py: Python<'_>,
    namespace: &str,
    manifest_url: &str,
    public_key: Option<&Bound<'_, PyAny>>,
    first: bool,
    pins: Option<BTreeMap<String, String>>,
    allow_http: bool,
    max_age: &str,
    frozen: bool,
    export: bool,
) -> PyResult<Mount> {
    let request = MountRequest {
        namespace: Namespace::new(namespace)
            .map_err(|error| wrong("the namespace", &error))
            .or_raise(py)?,
        source: Source::Manifest(manifest::Source {
            url: UrlText::new(manifest_url),
            public_keys: keys(public_key)?,
            allow_http,
            max_age: match max_age {
                "warn" => WhenOld::Warn,
                "fail" => WhenOld::Fail,
                _ => return Err(PyValueError::new_err("max_age must be 'warn' or 'fail'")),
            },
        }),
        first,
        pins: pins
            .unwrap_or_default()
            .into_iter()
            .map(pin)
            .collect::<Result<_, Error>>()
            .or_raise(py)?,
        frozen,
    };
    if export && !may_be_handed_down(&request) {
        let why = "only a lock can hand down top-level names";
        let hint = "mount a namespace, or have each program call mount() by itself";
        return Err(Error::new(Kind::Configuration, why).hint(hint)).or_raise(py);
    }
    let mount = mount_manifest(py, request)?;
    if export {
        hand_down(py, &mount.0.request)?;
    }
    Ok(mount)
}

/// Makes a mount of a manifest.
pub fn mount_manifest(py: Python<'_>, request: MountRequest) -> PyResult<Mount> {
    let session = session(py)?;
    let mount = session.mount(request).or_raise(py)?;
    refresh_filter(session);
    join_search_path(py, session, &mount)?;
    if py.import("sys")?.getattr("modules")?.contains("multiprocessing.spawn")? {
        inherit(py)?;
    }
    Ok(Mount(mount))
}

fn keys(public_key: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<String>> {
    match public_key {
        None => Ok(Vec::new()),
        Some(key) if key.is_instance_of::<PyString>() => Ok(vec![key.extract()?]),
        Some(keys) => keys
            .extract()
            .map_err(|_| PyTypeError::new_err("public_key must be a string or a list of strings")),
    }
}

fn pin((name, version): (String, String)) -> Result<(UnitName, Version), Error> {
    let name = UnitName::new(&name).map_err(|error| wrong("a pin", &error))?;
    let version = Version::new(&version).map_err(|error| wrong("a pin", &error))?;
    Ok((name, version))
}

fn wrong(what: &str, why: &crate::name::BadName) -> Error {
    Error::new(Kind::Configuration, format!("{what} is wrong"))
        .caused_by(why)
        .hint("change the arguments of mount()")
}
