//! Where the view of a lock stands on `sys.path`.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::supply::View;

/// Puts the view on `sys.path`, and after it, as in an environment, what `.pth` files name and
/// projects that are worked on: behind everything, or before what is installed.
pub(super) fn join_search_path(py: Python<'_>, view: &View, first: bool) -> PyResult<()> {
    let sys = py.import("sys")?;
    let known = sys.getattr("path_importer_cache")?;
    let Ok(path) = sys.getattr("path")?.cast_into::<PyList>() else { return Ok(()) };
    let site = view.site().to_string_lossy().into_owned();
    // Somebody may have looked for the folder before we claimed it.
    known.call_method1("pop", (&site, py.None()))?;
    if !path.contains(&site)? {
        path.insert(if first { before_installed(&path) } else { path.len() }, &site)?;
    }
    let mut at = path.index(&site)? + 1;
    for folder in &view.further_folders() {
        if position(&path, at, folder).is_none() {
            path.insert(at, folder)?;
            at += 1;
        }
    }
    Ok(())
}

/// Takes from `sys.path` what [`join_search_path`] put there.
pub(super) fn leave_search_path(py: Python<'_>, view: &View) -> PyResult<()> {
    let path = py.import("sys")?.getattr("path")?;
    let Ok(path) = path.cast_into::<PyList>() else { return Ok(()) };
    let Ok(at) = path.index(view.site().to_string_lossy().as_ref()) else { return Ok(()) };
    path.del_item(at)?;
    for folder in &view.further_folders() {
        if let Some(at) = position(&path, at, folder) {
            path.del_item(at)?;
        }
    }
    Ok(())
}

/// Where a folder stands, from `start` on: the program may have put it further ahead itself.
fn position(path: &Bound<'_, PyList>, start: usize, folder: &str) -> Option<usize> {
    let is_it = |entry: Bound<'_, PyAny>| entry.extract::<&str>().is_ok_and(|it| it == folder);
    (start..path.len()).find(|at| path.get_item(*at).is_ok_and(is_it))
}

/// Where the folders of installed packages begin.
fn before_installed(path: &Bound<'_, PyList>) -> usize {
    let is_installed = |entry: Bound<'_, PyAny>| {
        let folder: Option<PathBuf> = entry.extract().ok();
        let name = folder.as_deref().and_then(Path::file_name);
        name.is_some_and(|name| name == "site-packages" || name == "dist-packages")
    };
    path.iter().position(is_installed).unwrap_or(path.len())
}
