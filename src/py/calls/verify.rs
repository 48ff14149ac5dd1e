//! The cache: whether it is whole, what it holds, and what may go.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::PathBuf;

use super::types::Report;
use crate::py::bridge::detached::detached;
use crate::py::bridge::dict::dict;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::runtime::block;
use crate::py::bridge::state::{know_tags, session};
use crate::uses::kept::Kept;
use crate::uses::prune::KnownMount;
use crate::uses::verify::Verified;

/// Hash what is in the cache, and repair what is damaged; only that may be downloaded.
///
/// Args:
///     names: what follows `import`; without names, everything in use.
///
/// Returns:
///     What was checked, with the `problems` that were found; `ok` is true if all are repaired.
///
/// Raises:
///     UnitNotFoundError: a name is not in the cache.
///     StoreError: the cache directory cannot be used.
///
/// Example:
///     >>> mm.verify().problems
#[pyfunction]
#[pyo3(signature = (*names))]
pub fn verify(py: Python<'_>, names: Vec<String>) -> PyResult<Report> {
    let session = session(py)?;
    know_tags(py, session)?;
    let verified = block(py, session, None, async move |session| session.verify(&names).await)?;
    let Verified { units, files, bytes, problems, broken } = verified;
    Ok(Report { ok: !broken, units, files, bytes, problems, removed: Vec::new() })
}

/// Remove what neither the versions in use nor the previous ones need.
///
/// Args:
///     limit: above this many bytes, also remove what previous versions could be rebuilt from; default:
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
pub fn prune(py: Python<'_>, limit: Option<u64>) -> PyResult<Report> {
    let session = session(py)?;
    let (pruned, problem) = detached(py, || session.prune(limit)).or_raise(py)?;
    Ok(Report {
        ok: true,
        bytes: pruned.bytes,
        removed: pruned.removed,
        problems: problem.into_iter().collect(),
        ..Report::default()
    })
}

/// Lets go of what is in use of the locks, but for these packages and what they require.
#[pyfunction]
pub fn _keep_only(py: Python<'_>, names: Vec<String>) -> PyResult<()> {
    let session = session(py)?;
    detached(py, || session.keep_only(&names)).or_raise(py)
}

#[pyfunction]
pub fn _cache_usage(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let session = session(py)?;
    let usage = detached(py, || session.usage()).or_raise(py)?;
    let mounts: PyResult<Vec<_>> = usage.mounts.iter().map(|mount| known(py, mount)).collect();
    Ok(dict!(py,
        directory: usage.directory.to_string_lossy(),
        behind: usage.behind.iter().map(|it| it.to_string_lossy()).collect::<Vec<_>>(),
        bytes: usage.used.bytes,
        blobs: usage.used.blobs,
        trees: usage.used.trees,
        limit: usage.limit,
        mounts: mounts?,
    ))
}

/// Seals a cache, or compares a sealed one with its listing; without a folder, the first of the settings.
#[pyfunction]
#[pyo3(signature = (cache=None))]
pub fn _seal(py: Python<'_>, cache: Option<PathBuf>) -> PyResult<Bound<'_, PyDict>> {
    let session = session(py)?;
    let directory = session.cache_or(cache.clone());
    let closed = detached(py, || session.seal(cache)).or_raise(py)?;
    Ok(dict!(py,
        directory: directory.to_string_lossy(),
        digest: closed.digest.to_hex(),
        files: closed.files,
        bytes: closed.bytes,
        before: closed.before,
    ))
}

/// Lets a sealed cache be written to again: its folder, and whether it was sealed.
#[pyfunction]
#[pyo3(signature = (cache=None))]
pub fn _unseal(py: Python<'_>, cache: Option<PathBuf>) -> PyResult<(String, bool)> {
    let session = session(py)?;
    let directory = session.cache_or(cache.clone());
    let was_sealed = detached(py, || session.unseal(cache)).or_raise(py)?;
    Ok((directory.to_string_lossy().into_owned(), was_sealed))
}

/// The folder of the audit log, and its files, the oldest first.
#[pyfunction]
pub fn _journal(py: Python<'_>) -> PyResult<(Option<String>, Vec<String>)> {
    let journal = &session(py)?.engine.journal;
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let files = journal.files()?;
    Ok((journal.folder().map(text), files.iter().map(|file| text(file)).collect()))
}

/// The units of the cache that are in use.
#[pyfunction]
pub fn _kept(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    let session = session(py)?;
    let kept = detached(py, || session.kept()).or_raise(py)?;
    let shown = |it: &Kept| {
        Ok(dict!(py, name: &it.name, version: &it.version, bytes: it.bytes, used: it.used))
    };
    kept.iter().map(shown).collect()
}

fn known<'py>(py: Python<'py>, mount: &KnownMount) -> PyResult<Bound<'py, PyDict>> {
    Ok(dict!(py,
        namespace: &mount.namespace,
        manifest_url: &mount.manifest_url,
        lock: &mount.lock,
        space: &mount.space,
        identity: &mount.identity,
        generation: mount.generation,
        directory: mount.directory.to_string_lossy(),
        changed: mount.changed,
    ))
}

/// Where downloads are kept: `MAGIC_MODULE_CACHE_DIR`, or the user's cache folder.
///
/// Raises:
///     StoreError: the directory cannot be used.
///
/// Example:
///     >>> mm.cache_dir()
#[pyfunction]
pub fn cache_dir(py: Python<'_>) -> PyResult<PathBuf> {
    Ok(session(py)?.engine.store.cache().to_path_buf())
}
