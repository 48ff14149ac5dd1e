//! The hook on `sys.path_hooks`: folders of the store hold what the record lists.
//!
//! A folder of a tree holds what the record of its unit lists; that of a mount holds its
//! units. The mount of top-level names has its folder at the end of `sys.path`.

use std::path::{MAIN_SEPARATOR_STR, Path, PathBuf};
use std::sync::Arc;

use pyo3::exceptions::PyImportError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyList, PyString};

use super::elsewhere::{Wanted, in_folders, is_asking, is_real, known_to_finders};
use super::filter::Place;
use super::resolve::{Outcome, Scope, resolve};
use super::spec::{machinery, spec_of};
use super::standing::standing;
use super::whole::found;
use crate::fetch::Freshness;
use crate::layout::Found;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::import_lock::is_busy;
use crate::py::bridge::placeholder::is_placeholder;
use crate::py::bridge::runtime::block;
use crate::py::bridge::state::session;
use crate::session::{Session, Standing};

/// Which other folders of a search path are meant.
#[derive(Clone, Copy)]
enum Others {
    /// Those after this one that are not the store's.
    Later,
    /// All that belong to no mount.
    OfNoMount,
}

/// A folder of the store on a search path: it holds what the record lists, whatever
/// else may lie there.
#[pyclass(frozen, module = "magic_module", name = "_Entry")]
pub struct Entry {
    /// As it stands on the search path.
    #[pyo3(get)]
    path: String,
    /// As the store writes it.
    folder: PathBuf,
}

#[pymethods]
impl Entry {
    /// As `FileFinder` does: a folder without code is a spec without a loader, which
    /// `PathFinder` joins with what it finds in other folders.
    #[pyo3(signature = (fullname, target=None))]
    fn find_spec<'py>(
        &self,
        fullname: &Bound<'py, PyString>,
        target: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = fullname.py();
        let session = session(py)?;
        let wanted = Wanted { fullname, name: fullname.to_str()?, path: None, target };
        if !self.is_of_files(session) {
            return self.unit(session, wanted);
        }
        if is_asking(wanted.name) {
            return Ok(None);
        }
        let standing = standing(py, session, &self.folder, wanted.name)?;
        if !matches!(standing, Standing::Nothing)
            && !wanted.name.contains('.')
            && session.gives_way(&self.folder)
            && let Some(spec) = known_to_finders(wanted, Place::Front)?
        {
            return Ok(Some(spec));
        }
        match standing {
            Standing::Located(located) => match &located.found {
                Found::Namespace { folder } => {
                    portion(wanted, &located.unit.text_of(folder)).map(Some)
                }
                _ => found(session, wanted, &located).map(Some),
            },
            Standing::Shared => {
                let tail = wanted.name.rsplit('.').next().unwrap_or(wanted.name);
                let place = [&self.path, MAIN_SEPARATOR_STR, tail].concat();
                portion(wanted, &place).map(Some)
            }
            Standing::Nothing => Ok(None),
        }
    }

    /// `(name, is package)` of everything that can be imported from here, downloaded or not.
    #[pyo3(signature = (prefix=""))]
    fn iter_modules<'py>(&self, py: Python<'py>, prefix: &str) -> PyResult<Bound<'py, PyAny>> {
        let session = session(py)?;
        let found = match self.known(session) {
            Some(found) => found,
            None => self.list(py, session)?,
        };
        let names = found.into_iter().map(|(name, package)| (format!("{prefix}{name}"), package));
        PyList::new(py, names)?.try_iter().map(Bound::into_any)
    }

    /// Specs, without loaders, of what can be imported from here, as far as that is known: nobody is
    /// asked. Python wants them for what a name comes close to that it did not find.
    #[pyo3(signature = (parent=None))]
    fn discover<'py>(
        &self,
        py: Python<'py>,
        parent: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let above = match parent {
            Some(parent) => format!("{}.", parent.getattr(intern!(py, "name"))?),
            None => String::new(),
        };
        let spec = |(name, package): (String, bool)| {
            let keywords = [("is_package", package)].into_py_dict(py)?;
            let given = (format!("{above}{name}"), py.None());
            machinery(py)?.module_spec.bind(py).call(given, Some(&keywords))
        };
        let known = self.known(session(py)?).unwrap_or_default();
        let specs = known.into_iter().map(spec).collect::<PyResult<Vec<_>>>()?;
        PyList::new(py, specs)?.try_iter().map(Bound::into_any)
    }

    fn invalidate_caches(&self) {}

    fn __repr__(&self) -> String {
        format!("<magic_module entry {:?}>", self.path)
    }
}

