//! The import hook.
//!
//! ```text
//! install    the finders and the hook in their places
//! finder     name ─▶ spec            (never waits under the import lock)
//! filter     which names those look at
//! elsewhere  whether somebody else has the name       resolve   asks what is not known
//! entry      folder of the store ─▶ specs             folders   name below a `__path__`
//! spec       what was found ─▶ `ModuleSpec`
//! loader     spec ─▶ bytes, extension modules         code      spec ─▶ code
//! ready      unit ─▶ one that can be used     (here an import waits, with its own lock only)
//! whole      a unit that a foreign loader opens       successor the version that took its place
//! watched    modules of others that are mended        auto      brings a name that nobody knows
//! guard      what scripts of a space may import
//! compiling  helpers that compile together            absolute  why nobody knows a name
//! broken     mounts that could not be made
//! ```

mod absolute;
mod auto;
pub mod broken;
mod code;
mod compiling;
mod elsewhere;
pub mod entry;
pub mod filter;
pub mod finder;
mod folders;
pub mod guard;
mod install;
mod loader;
mod missing;
pub mod optional;
mod ready;
mod resolve;
pub mod spec;
mod standing;
mod successor;
pub mod watched;
mod whole;

use pyo3::prelude::*;
use pyo3::wrap_pyfunction;

/// Adds what the loaders of `magic_module._loader` and `magic_module._py` call.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let functions = [
        wrap_pyfunction!(elsewhere::_hidden_by, module)?,
        wrap_pyfunction!(install::_install, module)?,
        wrap_pyfunction!(code::_get_code, module)?,
        wrap_pyfunction!(loader::_get_data, module)?,
        wrap_pyfunction!(loader::_is_folder_at, module)?,
        wrap_pyfunction!(loader::_lacks_rest, module)?,
        wrap_pyfunction!(loader::_ready, module)?,
        wrap_pyfunction!(loader::_ready_at, module)?,
        wrap_pyfunction!(loader::_ready_extension, module)?,
        wrap_pyfunction!(whole::_make_whole, module)?,
    ];
    functions.into_iter().try_for_each(|function| module.add_function(function))
}
