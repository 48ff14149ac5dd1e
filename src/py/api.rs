//! The public functions: convert, wait, convert.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::errors::OrRaise;
use super::finder::refresh_filter;
use super::runtime::{self, block};
use super::state::{load_tags, session};
use super::types::{ModuleInfo, Report, Upgrade};
use crate::activate::Member;
use crate::error::{Error, Kind};
use crate::mount::{Bound as Binding, Mount as CoreMount, MountRequest};
use crate::name::{Namespace, UnitName, Version};
use crate::session::Session;
use crate::upgrade::{Move, Prepared};

/// A namespace bound to where its units come from.
#[pyclass(frozen, eq, module = "magic_module")]
pub struct Mount(Arc<CoreMount>);

impl PartialEq for Mount {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[pymethods]
impl Mount {
    #[getter]
    fn namespace(&self) -> &str {
        self.0.namespace.as_str()
    }

    #[getter]
    fn manifest_url(&self) -> String {
        self.0.shown_url()
    }

    #[getter]
    fn identity(&self) -> String {
        self.0.identity.to_hex()
    }

    /// Undoes the mount; what is imported stays imported.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let session = session(py)?;
        session.close(&self.0);
        refresh_filter(session);
        if let Some(path) = search_path(py, self.0.namespace.as_str())? {
            let entry = self.0.folder.entry();
            let _ = path.call_method1("remove", (entry.to_string_lossy().as_ref(),));
        }
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (_exc_type, _exc_value, _traceback, /))]
    fn __exit__(
        &self,
        py: Python<'_>,
        _exc_type: &Bound<'_, PyAny>,
        _exc_value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }

    fn __hash__(&self) -> u64 {
        Arc::as_ptr(&self.0) as u64
    }

    fn __repr__(&self) -> String {
        format!("Mount({:?}, {:?})", self.0.namespace.as_str(), self.0.shown_url())
    }
}

/// The `__path__` of a namespace that is imported already.
fn search_path<'py>(py: Python<'py>, namespace: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let modules = py.import("sys")?.getattr("modules")?;
    Ok(modules.get_item(namespace).and_then(|module| module.getattr("__path__")).ok())
}

/// Puts a mount's entry into the `__path__` of its namespace.
pub fn join_search_path(py: Python<'_>, session: &Session, mount: &CoreMount) -> PyResult<()> {
    let Some(path) = search_path(py, mount.namespace.as_str())? else { return Ok(()) };
    let entry = mount.folder.entry().to_string_lossy().into_owned();
    let root = session.store.mounts().to_string_lossy().into_owned();
    let others: Vec<String> = path
        .try_iter()?
        .filter_map(|item| item.ok()?.extract::<String>().ok())
        .filter(|item| item.starts_with(&root))
        .collect();
    if others.contains(&entry) {
        return Ok(());
    }
    // The mount that this one replaces.
    for other in others.iter().filter(|other| other.ends_with("units")) {
        let _ = path.call_method1("remove", (other,));
    }
    path.call_method1("append", (entry,)).map(drop)
}

#[pyfunction]
#[pyo3(signature = (namespace, manifest_url, *, public_key=None, first=false, pins=None, allow_http=false))]
fn mount(
    py: Python<'_>,
    namespace: &str,
    manifest_url: &str,
    public_key: Option<&Bound<'_, PyAny>>,
    first: bool,
    pins: Option<BTreeMap<String, String>>,
    allow_http: bool,
) -> PyResult<Mount> {
    let session = session(py)?;
    let request = MountRequest {
        namespace: Namespace::new(namespace)
            .map_err(|error| wrong("the namespace", &error))
            .or_raise(py)?,
        manifest_url: manifest_url.to_owned(),
        public_keys: keys(public_key)?,
        first,
        pins: pins
            .unwrap_or_default()
            .into_iter()
            .map(pin)
            .collect::<Result<_, Error>>()
            .or_raise(py)?,
        allow_http,
    };
    let mount = session.mount(request).or_raise(py)?;
    refresh_filter(session);
    if !mount.namespace.is_empty() {
        join_search_path(py, session, &mount)?;
    }
    Ok(Mount(mount))
}

