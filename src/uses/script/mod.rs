//! What scripts need, and whether it is here: each need with its state, and what to install.
//!
//! ```text
//! path or text ─ read ─▶ Scripts ─ needs ─▶ Report ─ told ─▶ what people read
//!                scan, by all cores  └ here: local, standard, installed, of a mount
//!                                    └ known: what has the name
//! ```

mod here;
mod needs;
mod read;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

pub use here::{Installed, Provided};
pub use needs::report;
pub use read::{Source, Subject, read};

use crate::known::{Confidence, Source as Origin};
use crate::layout::Suffixes;
use crate::scan::Place;

/// Whether what a script needs is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The standard library has it.
    Standard,
    /// It lies beside the script.
    Local,
    /// It is installed.
    Installed,
    /// A mount provides it: an import fetches it.
    Provided,
    /// It is not here, and its distribution is known.
    Missing,
    /// It is not here, and nobody knows what has it.
    Unknown,
}

impl State {
    /// As `--json` shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Local => "local",
            Self::Installed => "installed",
            Self::Provided => "provided",
            Self::Missing => "missing",
            Self::Unknown => "unknown",
        }
    }

    /// True if an import of it would fail.
    pub fn is_absent(self) -> bool {
        matches!(self, Self::Missing | Self::Unknown)
    }
}

/// One name that a script needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The part of the name that says what has to be installed: `yaml`, `google.cloud.storage`.
    pub import: String,
    /// Whether it is here.
    pub state: State,
    /// The script goes on without it, or does not import it on this platform.
    pub optional: bool,
    /// It is imported when a function is called, or when it is first used.
    pub deferred: bool,
    /// The lines that import it.
    pub lines: Vec<usize>,
    /// The same with file and, in a notebook, cell: `a.py:3`, `b.ipynb[2]:1`.
    pub places: Vec<String>,
    /// What has it.
    pub distribution: Option<String>,
    /// The version of that which is here.
    pub version: Option<String>,
    /// What pip is told.
    pub requirement: Option<String>,
    /// How sure the distribution is.
    pub confidence: Option<Confidence>,
    /// What that comes from.
    pub source: Option<Origin>,
    /// Other distributions that have the name.
    pub alternatives: Vec<String>,
    /// Sentences that help.
    pub hints: Vec<String>,
    /// What the operating system must have.
    pub system: BTreeMap<String, String>,
    /// The popular name that it may be a misspelling of.
    pub meant: Option<String>,
}

/// What keeps a script, or a part of it, from being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The file; empty for a text.
    pub file: String,
    /// Where in it, where that is known.
    pub place: Option<Place>,
    /// One sentence.
    pub message: String,
}

/// What a script needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The file or folder; `None` for a text.
    pub path: Option<PathBuf>,
    /// How many files were read.
    pub files: usize,
    /// By name.
    pub needs: Vec<Need>,
    /// What could not be read.
    pub troubles: Vec<Trouble>,
    /// Places of imports whose names are known only when the script runs.
    pub unclear: Vec<String>,
    /// What its own metadata asks for; `None` if it has none.
    pub declared: Option<Vec<String>>,
    /// Which Python its metadata, or the one that checks, asks for.
    pub requires_python: String,
}

impl Report {
    /// True if all was read and nothing is missing that the script cannot do without.
    pub fn is_ok(&self) -> bool {
        self.troubles.is_empty() && self.absent().next().is_none()
    }

    /// What the script cannot do without and is not here.
    pub fn absent(&self) -> impl Iterator<Item = &Need> {
        self.needs.iter().filter(|need| need.state.is_absent() && !need.optional)
    }

    /// What to install: distributions or, if none is known, import names.
    pub fn missing(&self) -> Vec<String> {
        named(self.absent())
    }

    /// The distributions, or import names, that are here or that a mount provides.
    pub fn available(&self) -> Vec<String> {
        named(
            self.needs
                .iter()
                .filter(|need| matches!(need.state, State::Installed | State::Provided)),
        )
    }
}

fn named<'a>(needs: impl Iterator<Item = &'a Need>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let name = |need: &Need| match need.distribution.as_ref() {
        // A guess is nothing to install.
        Some(name) if need.state != State::Unknown => name.clone(),
        _ => need.import.clone(),
    };
    needs.map(name).filter(|name| seen.insert(crate::known::normalized(name))).collect()
}

/// What is known of the interpreter that would run the scripts.
#[derive(Debug, Clone)]
pub struct Interpreter {
    /// `sys.stdlib_module_names`
    pub standard: BTreeSet<String>,
    /// `sys.builtin_module_names`
    pub built_in: BTreeSet<String>,
    /// The folder of the standard library.
    pub library: PathBuf,
    /// `sys.path`, without what stands there for the program that checks.
    pub path: Vec<PathBuf>,
    /// Of its modules.
    pub suffixes: Suffixes,
    /// What scripts can ask.
    pub facts: crate::scan::Facts,
    /// The user's own table: import name to distribution.
    pub names: BTreeMap<String, String>,
}

/// What only a running interpreter, or its mounts, can tell.
pub trait Surroundings {
    /// What a mount has of this name.
    fn provided(&self, name: &str) -> Option<Provided>;
    /// The namespace of the mount that serves the name, unless it serves top-level names.
    fn namespace(&self, name: &str) -> Option<String>;
    /// A finder that is neither ours nor Python's own has the top-level name.
    fn is_elsewhere(&self, name: &str) -> bool;
}
