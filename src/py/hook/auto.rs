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
use pyo3::intern;
use pyo3::prelude::*;

use super::elsewhere::{Wanted, in_folders};
use super::missing;
use super::whole::{frame_at, is_import};
use crate::py::bridge::import_lock::{ImportLock, busy};
use crate::session::Session;

/// What was found out in this process. Used with the interpreter's lock only: no fork catches it in the
/// hands of another thread.
#[derive(Default)]
struct Known {
    /// Names that are missing for good, with what there is to say.
    notes: HashMap<String, Option<String>>,
    /// Files, and whether they are the user's own.
    own: HashMap<String, bool>,
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
    if !is_own(py, session, &importer)? || !missing::is_last(py)? {
        return Ok(None);
    }
    let known = KNOWN.lock().get_or_insert_default().notes.get(wanted.name).cloned();
    let note = match known {
        Some(note) => note,
        None => {
            let full = importing(py, wanted.name)?;
            match provide(py, wanted.name, &full, &importer)? {
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

/// The file whose code imports, past the frames of the import system.
fn importer(py: Python<'_>) -> PyResult<Option<String>> {
    // `_find_and_load_unlocked` is the frame before.
    let Ok(mut frame) = frame_at(py, 2) else { return Ok(None) };
    while !frame.is_none() {
        let code = frame.getattr(intern!(py, "f_code"))?;
        let file = code.getattr(intern!(py, "co_filename"))?;
        let file: &str = file.extract()?;
        if !file.starts_with("<frozen importlib") && !is_importlib(file) {
            return Ok(Some(file.to_owned()));
        }
        frame = frame.getattr(intern!(py, "f_back"))?;
    }
    Ok(None)
}

/// All that follows `import`: a part of it is imported first, and some distributions share that.
fn importing(py: Python<'_>, name: &str) -> PyResult<String> {
    let mut full = name.to_owned();
    let Ok(mut frame) = frame_at(py, 2) else { return Ok(full) };
    while !frame.is_none() {
        let code = frame.getattr(intern!(py, "f_code"))?;
        let file = code.getattr(intern!(py, "co_filename"))?;
        if !file.extract::<&str>()?.starts_with("<frozen importlib") {
            break;
        }
        if code.getattr(intern!(py, "co_name"))?.extract::<&str>()? == "_find_and_load" {
            full = frame.getattr(intern!(py, "f_locals"))?.get_item("name")?.extract()?;
        }
        frame = frame.getattr(intern!(py, "f_back"))?;
    }
    Ok(full)
}

fn is_importlib(file: &str) -> bool {
    file.ends_with("importlib/__init__.py") || file.ends_with(r"importlib\__init__.py")
}

/// A file of nobody's package: not installed, not of the standard library, not of a mount, and not ours.
fn is_own(py: Python<'_>, session: &Session, file: &str) -> PyResult<bool> {
    if let Some(own) = KNOWN.lock().get_or_insert_default().own.get(file) {
        return Ok(*own);
    }
    let sys = py.import(intern!(py, "sys"))?;
    let modules = sys.getattr("modules")?;
    let folder_of = |module: &str| {
        let place = modules.get_item(module).and_then(|module| module.getattr("__file__"));
        let place = place.and_then(|place| place.extract::<std::path::PathBuf>());
        place.ok().and_then(|place| place.parent().map(ToOwned::to_owned))
    };
    let path = std::path::Path::new(file);
    let is_below =
        |folder: Option<std::path::PathBuf>| folder.is_some_and(|it| path.starts_with(it));
    let is_installed = path.iter().any(|part| part == "site-packages" || part == "dist-packages");
    let own = !(file.starts_with("<frozen ")
        || is_installed
        || is_below(folder_of("os"))
        || is_below(folder_of("magic_module"))
        || path.starts_with(session.engine.store.root()));
    KNOWN.lock().get_or_insert_default().own.insert(file.to_owned(), own);
    Ok(own)
}
