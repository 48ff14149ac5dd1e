//! Upgrade and rollback: what is loaded is reloaded, then the generation is switched.
//!
//! ```text
//! prepared ─ preview ─ reload ─ commit ─▶ Upgrade
//!                        └─ failed ─▶ modules, preview and generation as before
//! ```

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyList;

use super::api::locate;
use super::types::Upgrade;
use crate::mount::Mount as CoreMount;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::runtime::{self, block};
use crate::py::bridge::state::session;
use crate::py::hook::finder::refresh_filter;
use crate::session::Session;
use crate::store::generation::Active;
use crate::uses::moves::upgrade::{Move, Prepared};

/// Move units to their newest versions, reload what is loaded of them, or change nothing.
///
/// Args:
///     names: what follows `import`; without names, every unit that is in use.
///
/// Returns:
///     What happened, for each unit that was named or moved.
///
/// Raises:
///     UnitNotFoundError: a manifest does not have a name.
///     FetchError: the network or the server failed; everything is as before.
///     IntegrityError: bytes are not what was pinned; everything is as before.
///     RequirementError: the new version does not fit what is installed.
///
/// Example:
///     >>> mm.upgrade("acme.heavy")[0].new_version
#[pyfunction]
#[pyo3(signature = (*names))]
fn upgrade(py: Python<'_>, names: Vec<String>) -> PyResult<Vec<Upgrade>> {
    let session = session(py)?;
    let mut groups: Vec<(Arc<CoreMount>, Vec<String>)> = Vec::new();
    let mut asked: Vec<Arc<CoreMount>> = Vec::new();
    if names.is_empty() {
        let _ = session.own_mount();
        refresh_filter(session);
        for mount in session.mounts() {
            if mount.bound().is_none_or(|bound| bound.generation.active.is_empty()) {
                continue;
            }
            ask(py, session, &mount, false)?;
            asked.push(mount.clone());
            let work = {
                let (session, mount) = (session.clone(), mount.clone());
                async move { session.movable(&mount).await }
            };
            let movable = block(py, session, None, work)?;
            groups.push((mount, movable));
        }
    }
    for name in &names {
        let (mount, relative) = locate(py, session, name)?;
        match groups.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &mount)) {
            Some((_, all)) => all.push(relative),
            None => groups.push((mount, vec![relative])),
        }
    }
    let mut done = Vec::new();
    for (mount, mut names) in groups {
        names.sort();
        names.dedup();
        if !names.is_empty() {
            if !asked.iter().any(|known| Arc::ptr_eq(known, &mount)) {
                ask(py, session, &mount, false)?;
            }
            done.extend(upgrade_in(py, session, mount, names, false)?);
        }
    }
    Ok(done)
}

/// `_upgrade()` of a unit's root module.
#[pyfunction]
fn _upgrade_unit(py: Python<'_>, name: &str, force: bool) -> PyResult<Upgrade> {
    let session = session(py)?;
    let (mount, relative) = locate(py, session, name)?;
    ask(py, session, &mount, force)?;
    let done = upgrade_in(py, session, mount, vec![relative], force)?;
    done.into_iter().find(|upgrade| upgrade.name == name).ok_or_else(|| {
        pyo3::exceptions::PyRuntimeError::new_err(format!("{name} was not upgraded"))
    })
}

fn ask(
    py: Python<'_>,
    session: &'static Arc<Session>,
    mount: &Arc<CoreMount>,
    force: bool,
) -> PyResult<()> {
    let (session_, mount) = (session.clone(), mount.clone());
    let asking = async move { session_.ask_for_upgrade(&mount, force).await };
    runtime::block(py, session, None, asking)
}

fn upgrade_in(
    py: Python<'_>,
    session: &'static Arc<Session>,
    mount: Arc<CoreMount>,
    names: Vec<String>,
    force: bool,
) -> PyResult<Vec<Upgrade>> {
    let work = {
        let (session, mount, names) = (session.clone(), mount.clone(), names.clone());
        async move { session.prepare_asked(&mount, &names, force).await }
    };
    let prepared = block(py, session, None, work)?;
    crate::py::hook::loader::check(py, session, &prepared.members)?;
    apply(py, session, &prepared)?.finish(py, session, &prepared, &names)
}

