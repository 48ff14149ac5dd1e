//! `on_request()`, and names that are fetched without a mount (`magic_module._py.auto`): whether
//! they may be, and what is written down about that.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use crate::audit::{Asker, Request, Verdict};
use crate::journal::{Decision, Entry};
use crate::policy::{Audit, Judgement};
use crate::py::bridge::consent::{answer, script, set_callback};
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::state::session;

/// Decide about what a policy says to ask about, before it is fetched.
///
/// Args:
///     callback: called with a `Request` on the thread that waits; it answers "once", "always" (for
///         as long as this process lives) or "deny" (for as long, too); what it raises ends the
///         act. With None, the question is put on the terminal; without one, the answer is "deny".
///
/// Raises:
///     TypeError: `callback` cannot be called.
///
/// Example:
///     >>> mm.on_request(lambda request: "once" if request.size < 2**20 else "deny")
#[pyfunction]
pub fn on_request(py: Python<'_>, callback: Option<Py<PyAny>>) -> PyResult<()> {
    if callback.as_ref().is_some_and(|callback| !callback.bind(py).is_callable()) {
        return Err(PyTypeError::new_err("on_request takes a callable or None"));
    }
    set_callback(callback);
    Ok(())
}

/// Whether a distribution may be brought whatever version it will have: if somebody has to be asked,
/// by which rule, and what a resolver is told.
#[pyfunction]
pub fn _judge(py: Python<'_>, distribution: &str) -> PyResult<(bool, String, String)> {
    let rules = session(py)?.engine.administrator.rules().or_raise(py)?;
    let Some(rules) = rules else { return Ok((true, String::new(), distribution.to_owned())) };
    let (judgement, requirement) = rules.judge_name(distribution).or_raise(py)?;
    Ok(match judgement {
        Judgement::Allowed(rule) => (false, rule, requirement),
        Judgement::Ask(rule) => (true, rule, requirement),
    })
}

/// What whoever can be asked says to it; None: there is nobody.
#[pyfunction]
pub fn _consent(
    py: Python<'_>,
    import_name: &str,
    distribution: &str,
    importer: &str,
    rule: &str,
) -> PyResult<Option<bool>> {
    let request = Request {
        distribution: distribution.to_owned(),
        rule: rule.to_owned(),
        asker: asker(py, import_name, importer),
        ..Request::default()
    };
    Ok(answer(py, &request)?.map(|verdict| verdict != Verdict::Deny))
}

/// Writes down what was decided about a name that is brought by itself.
#[pyfunction]
pub fn _note(
    py: Python<'_>,
    decision: &str,
    import_name: &str,
    distribution: &str,
    importer: &str,
    rule: &str,
    error: String,
) -> PyResult<()> {
    let session = session(py)?;
    let decision = match decision {
        "allowed" => Decision::Allowed,
        "failed" => Decision::Failed,
        _ => Decision::Refused,
    };
    let entry = Entry {
        decision,
        distribution,
        version: "",
        source: String::new(),
        sha256: String::new(),
        bytes: 0,
        rule,
        error,
    };
    let written = session.engine.journal.write(&asker(py, import_name, importer), entry);
    let rules = session.engine.administrator.rules().or_raise(py)?;
    match written {
        Err(error) if rules.is_some_and(|rules| rules.audit == Audit::Required) => {
            Err(error).or_raise(py)
        }
        _ => Ok(()),
    }
}

fn asker(py: Python<'_>, import_name: &str, importer: &str) -> Asker {
    Asker {
        import: Some(import_name.to_owned()),
        importer: Some(importer.to_owned()),
        script: script(py),
    }
}
