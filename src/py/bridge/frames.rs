//! Who imports, as the frames of this thread tell it.
//!
//! ```text
//! ours ◀─ the import system ◀─ [ a hook, which the import system called ◀─ the import system ] ◀─ the code that imports
//! ```
//!
//! Whoever asks here stands below an import, or below a call that looks for a module. Frames can be
//! forged by the code that runs: what is decided by them keeps accidents out, not attackers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::session::Session;

/// Modules that import for others, each with those below it. `importlib`'s frozen parts have two names.
const IMPORTLIB: [&str; 3] = ["importlib", "_frozen_importlib", "_frozen_importlib_external"];
const HELPERS: [&str; 2] = ["pkgutil", "runpy"];

/// The code that imports.
pub struct Importer {
    /// Its file, as its code object names it.
    pub file: String,
    /// The module that it belongs to, by `__name__`.
    pub module: String,
    /// It is what a module does when it is loaded, not a function that is called.
    pub at_top: bool,
    /// All that follows `import`, if this is an import: a part of it is imported first.
    pub import: Option<String>,
}

/// The innermost code that wants a module; `None` where there is none, as in a thread of C code.
pub fn importer(py: Python<'_>) -> PyResult<Option<Importer>> {
    let mut import = None;
    let mut found: Option<Importer> = None;
    // What the frame before this one runs.
    let mut function = String::new();
    let Ok(mut frame) = frame_at(py, 0) else { return Ok(None) };
    while !frame.is_none() {
        let place = Place::of(&frame)?;
        match place.kind {
            // A finder or loader of somebody's: it only passes on what another code wants. A
            // module that is loaded wants it by itself, and so does its `__getattr__`.
            Kind::Importlib if found.is_some() => {
                if function == "<module>" || place.function == "_handle_fromlist" {
                    break;
                }
                found = None;
                import = place.import(&frame)?.or(import);
            }
            Kind::Importlib => import = place.import(&frame)?.or(import),
            Kind::Helper => {}
            Kind::Other if found.is_some() => {}
            Kind::Other => {
                let code = frame.getattr(intern!(py, "f_code"))?;
                found = Some(Importer {
                    file: code.getattr(intern!(py, "co_filename"))?.extract()?,
                    at_top: place.function == "<module>",
                    module: place.module.clone(),
                    import: import.take(),
                });
                // An import by a hook is the hook's own.
                if found.as_ref().is_some_and(|found| found.import.is_some()) {
                    break;
                }
            }
        }
        function = place.function;
        frame = frame.getattr(intern!(py, "f_back"))?;
    }
    Ok(found)
}

/// The file of the code that calls us, as its code object names it. Of a text that a module runs
/// (`site` does so with lines of `.pth` files) the module's.
pub fn caller(py: Python<'_>) -> PyResult<Option<String>> {
    let Ok(frame) = frame_at(py, 0) else { return Ok(None) };
    let code = frame.getattr(intern!(py, "f_code"))?;
    let file: String = code.getattr(intern!(py, "co_filename"))?.extract()?;
    let module = Place::of(&frame)?.module;
    if !file.starts_with('<') || module.is_empty() || module == "__main__" {
        return Ok(Some(file));
    }
    let sys = py.import(intern!(py, "sys"))?;
    let top = module.split('.').next().unwrap_or_default();
    if sys.getattr(intern!(py, "stdlib_module_names"))?.contains(top)? {
        return Ok(None);
    }
    let known = sys.getattr(intern!(py, "modules"))?.get_item(&module);
    let place = known.and_then(|known| known.getattr(intern!(py, "__file__"))?.extract());
    Ok(Some(place.unwrap_or(file)))
}

enum Kind {
    Importlib,
    Helper,
    Other,
}

/// Where a frame is.
struct Place {
    kind: Kind,
    module: String,
    function: String,
}

impl Place {
    fn of(frame: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = frame.py();
        let module = frame.getattr(intern!(py, "f_globals"))?.get_item(intern!(py, "__name__"));
        let module: String = module.and_then(|name| name.extract()).unwrap_or_default();
        let top = module.split('.').next().unwrap_or_default();
        let kind = if IMPORTLIB.contains(&top) {
            Kind::Importlib
        } else if HELPERS.contains(&top) || is_ours(&module) {
            Kind::Helper
        } else {
            Kind::Other
        };
        let code = frame.getattr(intern!(py, "f_code"))?;
        let function = code.getattr(intern!(py, "co_name"))?.extract()?;
        Ok(Self { kind, module, function })
    }