/// Undo the last move of a unit, and of what moved with it.
///
/// Args:
///     name: what follows `import`.
///
/// Returns:
///     What happened to the unit; nothing, if it was never moved.
///
/// Raises:
///     UnitNotFoundError: no mounted namespace holds the name.
///     StoreError: the version before is neither in the cache nor published any more.
///
/// Example:
///     >>> mm.rollback("acme.heavy").changed
#[pyfunction]
fn rollback(py: Python<'_>, name: &str) -> PyResult<Upgrade> {
    let session = session(py)?;
    let (mount, relative) = locate(py, session, name)?;
    let work = {
        let (session, mount, relative) = (session.clone(), mount.clone(), relative.clone());
        async move { session.prepare_rollback(&mount, &relative).await }
    };
    let prepared = block(py, session, None, work)?;
    let mut done = apply(py, session, &prepared)?.finish(py, session, &prepared, &[relative])?;
    Ok(done.remove(0))
}

/// What came of moving the loaded modules.
struct Applied {
    restart_required: bool,
}

/// Reloads what is loaded, then switches the generation. On failure everything is as before.
fn apply(py: Python<'_>, session: &'static Arc<Session>, prepared: &Prepared) -> PyResult<Applied> {
    if prepared.moves.is_empty() {
        return Ok(Applied { restart_required: false });
    }
    let reload = py.import("magic_module._py.reload")?;
    let moves = PyList::empty(py);
    for step in &prepared.moves {
        let version = |active: &Option<Active>| active.as_ref().map(|it| it.version.to_string());
        let (old, new) = (version(&step.old), version(&step.new));
        crate::py::bridge::audit::raise(py, ("magic_module.upgrade", &step.full_name, old, new))?;
        let changed: Vec<&String> = step.changed.iter().collect();
        let old = step.old.as_ref().map(|old| {
            session.engine.store.trees().join(old.tree.to_hex()).to_string_lossy().into_owned()
        });
        moves.append((&step.full_name, changed, old))?;
    }
    if reload.call_method1("needs_restart", (&moves,))?.extract()? {
        py.detach(|| session.commit(prepared)).or_raise(py)?;
        return Ok(Applied { restart_required: true });
    }
    // A module may raise when its attributes are read.
    let saved = reload.call_method1("save", (&moves,))?;
    let before = session.preview(prepared).or_raise(py)?;
    let result = reload
        .call_method1("reload", (&saved,))
        .and_then(|stale| stale.extract::<bool>())
        .and_then(|stale| py.detach(|| session.commit(prepared)).or_raise(py).map(|_| stale));
    let restart_required = match result {
        Ok(stale) => stale,
        Err(error) => {
            if let Some(before) = before {
                prepared.mount.rebind(before);
            }
            reload.call_method1("restore", (&saved,))?;
            return Err(error);
        }
    };
    Ok(Applied { restart_required })
}

impl Applied {
    fn finish(
        &self,
        py: Python<'_>,
        session: &'static Arc<Session>,
        prepared: &Prepared,
        names: &[String],
    ) -> PyResult<Vec<Upgrade>> {
        runtime::deliver(py, session)?;
        let mount = &prepared.mount;
        let files: usize = prepared.moves.iter().map(|step| step.changed.len()).sum();
        let mut done = Vec::new();
        let one = |full_name: String, step: Option<&Move>, version: Option<String>| Upgrade {
            name: full_name,
            old_version: step.map_or_else(
                || version.clone(),
                |step| step.old.as_ref().map(|old| old.version.to_string()),
            ),
            new_version: step.map_or_else(
                || version.clone(),
                |step| step.new.as_ref().map(|new| new.version.to_string()),
            ),
            changed: !prepared.moves.is_empty(),
            files_changed: step.map_or(files, |step| step.changed.len()),
            bytes: prepared.bytes,
            seconds: prepared.started.elapsed().as_secs_f64(),
            restart_required: self.restart_required,
        };
        for name in names {
            let step = prepared.moves.iter().find(|step| step.name.as_str() == name);
            let active = mount.bound().and_then(|bound| {
                session
                    .active_entry(mount, &bound, name)
                    .map(|(_, active)| active.version.to_string())
            });
            done.push(one(mount.namespace.join(name), step, active));
        }
        for step in prepared.moves.iter().filter(|step| !names.contains(&step.name.to_string())) {
            done.push(one(step.full_name.clone(), Some(step), None));
        }
        Ok(done)
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(pyo3::wrap_pyfunction!(upgrade, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(_upgrade_unit, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(rollback, module)?)
}
