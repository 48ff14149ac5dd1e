//! Single files of units.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::py::bridge::errors::{OrRaise, no_file};
use crate::py::bridge::runtime::block;
use crate::py::bridge::state::{existing, session};

/// The path of a data file on disk, fetched first if it is lazy.
///
/// Args:
///     name: the unit, as it follows `import`.
///     path: the file's path in the unit: below its folder, or as the manifest has it.
///
/// Raises:
///     UnitNotFoundError: the unit, or the file in it, does not exist.
///     FetchError: the file is not here, and the server does not send it.
///     IntegrityError: the file's bytes are not the pinned ones.
///
/// Example:
///     >>> mm.data_path("acme.heavy", "weights.bin").stat().st_size
#[pyfunction]
pub fn data_path(py: Python<'_>, name: &str, path: String) -> PyResult<PathBuf> {
    let session = session(py)?;
    let (mount, name) = session.mount_of(name).or_raise(py)?;
    block(py, session, None, async move |session| session.data_path_of(&mount, &name, &path).await)
}

/// The same by the name of a unit of top-level names, whatever module bears it: `bin/tool` of a
/// distribution.
#[pyfunction]
pub fn _unit_file(py: Python<'_>, name: String, path: String) -> PyResult<PathBuf> {
    let session = session(py)?;
    let mounts = session.mounts_at("").or_raise(py)?;
    let mount = mounts.into_iter().find(|mount| mount.supply.unit_called(&name).is_some());
    let mount = mount.ok_or_else(|| no_file(&path))?;
    block(py, session, None, async move |session| session.data_path_in(&mount, &name, &path).await)
}

/// What tools read of units, fetched if it is not here: for each its name, its version, a folder, the
/// paths of stubs and sources there, and those that stubs of its other extension modules would have.
#[pyfunction]
#[expect(clippy::type_complexity, reason = "as Python takes it apart")]
pub fn _sources(
    py: Python<'_>,
    names: Vec<String>,
) -> PyResult<Vec<(String, String, String, PathBuf, Vec<String>, Vec<String>)>> {
    let session = session(py)?;
    let mut found = Vec::new();
    for (mount, names) in session.by_mount(&names).or_raise(py)? {
        let asked = mount.clone();
        let sources =
            block(py, session, None, async move |session| session.sources(&asked, &names).await)?;
        let namespace = mount.namespace.to_string();
        found.extend(
            sources
                .into_iter()
                .map(|it| (namespace.clone(), it.name, it.version, it.folder, it.texts, it.opaque)),
        );
    }
    Ok(found)
}

/// Lazy files below a folder of a tree, relative to it.
#[pyfunction]
pub fn _lazy_files(py: Python<'_>, directory: PathBuf) -> PyResult<Vec<String>> {
    Ok(session(py)?.lazy_files(&directory))
}

/// The place of the lazy file that would stand at `origin`; it is fetched.
#[pyfunction]
pub fn _lazy_path(py: Python<'_>, origin: PathBuf) -> PyResult<String> {
    let session = session(py)?;
    let wanted = origin.clone();
    let place = block(py, session, None, async move |session| session.data_path_at(&wanted).await)?;
    let place = place.ok_or_else(|| no_file(&origin.to_string_lossy()))?;
    Ok(place.to_string_lossy().into_owned())
}

/// True for a path in the view of a lock that is mounted.
#[pyfunction]
pub fn _is_in_view(path: PathBuf) -> bool {
    let Ok(path) = std::path::absolute(path) else { return false };
    existing().is_some_and(|session| session.is_in_view(&path))
}
