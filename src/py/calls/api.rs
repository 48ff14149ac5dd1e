//! The public functions: convert, wait, convert.

use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::types::{ModuleInfo, Report};
use crate::error::{Error, Kind};
use crate::mount::Mount as CoreMount;
use crate::py::bridge::attempt::{Attempt, attempted, or_newer};
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::runtime::{self, block};
use crate::py::bridge::state::{know_tags, session};
use crate::py::hook::finder::refresh_filter;
use crate::session::Session;
use crate::store::prune::usage;
use crate::uses::activate::Member;

/// The mount of a namespace, as the API names it.
pub fn mount_called(
    py: Python<'_>,
    session: &Session,
    namespace: &str,
) -> PyResult<Vec<Arc<CoreMount>>> {
    if namespace == crate::session::OWN {
        session.own_mount().or_raise(py)?;
        refresh_filter(session);
    }
    let found: Vec<_> = session
        .mounts()
        .into_iter()
        .filter(|mount| mount.namespace.as_str() == namespace)
        .collect();
    if found.is_empty() {
        return Err(Error::new(
            Kind::Configuration,
            format!("nothing is mounted at {namespace:?}"),
        )
        .name(namespace)
        .hint("call magic_module.mount(namespace, url) first"))
        .or_raise(py);
    }
    Ok(found)
}

/// The mount of a name and the name relative to it.
pub fn locate(py: Python<'_>, session: &Session, name: &str) -> PyResult<(Arc<CoreMount>, String)> {
    let located = session.mount_of(name);
    refresh_filter(session);
    located.or_raise(py)
}

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
fn available(py: Python<'_>, namespace: &str) -> PyResult<Vec<ModuleInfo>> {
    let session = session(py)?;
    know_tags(py, session)?;
    let mut all: Vec<ModuleInfo> = Vec::new();
    for mount in mount_called(py, session, namespace)? {
        let work = {
            let (session, mount) = (session.clone(), mount.clone());
            async move { session.available(&mount).await }
        };
        for description in block(py, session, None, work)? {
            if !all.iter().any(|known| known.name() == description.name) {
                let hidden_by = hidden_by(py, session, &mount, &description.name)?;
                all.push(ModuleInfo::new(description, hidden_by));
            }
        }
    }
    Ok(all)
}

/// What is known about one unit; nothing of it is downloaded.
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
fn info(py: Python<'_>, name: &str) -> PyResult<ModuleInfo> {
    let session = session(py)?;
    know_tags(py, session)?;
    let (mount, relative) = locate(py, session, name)?;
    let work = {
        let (session, mount) = (session.clone(), mount.clone());
        async move { session.info(&mount, &relative).await }
    };
    let description = block(py, session, None, work)?;
    let hidden_by = hidden_by(py, session, &mount, &description.name)?;
    Ok(ModuleInfo::new(description, hidden_by))
}

/// The installed file, or the importer, that wins over a unit.
pub fn hidden_by(
    py: Python<'_>,
    session: &Session,
    mount: &CoreMount,
    name: &str,
) -> PyResult<Option<String>> {
    let root = session.engine.store.root().to_string_lossy().into_owned();
    // At top level a mount that comes first gives way to nothing.
    let first = mount.namespace.is_empty() && mount.request.first;
    py.import("magic_module._py.loader")?.call_method1("hidden_by", (name, root, first))?.extract()
}

/// Download units and what they require now, in parallel; import nothing.
///
/// Args:
///     names: what follows `import`, also in a version of its own: `acme.heavy==1.1.0`.
///     progress: called with each event of the download (`bytes`, `total`, `percentage`), at most
///         10 times a second, on this thread.
///
/// Raises:
///     UnitNotFoundError: a manifest does not have a name.
///     FetchError: the network or the server failed.
///     IntegrityError: bytes are not what was pinned.
///     RequirementError: there is no such version, or something required is not installed.
///     PolicyError: the version was taken back, or a lock does not hold it.
///
/// Example:
///     >>> mm.prefetch("acme.heavy", "acme.light==1.1.0")
#[pyfunction]
#[pyo3(signature = (*names, progress=None))]
fn prefetch(py: Python<'_>, names: Vec<String>, progress: Option<Py<PyAny>>) -> PyResult<()> {
    let session = session(py)?;
    let mut groups: Vec<(Arc<CoreMount>, Vec<Wanted>)> = Vec::new();
    for name in &names {
        let (plain, version) = match name.split_once("==") {
            Some((plain, version)) => (plain, Some(version.to_owned())),
            None => (name.as_str(), None),
        };
        let (mount, relative) = locate(py, session, plain)?;
        match groups.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &mount)) {
            Some((_, all)) => all.push((relative, version)),
            None => groups.push((mount, vec![(relative, version)])),
        }
    }
    let label = names.join(", ");
    for (mount, wanted) in &groups {
        let attempt = || fetch(py, session, mount, wanted, &label, progress.as_ref());
        or_newer(py, session, mount, mount.known(), None, attempt)?;
    }
    Ok(())
}

/// A name relative to its mount, perhaps in a version of its own.
type Wanted = (String, Option<String>);

/// What the names of one mount need: found, checked, fetched.
fn fetch(
    py: Python<'_>,
    session: &'static Arc<Session>,
    mount: &Arc<CoreMount>,
    names: &[Wanted],
    label: &str,
    progress: Option<&Py<PyAny>>,
) -> Attempt<()> {
    let mut members: Vec<Member> = Vec::new();
    for (relative, version) in names {
        let found = attempted(py, session, progress, || {
            let (session, mount) = (session.clone(), mount.clone());
            let (relative, version) = (relative.clone(), version.clone());
            async move { session.wanted(&mount, &relative, version.as_deref()).await }
        })?;
        crate::py::hook::loader::check(py, session, &found)?;
        members.extend(found);
    }
    let mut seen = std::collections::BTreeSet::new();
    members.retain(|member| seen.insert(member.unit.key.clone()));
    let fetching = || {
        let (session, mount) = (session.clone(), mount.clone());
        let (members, label) = (members.clone(), label.to_owned());
        async move { session.fetch(&mount, &members, &label).await }
    };
    attempted(py, session, progress, fetching).map(drop)
}

