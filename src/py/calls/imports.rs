//! Who imported what, for a trace.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::py::bridge::state::existing;
use crate::py::hook::optional::watch;

/// From now on it is noted who imports what.
#[pyfunction]
pub fn _watch_imports() {
    watch();
}

/// Packages of which it was decided by what is here whether optional imports find them, each with
/// the answer; and those that were imported only by packages that could do without.
#[pyfunction]
pub fn _imports() -> (Vec<(String, bool)>, Vec<String>) {
    let (mut decided, mut spare) = (Vec::new(), Vec::new());
    for mount in existing().map(|session| session.mounts()).unwrap_or_default() {
        let Some(view) = mount.supply.view() else { continue };
        for (unit, found) in view.decided() {
            decided.push((mount.supply.title(&unit).into_owned(), found));
        }
        for unit in view.spare() {
            spare.push(mount.supply.title(&unit).into_owned());
        }
    }
    (decided, spare)
}

/// Those of `paths` that belong to a package of a lock, below the prefix of its environment.
#[pyfunction]
pub fn _paths_in_view(paths: Vec<PathBuf>) -> Vec<String> {
    let Some(session) = existing() else { return Vec::new() };
    let inside = |path: &PathBuf| Some(session.unit_of_file(&session.in_store(path)?)?.1);
    let mut inside: Vec<String> = paths.iter().filter_map(inside).collect();
    inside.sort_unstable();
    inside.dedup();
    inside
}