    /// What this frame imports, if it is the one that imports.
    fn import(&self, frame: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        if self.function != "_find_and_load" {
            return Ok(None);
        }
        let locals = frame.getattr(intern!(frame.py(), "f_locals"))?;
        locals.get_item("name")?.extract().map(Some)
    }
}

/// Units of the namespace have names without an underscore.
fn is_ours(module: &str) -> bool {
    let below = module.strip_prefix("magic_module");
    below.is_some_and(|below| below.is_empty() || below.starts_with("._"))
}

/// True if the finders are asked by an import, one frame above the search.
pub fn is_import(py: Python<'_>) -> PyResult<bool> {
    static IMPORTING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let importing = IMPORTING.get_or_try_init(py, || {
        let function = py.import("_frozen_importlib")?.getattr("_find_and_load_unlocked")?;
        function.getattr("__code__").map(Bound::unbind)
    })?;
    let Ok(frame) = frame_at(py, 1) else { return Ok(false) };
    Ok(frame.getattr(intern!(py, "f_code"))?.is(importing.bind(py)))
}

/// Whether the nearest frame outside of `PathFinder` is that of an import, or of a reload.
pub fn asked_by_the_import_system(py: Python<'_>) -> PyResult<bool> {
    // Nearly always it is the import itself.
    if is_import(py)? {
        return Ok(true);
    }
    // Where C code alone is running there is no frame.
    let Ok(mut frame) = frame_at(py, 0) else { return Ok(true) };
    let mut finding = false;
    while !frame.is_none() {
        let place = Place::of(&frame)?;
        match (place.module.as_str(), place.function.as_str()) {
            (
                "importlib._bootstrap_external"
                | "_frozen_importlib_external"
                | "magic_module._py.loader",
                _,
            ) if !finding => {}
            ("importlib._bootstrap" | "_frozen_importlib", "_find_spec") if !finding => {
                finding = true;
            }
            ("importlib._bootstrap" | "_frozen_importlib", "_find_and_load_unlocked")
            | ("importlib", "reload") => return Ok(finding),
            _ => return Ok(false),
        }
        frame = frame.getattr(intern!(py, "f_back"))?;
    }
    Ok(true)
}

fn frame_at(py: Python<'_>, depth: usize) -> PyResult<Bound<'_, PyAny>> {
    static FRAME: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let frame_at =
        FRAME.get_or_try_init(py, || py.import("sys")?.getattr("_getframe").map(Bound::unbind))?;
    frame_at.bind(py).call1((depth,))
}

/// Files, and whether they are the user's own. Used with the interpreter's lock only: no fork catches it
/// in the hands of another thread.
static OWN: Mutex<Option<HashMap<String, bool>>> = Mutex::new(None);

/// True for a file of nobody's package: not installed, not of the standard library, not of a mount, and
/// not ours.
pub fn is_own(py: Python<'_>, session: &Session, file: &str) -> PyResult<bool> {
    if let Some(own) = OWN.lock().get_or_insert_default().get(file) {
        return Ok(*own);
    }
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    let folder_of = |module: &str| {
        let place = modules.get_item(module).and_then(|module| module.getattr("__file__"));
        let place = place.and_then(|place| place.extract::<PathBuf>());
        place.ok().and_then(|place| place.parent().map(ToOwned::to_owned))
    };
    let path = Path::new(file);
    let is_below = |folder: Option<PathBuf>| folder.is_some_and(|it| path.starts_with(it));
    let is_installed = path.iter().any(|part| part == "site-packages" || part == "dist-packages");
    let own = !(file.starts_with("<frozen ")
        || is_installed
        || is_below(folder_of("os"))
        || is_below(folder_of("magic_module"))
        || path.starts_with(session.engine.store.root()));
    OWN.lock().get_or_insert_default().insert(file.to_owned(), own);
    Ok(own)
}
