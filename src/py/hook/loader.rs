//! What the loaders of `magic_module._loader` do in Rust: code, bytes, readiness.
//!
//! ```text
//! ready   tree on disk and whole ─▶ requirements met ─▶ go
//!            └─ no ─▶ closure ─▶ requirements met ─▶ fetched, built, active
//! code    code pack ─▶ unmarshal        else verified source ─▶ compile ─▶ code pack
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pyo3::exceptions::{PyFileNotFoundError, PyImportError, PyOSError, PyUnicodeEncodeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use super::compiling::sharing;
use super::spec::{UnitHandle, machinery};
use super::successor::succeed;
use crate::error::{Error, Kind};
use crate::events::Event;
use crate::name::Digest;
use crate::py::bridge::attempt::{fetched, or_newer};
use crate::py::bridge::audit;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::requirements::check;
use crate::py::bridge::runtime;
use crate::py::bridge::state::session;
use crate::session::Session;
use crate::unit::{MENDINGS, Unit};
use crate::uses::check::Need;

/// Makes sure that a unit can be used. The only place where an import waits.
pub fn ready(py: Python<'_>, handle: &UnitHandle) -> PyResult<&'static Arc<Session>> {
    let session = session(py)?;
    if handle.ready.load(Ordering::Acquire) && handle.unit.tree().is_some() {
        return Ok(session);
    }
    let unit = &handle.unit;
    match py.detach(|| session.need_of(unit)).or_raise(py)? {
        Need::Nothing => {}
        Need::Check(member) => check(py, session, &[member])?,
        Need::Fetch => fetch(py, session, unit)?,
    }
    if let Ok(mount) = unit.mount() {
        session.warn_if_yanked(&mount, unit);
        crate::py::bridge::notices::warn(py, session)?;
    }
    let tree = unit.digest.to_hex();
    audit::raise(py, ("magic_module.verify", &unit.full_name, unit.version.as_str(), tree))?;
    handle.ready.store(true, Ordering::Release);
    runtime::deliver(py, session)?;
    Ok(session)
}

fn fetch(py: Python<'_>, session: &'static Arc<Session>, unit: &Arc<Unit>) -> PyResult<()> {
    let mount = unit.mount().or_raise(py)?;
    let known = if unit.take_asked() { mount.known().before() } else { mount.known() };
    or_newer(py, session, &mount, known, Some(unit), || {
        let asked = unit.clone();
        fetched(py, session, None, (&mount, &unit.full_name), async move |session| {
            session.closure(&asked).await
        })
    })
}

/// As [`ready`]; what was published meanwhile takes the place of what is gone.
fn ready_or_succeeded<'py>(
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
    match succeed(loader, handle, fullname, spec)? {
        Some(handle) => Ok((ready(py, handle.get())?, handle)),
        None => Err(error),
    }
}

/// The code object of a module: from the code pack, else compiled from the verified source.
#[pyfunction]
pub fn _get_code<'py>(
    py: Python<'py>,
    loader: &Bound<'py, PyAny>,
    handle: &Bound<'py, UnitHandle>,
    fullname: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    let name = loader.getattr(intern!(py, "name"))?;
    if !name.eq(fullname)? {
        return Err(PyImportError::new_err(format!("loader for {name} cannot handle {fullname}")));
    }
    let (session, handle) = ready_or_succeeded(loader, handle, fullname, None)?;
    let unit = &handle.get().unit;
    let origin = loader.getattr(intern!(py, "_path"))?.cast_into::<PyString>()?;
    let path = relative(unit, &origin)?;
    session.engine.events.emit(|| Event::Load { unit: fullname.to_string(), path: path.clone() });
    runtime::deliver(py, session)?;
    let source = unit.digest_of(&path).ok_or_else(|| missing(&origin))?;
    audit::raise(py, ("magic_module.load", fullname, &origin, source.to_hex()))?;
    let machinery = machinery(py)?;
    let unmarshal = |bytes: &[u8]| machinery.unmarshal.bind(py).call1((PyBytes::new(py, bytes),));
    // VERIFY=full neither takes code from a pack nor adds any to it.
    let pack = match session.engine.settings.verify_full {
        true => None,
        false => Some(unit.code(&session.python).or_raise(py)?),
    };
    if let Some(bytes) = pack.and_then(|pack| pack.get(&path, &source))
        && let Ok(code) = unmarshal(bytes.as_ref())
    {
        machinery.fix_co_filename.bind(py).call1((&code, &origin))?;
        return Ok(code);
    }
    let bytes = open_code(py, handle.get(), &origin, &path, &source)?;
    let Some(pack) = pack else {
        return loader.call_method1(intern!(py, "source_to_code"), (bytes, &origin));
    };
    let sharing = sharing(py, session, unit, loader)?;
    if let Some(sharing) = &sharing
        && let Some(marshalled) = py.detach(|| sharing.take(&path))
        && let Ok(code) = unmarshal(&marshalled)
    {
        // As if it had been compiled here: a helper may decode paths in another way.
        machinery.fix_co_filename.bind(py).call1((&code, &origin))?;
        audit::raise(py, ("compile", bytes, &origin))?;
        pack.add(&path, &source, &marshalled);
        return Ok(code);
    }
    let code = loader.call_method1(intern!(py, "source_to_code"), (bytes, &origin))?;
    let marshalled =
        py.import(intern!(py, "marshal"))?.call_method1(intern!(py, "dumps"), (&code,))?;
    pack.add(&path, &source, marshalled.cast::<PyBytes>()?.as_bytes());
    if let Some(sharing) = sharing {
        let names: Vec<String> = code.getattr(intern!(py, "co_names"))?.extract()?;
        sharing.compiled(&path, &names, |path, source| !pack.lists(path, source));
    }
    Ok(code)
}

