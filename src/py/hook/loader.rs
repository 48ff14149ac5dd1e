//! What the loaders of `magic_module._loader` do in Rust: data, extension modules, readiness.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::ready::{read, ready, ready_or_successor, verified};
use super::spec::{UnitHandle, handle as handle_of};
use crate::py::bridge::audit;
use crate::py::bridge::errors::{OrRaise, no_file};
use crate::py::bridge::runtime::block;
use crate::py::bridge::state::existing;
use crate::unit::Unit;

/// The verified bytes of a file of the unit; `None` if the path is not the unit's to serve.
#[pyfunction]
pub fn _get_data<'py>(
    py: Python<'py>,
    handle: &Bound<'py, UnitHandle>,
    path: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let path: PathBuf = path.extract()?;
    let unit = &handle.get().unit;
    let Some(inside) = unit.relative(&path).map(|inside| inside.replace('\\', "/")) else {
        return Ok(None);
    };
    let session = ready(py, handle.get())?;
    if unit.lazy_file(&inside).is_some() {
        let (unit, mount) = (unit.clone(), unit.mount().or_raise(py)?);
        let place = block(py, session, None, async move |session| {
            session.data_path(&mount, &unit, &inside).await
        })?;
        return Ok(Some(PyBytes::new(py, &fs_err::read(place)?)));
    }
    let (handle, inside) = if unit.layout.has_file(&inside) {
        (handle.clone(), inside)
    } else {
        // A wheel in parts: its other part is another unit.
        let owner = session.in_store(&path).and_then(|path| session.unit_of_file(&path));
        let Some((other, inside)) = owner.filter(|(it, inside)| it.layout.has_file(inside)) else {
            return Err(no_file(&path.to_string_lossy()));
        };
        let other = handle_of(py, &other)?;
        ready(py, other.get())?;
        (other, inside)
    };
    let bytes = read(py, handle.get(), &inside)?;
    Ok(Some(PyBytes::new(py, &bytes)))
}

/// Whether some of what lies below a folder of a view is in a part of a wheel that is not here.
#[pyfunction]
pub fn _lacks_rest(folder: PathBuf) -> bool {
    existing().is_some_and(|session| session.lacks_rest(&folder))
}

/// Fetches a unit whose extension module is about to be opened by its path.
#[pyfunction]
pub fn _ready_extension<'py>(
    loader: &Bound<'py, PyAny>,
    handle: &Bound<'py, UnitHandle>,
    spec: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = loader.py();
    let fullname = spec.getattr(intern!(py, "name"))?.cast_into::<PyString>()?;
    let (_, handle) = ready_or_successor(loader, handle, &fullname, Some(spec))?;
    let unit = &handle.get().unit;
    let origin = loader.getattr(intern!(py, "_path"))?.cast_into::<PyString>()?;
    let path = relative(unit, &origin)?;
    let sha256 = unit.digest_of(&path).map(|digest| digest.to_hex());
    audit::raise(py, ("magic_module.load", fullname, origin, sha256))?;
    verified(py, handle.get(), &path)?;
    unit.note_loaded(&path);
    Ok(())
}

/// Fetches a unit whose files are about to be read by their paths.
#[pyfunction]
pub fn _ready(py: Python<'_>, handle: &Bound<'_, UnitHandle>) -> PyResult<()> {
    let unit = &handle.get().unit;
    // The cache was emptied since the unit was made ready.
    if !unit.folder.is_dir() {
        unit.reset();
    }
    ready(py, handle.get()).map(drop)
}

/// Fetches the unit whose file or folder stands at a place in a view that leads nowhere yet. False:
/// there is no such place, or what stands there is here.
#[pyfunction]
pub fn _ready_at(py: Python<'_>, place: PathBuf) -> PyResult<bool> {
    let Some((unit, _)) = missing(&place) else { return Ok(false) };
    _ready(py, &handle_of(py, &unit)?)?;
    Ok(true)
}

/// Whether a folder stands at such a place, or a file. `None`: there is no such place, or what
/// stands there is here.
#[pyfunction]
pub fn _is_folder_at(place: PathBuf) -> Option<bool> {
    missing(&place).map(|(unit, inside)| !unit.layout.has_file(&inside))
}

/// The unit that has a path of a view, and the path there, as long as it is not on disk.
fn missing(place: &Path) -> Option<(Arc<Unit>, String)> {
    let session = existing()?;
    let (unit, inside) = session.unit_of_file(&session.in_store(place)?)?;
    (unit.layout.has(&inside) && !place.exists()).then_some((unit, inside))
}

/// Where a file that a loader names lies in its unit's tree.
pub fn relative(unit: &Unit, origin: &Bound<'_, PyString>) -> PyResult<String> {
    let origin = origin.to_str()?;
    let inside = unit.relative(Path::new(origin)).map(|inside| inside.replace('\\', "/"));
    inside.ok_or_else(|| no_file(origin))
}
