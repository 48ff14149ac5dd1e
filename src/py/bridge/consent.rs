//! Who is asked whether something may be fetched, and what they said: the callback of `on_request`,
//! else whoever sits at the terminal.
//!
//! Both are asked in the thread that waits. What they raise ends the work. "always" and "deny" are
//! remembered for as long as this process lives, so that nobody is asked twice.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::frames::importer;
use super::import_lock::busy;
use crate::audit::{Asker, Request, Verdict};
use crate::name::DistributionName;
use crate::session::Session;

/// Used with the interpreter's lock only: no fork catches it in the hands of another thread.
struct Known {
    callback: Option<Py<PyAny>>,
    /// By normal name.
    verdicts: BTreeMap<String, Verdict>,
    /// What somebody has just consented to, before it was known what will be fetched for it.
    granted: BTreeSet<String>,
}

static KNOWN: Mutex<Known> =
    Mutex::new(Known { callback: None, verdicts: BTreeMap::new(), granted: BTreeSet::new() });

/// Sets the callback of `on_request`; what was said before is forgotten.
pub fn set_callback(callback: Option<Py<PyAny>>) {
    let before = {
        let mut known = KNOWN.lock();
        known.verdicts.clear();
        std::mem::replace(&mut known.callback, callback)
    };
    // Its end may run Python, which must not meet the lock.
    drop(before);
}

/// The answer of whoever can be asked; `None`: there is nobody.
pub fn answer(py: Python<'_>, request: &Request) -> PyResult<Option<Verdict>> {
    let name = DistributionName::new(&request.distribution);
    let name = name.map_or_else(|_| request.distribution.clone(), String::from);
    let (known, callback) = {
        let mut known = KNOWN.lock();
        if !request.version.is_empty() && known.granted.remove(&name) {
            return Ok(Some(Verdict::Once));
        }
        let callback = known.callback.as_ref().map(|callback| callback.clone_ref(py));
        (known.verdicts.get(&name).copied(), callback)
    };
    if known.is_some() {
        return Ok(known);
    }
    let _busy = busy();
    let asking = py.import("magic_module._py.asking")?;
    let Request { distribution, version, source, size, requires, rule, asker } = request;
    let Asker { import, importer, script } = asker;
    let arguments = (import, distribution, version, source, size, requires, importer, script, rule);
    let shown = asking.call_method1("request", arguments)?;
    let said = asking.call_method1("ask", (callback, shown))?;
    let verdict = match said.extract::<Option<String>>().ok() {
        Some(None) => return Ok(None),
        Some(Some(word)) if word == "once" => Verdict::Once,
        Some(Some(word)) if word == "always" => Verdict::Always,
        Some(Some(word)) if word == "deny" => Verdict::Deny,
        _ => {
            let said = said.repr()?;
            let what =
                format!("on_request: the answer must be 'once', 'always' or 'deny', not {said}");
            return Err(PyValueError::new_err(what));
        }
    };
    if verdict != Verdict::Once {
        KNOWN.lock().verdicts.insert(name, verdict);
    } else if request.version.is_empty() {
        KNOWN.lock().granted.insert(name);
    }
    Ok(Some(verdict))
}

/// Who waits for work, as far as it is of any interest: nobody is named where nothing is judged.
pub fn asker(py: Python<'_>, session: &Session) -> Asker {
    let settings = &session.engine.settings;
    if settings.registry.is_none() && settings.auto_install.is_none() {
        return Asker::default();
    }
    let mut asker = Asker { script: script(py), ..Asker::default() };
    // A call that fetches is not an import, wherever it stands.
    if let Ok(Some(code)) = importer(py)
        && code.import.is_some()
    {
        asker.import = code.import;
        asker.importer = Some(code.file);
    }
    asker
}

/// The program that runs.
pub fn script(py: Python<'_>) -> Option<String> {
    let sys = py.import("sys").ok()?;
    let main = sys.getattr("modules").ok()?.get_item("__main__").ok()?;
    let script = main.getattr("__file__").or_else(|_| sys.getattr("argv")?.get_item(0));
    script.and_then(|script| script.extract::<String>()).ok()
}
