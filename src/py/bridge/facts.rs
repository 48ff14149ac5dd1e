//! What an interpreter says of itself, by which the document of a published lock is found.

use std::collections::BTreeMap;

use pyo3::prelude::*;

use super::state::{session, version};
use crate::manifest::{Facts, System};

/// Of this interpreter. Nothing is imported for it where `os` can tell.
pub fn facts(py: Python<'_>) -> PyResult<Facts> {
    let (os, sys) = (py.import("os")?, py.import("sys")?);
    let suffix = session(py)?.python.suffix().trim_start_matches('.');
    let interpreter = suffix.rsplit_once('.').map_or(suffix, |(stem, _)| stem).to_owned();
    // Windows has none.
    let told = match os.hasattr("uname")? {
        true => os.call_method0("uname")?,
        false => py.import("platform")?.call_method0("uname")?,
    };
    let field = |name: &str| told.getattr(name)?.extract::<String>();
    let (machine, release) = (field("machine")?, field("release")?);
    let full = version(py)?;
    let markers: BTreeMap<String, String> = [
        ("python_full_version", full.clone()),
        ("implementation_version", full),
        ("platform_release", release),
        ("platform_version", field("version")?),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    let platform = format!("{}-{machine}", sys.getattr("platform")?.extract::<String>()?);
    Ok(Facts { interpreter, system: system(py, &os, &platform)?, platform, markers })
}

fn system(py: Python<'_>, os: &Bound<'_, PyModule>, platform: &str) -> PyResult<Option<System>> {
    let (name, version) = if platform.starts_with("darwin") {
        let told = py.import("platform")?.call_method0("mac_ver")?;
        ("macos", told.get_item(0)?.extract::<String>()?)
    } else {
        // Elsewhere it is an unknown name, or there is no such function.
        let told = os.call_method1("confstr", ("CS_GNU_LIBC_VERSION",));
        let told = told.ok().and_then(|it| it.extract::<String>().ok()).unwrap_or_default();
        ("glibc", told.strip_prefix("glibc ").unwrap_or_default().to_owned())
    };
    let mut numbers = version.split('.').map(|part| part.parse().ok());
    let found = numbers.next().flatten().zip(numbers.next().flatten());
    Ok(found.map(|(major, minor)| System { name: name.to_owned(), major, minor }))
}
