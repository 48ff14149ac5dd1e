//! Mounts that come from outside, or go there: the environment's, and those of children.

use pyo3::prelude::*;

use super::lock::mount_lock;
use super::mount::mount_manifest;
use crate::mount::MountRequest;
use crate::py::bridge::errors::{OrRaise, kind_of};
use crate::py::bridge::state::{existing, session};
use crate::settings::{Exported, parse_mounts, text_of_mounts};
use crate::supply::Source;
use crate::supply::manifest::{self, WhenOld};

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
pub fn _mount_exported(py: Python<'_>, text: &str) -> PyResult<()> {
    for mount in parse_mounts(text).or_raise(py)? {
        match make(py, &mount) {
            Err(error) if kind_of(py, &error).is_none() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// What an interpreter does when it starts: it mounts what the environment says.
#[pyfunction]
pub fn _start(py: Python<'_>) -> PyResult<()> {
    let settings = &session(py)?.engine.settings;
    if !settings.start {
        return Ok(());
    }
    let lock = settings.lock.clone();
    let lock = lock.map(|lock| Exported { lock: Some(lock), ..Exported::default() });
    settings.mounts.iter().chain(&lock).try_for_each(|mount| make(py, mount))
}

fn make(py: Python<'_>, mount: &Exported) -> PyResult<()> {
    let Exported { extras, groups, first, unhashed, .. } = mount.clone();
    if let Some(lock) = mount.lock.clone() {
        return mount_lock(py, lock, extras, groups, first, unhashed).map(drop);
    }
    let Some(url) = mount.manifest_url.clone() else { return Ok(()) };
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
    .map(drop)
}

fn exported(request: &MountRequest) -> Exported {
    let common = Exported {
        namespace: request.namespace.clone(),
        first: request.first,
        pins: request.pins.clone(),
        frozen: request.frozen,
        ..Exported::default()
    };
    match &request.source {
        Source::Manifest(source) => Exported {
            manifest_url: Some(source.url.clone()),
            public_key: source.public_keys.clone(),
            allow_http: source.allow_http,
            max_age: (source.max_age == WhenOld::Fail).then(|| "fail".to_owned()),
            ..common
        },
        Source::Lock(source) => Exported {
            lock: Some(source.path.clone()),
            extras: source.extras.clone(),
            groups: source.groups.clone(),
            unhashed: source.unhashed,
            ..common
        },
    }
}
