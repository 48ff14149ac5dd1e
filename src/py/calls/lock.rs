//! `mount_lock()`: every package of a lock, each fetched when it is imported.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::environ::hand_down;
use super::mount::Mount;
use super::search_path::join_search_path;
use crate::fetch::Freshness;
use crate::files;
use crate::lockfile;
use crate::mount::{Mount as CoreMount, MountRequest};
use crate::name::{Digest, Namespace};
use crate::py::bridge::choosing::{BUILDER, launch};
use crate::py::bridge::detached::detached;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::runtime::block;
use crate::py::bridge::state::{session, version};
use crate::py::hook::filter::refresh_filter;
use crate::py::hook::finder::inherit;
use crate::py::hook::watched::mend_loaded;
use crate::resolved::Optional;
use crate::session::Session;
use crate::supply::{Source, View, lock};

/// Make every package of a lock importable; each is fetched when it is first imported.
///
/// What the lock means for this interpreter is found out at the first call, and kept: every
/// further call makes no request.
///
/// Args:
///     path: a `pylock.toml` (PEP 751).
///     extras: optional dependencies of the lock's project to include.
///     groups: dependency groups (PEP 735) to include besides the lock's default ones.
///     first: serve its packages before what is installed.
///     build: have uv or pip build packages without a wheel, once; this runs their code.
///     unhashed: also accept wheels without a digest in the lock; the first digest is kept.
///     optional: what the optional imports of packages do: "fetch", "present-only" or
///         "deny"; the lock's `[tool.magic-module.optional]` sets it for single packages.
///     export: every process that is started from now on has the mount, too, until it is closed.
///
/// Returns:
///     The mount, a context manager that undoes it.
///
/// Raises:
///     ManifestError: it is not a lock, or not a supported one.
///     RequirementError: it is for another Python or platform, or something in it has to be built.
///     FetchError: the content of its wheels cannot be found out.
///     StoreError: the lock cannot be read, or the cache directory cannot be used.
///     ValueError: `optional` is none of the three.
///
/// Example:
///     >>> mm.mount_lock("pylock.toml")
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of the public function")]
#[pyo3(signature = (path, *, extras=Vec::new(), groups=Vec::new(), first=false, build=false, unhashed=false, optional="fetch", export=false))]
pub fn mount_lock(
    py: Python<'_>,
    path: PathBuf,
    extras: Vec<String>,
    groups: Vec<String>,
    first: bool,
    build: bool,
    unhashed: bool,
    optional: &str,
    export: bool,
) -> PyResult<Mount> {
    let mut source = source(py, path, extras, groups, build, unhashed)?;
    source.optional = optional.parse().map_err(|()| {
        PyValueError::new_err("optional must be 'fetch', 'present-only' or 'deny'")
    })?;
    let mount = mount_request(py, request(source, first))?;
    if export {
        hand_down(py, &mount.0.request)?;
    }
    Ok(mount)
}

/// A lock as this interpreter wants it.
pub fn source(
    py: Python<'_>,
    path: PathBuf,
    extras: Vec<String>,
    groups: Vec<String>,
    build: bool,
    unhashed: bool,
) -> PyResult<lock::Source> {
    let (interpreter, package) = (interpreter(py)?, package(py)?);
    Ok(lock::Source {
        path: std::path::absolute(path)?,
        extras,
        groups,
        unhashed,
        build,
        builder: BUILDER,
        optional: Optional::Fetch,
        launch: launch(py, &interpreter, &package)?,
        environment: environment(py)?,
        in_environment: py.import("sys")?.getattr("executable")?.extract().unwrap_or_default(),
        interpreter,
        version: version(py)?,
        package,
        prefix: py.import("sys")?.getattr("prefix")?.extract()?,
        site: None,
    })
}

/// The mount of a lock that nothing is imported from; it has its view.
pub fn opened(
    py: Python<'_>,
    session: &'static Arc<Session>,
    path: PathBuf,
) -> PyResult<Arc<CoreMount>> {
    let source = source(py, path, Vec::new(), Vec::new(), false, false)?;
    let mount = session.mount(request(source, false)).or_raise(py)?;
    match ready(py, session, &mount) {
        Ok(_) => Ok(mount),
        Err(error) => {
            session.close(&mount);
            Err(error)
        }
    }
}

/// Writes the index of a lock beside it; its path, and of how many wheels it tells.
#[pyfunction]
pub fn _index_lock(py: Python<'_>, path: PathBuf) -> PyResult<(PathBuf, usize)> {
    let session = session(py)?;
    let source = source(py, path, Vec::new(), Vec::new(), false, false)?;
    let lock = source.path.clone();
    let mount = session.mount(request(source, false)).or_raise(py)?;
    let view = ready(py, session, &mount)?;
    let asked = mount.clone();
    block(py, session, None, async move |_| match asked.supply.newest()? {
        Some(document) => asked.supply.all_records(&document).await.map(drop),
        None => Ok(()),
    })?;
    session.close(&mount);
    lock::index::write(&session.engine.store, &view.resolved, &lock).or_raise(py)
}

