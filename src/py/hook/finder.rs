//! The finders on `sys.meta_path`.
//!
//! ```text
//! sys.meta_path   [built-in, frozen, hooks of tools, Finder(first), PathFinder … Finder(behind)]
//! ```
//!
//! The first finder serves named namespaces, and mounts of top-level names that asked
//! to come first. The one behind serves all other top-level names, once nobody else
//! knew them. What an installed package ships itself is looked up before any manifest.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::absolute;
use super::auto;
use super::broken;
use super::elsewhere::{Asking, Wanted, in_folders, is_asking, is_real, known_to_finders};
use super::filter::{Finder, Ours, Place, serves_behind};
use super::folders::{any_in_trees, joined, only_folder, submodule, virtual_namespace};
use super::missing;
use super::resolve::{Outcome, Scope, resolve};
use super::spec::{in_trees, spec_of};
use super::standing::located;
use super::watched::{is_mended, mended};
use super::whole::found;
use crate::layout::Found;
use crate::mount::{Mount, OWN_REQUIREMENTS};
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::import_lock::{busy, is_busy};
use crate::py::bridge::installed::installed;
use crate::py::bridge::placeholder::has_placeholder;
use crate::py::bridge::state::{existing, session};
use crate::session::{OWN, Session, Standing, TopLevel};

/// What starts children is imported: they will get the mounts of this process.
pub fn inherit(py: Python<'_>) -> PyResult<()> {
    let _busy = busy();
    py.import("magic_module._py.children")?.call_method0("inherit").map(drop)
}

/// The modules of multiprocessing with which a child is started, imported when the first one is.
const STARTS_CHILDREN: &str = "multiprocessing.popen_";

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
        let behind = slf.get().place == Place::Behind;
        if !behind && name.starts_with(STARTS_CHILDREN) && existing().is_some() && !is_busy() {
            inherit(slf.py())?;
        }
        let ours = match slf.get().is_ours(name, path) {
            Ours::Perhaps => true,
            Ours::Never => false,
            Ours::BelowUnit => path
                .is_some_and(|path| existing().is_some_and(|session| any_in_trees(session, path))),
        };
        let wanted = Wanted { fullname, name, path, target };
        let found = match ours && !is_busy() && !is_asking(name) {
            true if behind => find_behind(wanted)?,
            true => find(slf, wanted)?,
            false => None,
        };
        // Also what our own machinery is the first to import: it is loaded once.
        if !behind && is_mended(name) && !is_asking(name) {
            return mended(slf, wanted, found);
        }
        Ok(found)
    }

    /// Nothing is cached here that the file system could contradict.
    fn invalidate_caches(&self) {}

    #[pyo3(signature = (context=None))]
    fn find_distributions<'py>(
        &self,
        py: Python<'py>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if self.place == Place::Behind && (existing().is_some() || has_placeholder()) {
            return py
                .import("magic_module._py.metadata")?
                .call_method1("find_distributions", (context,));
        }
        Ok(PyList::empty(py).into_any())
    }

    fn __repr__(&self) -> &'static str {
        if self.place == Place::Behind {
            "<magic_module finder, behind all others>"
        } else {
            "<magic_module finder>"
        }
    }
}

fn find<'py>(
    slf: &Bound<'py, Finder>,
    wanted: Wanted<'_, 'py>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let (py, name) = (wanted.py(), wanted.name);
    // Our own files and whatever else starts with an underscore are never units.
    if name == OWN || name.strip_prefix(OWN).is_some_and(|rest| rest.starts_with("._")) {
        return Ok(None);
    }
    let namespace = |session: &'static Arc<Session>| match mounted_at(session, name) {
        Some(mount) if !is_asking(&as_namespace(name)) => {
            namespace_of(slf, wanted, &mount).map(Some)
        }
        _ => Ok(None),
    };
    let Some(path) = wanted.path.filter(|path| !path.is_none()) else {
        let session = session(py)?;
        if let Some(spec) = namespace(session)? {
            return Ok(Some(spec));
        }
        let first = find_first(session, wanted)?;
        return if first.is_some() { Ok(first) } else { own_requirement(session, wanted) };
    };
    if let Some(session) = existing()
        && let Some(folder) = only_folder(session, path)
    {
        if let Some(spec) = namespace(session)? {
            return Ok(Some(spec));
        }
        let located = located(py, session, Path::new(folder.to_str()?), name)?;
        if let Some(located) = located {
            return found(session, wanted, &located).map(Some);
        }
    }
    submodule(wanted, path, namespace)
}