fn keys(public_key: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<String>> {
    match public_key {
        None => Ok(Vec::new()),
        Some(key) if key.is_instance_of::<PyString>() => Ok(vec![key.extract()?]),
        Some(keys) => keys
            .extract()
            .map_err(|_| PyTypeError::new_err("public_key must be a string or a list of strings")),
    }
}

fn pin((name, version): (String, String)) -> Result<(UnitName, Version), Error> {
    let name = UnitName::new(&name).map_err(|error| wrong("a pin", &error))?;
    let version = Version::new(&version).map_err(|error| wrong("a pin", &error))?;
    Ok((name, version))
}

fn wrong(what: &str, why: &crate::name::BadName) -> Error {
    Error::new(Kind::Configuration, format!("{what} is wrong"))
        .caused_by(why)
        .hint("change the arguments of mount()")
}

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
fn locate(py: Python<'_>, session: &Session, name: &str) -> PyResult<(Arc<CoreMount>, String)> {
    let located = session.mount_of(name);
    refresh_filter(session);
    located.or_raise(py)
}

/// Tags are needed by few; whoever waits anyway has them ready.
fn prepare(py: Python<'_>, session: &Session) -> PyResult<()> {
    if session.python.tags.get().is_none() { load_tags(py, session) } else { Ok(()) }
}

#[pyfunction]
#[pyo3(signature = (namespace="magic_module"))]
fn available(py: Python<'_>, namespace: &str) -> PyResult<Vec<ModuleInfo>> {
    let session = session(py)?;
    prepare(py, session)?;
    let mut all: Vec<ModuleInfo> = Vec::new();
    for mount in mount_called(py, session, namespace)? {
        let work = {
            let (session, mount) = (session.clone(), mount.clone());
            async move { session.available(&mount).await }
        };
        for description in block(py, session, None, work)? {
            if !all.iter().any(|known| known.name() == description.name) {
                let hidden_by = hidden_by(py, session, &description.name)?;
                all.push(ModuleInfo::new(description, hidden_by));
            }
        }
    }
    Ok(all)
}

#[pyfunction]
fn info(py: Python<'_>, name: &str) -> PyResult<ModuleInfo> {
    let session = session(py)?;
    prepare(py, session)?;
    let (mount, relative) = locate(py, session, name)?;
    let work = {
        let session = session.clone();
        async move { session.info(&mount, &relative).await }
    };
    let description = block(py, session, None, work)?;
    let hidden_by = hidden_by(py, session, &description.name)?;
    Ok(ModuleInfo::new(description, hidden_by))
}

/// The installed file that wins over a unit.
fn hidden_by(py: Python<'_>, session: &Session, name: &str) -> PyResult<Option<String>> {
    let root = session.store.root().to_string_lossy().into_owned();
    py.import("magic_module._py.loader")?.call_method1("hidden_by", (name, root))?.extract()
}

#[pyfunction]
#[pyo3(signature = (*names, progress=None))]
fn prefetch(py: Python<'_>, names: Vec<String>, progress: Option<Py<PyAny>>) -> PyResult<()> {
    let session = session(py)?;
    prepare(py, session)?;
    let mut groups: Vec<(Arc<CoreMount>, Vec<Member>)> = Vec::new();
    for name in &names {
        let (plain, version) = match name.split_once("==") {
            Some((plain, version)) => (plain, Some(version.to_owned())),
            None => (name.as_str(), None),
        };
        let (mount, relative) = locate(py, session, plain)?;
        let work = {
            let (session, mount) = (session.clone(), mount.clone());
            async move { session.wanted(&mount, &relative, version.as_deref()).await }
        };
        let members = block(py, session, progress.as_ref(), work)?;
        super::loader::check(py, session, &members)?;
        match groups.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &mount)) {
            Some((_, all)) => all.extend(members),
            None => groups.push((mount, members)),
        }
    }
    let label = names.join(", ");
    for (mount, mut members) in groups {
        let mut seen = std::collections::BTreeSet::new();
        members.retain(|member| seen.insert(member.unit.key.clone()));
        let (session_, label) = (session.clone(), label.clone());
        block(py, session, progress.as_ref(), async move {
            session_.fetch(&mount, &members, &label).await
        })?;
    }
    Ok(())
}

#[pyfunction]
#[pyo3(signature = (*names))]
fn upgrade(py: Python<'_>, names: Vec<String>) -> PyResult<Vec<Upgrade>> {
    let session = session(py)?;
    prepare(py, session)?;
    let mut groups: Vec<(Arc<CoreMount>, Vec<String>)> = Vec::new();
    if names.is_empty() {
        let _ = session.own_mount();
        refresh_filter(session);
        for mount in session.mounts() {
            let active = mount
                .bound()
                .map(|bound| bound.generation.active.keys().cloned().collect::<Vec<_>>());
            let plain = |key: String| key.split(['@', '=']).next().unwrap_or(&key).to_owned();
            groups.push((mount, active.unwrap_or_default().into_iter().map(plain).collect()));
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
            done.extend(upgrade_in(py, session, mount, names, false)?);
        }
    }
    Ok(done)
}

