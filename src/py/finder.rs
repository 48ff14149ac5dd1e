//! The finder on `sys.meta_path`, and the hook on `sys.path_hooks`.
//!
//! ```text
//! sys.meta_path   [Finder(first) … stock finders … Finder(behind)]
//! sys.path_hooks  [Hook, …]     claims the folders of the store; see `Entry`
//! ```
//!
//! The first finder serves named namespaces, and mounts of top-level names that asked
//! to come first. The one behind serves all other top-level names, once nobody else
//! knew them. What an installed package ships itself is looked up before any manifest.

use std::cell::Cell;
use std::sync::Arc;

use parking_lot::RwLock;
use pyo3::exceptions::PyImportError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

use super::spec::{is_in_trees, spec_of};
use super::state::{existing, load_tags, needs_tags, session};
use super::{errors::OrRaise, runtime};
use crate::mount::Mount;
use crate::session::{Lookup, OWN, Session, TopLevel};

/// What lets the finder pass over foreign names without looking at the session.
#[derive(Default)]
struct Filter {
    /// The first part of every mounted namespace.
    tops: Vec<String>,
    first: bool,
    behind: bool,
}

static FILTER: RwLock<Filter> =
    RwLock::new(Filter { tops: Vec::new(), first: false, behind: false });

thread_local! {
    /// This thread is inside our own machinery: what it imports is not ours to serve.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

/// Brings the filter up to date with the mounts.
pub fn refresh_filter(session: &Session) {
    let mut filter = Filter { tops: vec![OWN.to_owned()], ..Filter::default() };
    for mount in session.mounts() {
        match mount.namespace.as_str() {
            "" if mount.request.first => filter.first = true,
            "" => filter.behind = true,
            named => filter.tops.push(named.split('.').next().unwrap_or(named).to_owned()),
        }
    }
    *FILTER.write() = filter;
}

#[pyclass(frozen, module = "magic_module", name = "_Finder")]
pub struct Finder {
    behind: bool,
}

#[pymethods]
impl Finder {
    #[pyo3(signature = (fullname, path=None, target=None))]
    fn find_spec<'py>(
        slf: &Bound<'py, Self>,
        fullname: &Bound<'py, PyString>,
        path: Option<&Bound<'py, PyAny>>,
        target: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let name = fullname.to_str()?;
        let behind = slf.get().behind;
        {
            let filter = FILTER.read();
            let everything = if behind { filter.behind || path.is_none() } else { filter.first };
            let top = name.as_bytes().split(|byte| *byte == b'.').next().unwrap_or_default();
            if !everything && !filter.tops.iter().any(|known| known.as_bytes() == top) {
                let below_unit = !behind && filter.behind && is_below_unit(path);
                drop(filter);
                return if below_unit && !BUSY.get() {
                    find_below(fullname, name)
                } else {
                    Ok(None)
                };
            }
        }
        if BUSY.get() {
            return Ok(None);
        }
        find(slf, fullname, name, path, target)
    }

    /// Nothing is cached here that the file system could contradict.
    fn invalidate_caches(&self) {}

    #[pyo3(signature = (context=None))]
    fn find_distributions<'py>(
        &self,
        py: Python<'py>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.behind && existing().is_some() {
            return py
                .import("magic_module._py.metadata")?
                .call_method1("find_distributions", (context,));
        }
        Ok(PyList::empty(py).into_any())
    }

    fn __repr__(&self) -> &'static str {
        if self.behind {
            "<magic_module finder, behind all others>"
        } else {
            "<magic_module finder>"
        }
    }
}

