//! Kinds become exception classes. The classes are Python's own; see `magic_module.errors`.

use pyo3::exceptions::{PyFileNotFoundError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::told;
use crate::error::{Error, Kind};

fn class_of(kind: Kind) -> &'static str {
    match kind {
        Kind::UnitNotFound => "UnitNotFoundError",
        Kind::Configuration => "ConfigurationError",
        Kind::Manifest => "ManifestError",
        Kind::Fetch => "FetchError",
        Kind::Offline => "OfflineError",
        Kind::Integrity => "IntegrityError",
        Kind::Signature => "SignatureError",
        Kind::Policy => "PolicyError",
        Kind::Requirement => "RequirementError",
        Kind::Store => "StoreError",
    }
}

/// The kind of an exception of ours; `None` if it is none.
pub fn kind_of(py: Python<'_>, error: &PyErr) -> Option<Kind> {
    const KINDS: [Kind; 10] = [
        Kind::UnitNotFound,
        Kind::Configuration,
        Kind::Manifest,
        Kind::Fetch,
        Kind::Offline,
        Kind::Signature,
        Kind::Integrity,
        Kind::Policy,
        Kind::Requirement,
        Kind::Store,
    ];
    let classes = py.import("magic_module.errors").ok()?;
    KINDS.into_iter().find(|kind| {
        let class = classes.getattr(class_of(*kind));
        class.is_ok_and(|class| error.is_instance(py, &class))
    })
}

pub fn to_python(py: Python<'_>, error: &Error) -> PyErr {
    told::tell_refusal(error);
    match build(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(failed) => {
            // The interpreter is going down, or our own package is broken.
            let outer = PyRuntimeError::new_err(error.to_string());
            outer.set_cause(py, Some(failed));
            outer
        }
    }
}

/// What to do about the cache where nobody below knew anything more exact.
const CACHE_HINT: &str =
    "run `magic-module doctor`, or set MAGIC_MODULE_CACHE_DIR to another directory";

fn build<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let error = match error.kind() {
        Kind::Store => &error.clone().or_hint(CACHE_HINT),
        _ => error,
    };
    let details = error.details();
    let keywords = PyDict::new(py);
    let attributes = [
        ("name", &details.name),
        ("url", &details.url),
        ("path", &details.path),
        ("expected", &details.expected),
        ("got", &details.got),
        ("hint", &details.hint),
    ];
    for (attribute, value) in attributes {
        keywords.set_item(attribute, value)?;
    }
    keywords.set_item("causes", PyTuple::new(py, &details.causes)?)?;
    py.import("magic_module.errors")?
        .getattr(class_of(details.kind))?
        .call((error.to_string(),), Some(&keywords))
}

/// What `open` raises where there is no file.
pub fn no_file(path: &str) -> PyErr {
    PyFileNotFoundError::new_err((2, "No such file or directory", path.to_owned()))
}

/// `?` for results of the core.
pub trait OrRaise<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for Result<T, Error> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| to_python(py, &error))
    }
}
