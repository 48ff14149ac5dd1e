//! What the public functions return.

use pyo3::exceptions::PyAttributeError;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::uses::describe::Description;

/// What is known about a unit: made by `info()` and `available()`.
#[pyclass(frozen, eq, hash, get_all, module = "magic_module")]
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ModuleInfo {
    /// What follows `import`.
    name: String,
    /// The version that an import uses: the one in the cache, else the newest.
    version: String,
    /// Every version that the manifest offers, newest first.
    versions: Vec<String>,
    /// The author's one line about it, if there is one.
    summary: Option<String>,
    /// Bytes of all files that are not lazy.
    size: u64,
    /// Whether an import makes no request.
    cached: bool,
    /// The installed file that wins over this unit, if there is one.
    hidden_by: Option<String>,
    /// Why the author took this version back; None for a good one.
    yanked: Option<String>,
}

impl ModuleInfo {
    pub fn new(description: Description, hidden_by: Option<String>) -> Self {
        let Description { name, version, versions, summary, size, cached, yanked, .. } =
            description;
        Self { name, version, versions, summary, size, cached, hidden_by, yanked }
    }
}

#[pymethods]
impl ModuleInfo {
    fn __repr__(&self) -> String {
        let cached = if self.cached { ", cached" } else { "" };
        let yanked = if self.yanked.is_some() { ", yanked" } else { "" };
        format!("ModuleInfo({} {}, {} bytes{cached}{yanked})", self.name, self.version, self.size)
    }
}

/// What an upgrade or a rollback did to one unit.
#[pyclass(frozen, eq, get_all, module = "magic_module")]
#[derive(Clone, PartialEq)]
pub struct Upgrade {
    /// What follows `import`.
    pub name: String,
    /// The version before; None if none was in use.
    pub old_version: Option<String>,
    /// The version now; None if a rollback took the unit out of use.
    pub new_version: Option<String>,
    /// Whether anything is different from before.
    pub changed: bool,
    /// How many files are new, gone or different.
    pub files_changed: usize,
    /// Bytes that were downloaded.
    pub bytes: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Whether a new process is needed to be sure that only the new version is used.
    pub restart_required: bool,
}

#[pymethods]
impl Upgrade {
    fn __repr__(&self) -> String {
        let version =
            |version: &Option<String>| version.clone().unwrap_or_else(|| "nothing".to_owned());
        if !self.changed {
            return format!(
                "Upgrade({} {}, nothing changed)",
                self.name,
                version(&self.new_version)
            );
        }
        let restart = if self.restart_required { ", restart required" } else { "" };
        format!(
            "Upgrade({} {} -> {}, {} files, {} bytes{restart})",
            self.name,
            version(&self.old_version),
            version(&self.new_version),
            self.files_changed,
            self.bytes
        )
    }

    fn __hash__(&self) -> u64 {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        (&self.name, &self.old_version, &self.new_version, self.seconds.to_bits())
            .hash(&mut hasher);
        hasher.finish()
    }
}

/// What `verify()` found or `prune()` removed.
#[pyclass(frozen, eq, hash, get_all, module = "magic_module")]
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Report {
    /// Whether everything is well, or was healed.
    pub ok: bool,
    /// How many units were checked.
    pub units: u64,
    /// How many files were checked.
    pub files: u64,
    /// Bytes that were checked, or freed.
    pub bytes: u64,
    /// A sentence about each problem that was found.
    pub problems: Vec<String>,
    /// What was removed, in words for people.
    pub removed: Vec<String>,
}

#[pymethods]
impl Report {
    fn __repr__(&self) -> String {
        format!(
            "Report(ok={}, {} units, {} files, {} bytes, {} problems, {} removed)",
            if self.ok { "True" } else { "False" },
            self.units,
            self.files,
            self.bytes,
            self.problems.len(),
            self.removed.len()
        )
    }
}

/// The classes of the module, each made when it is first asked for (PEP 562): together
/// they would be a tenth of what importing the extension costs.
#[pyfunction]
pub fn __getattr__<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyType>> {
    match name {
        "ModuleInfo" => Ok(py.get_type::<ModuleInfo>()),
        "Mount" => Ok(py.get_type::<super::mount::Mount>()),
        "Report" => Ok(py.get_type::<Report>()),
        "ScriptReport" => Ok(py.get_type::<super::check::ScriptReport>()),
        "Upgrade" => Ok(py.get_type::<Upgrade>()),
        "_Entry" => Ok(py.get_type::<crate::py::hook::entry::Entry>()),
        "_Finder" => Ok(py.get_type::<crate::py::hook::filter::Finder>()),
        "_Unit" => Ok(py.get_type::<crate::py::hook::spec::UnitHandle>()),
        _ => Err(PyAttributeError::new_err(format!(
            "module 'magic_module._native' has no attribute '{name}'"
        ))),
    }
}
