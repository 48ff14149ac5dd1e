//! The one crossing between Rust and Python.
//!
//! ```text
//! install   the finders and the hook in their places
//! finder    name ─▶ spec            (never waits under the import lock)
//! entry     folder of the store ─▶ specs
//! loader    spec ─▶ code, bytes     (here an import waits, with its own lock only)
//! runtime   future ─▶ result        (50 ms ticks: signals, events)
//! audit     what is about to happen ─▶ audit events
//! notices   what was noticed ─▶ warnings
//! mounting, moving, api   the public functions    errors  kinds ─▶ exception classes
//! absolute  why a name that nobody knows was not found
//! state     the session of this interpreter, and what a fork does to it
//! ```

mod absolute;
mod api;
mod audit;
mod elsewhere;
mod entry;
mod errors;
mod finder;
mod folders;
mod import_lock;
mod install;
mod loader;
mod mounting;
mod moving;
mod newer;
mod notices;
mod private;
mod resolve;
mod runtime;
mod sharing;
mod spec;
mod state;
mod succeed;
mod types;
mod whole;

use pyo3::prelude::*;
use pyo3::types::PyList;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // Asking a module for a name that it lacks ends in NULL without an exception in
    // CPython 3.13.0 where the working directory is gone, and `add` asks for this one.
    module.setattr("__all__", PyList::empty(module.py()))?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    types::register(module)?;
    mounting::register(module)?;
    moving::register(module)?;
    api::register(module)?;
    loader::register(module)?;
    elsewhere::register(module)?;
    whole::register(module)?;
    private::register(module)?;
    install::register(module)
}
