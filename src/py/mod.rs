//! The one crossing between Rust and Python, in three wings.
//!
//! ```text
//! hook     name ─▶ spec ─▶ code: finders, entries of the path, loaders
//! calls    the public functions, and what `magic_module._py` asks for
//! bridge   what both stand on: waiting for a future, errors, audit events, the session
//! ```

mod bridge;
mod calls;
mod hook;

use pyo3::prelude::*;
use pyo3::types::PyList;

// What threads share is behind locks of its own, so nothing here needs the interpreter's.
#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // Asking a module for a name that it lacks ends in NULL without an exception in
    // CPython 3.13.0 where the working directory is gone, and `add` asks for this one.
    module.setattr("__all__", PyList::empty(module.py()))?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    hook::register(module)?;
    calls::register(module)
}