/// The lock of the folder that the process works in: the nearest one that is its owner's.
#[pyfunction]
pub fn _nearest_lock(here: PathBuf) -> Option<PathBuf> {
    lock::nearest(&here)
}

/// The nearest `modules.toml` that is the owner's of the folder that the process works in.
#[pyfunction]
pub fn _nearest_registry(here: PathBuf) -> Option<PathBuf> {
    lockfile::nearest(&here, "modules.toml")
}

/// URLs with what lets one in, for the servers of locks.
#[pyfunction]
pub fn _tell_logins(py: Python<'_>, urls: Vec<String>) -> PyResult<()> {
    session(py)?.engine.places.tell(urls);
    Ok(())
}

/// The folder of the lock that follows from what a script says of itself, on this interpreter.
#[pyfunction]
pub fn _script_folder(py: Python<'_>, facts: &str) -> PyResult<PathBuf> {
    let facts = format!("{}\n{facts}", environment(py)?);
    let session = session(py)?;
    detached(py, || session.engine.store.script(&facts)).or_raise(py)
}

fn request(source: lock::Source, first: bool) -> MountRequest {
    MountRequest {
        namespace: Namespace::default(),
        source: Source::Lock(Box::new(source)),
        first,
        pins: BTreeMap::new(),
        frozen: false,
    }
}

/// Makes the mount of a lock, wherever that comes from.
pub fn mount_request(py: Python<'_>, request: MountRequest) -> PyResult<Mount> {
    let (session, first) = (session(py)?, request.first);
    let mount = session.mount(request).or_raise(py)?;
    let view = match ready(py, session, &mount) {
        Ok(view) => view,
        Err(error) => {
            session.close(&mount);
            return Err(error);
        }
    };
    refresh_filter(session);
    join_search_path(py, &view, first)?;
    mend_loaded(py)?;
    if py.import("sys")?.getattr("modules")?.contains("multiprocessing.spawn")? {
        inherit(py)?;
    }
    run_start(py, &mount, &view)?;
    Ok(Mount(mount))
}

/// The mounts whose wheels had their say; a fork knows what its parent did. `None`: nothing of
/// wheels is run in this process unless it is asked for.
static STARTED: Mutex<Option<BTreeSet<Digest>>> = Mutex::new(Some(BTreeSet::new()));

/// This process is a command of ours: what wheels have an interpreter do is not done in it.
#[pyfunction]
pub fn _skip_start() {
    *STARTED.lock() = None;
}

/// What wheels have an interpreter do when it starts: once in a process.
fn run_start(py: Python<'_>, mount: &CoreMount, view: &View) -> PyResult<()> {
    let files = &view.resolved.start.files;
    if files.is_empty() {
        return Ok(());
    }
    let is_due = STARTED.lock().as_mut().is_some_and(|it| it.insert(mount.identity));
    if !is_due {
        return Ok(());
    }
    let title = |unit| mount.supply.title(unit).into_owned();
    let files: Vec<_> = files.iter().map(|it| (&it.name, &it.text, title(&it.unit))).collect();
    let module = py.import("magic_module._py.site_files")?;
    module.call_method1("run", (view.site().to_string_lossy(), files)).map(drop)
}

/// The view of the lock, which is compiled if nobody did.
fn ready(
    py: Python<'_>,
    session: &'static Arc<Session>,
    mount: &Arc<CoreMount>,
) -> PyResult<Arc<View>> {
    mount.trust().or_raise(py)?;
    mount.bind().or_raise(py)?;
    if mount.supply.view().is_none() {
        let asked = mount.clone();
        block(py, session, None, async move |session| {
            asked.refresh(Freshness::AsCached).await?;
            let _ = session.bring_settings(&asked).await;
            Ok(())
        })?;
    }
    let view = mount.supply.view().cloned();
    view.ok_or_else(|| pyo3::exceptions::PyRuntimeError::new_err("the lock was not compiled"))
}

/// The interpreter itself, where it runs in an environment.
fn interpreter(py: Python<'_>) -> PyResult<PathBuf> {
    let sys = py.import("sys")?;
    let named = |name: &str| sys.getattr(name).ok()?.extract::<PathBuf>().ok();
    Ok(named("_base_executable").or_else(|| named("executable")).unwrap_or_default())
}

/// What tells interpreters apart that need other wheels, or another view.
pub(super) fn environment(py: Python<'_>) -> PyResult<String> {
    let sys = py.import("sys")?;
    let prefix = sys.getattr("base_prefix")?.str()?;
    let (version, platform) = (sys.getattr("version")?, sys.getattr("platform")?);
    let tag = sys.getattr("implementation")?.getattr("cache_tag")?.str()?;
    let text = format!("{prefix}\n{version}\n{platform}\n{tag}");
    Ok(Digest::of(text.as_bytes()).to_hex())
}

/// Our own package, as it is installed.
fn package(py: Python<'_>) -> PyResult<PathBuf> {
    let file: PathBuf = py.import("magic_module")?.getattr("__file__")?.extract()?;
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    // Seen through a view it is a link; the view of another lock links to the same place.
    Ok(files::real(&folder).unwrap_or(folder))
}
