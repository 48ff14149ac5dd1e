//! What scripts need, and whether it is here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyString};

use crate::layout::Suffixes;
use crate::py::bridge::detached::detached;
use crate::py::bridge::dict::dict;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::state::session;
use crate::scan::Facts;
use crate::session::{Lookup, Session, TopLevel};
use crate::uses::script::{
    Interpreter, Need, Provided, Report, Subject, Surroundings, read, report,
};

/// What a script needs, made by `check_script()`; unpacks as `ok, missing, available`.
#[pyclass(frozen, eq, module = "magic_module")]
#[derive(PartialEq)]
pub struct ScriptReport(Report);

#[pymethods]
impl ScriptReport {
    /// Whether everything could be read, and nothing that the script needs is missing.
    #[getter]
    fn ok(&self) -> bool {
        self.0.is_ok()
    }

    /// What to install: distributions or, if none is known, import names.
    #[getter]
    fn missing(&self) -> Vec<String> {
        self.0.missing()
    }

    /// The distributions, or import names, that are here or that a mount provides.
    #[getter]
    fn available(&self) -> Vec<String> {
        self.0.available()
    }

    /// One dict for each name that is imported, with the keys of `magic-module check --json`.
    #[getter]
    fn needs<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        self.0.needs.iter().map(|need| as_dict(py, need)).collect()
    }

    /// One dict for each part that could not be read: `file`, `cell`, `line`, `column`, `message`.
    #[getter]
    fn problems<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let troubles = self.0.troubles.iter();
        troubles
            .map(|it| {
                Ok(dict!(py,
                    file: &it.file,
                    cell: it.place.and_then(|place| place.cell),
                    line: it.place.map(|place| place.line),
                    column: it.place.map(|place| place.column),
                    message: &it.message,
                ))
            })
            .collect()
    }

    /// The command that installs what is missing; None if nothing is, or nothing is known.
    #[getter]
    fn command(&self) -> Option<String> {
        self.0.command()
    }

    /// The comment block (PEP 723) that would pin what the script uses.
    #[getter]
    fn metadata(&self) -> String {
        self.0.metadata()
    }

    /// The places of imports whose names are computed when the script runs.
    #[getter]
    fn unclear(&self) -> Vec<String> {
        self.0.unclear.clone()
    }

    /// What is missing, how it is installed, and whom to ask.
    ///
    /// Example:
    ///     >>> print(mm.check_script("strategy.py").message())
    fn message(&self) -> String {
        self.0.message()
    }

    /// Fetch what is missing, if `MAGIC_MODULE_AUTO_INSTALL` allows it; by default it does not.
    ///
    /// It is fetched as an import would fetch it: within the policy, and mounted in this process.
    ///
    /// Returns:
    ///     Whether everything is here now, and one sentence.
    ///
    /// Example:
    ///     >>> success, message = mm.check_script("strategy.py").install()
    fn install(&self, py: Python<'_>) -> PyResult<(bool, String)> {
        let imports: Vec<&str> = self.0.absent().map(|need| need.import.as_str()).collect();
        let script = self.0.path.as_deref().map(|path| path.to_string_lossy());
        let arguments = (imports, self.0.wanted(), script.unwrap_or_default());
        py.import("magic_module._py.lacking")?.call_method1("install", arguments)?.extract()
    }

    /// The parts `ok`, `missing`, `available`.
    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        (self.ok(), self.missing(), self.available()).into_pyobject(py)?.try_iter()
    }

    fn __repr__(&self) -> String {
        let missing = self.0.missing();
        format!(
            "ScriptReport(ok={}, {} needs, missing: {missing:?})",
            if self.ok() { "True" } else { "False" },
            self.0.needs.len()
        )
    }

    #[classattr]
    #[pyo3(name = "__hash__")]
    const HASH: Option<Py<PyAny>> = None;
}

fn as_dict<'py>(py: Python<'py>, need: &Need) -> PyResult<Bound<'py, PyDict>> {
    Ok(dict!(py,
        import: &need.import,
        distribution: &need.distribution,
        state: need.state.as_str(),
        optional: need.optional,
        lines: &need.lines,
        confidence: need.confidence.map(|it| it.as_str()),
        source: need.source.map(|it| it.as_str()),
        alternatives: &need.alternatives,
        version: &need.version,
        requirement: &need.requirement,
        deferred: need.deferred,
        places: &need.places,
        hints: &need.hints,
        system: &need.system,
        meant: &need.meant,
    ))
}