/// The verified bytes of a file of the unit; `None` if the path is not the unit's to serve.
#[pyfunction]
pub fn _get_data<'py>(
    py: Python<'py>,
    handle: &Bound<'py, UnitHandle>,
    path: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let path: PathBuf = path.extract()?;
    let unit = &handle.get().unit;
    let Some(inside) = unit.relative(&path).map(|inside| inside.replace('\\', "/")) else {
        return Ok(None);
    };
    let session = ready(py, handle.get())?;
    if unit.lazy_file(&inside).is_some() {
        let place = lazy(py, session, unit, &inside)?;
        let bytes = fs_err::read(place)?;
        return Ok(Some(PyBytes::new(py, &bytes)));
    }
    if !unit.layout.has_file(&inside) {
        return Err(missing(&PyString::new(py, &path.to_string_lossy())));
    }
    let bytes = read(py, handle.get(), &inside)?;
    Ok(Some(PyBytes::new(py, &bytes)))
}

/// The verified bytes of one file. If the cache was emptied or damaged since the unit was
/// made ready, it is made ready once more.
fn read(py: Python<'_>, handle: &UnitHandle, path: &str) -> PyResult<Vec<u8>> {
    let unit = &handle.unit;
    match py.detach(|| unit.read(path)) {
        Err(error) if matches!(error.kind(), Kind::Store | Kind::Integrity) => {
            unit.reset();
            ready(py, handle)?;
            py.detach(|| unit.read(path)).or_raise(py)
        }
        other => other.or_raise(py),
    }
}

/// The verified bytes of a source, read as PEP 578 wants code to be read. A code pack is
/// made of nothing else, so that a warm import needs no file of the tree.
fn open_code<'py>(
    py: Python<'py>,
    handle: &UnitHandle,
    origin: &Bound<'py, PyString>,
    path: &str,
    source: &Digest,
) -> PyResult<Bound<'py, PyAny>> {
    let once = || -> PyResult<Option<Bound<'py, PyAny>>> {
        let file = py.import("_io")?.call_method1("open_code", (origin,))?;
        let bytes = file.call_method0("read");
        file.call_method0("close")?;
        let bytes = bytes?;
        let right = Digest::of(bytes.cast::<PyBytes>()?.as_bytes()) == *source;
        Ok(right.then_some(bytes))
    };
    for _ in 0..MENDINGS {
        match once() {
            Ok(Some(bytes)) => return Ok(bytes),
            Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(py) => {
                let why =
                    format!("cannot open {origin}: the file system's encoding lacks its letters");
                let error = Error::new(Kind::Store, why).name(handle.unit.full_name.clone()).hint(
                    "set PYTHONUTF8=1, or let MAGIC_MODULE_CACHE_DIR name a folder in plain letters",
                );
                return Err(crate::py::bridge::errors::to_python(py, &error));
            }
            Err(error) if !error.is_instance_of::<PyOSError>(py) => return Err(error),
            // What is damaged is mended, or refused, before it is read once more.
            _ => drop(read(py, handle, path)?),
        }
    }
    once()?.ok_or_else(|| {
        let error = Error::new(Kind::Integrity, format!("{origin} is not what was pinned"))
            .name(handle.unit.full_name.clone())
            .path(origin.to_string())
            .expected(source.to_hex())
            .hint("run `magic-module verify`");
        crate::py::bridge::errors::to_python(py, &error)
    })
}

