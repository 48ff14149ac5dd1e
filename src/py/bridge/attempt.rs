//! What is done once more if it was mended meanwhile: `newer.rs` in the core decides, here it
//! meets checks that only Python can make.

use std::sync::Arc;

use pyo3::prelude::*;

use super::errors::{self, OrRaise};
use super::runtime::{self, block};
use crate::error::Error;
use crate::mount::{Known, Mount};
use crate::session::{Doubt, Session};
use crate::unit::Unit;

/// How an attempt failed: in the core, or in Python.
pub enum Failure {
    Core(Error),
    Raised(PyErr),
}

pub type Attempt<T> = Result<T, Failure>;

impl From<PyErr> for Failure {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

impl Failure {
    fn doubt(&self, py: Python<'_>) -> Option<Doubt> {
        match self {
            Self::Core(error) => Doubt::of(error.kind()),
            Self::Raised(error) => errors::kind_of(py, error).and_then(Doubt::of),
        }
    }

    pub fn raise(self, py: Python<'_>) -> PyErr {
        runtime::fail(py);
        match self {
            Self::Core(error) => errors::to_python(py, &error),
            Self::Raised(error) => error,
        }
    }
}

/// Waits for a part of an attempt.
pub fn attempted<
    T: Send + 'static,
    F: Future<Output = crate::error::Result<T>> + Send + 'static,
>(
    py: Python<'_>,
    session: &Arc<Session>,
    listener: Option<&Py<PyAny>>,
    work: impl Fn() -> F,
) -> Attempt<T> {
    let work = work();
    block(py, session, listener, async move { Ok(work.await) })?.map_err(Failure::Core)
}

/// Makes an attempt, and a second one if something newer was published than `known`. `importing`
/// is the unit that the attempt is about: another version cannot take its place.
pub fn or_newer<T>(
    py: Python<'_>,
    session: &'static Arc<Session>,
    mount: &Arc<Mount>,
    known: Known,
    importing: Option<&Arc<Unit>>,
    attempt: impl Fn() -> Attempt<T>,
) -> PyResult<T> {
    let failure = match attempt() {
        Ok(done) => return Ok(done),
        Err(failure) => failure,
    };
    let Some(doubt) = failure.doubt(py) else { return Err(failure.raise(py)) };
    let asking = {
        let (session, mount, unit) = (session.clone(), mount.clone(), importing.cloned());
        async move {
            let newer = session.newer(&mount, doubt, known).await?;
            let replaced = match unit.filter(|_| newer) {
                Some(unit) => session.is_replaced(&mount, &unit).await.unwrap_or(false),
                None => false,
            };
            Ok((newer, replaced))
        }
    };
    match (block(py, session, None, asking)?, failure, importing) {
        ((true, false), ..) => attempt().map_err(|failure| failure.raise(py)),
        ((true, true), Failure::Core(error), Some(unit)) => {
            Err(session.replaced(unit, error)).or_raise(py)
        }
        (_, failure, _) => Err(failure.raise(py)),
    }
}
