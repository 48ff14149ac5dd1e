//! Units made ready to be used: the only place where an import waits.
//!
//! ```text
//! tree on disk and whole ─▶ requirements met ─▶ go
//!    └─ no ─▶ closure ─▶ requirements met ─▶ fetched, built, active
//!                └─ gone ─▶ what was published meanwhile takes its place
//! ```

use std::sync::Arc;
use std::sync::atomic::Ordering;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use serde_json::json;

use super::compiling::expect;
use super::spec::UnitHandle;
use super::successor::turn_to_successor;
use crate::error::{Kind, Result};
use crate::py::bridge::attempt::{fetched, or_newer};
use crate::py::bridge::detached::detached;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::listeners::deliver;
use crate::py::bridge::requirements::check;
use crate::py::bridge::state::session;
use crate::py::bridge::{audit, installed, notices, told};
use crate::session::Session;
use crate::supply::View;
use crate::unit::Unit;
use crate::uses::check::{Need, is_not_denied};

/// Makes sure that a unit can be used.
pub fn ready(py: Python<'_>, handle: &UnitHandle) -> PyResult<&'static Arc<Session>> {
    let session = session(py)?;
    if handle.ready.load(Ordering::Acquire) && handle.unit.tree().is_some() {
        return Ok(session);
    }
    let unit = &handle.unit;
    is_not_denied(unit).or_raise(py)?;
    installed::check(py, unit)?;
    match detached(py, || session.need_of(unit)).or_raise(py)? {
        Need::Nothing => {}
        Need::Check(member) => check(py, session, &[member])?,
        Need::Fetch => fetch(py, session, unit)?,
    }
    if let Ok(mount) = unit.mount() {
        session.warn_if_yanked(&mount, unit);
        notices::warn(py, session)?;
    }
    let tree = unit.digest.to_hex();
    audit::raise(py, ("magic_module.verify", &unit.full_name, unit.version.as_str(), tree))?;
    let version = unit.version.as_str();
    told::tell(|| json!({"used": {"name": unit.full_name, "version": version}}));
    handle.ready.store(true, Ordering::Release);
    deliver(py, session)?;
    Ok(session)
}

fn fetch(py: Python<'_>, session: &'static Arc<Session>, unit: &Arc<Unit>) -> PyResult<()> {
    let mount = unit.mount().or_raise(py)?;
    let _expecting = expect(py, session)?;
    let known = if unit.take_asked() { mount.known().before() } else { mount.known() };
    or_newer(py, session, &mount, known, Some(unit), || {
        let asked = unit.clone();
        fetched(py, session, None, (&mount, &unit.full_name), async move |session| {
            session.closure(&asked).await
        })
    })?;
    let is_in_parts = |view: &Arc<View>| !view.resolved.packs.is_empty();
    if mount.supply.view().is_some_and(is_in_parts) && !unit.name.is_rest() {
        py.import("magic_module._py.rest")?.call_method0("after_this_import")?;
    }
    Ok(())
}

/// As [`ready`]; what was published meanwhile takes the place of what is gone.
pub fn ready_or_successor<'py>(
    loader: &Bound<'py, PyAny>,
    handle: &Bound<'py, UnitHandle>,
    fullname: &Bound<'py, PyString>,
    spec: Option<&Bound<'py, PyAny>>,
) -> PyResult<(&'static Arc<Session>, Bound<'py, UnitHandle>)> {
    let py = loader.py();
    let error = match ready(py, handle.get()) {
        Ok(session) => return Ok((session, handle.clone())),
        Err(error) => error,
    };
    if !error.is_instance_of::<PyImportError>(py) {
        return Err(error);
    }
    match turn_to_successor(loader, handle, fullname, spec)? {
        Some(handle) => Ok((ready(py, handle.get())?, handle)),
        None => Err(error),
    }
}

/// The verified bytes of a file of a unit that was made ready.
pub fn read(py: Python<'_>, handle: &UnitHandle, path: &str) -> PyResult<Vec<u8>> {
    look(py, handle, |unit| unit.read(path))
}

/// Makes sure of a file of a unit that was made ready.
pub fn verified(py: Python<'_>, handle: &UnitHandle, path: &str) -> PyResult<()> {
    look(py, handle, |unit| unit.verify_file(path).map(drop))
}

/// Looks at a unit; if the cache was emptied or damaged since it was made ready, that is done
/// once more.
fn look<T: Send>(
    py: Python<'_>,
    handle: &UnitHandle,
    at: impl Fn(&Unit) -> Result<T> + Sync,
) -> PyResult<T> {
    match detached(py, || at(&handle.unit)) {
        Err(error) if matches!(error.kind(), Kind::Store | Kind::Integrity) => {
            handle.unit.reset();
            ready(py, handle)?;
            detached(py, || at(&handle.unit)).or_raise(py)
        }
        other => other.or_raise(py),
    }
}
