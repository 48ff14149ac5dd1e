//! How the helper is started that chooses the wheels of a lock.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::supply::lock::choose::Launch;

const PROGRAM: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/python/magic_module/_py/lock.py"));

/// Only an interpreter can be a helper: a program that embeds Python would start itself.
pub fn launch(py: Python<'_>) -> PyResult<Option<Launch>> {
    let sys = py.import("sys")?;
    // That of an environment is the one that the environment was made from.
    let named = |name| sys.getattr(name).ok()?.extract::<PathBuf>().ok();
    let executable = named("_base_executable").or_else(|| named("executable"));
    let is_python = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.is_absolute() && name.to_lowercase().starts_with("python")
    };
    Ok(match executable.filter(is_python) {
        Some(executable) if !sys.hasattr("frozen")? => {
            Some(Launch { executable, program: PROGRAM, folders: folders(py)? })
        }
        _ => None,
    })
}

/// Where `packaging` may be: beside us first, which is where it was installed with us.
fn folders(py: Python<'_>) -> PyResult<Vec<PathBuf>> {
    let own = py.import("magic_module")?.getattr("__file__")?.extract::<PathBuf>()?;
    // A view has a link to us.
    let own = fs_err::canonicalize(&own).unwrap_or(own);
    let beside = own.parent().and_then(|package| package.parent()).map(PathBuf::from);
    let path = py.import("sys")?.getattr("path")?;
    let others = path.try_iter()?.filter_map(|entry| entry.ok()?.extract::<PathBuf>().ok());
    let mut folders = beside.into_iter().chain(others);
    // One is enough, and nothing else of the program's folders is imported.
    Ok(folders.find(|folder| folder.join("packaging/pylock.py").is_file()).into_iter().collect())
}
