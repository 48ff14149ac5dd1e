//! Spaces, for `magic_module._py.spaces`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::environ::environ;
use super::exported::mount_own_lock;
use super::mount::Mount;
use crate::error::{Error, Kind};
use crate::name::SpaceName;
use crate::py::bridge::detached::detached;
use crate::py::bridge::dict::dict;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::state::{existing, session};
use crate::settings::{Settings, no_spaces};
use crate::space::Space;
use crate::uses::space::{self, Files};

/// The variable that says which space a process works in.
const SPACE: &str = "MAGIC_MODULE_SPACE";

/// Makes a space of its files, the lock among them; its folder.
#[pyfunction]
pub fn _create_space(py: Python<'_>, name: &str, files: Files) -> PyResult<PathBuf> {
    let space = named(py, name)?;
    let spaces = spaces(py)?;
    detached(py, || space::create(&spaces, space.name, &files)).map(|made| made.folder).or_raise(py)
}

/// The folder of all spaces, which is made, for one of a name that can be had.
#[pyfunction]
pub fn _prepare_space(py: Python<'_>, name: &str) -> PyResult<PathBuf> {
    let (space, spaces) = (named(py, name)?, spaces(py)?);
    detached(py, || space::prepare(&spaces, &space.name)).or_raise(py)?;
    Ok(spaces)
}

/// Replaces files of a space, if those of `before` are as they were.
#[pyfunction]
pub fn _change_space(py: Python<'_>, name: &str, before: Files, files: Files) -> PyResult<bool> {
    let space = named(py, name)?;
    detached(py, || space::change(&space, &before, &files)).or_raise(py)
}

/// Removes a space.
#[pyfunction]
pub fn _delete_space(py: Python<'_>, name: &str) -> PyResult<()> {
    let space = named(py, name)?;
    detached(py, || space::delete(&space)).or_raise(py)
}

/// The folder of a space that is there.
#[pyfunction]
pub fn _space_folder(py: Python<'_>, name: &str) -> PyResult<PathBuf> {
    let space = named(py, name)?;
    space.require().or_raise(py)?;
    Ok(space.folder)
}

/// The folder of all spaces, and the name and folder of each.
#[pyfunction]
pub fn _spaces(py: Python<'_>) -> PyResult<(PathBuf, Vec<(String, PathBuf)>)> {
    let folder = spaces(py)?;
    let found = detached(py, || space::list(&folder)).or_raise(py)?;
    Ok((folder, found.into_iter().map(|it| (it.name.into(), it.folder)).collect()))
}

/// What each takes of the cache that nobody else has, and when it was last used; by its folder.
#[pyfunction]
pub fn _usage_of_spaces(py: Python<'_>) -> PyResult<BTreeMap<String, Bound<'_, PyDict>>> {
    let session = session(py)?;
    let found = detached(py, || session.usage_of_spaces()).or_raise(py)?;
    let shown = |(folder, usage): (String, space::Usage)| {
        Ok((folder, dict!(py, bytes: usage.bytes, used: usage.used)))
    };
    found.into_iter().map(shown).collect()
}

/// Refuses a lock of which a copy would not find what the lock finds.
#[pyfunction]
pub fn _refuse_paths(py: Python<'_>, lock: PathBuf, text: &[u8]) -> PyResult<()> {
    space::refuse_paths(&lock, text).or_raise(py)
}

/// Lets this process, and what it starts, work in a space; the mount of its lock.
#[pyfunction]
pub fn _activate_space(py: Python<'_>, name: &str) -> PyResult<Mount> {
    let space = named(py, name)?;
    space.require().or_raise(py)?;
    // What the environment says is read once; where nobody has needed it yet, it is said now.
    let said = match existing() {
        Some(session) => session.engine.settings.space.clone(),
        None => Settings::from_env().or_raise(py)?.space,
    };
    match (said, existing()) {
        (Some(said), _) if said == space => {}
        (None, None) => environ(py)?.set_item(SPACE, space.name.as_str())?,
        (said, _) => return Err(bound(&space, said.as_ref())).or_raise(py),
    }
    mount_own_lock(py)
}

fn bound(space: &Space, own: Option<&Space>) -> Error {
    let name = &space.name;
    let why = match own {
        Some(own) => format!("this process already works in the space {}", own.name),
        None => "this process has already used magic_module outside of any space".to_owned(),
    };
    Error::new(Kind::Configuration, format!("cannot activate the space {name}: {why}"))
        .name(name.as_str())
        .hint(format!("use a process of its own: MAGIC_MODULE_SPACE={name} python …"))
}

fn named(py: Python<'_>, name: &str) -> PyResult<Space> {
    let wrong = |why| {
        Error::new(Kind::Configuration, "the name of the space is wrong")
            .caused_by(&why)
            .hint("give it another name, such as org-123")
    };
    let name = SpaceName::new(name).map_err(wrong).or_raise(py)?;
    Ok(Space::new(&spaces(py)?, name))
}

/// As this process has it, or would: what only names a space binds no process.
fn spaces(py: Python<'_>) -> PyResult<PathBuf> {
    let folder = match existing() {
        Some(session) => session.engine.settings.spaces_dir.clone(),
        None => Settings::from_env().or_raise(py)?.spaces_dir,
    };
    folder.ok_or_else(no_spaces).or_raise(py)
}