fn find<'py>(
    slf: &Bound<'py, Finder>,
    fullname: &Bound<'py, PyString>,
    name: &str,
    path: Option<&Bound<'py, PyAny>>,
    target: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = slf.py();
    // Our own files and whatever else starts with an underscore are never units.
    if name == OWN || name.strip_prefix(OWN).is_some_and(|rest| rest.starts_with("._")) {
        return Ok(None);
    }
    if slf.get().behind {
        return find_behind(py, fullname, name);
    }
    let below_own = name.strip_prefix(OWN).is_some_and(|rest| rest.starts_with('.'));
    let foreign = foreign_entries(py, path)?;
    if let Some(entries) = foreign.as_ref()
        && below_own
        && let Some(spec) = installed(py, fullname, entries, target)?
    {
        return Ok(Some(spec));
    }
    let session = session(py)?;
    if let Some(mount) = mounted_at(session, name) {
        return namespace_of(slf, fullname, path, target, &mount).map(Some);
    }
    if let Some(entries) = foreign
        && !below_own
        && is_named(session, name)
        && let Some(spec) = installed(py, fullname, &entries, target)?
    {
        return Ok(Some(spec));
    }
    resolve(py, session, fullname, name, TopLevel::First)
}

/// True if a parent's `__path__` is a folder of a tree: the parent is a top-level unit.
fn is_below_unit(path: Option<&Bound<'_, PyAny>>) -> bool {
    let (Some(path), Some(session)) = (path, existing()) else { return false };
    let first = path.get_item(0);
    first.is_ok_and(|entry| entry.extract::<&str>().is_ok_and(|entry| is_in_trees(session, entry)))
}

/// A submodule of a top-level unit, by its name: a reload after an upgrade finds the new
/// tree although the parent's `__path__` is still the old one.
fn find_below<'py>(
    fullname: &Bound<'py, PyString>,
    name: &str,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match existing() {
        Some(session) => resolve(fullname.py(), session, fullname, name, TopLevel::Behind),
        None => Ok(None),
    }
}

/// What is left once nobody else knew a name.
fn find_behind<'py>(
    py: Python<'py>,
    fullname: &Bound<'py, PyString>,
    name: &str,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(session) = existing() else { return Ok(None) };
    if FILTER.read().behind
        && let Some(spec) = resolve(py, session, fullname, name, TopLevel::Behind)?
    {
        return Ok(Some(spec));
    }
    if !name.contains('.') {
        explain_absolute_import(py, session, name)?;
    }
    Ok(None)
}

/// A unit below a namespace that imports itself as if it were at top level.
fn explain_absolute_import(py: Python<'_>, session: &Session, name: &str) -> PyResult<()> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    for mount in session.mounts().iter().filter(|mount| !mount.namespace.is_empty()) {
        let full = mount.namespace.join(name);
        if modules.contains(&full)? {
            py.import("magic_module._py.loader")?.call_method1(
                "explain_absolute_import",
                (name, full, mount.namespace.as_str(), mount.shown_url()),
            )?;
        }
    }
    Ok(())
}

fn is_named(session: &Session, name: &str) -> bool {
    session
        .mounts()
        .iter()
        .any(|mount| !mount.namespace.is_empty() && mount.namespace.strip(name).is_some())
}

/// The mount whose namespace is `name`, or lies below it.
fn mounted_at(session: &Session, name: &str) -> Option<Arc<Mount>> {
    let inside = |mount: &Arc<Mount>| {
        let namespace = mount.namespace.as_str();
        namespace.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    session.mounts().into_iter().filter(|mount| !mount.namespace.is_empty()).find(inside)
}

/// The parts of a parent's `__path__` that are not the store's. `None`: there is no
/// path, or all of it is ours.
fn foreign_entries<'py>(
    py: Python<'py>,
    path: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyList>>> {
    let Some(path) = path else { return Ok(None) };
    let Some(session) = existing() else {
        return Ok(Some(py.import("builtins")?.call_method1("list", (path,))?.cast_into()?));
    };
    let root = session.store.root().to_string_lossy();
    let entries = PyList::empty(py);
    for entry in path.try_iter()? {
        let entry = entry?;
        let ours = entry.extract::<&str>().is_ok_and(|text| text.starts_with(root.as_ref()));
        if !ours {
            entries.append(entry)?;
        }
    }
    Ok((!entries.is_empty()).then_some(entries))
}

/// What an installed package ships itself.
fn installed<'py>(
    py: Python<'py>,
    fullname: &Bound<'py, PyString>,
    entries: &Bound<'py, PyList>,
    target: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let spec = py
        .import(intern!(py, "_frozen_importlib_external"))?
        .getattr(intern!(py, "PathFinder"))?
        .call_method1(intern!(py, "find_spec"), (fullname, entries, target))?;
    // A folder without `__init__` is no module that could win over a unit.
    let real = !spec.is_none() && !spec.getattr(intern!(py, "loader"))?.is_none();
    Ok(real.then_some(spec))
}

