//! The session of this interpreter, made at the first use, and what a fork does to it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use pyo3::prelude::*;

use super::detached::detached;
use super::errors::OrRaise;
use super::import_lock::busy;
use super::placeholder::settle;
use crate::forking;
use crate::layout::Suffixes;
use crate::session::Session;
use crate::settings::Settings;
use crate::store::code::Interpreter;
use crate::store::registry;
use crate::unit::Python as Interpreted;

static SESSION: OnceLock<Arc<Session>> = OnceLock::new();

/// The session, if anybody needed it yet.
pub fn existing() -> Option<&'static Arc<Session>> {
    SESSION.get()
}

/// The session; the environment is read at the first call.
pub fn session(py: Python<'_>) -> PyResult<&'static Arc<Session>> {
    if let Some(session) = SESSION.get() {
        return Ok(session);
    }
    let made = Arc::new(Session::new(Settings::from_env().or_raise(py)?, interpreter(py)?));
    if let Some(folder) = beside_program(py)? {
        made.engine.fetcher.bundles.add(folder);
    }
    let session = SESSION.get_or_init(|| made.clone());
    // Another thread may have made it meanwhile: the list is changed once.
    if Arc::ptr_eq(session, &made) {
        settle(py, session)?;
    }
    Ok(session)
}

/// Where bundles lie that come with a program: beside its main script, or beside a frozen application.
/// Nobody looks whether it is there before something is to be fetched.
fn beside_program(py: Python<'_>) -> PyResult<Option<PathBuf>> {
    let sys = py.import("sys")?;
    let main = sys.getattr("modules")?.call_method1("get", ("__main__",))?;
    let is_frozen = sys.hasattr("frozen")?;
    let program = if is_frozen { sys.getattr("executable") } else { main.getattr("__file__") };
    // When an interpreter starts, its script is not a module yet.
    let first = || sys.getattr("argv").and_then(|argv| argv.get_item(0));
    let program: Option<PathBuf> = program.or_else(|_| first()).and_then(|it| it.extract()).ok();
    let is_file = |path: &PathBuf| !path.as_os_str().as_encoded_bytes().starts_with(b"-");
    let program = program.filter(|path| is_file(path) && path.file_name().is_some());
    let absolute = program.and_then(|path| std::path::absolute(path).ok());
    Ok(absolute.and_then(|path| Some(path.parent()?.join("bundled_modules"))))
}

fn interpreter(py: Python<'_>) -> PyResult<Interpreted> {
    let prefix: String = py.import("sys")?.getattr("prefix")?.str()?.to_string_lossy().into_owned();
    let version = version(py)?;
    Ok(Interpreted {
        code: code_of(py)?,
        suffixes: Suffixes(py.import("_imp")?.call_method0("extension_suffixes")?.extract()?),
        environment: crate::name::Digest::of(format!("{prefix}\n{version}").as_bytes()).to_hex(),
        tags: OnceLock::new(),
    })
}

/// `3.12.1`.
pub fn version(py: Python<'_>) -> PyResult<String> {
    let info = py.import("sys")?.getattr("version_info")?;
    let parts: Vec<u32> = info.get_item(pyo3::types::PySlice::new(py, 0, 3, 1))?.extract()?;
    Ok(parts.iter().map(u32::to_string).collect::<Vec<_>>().join("."))
}

/// What code must be compiled for, so that this interpreter can run it.
pub fn code_of(py: Python<'_>) -> PyResult<Interpreter> {
    let sys = py.import("sys")?;
    let external = py.import("_frozen_importlib_external")?;
    let tag: Option<String> = sys.getattr("implementation")?.getattr("cache_tag")?.extract()?;
    Ok(Interpreter {
        cache_tag: tag.map_or_else(|| version(py).map(|it| format!("untagged-{it}")), Ok)?,
        magic: external.getattr("MAGIC_NUMBER")?.extract()?,
        optimization: sys.getattr("flags")?.getattr("optimize")?.extract()?,
    })
}

/// Looks up the wheel tags of this interpreter, which costs half of the standard library.
pub fn know_tags(py: Python<'_>, session: &Session) -> PyResult<()> {
    if session.python.tags.get().is_some() {
        return Ok(());
    }
    let _busy = busy();
    let requirements = py.import("magic_module._py.requirements")?;
    let _ = session.python.tags.set(requirements.call_method0("supported_tags")?.extract()?);
    Ok(())
}

/// No thread is left over that nobody waits for, and none that works beside Python holds a lock.
pub fn before_fork(py: Python<'_>) {
    if let Some(session) = existing() {
        session.settle();
    }
    detached(py, forking::close);
}

pub fn after_fork_in_parent() {
    forking::open();
}

pub fn after_fork_in_child() {
    forking::open_in_child();
    // Parent and child share the locks of open files: closed here, they stay the parent's.
    registry::close_all_in_child();
    if let Some(session) = existing() {
        session.take_locks_again();
    }
}