impl Entry {
    /// True for a folder of a tree, of a view or of a knot; else it is a mount's.
    fn is_of_files(&self, session: &Session) -> bool {
        let store = &session.engine.store;
        let folders = [store.trees(), store.views(), store.knots()];
        folders.iter().any(|folder| self.folder.starts_with(folder))
    }

    /// A unit of the mount whose folder this is.
    fn unit<'py>(
        &self,
        session: &'static Arc<Session>,
        wanted: Wanted<'_, 'py>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (py, name) = (wanted.py(), wanted.name);
        if is_asking(name) {
            return Ok(None);
        }
        let Some((mount, below)) = session.mount_of_entry(&self.folder) else { return Ok(None) };
        // What our own machinery imports at top level, or tries to, is not ours to serve.
        if mount.namespace.is_empty() && is_busy() {
            return Ok(None);
        }
        let tail = name.rsplit('.').next().unwrap_or(name);
        let relative = if below.is_empty() { tail.to_owned() } else { format!("{below}.{tail}") };
        // Another namespace that is mounted by itself serves its own names.
        if session.mount_around(name).is_some_and(|longest| !Arc::ptr_eq(&longest, &mount)) {
            return Ok(None);
        }
        // `pkgutil.extend_path` asks by the last part of a name alone.
        let path = match name == mount.namespace.join(&relative) {
            true => Some(search_path(py, name)?),
            false => None,
        };
        let wanted = match (&path, name.contains('.')) {
            (Some(path), true) => Wanted { path: Some(path), ..wanted },
            _ => wanted,
        };
        let serving = [(mount, relative)];
        let scope = Scope { serving: &serving, roots: false };
        let elsewhere = || match &path {
            Some(path) => self.known_elsewhere(session, wanted, path),
            None => Ok(None),
        };
        match resolve(session, wanted, &scope, elsewhere)? {
            Outcome::Absent => Ok(None),
            Outcome::Spec(spec) => Ok(Some(spec)),
            Outcome::Folder { place, located } => {
                // Alone it is the unit's; else `PathFinder` joins it with the others.
                if let (Some(located), Some(path)) = (located, &path)
                    && in_folders(
                        wanted,
                        Some(self.others(session, path, Others::OfNoMount)?.as_any()),
                    )?
                    .is_none()
                {
                    return spec_of(py, wanted.fullname, &located).map(Some);
                }
                portion(wanted, &place).map(Some)
            }
        }
    }

    /// What is installed in the folders after this one, or known to the finders behind.
    fn known_elsewhere<'py>(
        &self,
        session: &Session,
        wanted: Wanted<'_, 'py>,
        path: &Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let later = self.others(session, path, Others::Later)?;
        if !later.is_empty()
            && let Some(spec) = in_folders(wanted, Some(later.as_any()))?
            && is_real(&spec)?
        {
            return Ok(Some(spec));
        }
        known_to_finders(wanted, Place::Front)
    }

    /// Other folders of a search path.
    fn others<'py>(
        &self,
        session: &Session,
        path: &Bound<'py, PyAny>,
        which: Others,
    ) -> PyResult<Bound<'py, PyList>> {
        let others = PyList::empty(path.py());
        let (ours, mut passed) = match which {
            Others::OfNoMount => (session.engine.store.mounts(), true),
            Others::Later => (session.engine.store.root().to_owned(), false),
        };
        for entry in path.try_iter()? {
            let entry = entry?;
            match entry.extract::<&str>() {
                Ok(text) if text == self.path => passed = true,
                Ok(text) if Path::new(text).starts_with(&ours) => {}
                _ if passed => others.append(entry)?,
                _ => {}
            }
        }
        Ok(others)
    }

    /// What is in a folder of a tree, or in a mount of which a manifest is known.
    fn known(&self, session: &Session) -> Option<Vec<(String, bool)>> {
        if self.is_of_files(session) {
            return Some(session.modules_in_tree(&self.folder));
        }
        let _ = session.own_mount();
        let (mount, below) = session.mount_of_entry(&self.folder)?;
        session.modules_of_mount(&mount, &below)
    }

    /// The units of a mount of which no manifest is known: it is asked for. Listing never
    /// fails: tools walk paths that nobody means to import from.
    fn list(
        &self,
        py: Python<'_>,
        session: &'static Arc<Session>,
    ) -> PyResult<Vec<(String, bool)>> {
        let Some((mount, below)) = session.mount_of_entry(&self.folder) else {
            return Ok(Vec::new());
        };
        // Many list `sys.path` who look for something else.
        if mount.namespace.is_empty() {
            return Ok(Vec::new());
        }
        let asked = mount.clone();
        match block(py, session, None, async move |_| asked.refresh(Freshness::AsCached).await) {
            Err(error) if error.is_instance_of::<PyImportError>(py) => Ok(Vec::new()),
            Err(error) => Err(error),
            Ok(_) => Ok(session.modules_of_mount(&mount, &below).unwrap_or_default()),
        }
    }
}

