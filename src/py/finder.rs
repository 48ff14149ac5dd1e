//! The finders on `sys.meta_path`.
//!
//! ```text
//! sys.meta_path   [built-in, frozen, hooks of tools, Finder(first), PathFinder … Finder(behind)]
//! ```
//!
//! The first finder serves named namespaces, and mounts of top-level names that asked
//! to come first. The one behind serves all other top-level names, once nobody else
//! knew them. What an installed package ships itself is looked up before any manifest.

use std::sync::Arc;

use parking_lot::RwLock;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::absolute;
use super::import_lock::{ImportLock, busy, is_busy};
use super::install::{has_placeholder, is_placeholder};
use super::spec::{is_in_trees, spec_of};
use super::state::{existing, load_tags, needs_tags, session};
use super::{errors::OrRaise, runtime};
use crate::layout::Found;
use crate::mount::Mount;
use crate::session::{Located, Lookup, OWN, Session, TopLevel};

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

/// Before there is a session, one namespace is known.
pub fn serve_own_namespace() {
    FILTER.write().tops = vec![OWN.to_owned()];
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
    pub behind: bool,
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
                let look = !behind && filter.behind;
                // A path may run Python, which must not meet this lock.
                drop(filter);
                return if look && is_below_unit(path) && !is_busy() {
                    find_below(fullname, name)
                } else {
                    Ok(None)
                };
            }
        }
        if is_busy() {
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
        if self.behind && (existing().is_some() || has_placeholder()) {
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
        && session.mount_around(name).is_some()
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
        absolute::explain(py, session, name)?;
    }
    Ok(None)
}

/// The mount whose namespace is `name`, else one whose namespace lies below it.
fn mounted_at(session: &Session, name: &str) -> Option<Arc<Mount>> {
    let at_or_below = session.find_mount(|mount| {
        let rest = mount.namespace.as_str().strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })?;
    Some(session.mount_named(name).unwrap_or(at_or_below))
}

/// The parts of a parent's `__path__` that are not the store's. `None`: there is no
/// path, or all of it is ours.
fn foreign_entries<'py>(
    py: Python<'py>,
    path: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyList>>> {
    let Some(path) = path else { return Ok(None) };
    let root = existing().map(|session| session.store.root().to_string_lossy());
    let is_ours = |entry: &str| {
        is_placeholder(entry) || root.as_ref().is_some_and(|root| entry.starts_with(root.as_ref()))
    };
    let mut entries: Option<Bound<'py, PyList>> = None;
    for entry in path.try_iter()? {
        let entry = entry?;
        if !entry.extract::<&str>().is_ok_and(is_ours) {
            match &entries {
                Some(entries) => entries.append(entry)?,
                None => entries = Some(PyList::new(py, [entry])?),
            }
        }
    }
    Ok(entries)
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
pub fn resolve<'py>(
    py: Python<'py>,
    session: &'static Arc<Session>,
    fullname: &Bound<'py, PyString>,
    name: &str,
    top_level: TopLevel,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let mut looked = session.lookup(name, top_level);
    let mut asked = false;
    for _ in 0..16 {
        match looked {
            Err(error) if needs_tags(&error) => {
                let _busy = busy();
                load_tags(py, session)?;
                looked = session.lookup(name, top_level);
            }
            Err(error) => return Err(error).or_raise(py),
            Ok(Lookup::Foreign | Lookup::Absent) => return Ok(None),
            // A folder is no part of a namespace that is mounted by itself.
            Ok(
                Lookup::Located(Located { found: Found::Namespace { .. }, .. })
                | Lookup::Namespace(..),
            ) if session.mount_named(name).is_some() => return Ok(None),
            Ok(Lookup::Located(located)) => return spec_of(py, fullname, &located).map(Some),
            Ok(Lookup::Namespace(mount, relative)) => {
                let entry = mount.folder.entry().join(relative.replace('.', "/"));
                return py
                    .import("magic_module._py.loader")?
                    .call_method1("virtual_namespace", (fullname, entry.to_string_lossy().as_ref()))
                    .map(Some);
            }
            Ok(Lookup::Refused { mount, error, .. }) if asked => {
                mount.remember_refused();
                return Err(error).or_raise(py);
            }
            Ok(Lookup::Refused { mount, relative, error }) => {
                asked = true;
                let session_ = session.clone();
                let asking = async move { session_.ask_again(&mount, &relative, error).await };
                looked = ask(py, session, asking)?;
            }
            Ok(Lookup::Ask { mount, relative, required }) => {
                let asking = {
                    let (session, mount) = (session.clone(), mount.clone());
                    async move { session.ask(&mount, &relative, required).await }
                };
                looked = ask(py, session, asking)?;
                asked = true;
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
    asking: impl Future<Output = crate::error::Result<Lookup>> + Send + 'static,
) -> PyResult<crate::error::Result<Lookup>> {
    let _busy = busy();
    let lock = ImportLock::release(py)?;
    let asking = async move {
        match asking.await {
            Err(error) if needs_tags(&error) => Ok(Err(error)),
            other => other.map(Ok),
        }
    };
    let answer = runtime::block(py, session, None, asking);
    lock.take_back(py)?;
    answer
}
