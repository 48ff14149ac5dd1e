//! What a script imports, without running it.
//!
//! ```text
//! bytes ─ text ─ notebook? cells ─ nesting ─ ruff_python_parser ─ walk ─▶ Script
//!         PEP 263                  refuses what is too deep       └ guards: may it fail, is it for here
//!                                                                 └ calls: import_module("x") and its like
//! ```
//!
//! The parser goes on behind an error: what can be read is reported, with the place of the error. Nothing
//! is looked up here; [`crate::uses::script`] says which of the names are here.

mod calls;
mod guards;
mod metadata;
mod nesting;
mod notebook;
mod place;
mod text;
mod walk;

use ruff_python_ast::PythonVersion;
use ruff_python_parser::{Mode, ParseOptions, Parsed, parse_unchecked};
use ruff_text_size::Ranged as _;

pub use guards::Facts;
pub use metadata::Metadata;
pub use place::Place;

use crate::error::{Error, Kind, Result};
use place::Lines;

/// The largest file that is read as a script, in bytes.
pub const SIZE_LIMIT: u64 = 16 << 20;

/// How many problems of one file are told.
const PROBLEMS: usize = 10;

/// What one import says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The dotted name: `google.cloud` of `from google.cloud import storage`.
    pub module: String,
    /// What `from` takes out of it; a module, or something that the module has. `*` is everything.
    pub names: Vec<String>,
    /// Where it stands.
    pub place: Place,
    /// The script goes on without it.
    pub optional: bool,
    /// It is for other platforms or versions than these, or for type checkers: the condition.
    pub only: Option<String>,
    /// It happens when a function is called, or when the name is first used (PEP 810).
    pub deferred: bool,
}

/// What could not be read, or not be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where; `None` where it is the whole file.
    pub place: Option<Place>,
    /// One sentence.
    pub message: String,
}

/// What a script says of what it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// Every import but relative ones, in the order of the text.
    pub imports: Vec<Import>,
    /// What kept a part from being read.
    pub problems: Vec<Problem>,
    /// Its own metadata (PEP 723).
    pub metadata: Option<Metadata>,
    /// What it installs itself, as notebooks do: requirements, each with its place.
    pub installs: Vec<(String, Place)>,
    /// Imports whose names are known only when it runs.
    pub unclear: Vec<Place>,
}

/// Reads a script or, where the name ends so, a notebook.
///
/// Fails where nothing of it can be read: what is too large, binary, or no notebook.
pub fn scan(name: &str, bytes: &[u8], facts: &Facts) -> Result<Script> {
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(refused(name, &format!("it is longer than {} MB", SIZE_LIMIT >> 20))
            .hint("a file of this size is data; let the script read it, and check the script"));
    }
    let lower = name.to_ascii_lowercase();
    if lower.ends_with(".ipynb") {
        return notebook::scan(name, bytes, facts);
    }
    let decoded = text::decode(bytes).map_err(|why| {
        refused(name, &why)
            .hint("save it as UTF-8, or name its encoding in its first line (PEP 263)")
    })?;
    let mode = if lower.ends_with(".ipy") { Mode::Ipython } else { Mode::Module };
    let mut script = Script::default();
    match metadata::read(&decoded) {
        Ok(found) => script.metadata = found,
        Err(problem) => script.problems.push(problem),
    }
    source(&decoded, mode, None, facts, &mut script);
    Ok(script)
}

/// Adds what one source, or one cell of a notebook, imports.
fn source(text: &str, mode: Mode, cell: Option<usize>, facts: &Facts, script: &mut Script) {
    let lines = Lines::new(text, cell);
    if nesting::is_too_deep(text, mode) {
        let message = "it is nested too deep, and Python would not read it".to_owned();
        script.problems.push(Problem { place: cell.map(|_| lines.place(0)), message });
        return;
    }
    let (major, minor) = facts.version;
    let version = PythonVersion { major, minor };
    let options = ParseOptions::from(mode).with_target_version(version);
    let parsed = parse_unchecked(text, options);
    let room = PROBLEMS.saturating_sub(script.problems.len());
    let errors = parsed.errors().iter().take(room).map(|error| Problem {
        place: Some(lines.place(error.start().to_usize())),
        message: error.error.to_string(),
    });
    script.problems.extend(errors);
    if parsed.errors().is_empty() {
        let newer = parsed.unsupported_syntax_errors().iter().take(room).map(|error| Problem {
            place: Some(lines.place(error.start().to_usize())),
            message: error.to_string(),
        });
        script.problems.extend(newer);
    }
    let depth = walk::walk(&parsed, &lines, facts, script);
    nesting::drop_deep(parsed, depth);
}

fn refused(name: &str, why: &str) -> Error {
    Error::new(Kind::Requirement, format!("cannot read {name} as a script: {why}")).path(name)
}

type Tree = Parsed<ruff_python_ast::Mod>;
