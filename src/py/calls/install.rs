//! Installing for real: plain files in a folder.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::lock::opened;
use crate::name::{SafeUrl, Version};
use crate::py::bridge::runtime::block;
use crate::py::bridge::state::session;
use crate::uses::install::{Target, Wanted};

/// Installs distributions of a lock, and what they require; without names, all of it. For each its
/// name, its version, and whether it was there already.
#[pyfunction]
#[pyo3(signature = (lock, names, site, *, others=None, python))]
pub fn _install_into(
    py: Python<'_>,
    lock: PathBuf,
    names: Vec<String>,
    site: PathBuf,
    others: Option<(PathBuf, PathBuf, PathBuf)>,
    python: String,
) -> PyResult<Vec<(String, String, bool)>> {
    let session = session(py)?;
    let alone = Target::of_folder(&std::path::absolute(site)?);
    let target = match others {
        Some((scripts, data, headers)) => Target { site: alone.site, scripts, data, headers },
        None => alone,
    };
    let mount = opened(py, session, lock)?;
    let (asked, wanted) = (mount.clone(), Wanted { names, target, python });
    let done = block(py, session, None, async move |session| session.install(&asked, wanted).await);
    session.close(&mount);
    let done = done?;
    Ok(done.into_iter().map(|it| (it.name, it.version, it.already)).collect())
}

/// Whether a source may be fetched and built.
#[pyfunction]
pub fn _allow_build(py: Python<'_>, name: String, version: &str, url: &str) -> PyResult<()> {
    let session = session(py)?;
    let wrong = |why: &dyn std::fmt::Display| PyValueError::new_err(why.to_string());
    let version = Version::new(version).map_err(|why| wrong(&why))?;
    let url = SafeUrl::new(url).map_err(|why| wrong(&why))?;
    block(py, session, None, async move |session| {
        session.engine.may_build(&name, &version, url).await
    })
}
