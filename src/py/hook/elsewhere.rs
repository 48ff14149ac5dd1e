//! What is installed wins over a unit, whichever finder knows it.
//!
//! Folders are asked through `PathFinder`. Behind it stand the finders of editable installs, of
//! vendored packages and of tools: a unit gives way to them, too, and they are asked before any
//! server is. A unit does not give way to a folder without code.

use std::cell::RefCell;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyString};

use super::filter::{Finder, Place};

thread_local! {
    /// What this thread is asking others for: they may ask us, but not for what we would say.
    static ASKING: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Others are asked on our behalf while this lives.
pub struct Asking;

impl Asking {
    pub fn for_name(name: &str) -> Self {
        ASKING.with_borrow_mut(|names| names.push(name.to_owned()));
        Self
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        ASKING.with_borrow_mut(|names| names.pop());
    }
}

/// True while others are asked for `name` on our behalf.
pub fn is_asking(name: &str) -> bool {
    ASKING.with_borrow(|names| names.iter().any(|asked| asked == name))
}

/// What is imported: the arguments of `find_spec`.
#[derive(Clone, Copy)]
pub struct Wanted<'a, 'py> {
    pub fullname: &'a Bound<'py, PyString>,
    pub name: &'a str,
    /// The parent's `__path__`.
    pub path: Option<&'a Bound<'py, PyAny>>,
    pub target: Option<&'a Bound<'py, PyAny>>,
}

impl<'py> Wanted<'_, 'py> {
    pub fn py(&self) -> Python<'py> {
        self.fullname.py()
    }
}

/// What `PathFinder` finds in some folders; `None` for the folders means `sys.path`.
pub fn in_folders<'py>(
    wanted: Wanted<'_, 'py>,
    folders: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = wanted.py();
    let spec = stock(py)?[2]
        .bind(py)
        .call_method1(intern!(py, "find_spec"), (wanted.fullname, folders, wanted.target))?;
    Ok((!spec.is_none()).then_some(spec))
}

/// A folder without `__init__` is not a module that could win over a unit.
pub fn is_real(spec: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(!spec.getattr(intern!(spec.py(), "loader"))?.is_none())
}

/// What a finder knows that stands behind one of ours on `sys.meta_path`.
pub fn known_to_finders<'py>(
    wanted: Wanted<'_, 'py>,
    place: Place,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = wanted.py();
    let finders = py.import(intern!(py, "sys"))?.getattr(intern!(py, "meta_path"))?;
    let Ok(finders) = finders.cast_into::<PyList>() else { return Ok(None) };
    let mut passed = false;
    for finder in finders.iter() {
        if let Ok(ours) = finder.cast::<Finder>() {
            passed |= ours.get().place == place;
            continue;
        }
        if !passed || stock(py)?.iter().any(|stock| finder.is(stock.bind(py))) {
            continue;
        }
        let Ok(find_spec) = finder.getattr(intern!(py, "find_spec")) else { continue };
        let _asking = Asking::for_name(wanted.name);
        let spec = find_spec.call1((wanted.fullname, wanted.path, wanted.target))?;
        if !spec.is_none() && is_real(&spec)? {
            return Ok(Some(spec));
        }
    }
    Ok(None)
}

/// The interpreter's own finders: `BuiltinImporter`, `FrozenImporter` and `PathFinder`.
pub fn stock(py: Python<'_>) -> PyResult<&'static [Py<PyAny>; 3]> {
    static STOCK: PyOnceLock<[Py<PyAny>; 3]> = PyOnceLock::new();
    STOCK.get_or_try_init(py, || {
        let bootstrap = py.import("_frozen_importlib")?;
        let external = py.import("_frozen_importlib_external")?;
        Ok([
            bootstrap.getattr("BuiltinImporter")?.unbind(),
            bootstrap.getattr("FrozenImporter")?.unbind(),
            external.getattr("PathFinder")?.unbind(),
        ])
    })
}

/// What an installed file or importer makes of a unit's name; `None`: it hides no unit.
#[pyfunction]
pub fn _hidden_by<'py>(
    fullname: &Bound<'py, PyString>,
    path: Option<&Bound<'py, PyAny>>,
    folders: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let wanted = Wanted { fullname, name: fullname.to_str()?, path, target: None };
    if let Some(spec) = in_folders(wanted, Some(folders))?
        && is_real(&spec)?
    {
        return Ok(Some(spec));
    }
    known_to_finders(wanted, Place::Front)
}
