//! What there is: units, mounts, distributions.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::mount::join_search_path;
use super::types::ModuleInfo;
use crate::mount::Mount;
use crate::name::Digest;
use crate::py::bridge::detached::detached;
use crate::py::bridge::dict::dict;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::runtime::block;
use crate::py::bridge::state::{know_tags, session};
use crate::session::Session;
use crate::uses::describe::Description;

/// Every unit of a namespace, downloaded or not, by name.
///
/// Args:
///     namespace: one that is mounted; its manifest is asked for if none is known.
///
/// Returns:
///     What is known about each unit.
///
/// Raises:
///     ConfigurationError: nothing is mounted there.
///     FetchError: no manifest is known, and the server does not give one.
///     OfflineError: no manifest is known, and `MAGIC_MODULE_OFFLINE` is set.
///
/// Example:
///     >>> [unit.name for unit in mm.available("acme")]
#[pyfunction]
#[pyo3(signature = (namespace="magic_module"))]
pub fn available(py: Python<'_>, namespace: &str) -> PyResult<Vec<ModuleInfo>> {
    let session = session(py)?;
    know_tags(py, session)?;
    let namespace = namespace.to_owned();
    let units =
        block(py, session, None, async move |session| session.available_at(&namespace).await)?;
    units.into_iter().map(|unit| shown(py, session, unit)).collect()
}

/// What is known about one unit; the unit is not downloaded.
///
/// Args:
///     name: what follows `import`, such as `acme.heavy`.
///
/// Raises:
///     UnitNotFoundError: the manifest does not have it.
///     FetchError: no manifest is known, and the server does not give one.
///
/// Example:
///     >>> mm.info("acme.heavy").versions
#[pyfunction]
pub fn info(py: Python<'_>, name: &str) -> PyResult<ModuleInfo> {
    let session = session(py)?;
    know_tags(py, session)?;
    let (mount, name) = session.mount_of(name).or_raise(py)?;
    let unit = block(py, session, None, async move |session| session.info(&mount, &name).await)?;
    shown(py, session, unit)
}

fn shown(py: Python<'_>, session: &Session, unit: Description) -> PyResult<ModuleInfo> {
    // Of a lock, nobody knows by which of its modules something would be hidden.
    let hidden_by = match unit.is_module {
        true => hidden_by(py, session, &unit.name, unit.first)?,
        false => None,
    };
    Ok(ModuleInfo::new(unit, hidden_by))
}

/// The installed file, or the importer, that wins over a unit. `first`: as its mount says.
pub fn hidden_by(
    py: Python<'_>,
    session: &Session,
    name: &str,
    first: bool,
) -> PyResult<Option<String>> {
    let root = session.engine.store.root().to_string_lossy();
    py.import("magic_module._py.loader")?.call_method1("hidden_by", (name, root, first))?.extract()
}

/// Every mount of this process, the environment's included.
#[pyfunction]
pub fn _mounts(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let session = session(py)?;
    if let Ok(mount) = session.own_mount() {
        join_search_path(py, session, &mount)?;
    }
    session.mounts().iter().map(|mount| state(py, mount)).collect()
}

fn state<'py>(py: Python<'py>, mount: &Arc<Mount>) -> PyResult<Bound<'py, PyDict>> {
    let bound = mount.bind().or_raise(py)?;
    let active = PyDict::new(py);
    for (key, entry) in bound.iter().flat_map(|bound| &bound.generation.active) {
        let (version, tree) = (entry.version.as_str(), entry.tree.to_hex());
        active.set_item(key.as_str(), dict!(py, version: version, tree: tree))?;
    }
    Ok(dict!(py,
        namespace: mount.namespace.as_str(),
        manifest_url: mount.supply.url().to_string(),
        identity: mount.identity.to_hex(),
        first: mount.request.first,
        generation: bound.as_ref().map(|bound| bound.generation.number),
        active: active,
    ))
}

/// `(name, folder)` of every `.dist-info` in an active tree.
#[pyfunction]
pub fn _distributions(py: Python<'_>) -> PyResult<Vec<(String, String)>> {
    Ok(session(py)?.distributions())
}

/// The namespace of whoever has a tree in use, as the store knows it; the tree is told by its digest.
#[pyfunction]
pub fn _namespace_of(py: Python<'_>, tree: &str) -> PyResult<Option<String>> {
    let session = session(py)?;
    let Ok(tree) = Digest::new(tree) else { return Ok(None) };
    detached(py, || session.namespace_of(&tree)).or_raise(py)
}
