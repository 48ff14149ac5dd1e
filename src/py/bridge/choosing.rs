//! How the helper is started that chooses the wheels of a lock.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;

use crate::supply::lock::choose::Launch;

const PROGRAM: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/python/magic_module/_py/lock.py"));

/// The program that builds what has no wheel.
pub const BUILDER: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/python/magic_module/_py/building.py"));

/// Only an interpreter can be a helper: a program that embeds Python would start itself.
/// `package` is our own, as it is installed.
pub fn launch(py: Python<'_>, interpreter: &Path, package: &Path) -> PyResult<Option<Launch>> {
    let name = interpreter.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let is_python = interpreter.is_absolute() && name.starts_with("python");
    if !is_python || py.import("sys")?.hasattr("frozen")? {
        return Ok(None);
    }
    let (executable, folders) = (interpreter.to_owned(), folders(py, package)?);
    Ok(Some(Launch { executable, program: PROGRAM, folders }))
}

/// Where `packaging` may be: beside us first, which is where it was installed with us.
fn folders(py: Python<'_>, package: &Path) -> PyResult<Vec<PathBuf>> {
    let beside = package.parent().map(PathBuf::from);
    let path = py.import("sys")?.getattr("path")?;
    let others = path.try_iter()?.filter_map(|entry| entry.ok()?.extract::<PathBuf>().ok());
    let mut folders = beside.into_iter().chain(others);
    // One is enough, and nothing else of the program's folders is imported.
    Ok(folders.find(|folder| folder.join("packaging/pylock.py").is_file()).into_iter().collect())
}