/// A top-level name in the mounts that come first.
fn find_first<'py>(
    session: &'static Arc<Session>,
    wanted: Wanted<'_, 'py>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = wanted.py();
    let serving = session.serving(wanted.name, TopLevel::First).or_raise(py)?;
    let scope = Scope { serving: &serving, roots: false };
    match resolve(session, wanted, &scope, || own_folder(session, wanted))? {
        Outcome::Absent => Ok(None),
        Outcome::Spec(spec) => Ok(Some(spec)),
        Outcome::Folder { place, located } => match in_folders(wanted, None)? {
            // A folder without code comes before nothing.
            Some(spec) if is_real(&spec)? => Ok(Some(spec)),
            Some(_) => joined(wanted, None, Some(&place)),
            None => match located {
                Some(located) => spec_of(py, wanted.fullname, &located).map(Some),
                None => virtual_namespace(wanted, &place),
            },
        },
    }
}

/// A lock's own distribution of what was installed for us alone.
fn own_requirement<'py>(
    session: &'static Arc<Session>,
    wanted: Wanted<'_, 'py>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = wanted.py();
    if !OWN_REQUIREMENTS.contains(&wanted.name) {
        return Ok(None);
    }
    for mount in session.mounts() {
        let Some(view) = mount.supply.view() else { continue };
        let ours = &installed(py, &mount)?.ours;
        let Some((_, folder)) = ours.iter().find(|(name, _)| name.is(wanted.name)) else {
            continue;
        };
        let stem = Session::stem_in(view, wanted.name);
        let Standing::Located(located) = session.standing(&mount, view, &stem).or_raise(py)? else {
            continue;
        };
        // Something else of that name may come before it.
        let spec = in_folders(wanted, None)?;
        let origin = spec.and_then(|spec| spec.getattr(intern!(py, "origin")).ok());
        let origin = origin.and_then(|origin| origin.extract::<PathBuf>().ok());
        if origin.is_some_and(|origin| origin.starts_with(folder)) {
            return found(session, wanted, &located).map(Some);
        }
    }
    Ok(None)
}

/// A unit that puts a folder of its own on `sys.path`, and imports its own name once more,
/// means what lies there.
fn own_folder<'py>(
    session: &'static Arc<Session>,
    wanted: Wanted<'_, 'py>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = wanted.py();
    let path = py.import("sys")?.getattr("path")?;
    for entry in path.try_iter()? {
        let entry = entry?;
        let Ok(folder) = entry.extract::<&str>() else { continue };
        if !in_trees(session, folder) {
            continue;
        }
        let located = located(py, session, Path::new(folder), wanted.name)?;
        if let Some(located) = located
            && located.unit.full_name == wanted.name
            && !located.root
            && !matches!(located.found, Found::Namespace { .. })
        {
            return found(session, wanted, &located).map(Some);
        }
    }
    Ok(None)
}

/// What is left once nobody else knew a name.
fn find_behind<'py>(wanted: Wanted<'_, 'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = wanted.py();
    let Some(session) = existing() else {
        return broken::explain(None, wanted).map(|()| None);
    };
    // What stands nowhere has no parts.
    let path = wanted.path.filter(|path| !path.is_none());
    let somewhere = path.is_none_or(|path| path.is_truthy().unwrap_or(true));
    if serves_behind() && somewhere {
        let serving = session.serving(wanted.name, TopLevel::Behind).or_raise(py)?;
        let scope = Scope { serving: &serving, roots: path.is_some() };
        match resolve(session, wanted, &scope, || known_to_finders(wanted, Place::Behind))? {
            Outcome::Absent => {}
            Outcome::Spec(spec) => return Ok(Some(spec)),
            Outcome::Folder { located: Some(located), .. } => {
                return spec_of(py, wanted.fullname, &located).map(Some);
            }
            Outcome::Folder { place, located: None } => return virtual_namespace(wanted, &place),
        }
    }
    if !wanted.name.contains('.') {
        absolute::explain(py, session, wanted.name)?;
        if let Some(spec) = auto::find(session, wanted)? {
            return Ok(Some(spec));
        }
    }
    broken::explain(Some(session), wanted)?;
    if !wanted.name.contains('.') {
        missing::explain(py, session, wanted.name)?;
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

/// While others are asked for a namespace, a unit may still be what they look for.
fn as_namespace(name: &str) -> String {
    format!("{name}.")
}

/// The namespace itself: whoever knows it provides it, and our entry joins its `__path__`.
fn namespace_of<'py>(
    slf: &Bound<'py, Finder>,
    wanted: Wanted<'_, 'py>,
    mount: &Mount,
) -> PyResult<Bound<'py, PyAny>> {
    let _asking = Asking::for_name(&as_namespace(wanted.name));
    let exact = mount.namespace.as_str() == wanted.name;
    let entry = exact.then(|| mount.folder.entry().to_string_lossy().into_owned());
    wanted
        .py()
        .import("magic_module._py.loader")?
        .call_method1("namespace_spec", (wanted.fullname, wanted.path, wanted.target, slf, entry))
}
