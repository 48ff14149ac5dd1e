//! Bundles: what is put into one, and what is taken out.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;

use crate::fetch::Bundle;
use crate::name::Digest;
use crate::py::bridge::detached::detached;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::runtime::block;
use crate::py::bridge::state::session;
use crate::sign::Keys;

/// For every artifact of units, and of what they require: unit, version, file name, sha256, size, and
/// where it lies.
#[pyfunction]
#[expect(clippy::type_complexity, reason = "as Python takes it apart")]
pub fn _bundle_parts(
    py: Python<'_>,
    names: Vec<String>,
) -> PyResult<Vec<(String, String, String, String, u64, PathBuf)>> {
    let session = session(py)?;
    let mut found = Vec::new();
    for (mount, names) in session.by_mount(&names).or_raise(py)? {
        let asked = Arc::clone(&mount);
        found.extend(block(py, session, None, async move |session| {
            session.bundle_parts(&asked, &names).await
        })?);
    }
    let row = |it: crate::uses::bundle::Part| {
        (it.unit, it.version, it.file_name, it.sha256.to_hex(), it.size, it.blob)
    };
    Ok(found.into_iter().map(row).collect())
}

/// Puts all that a bundle holds into the store: how many artifacts, and how many bytes. With
/// keys, one of them must have signed it.
#[pyfunction]
pub fn _unbundle(
    py: Python<'_>,
    path: PathBuf,
    public_keys: Vec<String>,
) -> PyResult<(usize, u64)> {
    let store = &session(py)?.engine.store;
    detached(py, || {
        let keys = Keys::parse(public_keys.iter().map(String::as_str))?;
        let bundle = match public_keys.is_empty() {
            true => Bundle::open(&path)?,
            false => Bundle::open_signed(&path, &keys)?,
        };
        store.create()?;
        let _kept = store.keep()?;
        bundle.unpack(store.blobs())
    })
    .or_raise(py)
}

/// The sha256 of every artifact that a bundle has.
#[pyfunction]
pub fn _bundled(py: Python<'_>, path: PathBuf) -> PyResult<Vec<String>> {
    let bundle = detached(py, || Bundle::open(&path)).or_raise(py)?;
    Ok(bundle.digests().map(Digest::to_hex).collect())
}

/// True if the cache has all of these artifacts.
#[pyfunction]
pub fn _are_here(py: Python<'_>, artifacts: Vec<String>) -> PyResult<bool> {
    let blobs = session(py)?.engine.store.blobs();
    let is_here = |it: &String| Digest::new(it).is_ok_and(|it| blobs.size(&it).is_some());
    Ok(artifacts.iter().all(is_here))
}
