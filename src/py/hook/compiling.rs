//! Whether helper interpreters may share the compiling, and how they are started.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::compile::{Compiling, Expecting, Launch, Sharing};
use crate::session::Session;

const PROGRAM: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/python/magic_module/_py/helper.py"));

/// What the compiling is shared with; `None` where this interpreter compiles alone.
pub fn sharing<'a>(
    py: Python<'_>,
    session: &'a Session,
    loader: &Bound<'_, PyAny>,
) -> PyResult<Option<&'a Arc<Sharing>>> {
    if compiles_plainly(loader)? { compiling(py, session) } else { Ok(None) }
}

/// Lets helpers begin with what an import waits for, until this is dropped.
pub fn expect(py: Python<'_>, session: &Session) -> PyResult<Option<Expecting>> {
    if session.engine.settings.verify_full {
        // No code is kept.
        return Ok(None);
    }
    Ok(compiling(py, session)?.map(|sharing| sharing.expect()))
}

fn compiling<'a>(py: Python<'_>, session: &'a Session) -> PyResult<Option<&'a Arc<Sharing>>> {
    static LAUNCH: PyOnceLock<Option<Launch>> = PyOnceLock::new();
    let launch =
        LAUNCH.get_or_try_init(py, || launch(py, session.python.code.optimization))?.as_ref();
    Ok(launch.map(|launch| {
        let compiling = &session.engine.compiling;
        compiling.get_or_init(|| Compiling::new(launch.clone())).sharing()
    }))
}

/// Who compiles in another way than the interpreter does it here.
fn compiles_plainly(loader: &Bound<'_, PyAny>) -> PyResult<bool> {
    let stock = loader.py().import("_frozen_importlib_external")?.getattr("SourceLoader")?;
    let own = loader.get_type().getattr("source_to_code")?;
    Ok(own.is(&stock.getattr("source_to_code")?))
}

/// Only an interpreter that is one: a program that embeds Python would start itself.
fn launch(py: Python<'_>, optimization: u8) -> PyResult<Option<Launch>> {
    let sys = py.import("sys")?;
    let executable: Option<PathBuf> = sys.getattr("executable")?.extract().ok();
    let Some(executable) = executable.filter(|path| path.is_absolute()) else { return Ok(None) };
    let name = executable.file_name().unwrap_or_default().to_string_lossy();
    let embedded = sys.hasattr("frozen")? || !name.starts_with("python");
    if embedded || !cfg!(unix) {
        return Ok(None);
    }
    let probe = py.import("builtins")?.getattr("compile")?.call1((
        "first.second(third)",
        "",
        "exec",
        0,
        true,
        optimization,
    ))?;
    let mut greeting: Vec<u8> = probe.getattr("co_code")?.extract()?;
    greeting.extend(probe.getattr("co_linetable")?.extract::<Vec<u8>>()?);
    let options = sys.getattr("_xoptions")?;
    let ranges = options.contains("no_debug_ranges")?;
    let arguments = if ranges { vec!["-X".into(), "no_debug_ranges".into()] } else { Vec::new() };
    Ok(Some(Launch { executable, program: PROGRAM, optimization, arguments, greeting }))
}