/// The search path that leads to a name: the `__path__` of its parent, else `sys.path`.
fn search_path<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let sys = py.import(intern!(py, "sys"))?;
    match name.rsplit_once('.') {
        None => sys.getattr(intern!(py, "path")),
        Some((parent, _)) => {
            let parent = sys.getattr(intern!(py, "modules"))?.get_item(parent);
            let path = parent.and_then(|parent| parent.getattr(intern!(py, "__path__")));
            Ok(path.unwrap_or_else(|_| PyList::empty(py).into_any()))
        }
    }
}

/// What `FileFinder` answers where there is only a folder.
fn portion<'py>(wanted: Wanted<'_, 'py>, place: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = wanted.py();
    let spec = machinery(py)?.module_spec.bind(py).call1((wanted.fullname, py.None()))?;
    let locations = PyList::new(py, [place])?;
    spec.setattr(intern!(py, "submodule_search_locations"), locations)?;
    Ok(spec)
}

/// Claims the folders of the store; every other path is somebody else's.
#[pyfunction]
pub fn _path_hook(py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<Entry> {
    let foreign = || PyImportError::new_err("only folders of magic_module's store are claimed");
    let path: String = path.extract().map_err(|_| foreign())?;
    if is_placeholder(&path) {
        let mount = session(py)?.own_mount().or_raise(py)?;
        let folder = mount.folder.entry();
        return Ok(Entry { path: folder.to_string_lossy().into_owned(), folder });
    }
    // Cheap for everybody else's paths, also before there is a session.
    let absolute = std::path::absolute(&path).map_err(|_| foreign())?;
    if !absolute.to_string_lossy().contains("v1") {
        return Err(foreign());
    }
    let session = session(py)?;
    let Some(folder) = session.in_store(&absolute) else { return Err(foreign()) };
    let store = &session.engine.store;
    let ours = [store.trees(), store.mounts()].iter().any(|ours| folder.starts_with(ours))
        || session.is_folder_of_view(&folder);
    if ours && !session.is_in_file_of_tree(&folder) {
        Ok(Entry { path, folder })
    } else {
        Err(foreign())
    }
}
