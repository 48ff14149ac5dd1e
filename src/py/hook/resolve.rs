//! Asking the mounts for a name, and the server where they cannot tell.

use std::sync::Arc;

use pyo3::prelude::*;

use super::elsewhere::Wanted;
use super::whole::found;
use crate::error::Result;
use crate::layout::Found;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::import_lock::{ImportLock, busy};
use crate::py::bridge::runtime::block;
use crate::session::{Located, Lookup, Serving, Session};

/// What came of asking.
pub enum Outcome<'py> {
    Absent,
    /// A module: of a unit, or what others know by that name.
    Spec(Bound<'py, PyAny>),
    /// A folder without code: of a unit, or one that only has units below it.
    Folder {
        place: String,
        located: Option<Located>,
    },
}

/// Where units are looked for.
pub struct Scope<'a> {
    pub serving: &'a [Serving],
    /// Nothing but units that bear the name themselves: what is inside of a unit is found by
    /// the folders of its parent.
    pub roots: bool,
}

/// Asks the core, and the server where the core cannot tell. `elsewhere` tells what others
/// know: it is asked first, but only where a unit might stand in their way.
pub fn resolve<'py>(
    session: &'static Arc<Session>,
    wanted: Wanted<'_, 'py>,
    scope: &Scope<'_>,
    elsewhere: impl FnOnce() -> PyResult<Option<Bound<'py, PyAny>>>,
) -> PyResult<Outcome<'py>> {
    let py = wanted.py();
    let mut looked = session.first_of(scope.serving);
    if matches!(looked, Ok(Lookup::Foreign | Lookup::Absent)) {
        return Ok(Outcome::Absent);
    }
    if let Some(spec) = elsewhere()? {
        return Ok(Outcome::Spec(spec));
    }
    let mut asked = false;
    for _ in 0..16 {
        match looked {
            Err(error) => return Err(error).or_raise(py),
            Ok(Lookup::Foreign | Lookup::Absent) => return Ok(Outcome::Absent),
            // A folder is not part of a namespace that is mounted by itself.
            Ok(
                Lookup::Located(Located { found: Found::Namespace { .. }, .. })
                | Lookup::Namespace(..),
            ) if session.mount_named(wanted.name).is_some() => return Ok(Outcome::Absent),
            Ok(Lookup::Located(located)) if scope.roots && !located.root => {
                return Ok(Outcome::Absent);
            }
            Ok(Lookup::Located(located)) => {
                return match &located.found {
                    Found::Namespace { folder } => Ok(Outcome::Folder {
                        place: located.unit.text_of(folder),
                        located: Some(located),
                    }),
                    _ => found(session, wanted, &located).map(Outcome::Spec),
                };
            }
            Ok(Lookup::Namespace(mount, relative)) => {
                let entry = mount.folder.entry().join(relative.replace('.', "/"));
                let place = entry.to_string_lossy().into_owned();
                return Ok(Outcome::Folder { place, located: None });
            }
            Ok(Lookup::Refused { mount, error, .. }) if asked => {
                mount.supply.remember_refused();
                return Err(error).or_raise(py);
            }
            Ok(Lookup::Refused { mount, relative, error }) => {
                asked = true;
                looked = Ok(ask(py, session, async move |session| {
                    session.ask_again(&mount, &relative, error).await
                })?);
            }
            Ok(Lookup::Ask { mount, relative, silence }) => {
                let next = mount.namespace.is_empty();
                looked = Ok(ask(py, session, async move |session| {
                    session.ask(&mount, &relative, silence).await
                })?);
                asked = true;
                // An earlier mount did not have it: the next one may.
                if matches!(looked, Ok(Lookup::Absent)) && next {
                    looked = session.first_of(scope.serving);
                }
            }
        }
    }
    Ok(Outcome::Absent)
}

/// Asks the server without the import lock: other threads import, and fork, meanwhile.
fn ask<F: Future<Output = Result<Lookup>> + Send + 'static>(
    py: Python<'_>,
    session: &Arc<Session>,
    asking: impl FnOnce(Arc<Session>) -> F,
) -> PyResult<Lookup> {
    let _busy = busy();
    let _given_up = ImportLock::release(py)?;
    block(py, session, None, asking)
}
