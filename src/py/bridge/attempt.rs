//! Tries a failed act once more if something newer was published that mends it. `newer.rs` in the
//! core decides that; the checks that only Python can make are added here.

use std::sync::Arc;

use pyo3::prelude::*;

use super::errors::{self, OrRaise};
use super::listeners::fail;
use super::requirements::check;
use super::runtime::block;
use crate::error::{Error, Result};
use crate::mount::{Known, Mount};
use crate::session::{Doubt, Session};
use crate::unit::Unit;
use crate::uses::activate::Member;

/// How an attempt failed: in the core, or in Python.
pub enum Failure {
    Core(Error),
    Raised(PyErr),
}

pub type Attempt<T> = std::result::Result<T, Failure>;

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
        fail(py);
        match self {
            Self::Core(error) => errors::to_python(py, &error),
            Self::Raised(error) => error,
        }
    }
}

/// An attempt to have units: found by `find`, checked, fetched. `listener` is told.
pub fn fetched<F>(
    py: Python<'_>,
    session: &Arc<Session>,
    listener: Option<&Py<PyAny>>,
    (mount, label): (&Arc<Mount>, &str),
    find: impl FnOnce(Arc<Session>) -> F,
) -> Attempt<()>
where
    F: Future<Output = Result<Vec<Member>>> + Send + 'static,
{
    let find = find(session.clone());
    let members = block(py, session, listener, async |_| Ok(find.await))?;
    let members = members.map_err(Failure::Core)?;
    check(py, session, &members)?;
    let (mount, label) = (mount.clone(), label.to_owned());
    let fetched = block(py, session, listener, async move |session| {
        Ok(session.fetch(&mount, &members, &label).await.map(drop))
    });
    fetched?.map_err(Failure::Core)
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
    let (asked, unit) = (mount.clone(), importing.cloned());
    let answer = block(py, session, None, async move |session| {
        let newer = session.newer(&asked, doubt, known).await?;
        let replaced = match unit.filter(|_| newer) {
            Some(unit) => session.is_replaced(&asked, &unit).await.unwrap_or(false),
            None => false,
        };
        Ok((newer, replaced))
    })?;
    match (answer, failure, importing) {
        ((true, false), ..) => attempt().map_err(|failure| failure.raise(py)),
        ((true, true), Failure::Core(error), Some(unit)) => {
            Err(session.replaced(unit, error)).or_raise(py)
        }
        (_, failure, _) => Err(failure.raise(py)),
    }
}
