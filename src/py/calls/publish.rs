//! Publishing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::lock::opened;
use crate::error::{Error, Kind};
use crate::name::FilePath;
use crate::py::bridge::detached::{attached, detached};
use crate::py::bridge::dict::dict;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::facts::facts;
use crate::py::bridge::runtime::block;
use crate::py::bridge::state::{code_of, session};
use crate::settings::Settings;
use crate::uses::publish::{
    Check, Compiler, LeftOut, Options, PacksFor, Published, PublishedUnit, publish,
};

/// What a compiler raised.
type Raised = Arc<Mutex<Option<PyErr>>>;

#[pyfunction]
#[pyo3(signature = (source, output, namespace, drop_older_than=None, sign=Vec::new(), *, compile=None))]
pub fn _publish<'py>(
    py: Python<'py>,
    source: PathBuf,
    output: PathBuf,
    namespace: &str,
    drop_older_than: Option<u64>,
    sign: Vec<(PathBuf, Option<String>)>,
    compile: Option<Py<PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let raised = Raised::default();
    let compiler = compile.map(|compile| compiler(py, compile, &raised)).transpose()?;
    let settings = Settings::from_env().or_raise(py)?;
    let check = check(&raised);
    let options = || {
        let mut options = Options::new(&settings, namespace, drop_older_than, &sign, compiler)?;
        options.reach.check = Some(check);
        Ok(options)
    };
    let published = detached(py, || publish(&source, &output, &options()?));
    if let Some(error) = raised.lock().take() {
        return Err(error);
    }
    shown(py, &published.or_raise(py)?)
}

/// A lock, what it means for this interpreter, and its wheels become files for any static host.
/// `packs` has the paths that scripts use, an empty folder, and what is called with that folder
/// once it has a site that lacks all else.
#[pyfunction]
#[pyo3(signature = (lock, output, drop_older_than=None, sign=Vec::new(), *, compile=None, packs=None))]
pub fn _publish_lock<'py>(
    py: Python<'py>,
    lock: PathBuf,
    output: PathBuf,
    drop_older_than: Option<u64>,
    sign: Vec<(PathBuf, Option<String>)>,
    compile: Option<Py<PyAny>>,
    packs: Option<(Vec<String>, PathBuf, Py<PyAny>)>,
) -> PyResult<Bound<'py, PyDict>> {
    let (session, facts, raised) = (session(py)?, facts(py)?, Raised::default());
    let compiler = compile.map(|compile| compiler(py, compile, &raised)).transpose()?;
    let settings = &session.engine.settings;
    let mut options = Options::new(settings, "", drop_older_than, &sign, compiler).or_raise(py)?;
    options.packs_for = packs.map(|packs| packs_for(packs, &raised));
    let mount = opened(py, session, lock)?;
    let asked = mount.clone();
    let published = block(py, session, None, async move |session| {
        session.publish_lock(&asked, &facts, &output, &options).await
    });
    session.close(&mount);
    if let Some(error) = raised.lock().take() {
        return Err(error);
    }
    shown(py, &published?)
}

/// Ends what takes long when the user wants it to end.
fn check(raised: &Raised) -> Check {
    let raised = raised.clone();
    Arc::new(move || {
        attached(|py| py.check_signals()).map_err(|error| {
            *raised.lock() = Some(error);
            Error::new(Kind::Configuration, "publishing was interrupted")
        })
    })
}

/// A compiler that asks Python. What that raises ends publishing, and waits in `raised`.
fn compiler(py: Python<'_>, compile: Py<PyAny>, raised: &Raised) -> PyResult<Compiler> {
    let (interpreter, raised) = (code_of(py)?, raised.clone());
    let compile = move |path: &str, source: &[u8]| {
        attached(|py| {
            py.check_signals()?;
            compile.call1(py, (path, source))?.extract::<Option<Vec<u8>>>(py)
        })
        .map_err(|error| {
            *raised.lock() = Some(error);
            Error::new(Kind::Configuration, format!("cannot compile {path}"))
        })
    };
    Ok(Compiler { interpreter, compile: Arc::new(compile) })
}

fn packs_for(
    (used, folder, prove): (Vec<String>, PathBuf, Py<PyAny>),
    raised: &Raised,
) -> PacksFor {
    let raised = raised.clone();
    let prove = move |folder: &Path| {
        attached(|py| prove.call1(py, (folder,))).map(drop).map_err(|error| {
            *raised.lock() = Some(error);
            Error::new(Kind::Configuration, "cannot try the packs")
        })
    };
    // What is no path of an environment belongs to no wheel.
    let used = used.iter().filter_map(|path| FilePath::new(path).ok()).collect();
    PacksFor { used, folder, prove: Arc::new(prove) }
}

fn shown<'py>(py: Python<'py>, published: &Published) -> PyResult<Bound<'py, PyDict>> {
    let unit = |unit: &PublishedUnit| {
        Ok(dict!(py,
            name: unit.name.as_str(),
            old_version: unit.old_version.as_ref().map(|version| version.as_str()),
            version: unit.version.as_str(),
            files: unit.files,
            bytes: unit.bytes,
            changed: unit.changed,
        ))
    };
    let left = |left: &LeftOut| Ok(dict!(py, path: &left.path, reason: left.reason));
    Ok(dict!(py,
        changed: published.changed,
        signed: published.signed,
        serial: published.serial,
        manifest: published.manifest.to_string_lossy(),
        dropped: published.dropped,
        units: published.units.iter().map(unit).collect::<PyResult<Vec<_>>>()?,
        left_out: published.left_out.iter().map(left).collect::<PyResult<Vec<_>>>()?,
    ))
}