/// Hash what is cached, and heal what is damaged; only that may be downloaded.
///
/// Args:
///     names: what follows `import`; without names, all that is in use.
///
/// Returns:
///     What was checked, with the `problems` that were found; `ok` is true if all are healed.
///
/// Raises:
///     UnitNotFoundError: a name is not in the cache.
///     StoreError: the cache directory cannot be used.
///
/// Example:
///     >>> mm.verify().problems
#[pyfunction]
#[pyo3(signature = (*names))]
fn verify(py: Python<'_>, names: Vec<String>) -> PyResult<Report> {
    let session = session(py)?;
    know_tags(py, session)?;
    let mut groups: Vec<(Arc<CoreMount>, Vec<String>)> = Vec::new();
    if names.is_empty() {
        let _ = session.own_mount();
        refresh_filter(session);
        groups.extend(session.mounts().into_iter().map(|mount| (mount, Vec::new())));
    }
    for name in &names {
        let (mount, relative) = locate(py, session, name)?;
        groups.push((mount, vec![relative]));
    }
    let mut report = Report { ok: true, ..Report::default() };
    for (mount, names) in groups {
        let work = {
            let session = session.clone();
            async move { session.verify(&mount, &names).await }
        };
        let verified = block(py, session, None, work)?;
        report.ok &= verified.healed;
        report.units += verified.units;
        report.files += verified.files;
        report.bytes += verified.bytes;
        report.problems.extend(verified.problems);
    }
    Ok(report)
}

/// Remove what no version in use, or before it, needs.
///
/// Args:
///     limit: above so many bytes, also what previous versions could be rebuilt from; without one,
///         `MAGIC_MODULE_CACHE_LIMIT`.
///
/// Returns:
///     What was `removed`, and the `bytes` that this freed.
///
/// Raises:
///     StoreError: something cannot be read or removed.
///
/// Example:
///     >>> mm.prune(limit=500 * 2**20).bytes
#[pyfunction]
#[pyo3(signature = (*, limit=None))]
fn prune(py: Python<'_>, limit: Option<u64>) -> PyResult<Report> {
    let session = session(py)?;
    let limit = limit.or(session.engine.settings.cache_limit);
    let pruned =
        py.detach(|| crate::store::prune::prune(&session.engine.store, limit)).or_raise(py)?;
    let kept = match limit {
        Some(_) => py.detach(|| usage(&session.engine.store)).or_raise(py)?.bytes,
        None => 0,
    };
    let over = limit.filter(|limit| kept > *limit).map(|limit| {
        format!("what is in use, or was before, takes {kept} bytes: more than the limit of {limit}")
    });
    Ok(Report {
        ok: true,
        bytes: pruned.bytes,
        removed: pruned.removed,
        problems: over.into_iter().collect(),
        ..Report::default()
    })
}

/// The path of a data file on disk, fetched first if it is lazy.
///
/// Args:
///     name: the unit, as it follows `import`.
///     path: the file's path in the unit: below its folder, or as the manifest has it.
///
/// Raises:
///     UnitNotFoundError: there is no such unit, or it has no such file.
///     FetchError: the file is not here, and the server does not give it.
///     IntegrityError: the file's bytes are not what was pinned.
///
/// Example:
///     >>> mm.data_path("acme.heavy", "weights.bin").stat().st_size
#[pyfunction]
fn data_path<'py>(py: Python<'py>, name: &str, path: &str) -> PyResult<Bound<'py, PyAny>> {
    let session = session(py)?;
    let (mount, relative) = locate(py, session, name)?;
    let work = {
        let (session, path) = (session.clone(), path.to_owned());
        async move {
            let unit = session.unit(&mount, &relative).await?;
            session.data_path(&mount, &unit, &path).await
        }
    };
    let place = block(py, session, None, work)?;
    py.import("pathlib")?.getattr("Path")?.call1((place.to_string_lossy().as_ref(),))
}

/// Tell somebody what happens: resolve, fetch, verify, load, upgrade.
///
/// Args:
///     callback: called with each event, a dict, on the thread that waits, at most 10 times a second
///         with progress; what it raises ends the act. None tells nobody.
///
/// Raises:
///     TypeError: `callback` cannot be called.
///
/// Example:
///     >>> mm.on_event(lambda event: print(event["event"], event["unit"]))
#[pyfunction]
fn on_event(py: Python<'_>, callback: Option<Py<PyAny>>) -> PyResult<()> {
    if callback.as_ref().is_some_and(|callback| !callback.bind(py).is_callable()) {
        return Err(PyTypeError::new_err("on_event takes a callable or None"));
    }
    runtime::set_callback(session(py)?, callback);
    Ok(())
}

/// Where downloads are kept: `MAGIC_MODULE_CACHE_DIR`, or the user's cache folder.
///
/// Raises:
///     StoreError: the directory cannot be used.
///
/// Example:
///     >>> mm.cache_dir()
#[pyfunction]
fn cache_dir(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let session = session(py)?;
    py.import("pathlib")?.getattr("Path")?.call1((session
        .engine
        .store
        .cache()
        .to_string_lossy()
        .as_ref(),))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(pyo3::wrap_pyfunction!(available, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(info, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(prefetch, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(verify, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(prune, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(data_path, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(on_event, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(cache_dir, module)?)
}
