//! Keys that sign manifests and bundles.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::py::bridge::detached::detached;
use crate::py::bridge::dict::dict;
use crate::py::bridge::errors::OrRaise;
use crate::settings::Settings;
use crate::sign::secret::{Signer, generate, needs_password};

/// True if the secret key in a file has a password.
#[pyfunction]
pub fn _key_needs_password(py: Python<'_>, path: PathBuf) -> PyResult<bool> {
    needs_password(&path).or_raise(py)
}

/// The signature of a key over bytes, as the minisign tool makes it; `comment` is signed, too.
#[pyfunction]
pub fn _signature(
    py: Python<'_>,
    path: PathBuf,
    password: Option<String>,
    bytes: Vec<u8>,
    comment: String,
) -> PyResult<Vec<u8>> {
    let settings = Settings::from_env().or_raise(py)?;
    let password = settings.password(password.as_deref());
    detached(py, || Signer::read(&path, password)?.sign(&bytes, &comment)).or_raise(py)
}

/// Writes a key pair; the environment's password is for keys that are to have one.
#[pyfunction]
#[pyo3(signature = (path, password=None, *, protect=false))]
pub fn _keygen(
    py: Python<'_>,
    path: PathBuf,
    password: Option<String>,
    protect: bool,
) -> PyResult<Bound<'_, PyDict>> {
    let settings = Settings::from_env().or_raise(py)?;
    let given = password.as_deref();
    let password = if protect { settings.password(given) } else { given };
    let made = detached(py, || generate(&path, password)).or_raise(py)?;
    Ok(dict!(py,
        secret: made.secret.to_string_lossy(),
        public: made.public.to_string_lossy(),
        public_key: made.public_key,
        id: made.id,
    ))
}
