//! The one crossing between Rust and Python.
//!
//! ```text
//! finder    name ─▶ spec            (never waits under the import lock)
//! loader    spec ─▶ code, bytes     (here an import waits, with its own lock only)
//! runtime   future ─▶ result        (50 ms ticks: signals, events)
//! api       the public functions    errors  kinds ─▶ exception classes
//! state     the session of this interpreter, and what a fork does to it
//! ```

mod api;
mod errors;
mod finder;
mod loader;
mod private;
mod runtime;
mod spec;
mod state;
mod types;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    types::register(module)?;
    api::register(module)?;
    loader::register(module)?;
    private::register(module)?;
    finder::register(module)
}
