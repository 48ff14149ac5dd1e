//! What stands in a folder of the store. If the cache has lost what was known of a wheel, the wheel
//! is looked into once more.

use std::path::Path;
use std::sync::Arc;

use pyo3::prelude::*;

use super::optional::is_withheld;
use crate::error::{Error, Kind};
use crate::mount::Mount;
use crate::name::UnitName;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::import_lock::{ImportLock, busy};
use crate::py::bridge::runtime::block;
use crate::session::{Located, Session, Standing};

/// What the last part of `name` is in a folder of a tree or of a view.
pub fn standing(
    py: Python<'_>,
    session: &'static Arc<Session>,
    folder: &Path,
    name: &str,
) -> PyResult<Standing> {
    let mut learnt: Vec<UnitName> = Vec::new();
    loop {
        let error = match session.standing_in(folder, name) {
            Ok(Standing::Located(located)) => {
                let withheld = is_withheld(py, session, folder, &located)?;
                return Ok(if withheld { Standing::Nothing } else { Standing::Located(located) });
            }
            Ok(standing) => return Ok(standing),
            Err(error) => error,
        };
        match unknown(session, folder, &error) {
            Some((mount, unit)) if !learnt.contains(&unit) => {
                learnt.push(unit.clone());
                learn(py, session, mount, unit)?;
            }
            _ => return Err(error).or_raise(py),
        }
    }
}

/// The same, where only modules and folders of one unit count.
pub fn located(
    py: Python<'_>,
    session: &'static Arc<Session>,
    folder: &Path,
    name: &str,
) -> PyResult<Option<Located>> {
    Ok(match standing(py, session, folder, name)? {
        Standing::Located(located) => Some(located),
        Standing::Shared | Standing::Nothing => None,
    })
}

/// The unit of a lock whose wheel has to be looked into, if that is what an error says.
fn unknown(session: &Session, folder: &Path, error: &Error) -> Option<(Arc<Mount>, UnitName)> {
    let title = error.details().name.as_ref().filter(|_| error.kind() == Kind::Store)?;
    let mount = session.mount_of_view(folder)?;
    let unit = mount.supply.unit_called(title)?;
    Some((mount, unit))
}

/// Without the import lock: other threads import, and fork, meanwhile.
fn learn(
    py: Python<'_>,
    session: &'static Arc<Session>,
    mount: Arc<Mount>,
    unit: UnitName,
) -> PyResult<()> {
    let Some(document) = mount.known().manifest else { return Ok(()) };
    let _busy = busy();
    let _given_up = ImportLock::release(py)?;
    block(py, session, None, async move |_| {
        mount.supply.fetch_parts(&document, unit.as_str()).await
    })
}