/// `_upgrade()` of a unit's root module.
#[pyfunction]
fn _upgrade_unit(py: Python<'_>, name: &str, force: bool) -> PyResult<Upgrade> {
    let session = session(py)?;
    prepare(py, session)?;
    let (mount, relative) = locate(py, session, name)?;
    let done = upgrade_in(py, session, mount, vec![relative], force)?;
    done.into_iter().find(|upgrade| upgrade.name == name).ok_or_else(|| {
        pyo3::exceptions::PyRuntimeError::new_err(format!("{name} was not upgraded"))
    })
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
        async move { session.prepare_upgrade(&mount, &names, force).await }
    };
    let prepared = block(py, session, None, work)?;
    let members: Vec<Member> = prepared.members.clone();
    super::loader::check(py, session, &members)?;
    apply(py, session, &prepared)?.finish(py, session, &prepared, &names)
}

#[pyfunction]
fn rollback(py: Python<'_>, name: &str) -> PyResult<Upgrade> {
    let session = session(py)?;
    prepare(py, session)?;
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
        let changed: Vec<&String> = step.changed.iter().collect();
        let old = step.old.as_ref().map(|old| {
            session.store.trees().join(old.tree.to_hex()).to_string_lossy().into_owned()
        });
        moves.append((&step.full_name, changed, old))?;
    }
    if reload.call_method1("needs_restart", (&moves,))?.extract()? {
        py.detach(|| session.commit(prepared)).or_raise(py)?;
        return Ok(Applied { restart_required: true });
    }
    let before = session.preview(prepared);
    let saved = reload.call_method1("save", (&moves,))?;
    let result = reload
        .call_method1("reload", (&saved,))
        .map(drop)
        .and_then(|()| py.detach(|| session.commit(prepared)).or_raise(py));
    if let Err(error) = result {
        restore(&prepared.mount, before);
        reload.call_method1("restore", (&saved,))?;
        return Err(error);
    }
    Ok(Applied { restart_required: false })
}

fn restore(mount: &CoreMount, before: Option<Arc<Binding>>) {
    if let Some(before) = before {
        let Binding { generation, manifest, lock } = &*before;
        mount.rebind(Binding {
            generation: generation.clone(),
            manifest: *manifest,
            lock: lock.clone(),
        });
    }
}

impl Applied {
    fn finish(
        &self,
        py: Python<'_>,
        session: &'static Arc<Session>,
        prepared: &Prepared,
        names: &[String],
    ) -> PyResult<Vec<Upgrade>> {
        runtime::deliver(py, session, None)?;
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

#[pyfunction]
#[pyo3(signature = (*names))]
fn verify(py: Python<'_>, names: Vec<String>) -> PyResult<Report> {
    let session = session(py)?;
    prepare(py, session)?;
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

#[pyfunction]
#[pyo3(signature = (*, limit=None))]
fn prune(py: Python<'_>, limit: Option<u64>) -> PyResult<Report> {
    let session = session(py)?;
    let limit = limit.or(session.settings.cache_limit);
    let pruned = py.detach(|| crate::store::prune::prune(&session.store, limit)).or_raise(py)?;
    Ok(Report { ok: true, bytes: pruned.bytes, removed: pruned.removed, ..Report::default() })
}

#[pyfunction]
fn data_path<'py>(py: Python<'py>, name: &str, path: &str) -> PyResult<Bound<'py, PyAny>> {
    let session = session(py)?;
    prepare(py, session)?;
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

#[pyfunction]
fn on_event(py: Python<'_>, callback: Option<Py<PyAny>>) -> PyResult<()> {
    if callback.as_ref().is_some_and(|callback| !callback.bind(py).is_callable()) {
        return Err(PyTypeError::new_err("on_event takes a callable or None"));
    }
    runtime::set_callback(session(py)?, callback);
    Ok(())
}

#[pyfunction]
fn cache_dir(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let session = session(py)?;
    py.import("pathlib")?
        .getattr("Path")?
        .call1((session.store.cache().to_string_lossy().as_ref(),))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Mount>()?;
    module.add_function(pyo3::wrap_pyfunction!(mount, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(available, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(info, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(prefetch, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(upgrade, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(_upgrade_unit, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(rollback, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(verify, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(prune, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(data_path, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(on_event, module)?)?;
    module.add_function(pyo3::wrap_pyfunction!(cache_dir, module)?)
}
