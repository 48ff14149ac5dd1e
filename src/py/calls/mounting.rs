//! `mount()`: a manifest of units, or of a lock.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::environ::{hand_down, may_be_handed_down};
use super::lock;
use super::mount::{Mount, join_search_path};
use crate::error::{Error, Kind};
use crate::mount::MountRequest;
use crate::name::{Namespace, UnitName, UrlText, Version};
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::facts::facts;
use crate::py::bridge::runtime::block;
use crate::py::bridge::state::session;
use crate::py::hook::filter::refresh_filter;
use crate::py::hook::finder::inherit;
use crate::supply::Source;
use crate::supply::lock::site::source_of;
use crate::supply::manifest::{self, WhenOld};

/// Serve `namespace` from a manifest; the same call twice is the same mount.
///
/// No request is made before a name of the namespace is looked up. There is one exception: the
/// manifest of an empty namespace is asked for at once, because it may have a lock. If it has one,
/// this does what `mount_lock()` does.
///
/// Args:
///     namespace: the importable prefix, such as a package's `__name__`; empty for top-level names.
///     manifest_url: where the `manifest.json` is: https, http to this machine, a file, s3, gs or az.
///     public_key: a minisign key, or several of which one must have signed; None asks for none.
///     first: serve top-level names before what is installed; for an empty namespace only.
///     pins: versions to use, by unit, instead of the newest: `{"alpha": "1.1.0"}`.
///     allow_http: accept plain http from other machines, too.
///     max_age: what to do about a manifest that is too old: "warn" or "fail".
///     frozen: refuse every unit that the project's `magic.lock` does not list.
///     export: every process that is started from now on has the mount, too, until it is closed;
///         for a named namespace, or a lock.
///
/// Returns:
///     The mount, a context manager that undoes it.
///
/// Raises:
///     ConfigurationError: an argument is wrong, or contradicts an earlier mount.
///     StoreError: the cache directory cannot be used.
///     ValueError: `max_age` is neither of the two.
///
/// Example:
///     >>> mm.mount("acme", "https://example.com/acme/manifest.json")
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "keyword arguments of the public function")]
#[pyo3(signature = (namespace, manifest_url, *, public_key=None, first=false, pins=None, allow_http=false, max_age="warn", frozen=false, export=false))]
pub fn mount(
    py: Python<'_>,
    namespace: &str,
    manifest_url: &str,
    public_key: Option<&Bound<'_, PyAny>>,
    first: bool,
    pins: Option<BTreeMap<String, String>>,
    allow_http: bool,
    max_age: &str,
    frozen: bool,
    export: bool,
) -> PyResult<Mount> {
    let request = MountRequest {
        namespace: Namespace::new(namespace)
            .map_err(|error| wrong("the namespace", &error))
            .or_raise(py)?,
        source: Source::Manifest(manifest::Source {
            url: UrlText::new(manifest_url),
            public_keys: keys(public_key)?,
            allow_http,
            max_age: match max_age {
                "warn" => WhenOld::Warn,
                "fail" => WhenOld::Fail,
                _ => return Err(PyValueError::new_err("max_age must be 'warn' or 'fail'")),
            },
        }),
        first,
        pins: pins
            .unwrap_or_default()
            .into_iter()
            .map(pin)
            .collect::<Result<_, Error>>()
            .or_raise(py)?,
        frozen,
    };
    let mount = mount_manifest(py, request)?;
    if export {
        if !may_be_handed_down(&mount.0.request) {
            mount.close(py)?;
            let why = "only a lock can hand down top-level names";
            let hint = "mount a namespace, or have each program call mount() by itself";
            return Err(Error::new(Kind::Configuration, why).hint(hint)).or_raise(py);
        }
        hand_down(py, &mount.0.request)?;
    }
    Ok(mount)
}

/// Makes a mount of a manifest.
pub fn mount_manifest(py: Python<'_>, request: MountRequest) -> PyResult<Mount> {
    if request.namespace.is_empty()
        && let Some(mount) = mount_site(py, &request)?
    {
        return Ok(mount);
    }
    let session = session(py)?;
    let mount = session.mount(request).or_raise(py)?;
    refresh_filter(session);
    join_search_path(py, session, &mount)?;
    if py.import("sys")?.getattr("modules")?.contains("multiprocessing.spawn")? {
        inherit(py)?;
    }
    Ok(Mount(mount))
}

/// The mount of the lock that a manifest has. `None`: it has units.
fn mount_site(py: Python<'_>, request: &MountRequest) -> PyResult<Option<Mount>> {
    let session = session(py)?;
    let Some(source) = request.source.as_manifest() else { return Ok(None) };
    let mounts = session.mounts();
    let is_same = |mount: &Arc<crate::mount::Mount>| {
        let site = mount.request.source.as_lock().and_then(|lock| lock.site.as_ref());
        site.is_some_and(|site| site.source == *source)
            && MountRequest { source: request.source.clone(), ..mount.request.clone() } == *request
    };
    if let Some(known) = mounts.iter().find(|it| is_same(it)) {
        return Ok(Some(Mount(known.clone())));
    }
    if mounts.iter().any(|mount| mount.request == *request) {
        return Ok(None);
    }
    let (asked, facts) = (source.clone(), facts(py)?);
    let found =
        block(py, session, None, async move |session| session.site_of(&asked, facts).await)?;
    let Some(site) = found else { return Ok(None) };
    let like = lock::source(py, PathBuf::from("/"), Vec::new(), Vec::new(), false, false)?;
    let source = Source::Lock(Box::new(source_of(site, like).or_raise(py)?));
    lock::mount_request(py, MountRequest { source, ..request.clone() }).map(Some)
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
