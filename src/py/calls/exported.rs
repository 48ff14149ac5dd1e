//! Mounts that come from outside, or go there: the environment's, and those of children.
//!
//! ```text
//! parent   mount(export=True) ─▶ os.environ ─▶ any process that it starts
//!          export_environment() ─▶ a dict, for whoever starts processes elsewhere
//! child    the start line ─ _start() ─▶ the same mounts
//! ```

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::environ::{
    MOUNTS, add, exported, handed_down, may_be_handed_down, public, without_login,
};
use super::lock::mount_lock;
use super::mount::Mount;
use super::mounting::mount_manifest;
use super::sync::sync_at_start;
use crate::error::{Error, Kind};
use crate::mount::MountRequest;
use crate::name::UrlText;
use crate::py::bridge::detached::detached;
use crate::py::bridge::errors::{OrRaise, kind_of, to_python};
use crate::py::bridge::state::{existing, session};
use crate::py::hook::broken::{forget, note};
use crate::py::hook::guard::guard;
use crate::settings::{Exported, own_variables, parse_mounts, text_of_mounts, variable};
use crate::supply::Source;
use crate::supply::manifest::{self, WhenOld};

/// Variables that give a child process the settings and mounts of this one.
///
/// It has the variables of this process whose names begin with `MAGIC_MODULE_`, and in
/// `MAGIC_MODULE_MOUNTS` every mount but those of units with top-level names. The child mounts
/// them when its interpreter starts. They contain no login and no password: a child that needs one
/// must have its own.
///
/// Returns:
///     Variables by name, to be added to an environment.
///
/// Raises:
///     ConfigurationError: a variable is wrong.
///
/// Example:
///     >>> subprocess.run(command, env=os.environ | mm.export_environment())
#[pyfunction]
pub fn export_environment(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let session = session(py)?;
    let settings = &session.engine.settings;
    let environment = PyDict::new(py);
    for name in own_variables().iter().filter_map(|name| name.to_str()) {
        // The child may work in another folder.
        let own = match name {
            "MAGIC_MODULE_LOCK" => settings.lock.clone().map(PathBuf::into_os_string),
            "MAGIC_MODULE_SPACES_DIR" => settings.spaces_dir.clone().map(PathBuf::into_os_string),
            "MAGIC_MODULE_REGISTRY" => settings.registry.clone().map(PathBuf::into_os_string),
            "MAGIC_MODULE_BUNDLES" => settings.bundles.clone().map(PathBuf::into_os_string),
            "MAGIC_MODULE_CACHE_DIR" => Some(settings.caches()),
            "MAGIC_MODULE_MANIFEST_URL" => {
                settings.manifest_url.as_ref().map(|url| public(url).as_str().into())
            }
            // Who needs one elsewhere has one there.
            "MAGIC_MODULE_KEY_PASSWORD" => continue,
            _ => variable(name),
        };
        environment.set_item(name, own)?;
    }
    let mut mounts = handed_down(py)?;
    let of_lock = settings.lock.clone().map(of_lock);
    for mount in session.mounts() {
        let own = without_login(&mount.request);
        let is_said = session.is_environments(&mount) || of_lock.as_ref() == Some(&own);
        if !is_said && may_be_handed_down(&mount.request) {
            add(&mut mounts, own);
        }
    }
    if !mounts.is_empty() {
        environment.set_item(MOUNTS, text_of_mounts(&mounts))?;
    }
    Ok(environment)
}

/// Every mount that holds, as `MAGIC_MODULE_MOUNTS` has it; empty, if there is none.
#[pyfunction]
pub fn _exported() -> String {
    let mounts = existing().map(|session| session.mounts()).unwrap_or_default();
    let mounts: Vec<Exported> = mounts.iter().map(|mount| exported(&mount.request)).collect();
    if mounts.is_empty() { String::new() } else { text_of_mounts(&mounts) }
}

