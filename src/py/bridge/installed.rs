//! What is installed wins over a lock; it has to be what the lock's units require.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::import_lock::busy;
use crate::mount::{Installed, Mount, OWN_REQUIREMENTS};
use crate::name::DistributionName;
use crate::unit::Unit;

/// What is installed in the place of units of a lock.
pub fn installed<'a>(py: Python<'_>, mount: &'a Arc<Mount>) -> PyResult<&'a Installed> {
    let path = py.import("sys")?.getattr("path")?;
    Ok(mount.installed(|| {
        let site = mount.supply.view().map(|view| view.site());
        // Whoever puts something else than text there gets nothing from it.
        let before = path.extract::<Vec<PathBuf>>().unwrap_or_default().into_iter();
        before.take_while(|it| Some(it) != site.as_ref()).collect()
    }))
}

/// Before code of a unit of a lock runs: what is installed must be what it requires. If that is
/// only in another version than the lock's, a warning says so.
pub fn check(py: Python<'_>, unit: &Unit) -> PyResult<()> {
    let Ok(mount) = unit.mount() else { return Ok(()) };
    let Some(view) = mount.supply.view().filter(|_| !mount.request.first) else { return Ok(()) };
    let installed = installed(py, &mount)?;
    if installed.others.is_empty() {
        return Ok(());
    }
    let Some(known) = view.resolved.units.get(&unit.name) else { return Ok(()) };
    let versions = PyDict::new(py);
    let mut others: Vec<&DistributionName> = Vec::new();
    for (required, name) in &installed.others {
        let locked = view.resolved.units.get(required);
        if let Some(locked) = locked.filter(|_| known.requires.contains(required)) {
            versions.set_item(name.as_str(), locked.version.as_str())?;
            others.push(name);
        }
    }
    if others.is_empty() {
        return Ok(());
    }
    let requirements = mount.requirements_on(&unit.name, &others);
    let modules = py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
    let known_before = modules.contains("packaging")?;
    let _busy = busy();
    let outcome = py
        .import("magic_module._py.requirements")?
        .call_method1("check_installed", (&known.name, requirements, versions));
    if !known_before && !installed.ours.is_empty() {
        forget_own_requirements(&modules)?;
    }
    outcome.map(drop)
}

/// What we imported for ourselves is not what the program gets.
fn forget_own_requirements(modules: &Bound<'_, PyDict>) -> PyResult<()> {
    for name in PyList::new(modules.py(), modules.keys())? {
        let top = name.extract::<String>().unwrap_or_default();
        if OWN_REQUIREMENTS.contains(&top.split('.').next().unwrap_or_default()) {
            modules.del_item(name)?;
        }
    }
    Ok(())
}
