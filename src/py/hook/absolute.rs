//! Why a name was not found: a unit below a namespace that imports itself, or a unit beside it,
//! as if that were at top level.
//!
//! Every name that nobody knows comes by here, most of them from code that has nothing to do
//! with units: who imports is seen from the frames, before any file of ours or any manifest
//! is read for it.

use pyo3::intern;
use pyo3::prelude::*;

use crate::mount::Mount;
use crate::py::bridge::frames::importer;
use crate::session::Session;
use crate::supply::Answer;

/// Raises the error if it is so.
pub fn explain(py: Python<'_>, session: &Session, name: &str) -> PyResult<()> {
    if session.find_mount(is_named_and_bound).is_none() {
        return Ok(());
    }
    let Some(asking) = importer(py)?.map(|code| code.module) else { return Ok(()) };
    for mount in session.mounts().iter().filter(|mount| is_named_and_bound(mount)) {
        if mount.namespace.strip(&asking).is_none() || !knows(py, mount, name)? {
            continue;
        }
        let full = mount.namespace.join(name);
        let arguments =
            (name, full, asking, mount.namespace.as_str(), mount.supply.url().to_string());
        return py
            .import("magic_module._py.loader")?
            .call_method1("explain_absolute_import", arguments)
            .map(drop);
    }
    Ok(())
}

fn is_named_and_bound(mount: &Mount) -> bool {
    !mount.namespace.is_empty() && mount.is_bound()
}

/// True if a mount has a unit of this name, as far as that is known without asking.
fn knows(py: Python<'_>, mount: &Mount, name: &str) -> PyResult<bool> {
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    if modules.contains(mount.namespace.join(name))? {
        return Ok(true);
    }
    let manifest = mount.bound().and_then(|bound| bound.manifest);
    Ok(manifest.is_some_and(|manifest| {
        matches!(mount.supply.record(&manifest, name), Ok(Answer::Record(_)))
    }))
}