/// The namespace itself: whoever knows it provides it, and our entry joins its `__path__`.
fn namespace_of<'py>(
    slf: &Bound<'py, Finder>,
    fullname: &Bound<'py, PyString>,
    path: Option<&Bound<'py, PyAny>>,
    target: Option<&Bound<'py, PyAny>>,
    mount: &Mount,
) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let exact = mount.namespace.as_str() == fullname.to_str()?;
    let entry = exact.then(|| mount.folder.entry().to_string_lossy().into_owned());
    py.import("magic_module._py.loader")?
        .call_method1("namespace_spec", (fullname, path, target, slf, entry))
}

/// Asks the core, and the server where the core cannot tell.
fn resolve<'py>(
    py: Python<'py>,
    session: &'static Arc<Session>,
    fullname: &Bound<'py, PyString>,
    name: &str,
    top_level: TopLevel,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let mut looked = session.lookup(name, top_level);
    for _ in 0..16 {
        match looked {
            Err(error) if needs_tags(&error) => {
                let _busy = busy();
                load_tags(py, session)?;
                looked = session.lookup(name, top_level);
            }
            Err(error) => return Err(error).or_raise(py),
            Ok(Lookup::Foreign | Lookup::Absent) => return Ok(None),
            Ok(Lookup::Located(located)) => return spec_of(py, fullname, &located).map(Some),
            Ok(Lookup::Namespace(mount, relative)) => {
                let entry = mount.folder.entry().join(relative.replace('.', "/"));
                return py
                    .import("magic_module._py.loader")?
                    .call_method1("virtual_namespace", (fullname, entry.to_string_lossy().as_ref()))
                    .map(Some);
            }
            Ok(Lookup::Ask { mount, relative, required }) => {
                looked = ask(py, session, &mount, relative, required)?;
                // An earlier mount did not have it: the next one may.
                if matches!(looked, Ok(Lookup::Absent)) && mount.namespace.is_empty() {
                    looked = session.lookup(name, top_level);
                }
            }
        }
    }
    Ok(None)
}

/// Asks the server without the import lock: other threads import, and fork, meanwhile.
fn ask(
    py: Python<'_>,
    session: &'static Arc<Session>,
    mount: &Arc<Mount>,
    relative: String,
    required: bool,
) -> PyResult<crate::error::Result<Lookup>> {
    let _busy = busy();
    let lock = ImportLock::release(py)?;
    let asking = {
        let (session, mount) = (session.clone(), mount.clone());
        async move {
            match session.ask(&mount, &relative, required).await {
                Err(error) if needs_tags(&error) => Ok(Err(error)),
                other => other.map(Ok),
            }
        }
    };
    let answer = runtime::block(py, session, None, asking);
    lock.take_back(py)?;
    answer
}

/// What this thread imports while the guard lives is served by others.
pub struct Busy {
    before: bool,
}

pub fn busy() -> Busy {
    Busy { before: BUSY.replace(true) }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.set(self.before);
    }
}

/// The global import lock, given up however often this thread holds it.
struct ImportLock {
    depth: usize,
}

impl ImportLock {
    fn release(py: Python<'_>) -> PyResult<Self> {
        let imp = py.import("_imp")?;
        let mut depth = 0;
        while imp.call_method0("release_lock").is_ok() {
            depth += 1;
        }
        Ok(Self { depth })
    }

