//! Work without the interpreter, and a moment with it in the middle of such work.

#![expect(clippy::disallowed_methods, reason = "here it is told to the locks")]

use pyo3::marker::Ungil;
use pyo3::prelude::*;

use crate::forking;

/// Does `work` while other threads of Python run.
pub fn detached<T: Ungil>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    py.detach(|| forking::beside(work))
}

/// Does `work`, which is within [`detached`], with the interpreter.
pub fn attached<T>(work: impl FnOnce(Python<'_>) -> T) -> T {
    Python::attach(|py| forking::within(|| work(py)))
}