fn lazy(
    py: Python<'_>,
    session: &'static Arc<Session>,
    unit: &Arc<Unit>,
    inside: &str,
) -> PyResult<PathBuf> {
    let (unit, inside) = (unit.clone(), inside.to_owned());
    let mount = unit.mount().or_raise(py)?;
    runtime::block(py, session, None, async move |session| {
        session.data_path(&mount, &unit, &inside).await
    })
}

/// Fetches a unit whose extension module is about to be opened by its path.
#[pyfunction]
pub fn _ready_extension<'py>(
    loader: &Bound<'py, PyAny>,
    handle: &Bound<'py, UnitHandle>,
    spec: &Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = loader.py();
    let fullname = spec.getattr(intern!(py, "name"))?.cast_into::<PyString>()?;
    let (_, handle) = ready_or_succeeded(loader, handle, &fullname, Some(spec))?;
    let unit = &handle.get().unit;
    let origin = &loader.getattr(intern!(py, "_path"))?.cast_into::<PyString>()?;
    let path = relative(unit, origin)?;
    let sha256 = unit.digest_of(&path).map(|digest| digest.to_hex());
    audit::raise(py, ("magic_module.load", fullname, origin, sha256))?;
    verified(py, handle.get(), &path)
}

/// Makes sure of a file of a unit that was made ready.
pub fn verified(py: Python<'_>, handle: &UnitHandle, path: &str) -> PyResult<()> {
    let verify = || py.detach(|| handle.unit.verify_file(path));
    match verify() {
        // The cache was emptied or damaged since the unit was made ready.
        Err(error) if matches!(error.kind(), Kind::Store | Kind::Integrity) => {
            handle.unit.reset();
            ready(py, handle)?;
            verify().or_raise(py).map(drop)
        }
        other => other.or_raise(py).map(drop),
    }
}

/// Fetches a unit whose files are about to be read by their paths.
#[pyfunction]
pub fn _ready(py: Python<'_>, handle: &Bound<'_, UnitHandle>) -> PyResult<()> {
    let unit = &handle.get().unit;
    // The cache was emptied since the unit was made ready.
    if !unit.folder.is_dir() {
        unit.reset();
    }
    ready(py, handle.get()).map(drop)
}

fn relative(unit: &Unit, origin: &Bound<'_, PyString>) -> PyResult<String> {
    unit.relative(Path::new(origin.to_str()?))
        .map(|inside| inside.replace('\\', "/"))
        .ok_or_else(|| missing(origin))
}

fn missing(path: &Bound<'_, PyString>) -> PyErr {
    PyFileNotFoundError::new_err((2, "No such file or directory", path.to_string()))
}

/// Lazy files below a folder of a tree, relative to it.
#[pyfunction]
pub fn _lazy_files(py: Python<'_>, directory: &str) -> PyResult<Vec<String>> {
    let session = session(py)?;
    Ok(session.lazy_files(Path::new(directory)))
}

/// The place of the lazy file that would stand at `origin`; it is fetched.
#[pyfunction]
pub fn _lazy_path(py: Python<'_>, origin: &str) -> PyResult<String> {
    let session = session(py)?;
    let found = session.unit_of_file(Path::new(origin));
    let (unit, inside) = found.ok_or_else(|| missing(&PyString::new(py, origin)))?;
    Ok(lazy(py, session, &unit, &inside)?.to_string_lossy().into_owned())
}