    fn take_back(self, py: Python<'_>) -> PyResult<()> {
        let imp = py.import("_imp")?;
        for _ in 0..self.depth {
            imp.call_method0("acquire_lock")?;
        }
        Ok(())
    }
}

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
        Ok(match session.located_in(std::path::Path::new(&self.path), tail) {
            Some(located) => Some(spec_of(py, fullname, &located)?),
            None => None,
        })
    }

    /// `(name, is package)` of everything that can be imported from here, downloaded or not.
    #[pyo3(signature = (prefix=""))]
    fn iter_modules<'py>(&self, py: Python<'py>, prefix: &str) -> PyResult<Bound<'py, PyAny>> {
        let session = session(py)?;
        let path = std::path::Path::new(&self.path);
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
        let path = std::path::Path::new(&self.path);
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
fn _path_hook(py: Python<'_>, path: &Bound<'_, PyAny>) -> PyResult<Entry> {
    let foreign = || PyImportError::new_err("only folders of magic_module's store are claimed");
    let path: String = path.extract().map_err(|_| foreign())?;
    // Cheap for everybody else's paths, also before there is a session.
    if !path.contains("v1") {
        return Err(foreign());
    }
    let session = session(py)?;
    let inside = std::path::Path::new(&path);
    if inside.starts_with(session.store.trees()) || inside.starts_with(session.store.mounts()) {
        Ok(Entry { path })
    } else {
        Err(foreign())
    }
}

/// Puts the finders and the hook in their places; called once, by `magic_module/__init__.py`.
#[pyfunction]
fn _install(py: Python<'_>, search_path: &Bound<'_, PyList>) -> PyResult<()> {
    let sys = py.import("sys")?;
    let meta_path = sys.getattr("meta_path")?;
    for finder in meta_path.try_iter()? {
        if finder?.is_instance_of::<Finder>() {
            return Ok(());
        }
    }
    FILTER.write().tops = vec![OWN.to_owned()];
    meta_path.call_method1("insert", (0, Finder { behind: false }))?;
    meta_path.call_method1("append", (Finder { behind: true },))?;
    let hook = pyo3::wrap_pyfunction!(_path_hook, py)?;
    sys.getattr("path_hooks")?.call_method1("insert", (0, hook))?;
    if let Ok(posix) = py.import("posix") {
        let keywords = PyDict::new(py);
        keywords.set_item("before", pyo3::wrap_pyfunction!(_before_fork, py)?)?;
        keywords.set_item("after_in_parent", pyo3::wrap_pyfunction!(_after_fork_in_parent, py)?)?;
        keywords.set_item("after_in_child", pyo3::wrap_pyfunction!(_after_fork_in_child, py)?)?;
        posix.call_method("register_at_fork", (), Some(&keywords))?;
    }
    // Our entry, so that `pkgutil` sees units; without an environment there is none yet.
    if crate::settings::Settings::from_env().is_ok_and(|settings| settings.manifest_url.is_some()) {
        let session = session(py)?;
        if let Ok(mount) = session.own_mount() {
            search_path.append(mount.folder.entry().to_string_lossy().as_ref())?;
        }
    }
    Ok(())
}

#[pyfunction]
fn _before_fork() {
    super::state::before_fork();
}

#[pyfunction]
fn _after_fork_in_parent() {
    super::state::after_fork_in_parent();
}

#[pyfunction]
fn _after_fork_in_child(py: Python<'_>) -> PyResult<()> {
    super::state::after_fork_in_child();
    let modules = py.import("sys")?.getattr("modules")?;
    // Nobody imported a unit before this is loaded.
    match modules.get_item("magic_module._py.loader") {
        Ok(loader) => loader.call_method0("after_fork_in_child").map(drop),
        Err(_) => Ok(()),
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Finder>()?;
    module.add_class::<Entry>()?;
    module.add_class::<super::spec::UnitHandle>()?;
    module.add_function(pyo3::wrap_pyfunction!(_install, module)?)
}
