//! Upgrade and rollback: what is loaded is reloaded, then the generation is switched.
//!
//! ```text
//! prepared ─ preview ─ reload ─ commit ─▶ Upgrade
//!                        └─ failed ─▶ modules, preview and generation as before
//! ```

use std::sync::Arc;
use std::time::Instant;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::types::Upgrade;
use crate::mount::Mount;
use crate::py::bridge::audit;
use crate::py::bridge::detached::detached;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::listeners::deliver;
use crate::py::bridge::requirements::check;
use crate::py::bridge::runtime::block;
use crate::py::bridge::state::session;
use crate::session::Session;
use crate::store::Reuse;
use crate::store::generation::Active;
use crate::uses::moves::outcome::Outcome;
use crate::uses::moves::site::Way;
use crate::uses::moves::upgrade::Prepared;

/// Move units to their newest versions and reload their loaded modules, or change nothing.
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
///     IntegrityError: bytes are not the pinned ones; everything is as before.
///     RequirementError: the new version does not fit what is installed.
///
/// Example:
///     >>> mm.upgrade("acme.heavy")[0].new_version
#[pyfunction]
#[pyo3(signature = (*names))]
pub fn upgrade(py: Python<'_>, names: Vec<String>) -> PyResult<Vec<Upgrade>> {
    let session = session(py)?;
    if names.is_empty() {
        return upgrade_all(py, session);
    }
    let mut done = Vec::new();
    for (mount, mut names) in session.by_mount(&names).or_raise(py)? {
        names.sort();
        names.dedup();
        if let Some(moved) = move_lock(py, session, &mount, Way::Newest, &names)? {
            done.extend(moved);
            continue;
        }
        let moving = names.clone();
        let prepared = block(py, session, None, async move |session| {
            session.prepare_upgrade(&mount, &moving, Reuse::WhatIsHere).await
        })?;
        done.extend(apply(py, session, &prepared, &names)?);
    }
    Ok(done)
}

fn upgrade_all(py: Python<'_>, session: &'static Arc<Session>) -> PyResult<Vec<Upgrade>> {
    let mut groups = Vec::new();
    for mount in session.mounts_in_use().or_raise(py)? {
        let asked = mount.clone();
        let movable =
            block(py, session, None, async move |session| session.upgradable(&asked).await)?;
        groups.push((mount, movable));
    }
    let mut done = Vec::new();
    for mount in session.mounts() {
        done.extend(move_lock(py, session, &mount, Way::Newest, &[])?.unwrap_or_default());
    }
    for (mount, names) in groups.into_iter().filter(|(_, names)| !names.is_empty()) {
        let moving = names.clone();
        let prepared = block(py, session, None, async move |session| {
            session.prepare_asked(&mount, &moving, Reuse::WhatIsHere).await
        })?;
        done.extend(apply(py, session, &prepared, &names)?);
    }
    Ok(done)
}

/// `_upgrade()` of a unit's root module.
#[pyfunction]
pub fn _upgrade_unit(py: Python<'_>, name: &str, force: bool) -> PyResult<Upgrade> {
    let session = session(py)?;
    let (mount, relative) = session.mount_of(name).or_raise(py)?;
    let names = vec![relative];
    if let Some(moved) = move_lock(py, session, &mount, Way::Newest, &names)? {
        return of(name, moved);
    }
    let moving = names.clone();
    let reuse = if force { Reuse::Nothing } else { Reuse::WhatIsHere };
    let prepared = block(py, session, None, async move |session| {
        session.prepare_upgrade(&mount, &moving, reuse).await
    })?;
    let done = apply(py, session, &prepared, &names)?;
    of(name, done)
}