/// Makes the mounts of such a text; one that cannot be made fails where something is imported
/// from it.
#[pyfunction]
#[pyo3(signature = (text, lock=None))]
pub fn _mount_exported(py: Python<'_>, text: &str, lock: Option<PathBuf>) -> PyResult<()> {
    let mounts = parse_mounts(text).or_raise(py)?.into_iter();
    for mount in mounts.chain(lock.map(of_lock)) {
        match noted(py, &mount, make(py, &mount)) {
            Err(error) if kind_of(py, &error).is_none() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The mount that was pickled as this text: the call that made it, once more.
#[pyfunction]
pub fn _unpickled(py: Python<'_>, text: &str) -> PyResult<Mount> {
    let mount = parse_mounts(text).or_raise(py)?.pop();
    let mount = mount.ok_or_else(|| PyValueError::new_err("not a pickled mount"))?;
    // The one here may know a login.
    let mounts = session(py)?.mounts();
    match mounts.into_iter().find(|known| without_login(&known.request) == mount) {
        Some(known) => Ok(Mount(known)),
        None => make(py, &mount),
    }
}

/// What an interpreter does when it starts: it mounts what the environment says.
#[pyfunction]
pub fn _start(py: Python<'_>) -> PyResult<()> {
    let settings = &noted(py, &Exported::default(), session(py))?.engine.settings;
    if !settings.start {
        return Ok(());
    }
    let synced = match &settings.lock {
        Some(lock) if settings.sync => sync_at_start(py, lock),
        _ => Ok(()),
    };
    // The lock as it was serves, where no other can be had.
    let mounted = mount_said(py);
    preload(py)?;
    synced.and(mounted)
}

/// Has fetched beside this program what its registry names, unless that was done.
fn preload(py: Python<'_>) -> PyResult<()> {
    let engine = &session(py)?.engine;
    let Some(registry) = engine.settings.registry.as_ref().filter(|_| !engine.settings.offline)
    else {
        return Ok(());
    };
    if detached(py, || engine.store.is_to_preload(registry, engine.settings.lock.as_deref())) {
        py.import("magic_module._py.preloading")?.call_method0("begin")?;
    }
    Ok(())
}

/// Notes that what the registry names was fetched; or that it was tried.
#[pyfunction]
pub fn _note_preloaded(py: Python<'_>, is_done: bool) -> PyResult<()> {
    let engine = &session(py)?.engine;
    let Some(registry) = &engine.settings.registry else { return Ok(()) };
    let lock = engine.settings.lock.as_deref();
    detached(py, || engine.store.note_preloaded(registry, lock, is_done)).or_raise(py)
}

/// Mounts what `MAGIC_MODULE_LOCK` and `MAGIC_MODULE_MOUNTS` say. One that fails does not keep the
/// others away.
#[pyfunction(name = "_mount_said")]
pub fn mount_said(py: Python<'_>) -> PyResult<()> {
    let settings = &session(py)?.engine.settings;
    let mut outcome = Ok(());
    for broken in &settings.broken_mounts {
        let why = Err(broken.why.clone()).or_raise(py);
        let mount = Exported { namespace: broken.namespace.clone(), ..Exported::default() };
        outcome = outcome.and(noted(py, &mount, why));
    }
    for mount in &settings.mounts {
        let made = make(py, mount).and_then(|made| only_of_locks(py, made));
        let made = made.or_else(|error| Err(of_variable(py, mount, &error)?));
        outcome = outcome.and(noted(py, mount, made).map(drop));
    }
    if let Some(lock) = &settings.lock {
        outcome = outcome.and(noted(py, &of_lock(lock.clone()), mount_own_lock(py)).map(drop));
    }
    if settings.auto_install.is_some() {
        outcome = outcome.and(mount_registry(py));
    }
    outcome
}

/// Keeps why something could not be mounted for who imports from it.
fn noted<T>(py: Python<'_>, mount: &Exported, made: PyResult<T>) -> PyResult<T> {
    made.inspect(|_| forget(mount)).inspect_err(|error| note(py, mount, error))
}

/// Units with top-level names would hide what a program lacks by mistake.
fn only_of_locks(py: Python<'_>, mount: Mount) -> PyResult<Mount> {
    if may_be_handed_down(&mount.0.request) {
        return Ok(mount);
    }
    mount.close(py)?;
    let why = "only a lock serves top-level names, and its manifest has units";
    Err(Error::new(Kind::Configuration, why).hint("give it a namespace")).or_raise(py)
}

/// The same error, which says where the mount comes from.
fn of_variable(py: Python<'_>, mount: &Exported, error: &PyErr) -> PyResult<PyErr> {
    let Some(kind) = kind_of(py, error) else { return Ok(error.clone_ref(py)) };
    let lock = mount.lock.as_ref().map(|lock| lock.display().to_string());
    let url = mount.manifest_url.as_ref().filter(|_| mount.namespace.is_empty());
    let of = lock.or_else(|| url.map(|url| public(url).to_string()));
    let of = of.unwrap_or_else(|| mount.namespace.to_string());
    let said = error.value(py).str()?;
    let why = format!("the mount of {of} in {MOUNTS} cannot be made: {}", said.to_string_lossy());
    Ok(to_python(py, &Error::new(kind, why)))
}

/// The mount of the space's lock, or else of the environment's.
pub fn mount_own_lock(py: Python<'_>) -> PyResult<Mount> {
    let settings = &session(py)?.engine.settings;
    guard(py, session(py)?)?;
    make(py, &of_lock(settings.lock.clone().unwrap_or_default()))
}

/// Mounts what the registry approves, by its lock, behind all else. Whether the lock says what the
/// file says, and whether it is enough to mount it, was found out once for both as they are.
fn mount_registry(py: Python<'_>) -> PyResult<()> {
    let session = session(py)?;
    let registry = session.engine.settings.registry.as_ref();
    if let Some((lock, true)) = registry.and_then(|file| session.engine.store.plain_lock(file)) {
        return make(py, &of_lock(lock)).map(drop);
    }
    py.import("magic_module._py.auto")?.call_method0("mount_registry").map(drop)
}

/// Notes that the lock of a registry is what the registry says, and that it is enough to mount it.
#[pyfunction]
pub fn _note_plain_lock(py: Python<'_>) -> PyResult<()> {
    let session = session(py)?;
    let Some(registry) = &session.engine.settings.registry else { return Ok(()) };
    detached(py, || session.engine.store.note_plain_lock(registry)).or_raise(py)
}

fn of_lock(lock: PathBuf) -> Exported {
    Exported { lock: Some(lock), ..Exported::default() }
}

fn make(py: Python<'_>, mount: &Exported) -> PyResult<Mount> {
    let Exported { extras, groups, first, build, unhashed, optional, .. } = mount.clone();
    if let Some(lock) = mount.lock.clone() {
        let optional = optional.as_deref().unwrap_or("fetch");
        return mount_lock(py, lock, extras, groups, first, build, unhashed, optional, false);
    }
    let url = mount.manifest_url.clone().unwrap_or_else(|| UrlText::new(""));
    let fail = mount.max_age.as_deref() == Some("fail");
    mount_manifest(
        py,
        MountRequest {
            namespace: mount.namespace.clone(),
            source: Source::Manifest(manifest::Source {
                url,
                public_keys: mount.public_key.clone(),
                allow_http: mount.allow_http,
                max_age: if fail { WhenOld::Fail } else { WhenOld::Warn },
            }),
            first,
            pins: mount.pins.clone(),
            frozen: mount.frozen,
        },
    )
}