/// Find out what a script needs and whether that is here; the script is never run.
///
/// Args:
///     path_or_text: a script, a notebook, a folder with everything below it, or the source itself.
///
/// Returns:
///     What it needs; unpacks as `ok, missing, available`.
///
/// Raises:
///     RequirementError: it is too large, binary, or not a notebook.
///     StoreError: it cannot be read.
///
/// Example:
///     >>> ok, missing, available = mm.check_script("strategy.py")
#[pyfunction]
pub fn check_script(py: Python<'_>, path_or_text: &Bound<'_, PyAny>) -> PyResult<ScriptReport> {
    let subject = subject(path_or_text)?;
    let session = session(py)?;
    let interpreter = interpreter(py, session)?;
    let facts = interpreter.facts.clone();
    let sources = detached(py, || read(&subject, &facts)).or_raise(py)?;
    let around = Around { py, session };
    Ok(ScriptReport(report(&subject, &sources, &interpreter, &around)))
}

/// A text with more than one line, or that is not a path of anything, is the source itself.
fn subject(given: &Bound<'_, PyAny>) -> PyResult<Subject> {
    let Ok(text) = given.cast::<PyString>() else { return Ok(Subject::Path(given.extract()?)) };
    let text = text.to_string_lossy().into_owned();
    let lower = text.trim_end().to_ascii_lowercase();
    let named = [".py", ".pyw", ".ipy", ".ipynb"].iter().any(|suffix| lower.ends_with(suffix));
    let is_path = !text.contains('\n')
        && !text.is_empty()
        && (PathBuf::from(&text).exists() || named && !text.trim().contains(' '));
    Ok(if is_path { Subject::Path(PathBuf::from(text)) } else { Subject::Text(text) })
}

fn interpreter(py: Python<'_>, session: &Session) -> PyResult<Interpreter> {
    let (sys, os) = (py.import("sys")?, py.import("os")?);
    let names = |attribute: &str| -> PyResult<BTreeSet<String>> {
        sys.getattr(attribute)?.try_iter()?.map(|name| name?.extract()).collect()
    };
    let version: (u8, u8) = (
        sys.getattr("version_info")?.get_item(0)?.extract()?,
        sys.getattr("version_info")?.get_item(1)?.extract()?,
    );
    let platform: String = sys.getattr("platform")?.extract()?;
    let system = match platform.as_str() {
        "linux" => "Linux".to_owned(),
        "darwin" => "Darwin".to_owned(),
        "win32" => "Windows".to_owned(),
        other => other.to_owned(),
    };
    let library: PathBuf = os.getattr("__file__")?.extract()?;
    let mut path: Vec<PathBuf> = Vec::new();
    for entry in sys.getattr("path")?.try_iter()? {
        // Programs put other things there, too.
        let Ok(entry) = entry?.extract::<PathBuf>() else { continue };
        if !entry.as_os_str().is_empty() && !session.is_in_view(&entry) {
            path.push(entry);
        }
    }
    Ok(Interpreter {
        standard: names("stdlib_module_names")?,
        built_in: names("builtin_module_names")?,
        library: library.parent().map(PathBuf::from).unwrap_or_default(),
        path,
        suffixes: Suffixes(session.python.suffixes.0.clone()),
        facts: Facts { version, platform, os_name: os.getattr("name")?.extract()?, system },
        names: match &session.engine.settings.registry {
            Some(file) => crate::known::names(file).or_raise(py)?,
            None => BTreeMap::new(),
        },
    })
}

struct Around<'py> {
    py: Python<'py>,
    session: &'py Session,
}

impl Surroundings for Around<'_> {
    fn provided(&self, name: &str) -> Option<Provided> {
        let places = [TopLevel::First, TopLevel::Last, TopLevel::Behind];
        places.into_iter().find_map(|place| match self.session.lookup(name, place) {
            Ok(Lookup::Located(found)) => {
                let mount = found.unit.mount().ok()?;
                let distribution = mount
                    .supply
                    .view()
                    .and_then(|view| view.resolved.units.get(&found.unit.name).cloned());
                let unit = (!mount.namespace.is_empty()).then(|| found.unit.full_name.clone());
                Some(match distribution {
                    Some(it) => {
                        Provided { distribution: it.name, version: it.version.to_string(), unit }
                    }
                    None => Provided {
                        distribution: found.unit.full_name.clone(),
                        version: found.unit.version.to_string(),
                        unit,
                    },
                })
            }
            _ => None,
        })
    }

    fn namespace(&self, name: &str) -> Option<String> {
        self.session.mount_around(name).map(|mount| mount.namespace.as_str().to_owned())
    }

    fn is_elsewhere(&self, name: &str) -> bool {
        let asked = || -> PyResult<bool> {
            let module = self.py.import("magic_module._py.elsewhere")?;
            module.call_method1("has", (name,))?.extract()
        };
        // A finder of a stranger that fails has nothing.
        asked().unwrap_or(false)
    }
}
