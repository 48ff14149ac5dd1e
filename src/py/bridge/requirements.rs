//! What only Python's own tools know: which requirements of units are met.

use std::sync::Arc;

use pyo3::prelude::*;

use super::errors::OrRaise;
use super::import_lock::busy;
use crate::session::Session;
use crate::uses::activate::Member;

/// `requires_python` and `dependencies` of every member, before any code of theirs runs.
pub fn check(py: Python<'_>, session: &Arc<Session>, members: &[Member]) -> PyResult<()> {
    for member in members {
        let Member { unit, record, .. } = member;
        if session.must_check(unit).or_raise(py)? {
            let _busy = busy();
            py.import("magic_module._py.requirements")?.call_method1(
                "check",
                (&unit.full_name, &record.requires_python, &record.dependencies),
            )?;
            session.remember_checked(unit).or_raise(py)?;
        }
    }
    Ok(())
}
