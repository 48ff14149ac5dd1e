//! From what the core located to a `ModuleSpec`, complete before anything is downloaded.

use std::path::{MAIN_SEPARATOR, MAIN_SEPARATOR_STR};
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString};

use crate::layout::Found;
use crate::session::{Located, Session};
use crate::unit::Unit;

/// What a loader holds of its unit.
#[pyclass(frozen, module = "magic_module", name = "_Unit")]
pub struct UnitHandle {
    pub unit: Arc<Unit>,
    /// Tree, generation and requirements were looked at in this process.
    pub ready: std::sync::atomic::AtomicBool,
}

/// What every import needs of Python, looked up once.
pub struct Machinery {
    /// `marshal.loads` and `_imp._fix_co_filename`.
    pub unmarshal: Py<PyAny>,
    pub fix_co_filename: Py<PyAny>,
    sys: Py<PyModule>,
    /// What stands in place of `.py` in the name of a bytecode file.
    bytecode_suffix: String,
    pub module_spec: Py<PyAny>,
    source: Py<PyAny>,
}

static MACHINERY: PyOnceLock<Machinery> = PyOnceLock::new();

pub fn machinery(py: Python<'_>) -> PyResult<&'static Machinery> {
    MACHINERY.get_or_try_init(py, || {
        let code = &crate::py::bridge::state::session(py)?.python.code;
        let optimized = match code.optimization {
            0 => String::new(),
            level => format!(".opt-{level}"),
        };
        Ok(Machinery {
            unmarshal: py.import("marshal")?.getattr("loads")?.unbind(),
            fix_co_filename: py.import("_imp")?.getattr("_fix_co_filename")?.unbind(),
            sys: py.import("sys")?.unbind(),
            bytecode_suffix: format!(".{}{optimized}.pyc", code.cache_tag),
            module_spec: py.import("_frozen_importlib")?.getattr("ModuleSpec")?.unbind(),
            source: py.import("magic_module._loader")?.getattr("UnitLoader")?.unbind(),
        })
    })
}

/// The handle of a unit: one for all modules of it.
pub fn handle<'py>(py: Python<'py>, unit: &Arc<Unit>) -> PyResult<Bound<'py, UnitHandle>> {
    static HANDLES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let handles = HANDLES.get_or_init(py, || PyDict::new(py).unbind()).bind(py);
    // An address identifies a unit for as long as its handle keeps it alive.
    let key = Arc::as_ptr(unit) as usize;
    if let Some(handle) = handles.get_item(key)? {
        return Ok(handle.cast_into()?);
    }
    let handle = Bound::new(py, UnitHandle { unit: unit.clone(), ready: false.into() })?;
    // Another thread may have made one meanwhile.
    Ok(handles.call_method1(intern!(py, "setdefault"), (key, handle))?.cast_into()?)
}

/// The spec of a module, package or namespace package of a unit.
pub fn spec_of<'py>(
    py: Python<'py>,
    full: &Bound<'py, PyString>,
    located: &Located,
) -> PyResult<Bound<'py, PyAny>> {
    let machinery = machinery(py)?;
    let unit = handle(py, &located.unit)?;
    let (path, folder) = match &located.found {
        Found::Namespace { folder } => {
            return namespace(py, machinery, full, unit, located, folder);
        }
        Found::Module { path, .. } => (path, None),
        Found::Package { path, folder, .. } => (path, Some(folder)),
    };
    let text = located.unit.text_of(path);
    let shown = PyString::new(py, &text);
    let extension = located.found.is_extension();
    let loader = if extension {
        rare(py, "UnitExtensionLoader")?.call1((full, &shown))?
    } else {
        machinery.source.bind(py).call1((full, &shown))?
    };
    loader.setattr(intern!(py, "_unit"), unit)?;
    if located.root {
        loader.setattr(intern!(py, "_root"), true)?;
    }
    // What keywords of the constructor would set costs a warm import less when it is set.
    let spec = machinery.module_spec.bind(py).call1((full, loader))?;
    spec.setattr(intern!(py, "origin"), &shown)?;
    spec.setattr(intern!(py, "_set_fileattr"), true)?;
    if let Some(folder) = folder {
        let location = PyString::new(py, &located.unit.text_of(folder));
        spec.setattr(intern!(py, "submodule_search_locations"), PyList::new(py, [location])?)?;
    }
    if !extension {
        spec.setattr(intern!(py, "cached"), cached(py, machinery, &text)?)?;
    }
    Ok(spec)
}

/// A loader that few imports need.
fn rare<'py>(py: Python<'py>, class: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("magic_module._py.loader")?.getattr(class)
}

fn namespace<'py>(
    py: Python<'py>,
    machinery: &Machinery,
    full: &Bound<'py, PyString>,
    unit: Bound<'py, UnitHandle>,
    located: &Located,
    folder: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let location = located.unit.text_of(folder);
    let loader = rare(py, "UnitNamespaceLoader")?.call1((full, location))?;
    loader.setattr(intern!(py, "_unit"), unit)?;
    let suffixes = &crate::py::bridge::state::session(py)?.python.suffixes;
    if !located.unit.layout.has_code_below(folder, suffixes) {
        loader.setattr(intern!(py, "_data"), true)?;
    }
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "is_package"), true)?;
    let spec = machinery.module_spec.bind(py).call((full, &loader), Some(&keywords))?;
    spec.setattr(intern!(py, "submodule_search_locations"), loader.getattr(intern!(py, "_path"))?)?;
    Ok(spec)
}

/// `importlib.util.cache_from_source(origin)`: where CPython would keep bytecode. Nothing
/// is ever read from there or written to it.
fn cached<'py>(
    py: Python<'py>,
    machinery: &Machinery,
    origin: &str,
) -> PyResult<Bound<'py, PyAny>> {
    if !machinery.sys.bind(py).getattr(intern!(py, "pycache_prefix"))?.is_none() {
        return py
            .import(intern!(py, "_frozen_importlib_external"))?
            .call_method1(intern!(py, "cache_from_source"), (origin,));
    }
    let at = origin.rfind(['/', MAIN_SEPARATOR]).map_or(0, |at| at + 1);
    let (folder, name) = origin.split_at(at);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let text =
        [folder, "__pycache__", MAIN_SEPARATOR_STR, stem, &machinery.bytecode_suffix].concat();
    Ok(PyString::new(py, &text).into_any())
}

/// True if `path` lies in a tree, a view or a knot of the store, and is written as the store writes it.
pub fn in_trees(session: &Session, path: &str) -> bool {
    let below = session.engine.store.root().to_str().and_then(|root| path.strip_prefix(root));
    let below = below.and_then(|below| below.strip_prefix(MAIN_SEPARATOR));
    let folders = ["trees", "views", "knots"];
    let below =
        below.and_then(|below| folders.iter().find_map(|folder| below.strip_prefix(folder)));
    below.is_some_and(|below| below.starts_with(MAIN_SEPARATOR) && !below.contains(".."))
}
