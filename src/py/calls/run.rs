//! Splits the process of a run into two halves. The half that becomes the script returns from here.

use pyo3::prelude::*;

#[cfg(unix)]
use crate::py::bridge::{errors::OrRaise, told::tell_to};
#[cfg(unix)]
use crate::uses::run::{Plan, arrange, confine, supervise};

/// Forks: the parent becomes the supervisor and never returns; the child is confined, and goes on.
#[cfg(unix)]
#[pyfunction]
pub fn _begin_run(py: Python<'_>, plan: &str) -> PyResult<()> {
    let plan = Plan::read(plan).or_raise(py)?;
    let report = plan.report;
    let offline = plan.limits.no_network;
    let arrangement = arrange(plan);
    let script: i32 = py.import("os")?.call_method0("fork")?.extract()?;
    if script != 0 {
        supervise(arrangement, script);
    }
    let confined = confine(&arrangement);
    // Its group is the supervisor's to remove.
    std::mem::forget(arrangement);
    confined.or_raise(py)?;
    tell_to(report);
    if offline {
        crate::policy::run_without_network();
    }
    Ok(())
}

/// Only Unix has what a supervisor needs.
#[cfg(not(unix))]
#[pyfunction]
pub fn _begin_run(_plan: &str) -> PyResult<()> {
    Err(pyo3::exceptions::PyNotImplementedError::new_err("a run needs fork()"))
}