/// What happened to one unit.
fn of(name: &str, done: Vec<Upgrade>) -> PyResult<Upgrade> {
    let own = done.into_iter().find(|upgrade| upgrade.name == name);
    own.ok_or_else(|| PyRuntimeError::new_err(format!("{name} was not moved")))
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
///     StoreError: the previous version is no longer in the cache, nor published.
///
/// Example:
///     >>> mm.rollback("acme.heavy").changed
#[pyfunction]
pub fn rollback(py: Python<'_>, name: &str) -> PyResult<Upgrade> {
    let session = session(py)?;
    let (mount, relative) = session.mount_of(name).or_raise(py)?;
    if let Some(moved) = move_lock(py, session, &mount, Way::Back, std::slice::from_ref(&relative))?
    {
        return of(name, moved);
    }
    let moving = relative.clone();
    let prepared = block(py, session, None, async move |session| {
        session.prepare_rollback(&mount, &moving).await
    })?;
    of(name, apply(py, session, &prepared, &[relative])?)
}

/// Moves a lock that a manifest has; this process keeps what it has. `None`: it is another mount.
fn move_lock(
    py: Python<'_>,
    session: &'static Arc<Session>,
    mount: &Arc<Mount>,
    way: Way,
    names: &[String],
) -> PyResult<Option<Vec<Upgrade>>> {
    let Some(source) = mount.request.source.as_lock().filter(|it| it.site.is_some()) else {
        return Ok(None);
    };
    let (started, asked) = (Instant::now(), mount.clone());
    let (source, names) = (source.clone(), names.to_vec());
    let moved = block(py, session, None, async move |session| {
        session.move_site(&asked, &source, way, &names).await
    })?;
    let shown = |outcome: Outcome| {
        let changed = outcome.old_version != outcome.new_version;
        Upgrade {
            name: outcome.full_name,
            old_version: outcome.old_version,
            new_version: outcome.new_version,
            changed,
            files_changed: outcome.files_changed,
            bytes: 0,
            seconds: started.elapsed().as_secs_f64(),
            restart_required: changed,
        }
    };
    Ok(Some(moved.into_iter().map(shown).collect()))
}

/// Makes the moves if what they lead to fits what is installed, and tells what happened.
fn apply(
    py: Python<'_>,
    session: &Arc<Session>,
    prepared: &Prepared,
    names: &[String],
) -> PyResult<Vec<Upgrade>> {
    check(py, session, &prepared.members)?;
    let restart_required = !prepared.moves.is_empty() && make_moves(py, session, prepared)?;
    deliver(py, session)?;
    let shown = |outcome: Outcome| Upgrade {
        name: outcome.full_name,
        old_version: outcome.old_version,
        new_version: outcome.new_version,
        changed: !prepared.moves.is_empty(),
        files_changed: outcome.files_changed,
        bytes: prepared.bytes,
        seconds: prepared.started.elapsed().as_secs_f64(),
        restart_required,
    };
    Ok(session.outcomes(prepared, names).into_iter().map(shown).collect())
}

/// Reloads what is loaded, then switches the generation. On failure everything is as before.
/// True if only a new process is sure to use the new versions alone.
fn make_moves(py: Python<'_>, session: &Arc<Session>, prepared: &Prepared) -> PyResult<bool> {
    let reload = py.import("magic_module._py.reload")?;
    let commit = || detached(py, || session.commit(prepared)).or_raise(py);
    let moves = announced(py, session, prepared)?;
    if reload.call_method1("needs_restart", (&moves,))?.extract()? {
        return commit().map(|()| true);
    }
    // A module may raise when its attributes are read.
    let saved = reload.call_method1("save", (&moves,))?;
    let before = session.preview(prepared).or_raise(py)?;
    let result = reload
        .call_method1("reload", (&saved,))
        .and_then(|stale| stale.extract::<bool>())
        .and_then(|stale| commit().map(|()| stale));
    if result.is_err() {
        if let Some(before) = before {
            prepared.mount.rebind(before);
        }
        reload.call_method1("restore", (&saved,))?;
    }
    result
}

/// Each move as `_py.reload` takes it: name, changed paths, the tree before. Audit hooks are told.
fn announced<'py>(
    py: Python<'py>,
    session: &Session,
    prepared: &Prepared,
) -> PyResult<Bound<'py, PyList>> {
    let moves = PyList::empty(py);
    for step in &prepared.moves {
        let version = |active: &Option<Active>| active.as_ref().map(|it| it.version.to_string());
        let (old, new) = (version(&step.old), version(&step.new));
        audit::raise(py, ("magic_module.upgrade", &step.full_name, old, new))?;
        let changed: Vec<&String> = step.changed.iter().collect();
        let old = step.old.as_ref().map(|old| session.engine.store.trees().join(old.tree.to_hex()));
        let old = old.as_ref().map(|old| old.to_string_lossy());
        moves.append((&step.full_name, changed, old))?;
    }
    Ok(moves)
}
