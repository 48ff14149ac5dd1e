//! Names that nothing here provides, where `MAGIC_MODULE_AUTO_INSTALL` says what becomes of them.
//!
//! ```text
//! nobody knew it ─ an import, of the user's own file ─ first time ─▶ `_py/auto.py` ─▶ mounted: found after all
//!                        │                                              ├─▶ refused: PolicyError
//!                        └─ of a package: it can do without             └─▶ a note, remembered
//! ```
//!
//! Only an import that is about to fail comes by here. What a package imports that it does not
//! require is its own affair: nobody is asked for that.

use std::collections::HashMap;

use parking_lot::Mutex;
use pyo3::prelude::*;

use super::elsewhere::{Wanted, in_folders};
use super::missing;
use crate::py::bridge::frames::{importer, is_import, is_own};
use crate::py::bridge::import_lock::{ImportLock, busy};
use crate::session::Session;

/// What was found out in this process. Used with the interpreter's lock only: no fork catches it in the
/// hands of another thread.
#[derive(Default)]
struct Known {
    /// Names that are missing for good, with what there is to say.
    notes: HashMap<String, Option<String>>,
}

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

/// The spec of what was mounted for the name; what is refused is raised.
pub fn find<'py>(
    session: &Session,
    wanted: Wanted<'_, 'py>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = wanted.py();
    if session.engine.settings.auto_install.is_none() || !is_import(py)? {
        return Ok(None);
    }
    let Some(importer) = importer(py)? else { return Ok(None) };
    if !is_own(py, session, &importer.file)? || !missing::is_last(py)? {
        return Ok(None);
    }
    let known = KNOWN.lock().get_or_insert_default().notes.get(wanted.name).cloned();
    let note = match known {
        Some(note) => note,
        None => {
            let full = importer.import.unwrap_or_else(|| wanted.name.to_owned());
            match provide(py, wanted.name, &full, &importer.file)? {
                Provided::Mounted => return in_folders(wanted, None),
                Provided::Nothing(note) => {
                    if full == wanted.name {
                        KNOWN.lock().get_or_insert_default().notes.insert(full, note.clone());
                    }
                    note
                }
            }
        }
    };
    note.map_or(Ok(None), |note| Err(missing::raised(py, wanted.name, &note)?))
}

enum Provided {
    Mounted,
    Nothing(Option<String>),
}

/// Other threads import meanwhile: resolving takes seconds, and whoever is asked takes their time.
fn provide(py: Python<'_>, name: &str, full: &str, importer: &str) -> PyResult<Provided> {
    let _busy = busy();
    let _given_up = ImportLock::release(py)?;
    let auto = py.import("magic_module._py.auto")?;
    let (mounted, note) = auto.call_method1("provide", (name, full, importer))?.extract()?;
    Ok(if mounted { Provided::Mounted } else { Provided::Nothing(note) })
}
