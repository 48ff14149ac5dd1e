//! Imports become needs: grouped by what would be installed for them, each with its state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use super::here::{Form, SearchPath};
use super::{Interpreter, Need, Report, Source, State, Subject, Surroundings, Trouble};
use crate::files;
use crate::known::{self, Confidence, Known, Source as Origin};
use crate::scan::{Import, Place};

/// Names that are always there, or that only type checkers know.
const ALWAYS: [&str; 4] = ["__future__", "__main__", "_typeshed", "builtins"];

/// What the scripts need, and whether that is here.
pub fn report(
    subject: &Subject,
    sources: &[Source],
    interpreter: &Interpreter,
    surroundings: &dyn Surroundings,
) -> Report {
    let path = match subject {
        Subject::Path(path) => Some(path.clone()),
        Subject::Text(_) => None,
    };
    let (major, minor) = interpreter.facts.version;
    let mut report = Report {
        path,
        files: sources.len(),
        needs: Vec::new(),
        troubles: Vec::new(),
        unclear: Vec::new(),
        declared: None,
        requires_python: format!(">={major}.{minor}"),
    };
    let folder = report.path.clone().filter(|path| path.is_dir());
    let mut sorting = Sorting {
        interpreter,
        surroundings,
        path: SearchPath::new(interpreter),
        declared: Vec::new(),
        keys: HashMap::new(),
        known: BTreeMap::new(),
        needs: BTreeMap::new(),
    };
    for source in sources {
        let file = source.path.as_ref().map(|path| path.display().to_string());
        let script = match &source.script {
            Ok(script) => script,
            Err(error) => {
                let (file, message) = (file.unwrap_or_default(), error.to_string());
                report.troubles.push(Trouble { file, place: None, message });
                continue;
            }
        };
        if let Some(metadata) = &script.metadata {
            let declared = report.declared.get_or_insert_default();
            declared.extend(metadata.dependencies.iter().cloned());
            if let Some(python) = &metadata.requires_python {
                report.requires_python.clone_from(python);
            }
        }
        sorting.declared = script.metadata.iter().flat_map(|it| it.dependencies.clone()).collect();
        sorting.declared.extend(script.installs.iter().map(|(requirement, _)| requirement.clone()));
        let roots = roots(source.path.as_deref(), folder.as_deref());
        for import in &script.imports {
            sorting.add(import, file.as_deref(), &roots);
        }
        let file_name = file.clone().unwrap_or_default();
        report.troubles.extend(script.problems.iter().map(|problem| Trouble {
            file: file_name.clone(),
            place: problem.place,
            message: problem.message.clone(),
        }));
        let unclear = script.unclear.iter().map(|place| shown_place(file.as_deref(), *place));
        report.unclear.extend(unclear);
    }
    report.needs = sorting.needs.into_values().collect();
    report.needs.sort_by_key(|need| need.import.to_lowercase());
    report
}

/// Where a script's own modules lie: beside it, above the package that it is in, and in the folder
/// that is checked with what it calls `src`.
fn roots(file: Option<&Path>, folder: Option<&Path>) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    match file.and_then(Path::parent) {
        None => roots.push(PathBuf::from(".")),
        Some(own) => {
            let own = if own.as_os_str().is_empty() { Path::new(".") } else { own };
            roots.push(own.to_path_buf());
            let mut above = files::real(own).unwrap_or_else(|_| own.to_path_buf());
            while above.join("__init__.py").is_file() && above.pop() {}
            roots.push(above);
        }
    }
    if let Some(folder) = folder {
        roots.push(folder.to_path_buf());
        roots.push(folder.join("src"));
    }
    roots.dedup();
    roots
}

fn shown_place(file: Option<&str>, place: Place) -> String {
    let file = file.unwrap_or("line ");
    let colon = if file == "line " { "" } else { ":" };
    match place.cell {
        Some(cell) => format!("{file}[{cell}]{colon}{}", place.line),
        None => format!("{file}{colon}{}", place.line),
    }
}

/// What was found out about a name for one set of folders beside the script.
type Key = (String, Vec<PathBuf>);

struct Sorting<'a> {
    interpreter: &'a Interpreter,
    surroundings: &'a dyn Surroundings,
    path: SearchPath<'a>,
    /// Requirements that the script at hand states.
    declared: Vec<String>,
    keys: HashMap<String, String>,
    known: BTreeMap<Key, Need>,
    needs: BTreeMap<(String, &'static str), Need>,
}

impl Sorting<'_> {
    fn add(&mut self, import: &Import, file: Option<&str>, roots: &[PathBuf]) {
        let names: BTreeSet<String> = self.keys(import).into_iter().collect();
        for name in names {
            let key = (name.clone(), roots.to_vec());
            let found = match self.known.get(&key) {
                Some(found) => found.clone(),
                None => {
                    let found = self.decide(&name, roots);
                    self.known.insert(key, found.clone());
                    found
                }
            };
            let optional = import.optional || import.only.is_some();
            let place = (import.place.line, shown_place(file, import.place));
            let entry = self.needs.entry((found.import.clone(), found.state.as_str()));
            let need = entry.or_insert_with(|| Need { optional: true, deferred: true, ..found });
            need.optional &= optional;
            need.deferred &= import.deferred;
            if !need.places.contains(&place.1) {
                need.lines.push(place.0);
                need.places.push(place.1);
            }
            if let Some(condition) = &import.only {
                let hint = format!("imported only if {condition}");
                if !need.hints.contains(&hint) {
                    need.hints.push(hint);
                }
            }
        }
    }

    /// The names that one import needs: what `from` takes may be a module of another distribution.
    fn keys(&mut self, import: &Import) -> Vec<String> {
        let parts = import.names.iter().filter(|name| *name != "*");
        let mut whole: Vec<String> =
            parts.map(|name| format!("{}.{name}", import.module)).collect();
        if whole.is_empty() {
            whole.push(import.module.clone());
        }
        whole
            .into_iter()
            .map(|name| match self.keys.get(&name) {
                Some(key) => key.clone(),
                None => {
                    let key = self.key(&name);
                    self.keys.insert(name, key.clone());
                    key
                }
            })
            .collect()
    }

    /// The part of a name that says what has to be installed for it.
    fn key(&self, name: &str) -> String {
        let top = name.split('.').next().unwrap_or(name);
        if self.interpreter.standard.contains(top) || ALWAYS.contains(&top) {
            return top.to_owned();
        }
        let prefixes = || {
            let ends = name.match_indices('.').map(|(at, _)| at).chain([name.len()]);
            ends.map(|end| &name[..end])
        };
        if self.surroundings.namespace(name).is_some() {
            let unit = |prefix: &str| self.surroundings.provided(prefix)?.unit;
            if let Some(unit) = Vec::from_iter(prefixes()).into_iter().rev().find_map(unit) {
                return unit;
            }
        }
        let known = match user_entry(&self.interpreter.names, name) {
            Some((prefix, _)) => prefix.to_owned(),
            None => known::distribution(name).map_or_else(|| top.to_owned(), |it| it.import),
        };
        // What is here tells a namespace apart better than tables do.
        let below = |prefix: &&str| prefix.len() > known.len();
        if self.path.form(&known) == Some(Form::Namespace) {
            let regular = |prefix: &&str| self.path.form(prefix) == Some(Form::Regular);
            let found = prefixes().filter(below).find(regular);
            return found.or_else(|| prefixes().find(below)).unwrap_or(&known).to_owned();
        }
        if self.surroundings.provided(&known).is_none() {
            let provided = |prefix: &&str| self.surroundings.provided(prefix).is_some();
            if let Some(prefix) = prefixes().filter(below).find(provided) {
                return prefix.to_owned();
            }
        }
        known
    }

    fn decide(&self, name: &str, roots: &[PathBuf]) -> Need {
        let top = name.split('.').next().unwrap_or(name);
        let standard = self.interpreter.standard.contains(top);
        if self.interpreter.built_in.contains(top) || ALWAYS.contains(&top) {
            return need(top, State::Standard);
        }
        let beside: Vec<Form> =
            roots.iter().filter_map(|root| self.path.beside(root, top)).collect();
        if beside.contains(&Form::Regular) {
            let mut need = need(top, State::Local);
            if standard {
                need.hints.push("it hides the module of this name of the standard library".into());
            }
            return need;
        }
        if standard {
            return need(top, State::Standard);
        }
        let known = self.known(name);
        let mut likely: Vec<String> = known.iter().flat_map(|it| it.distribution.clone()).collect();
        likely.extend(known.iter().flat_map(|it| it.alternatives.clone()));
        if let Some(installed) = self.path.installed(name, &likely) {
            if installed.standard {
                return need(top, State::Standard);
            }
            return self.here(name, State::Installed, installed.distribution, known);
        }
        if let Some(provided) = self.surroundings.provided(name) {
            let distribution = Some((provided.distribution, provided.version));
            let mut found = self.here(name, State::Provided, distribution, known);
            found.source = Some(Origin::Mount);
            return found;
        }
        if beside.contains(&Form::Namespace) {
            return need(top, State::Local);
        }
        if self.surroundings.is_elsewhere(top) {
            return self.here(name, State::Installed, None, known);
        }
        self.absent(name, known)
    }

    /// What the tables say, and what the script itself says before them.
    fn known(&self, name: &str) -> Option<Known> {
        let mut known = match user_entry(&self.interpreter.names, name) {
            Some((prefix, distribution)) => {
                let distribution = Some(distribution.to_owned());
                Some(Known::new(prefix, distribution, Confidence::Table, Origin::User))
            }
            None => known::distribution(name),
        }?;
        let candidates = known.distribution.iter().chain(&known.alternatives);
        let mut candidates: Vec<String> = candidates.cloned().collect();
        candidates.push(name.replace('.', "-"));
        let stated = self.declared.iter().find(|requirement| {
            let stated = known::normalized(project(requirement));
            candidates.iter().any(|it| known::normalized(it) == stated)
        });
        if let Some(requirement) = stated {
            let named = project(requirement).to_owned();
            let first = known.distribution.replace(named.clone());
            if let Some(other) =
                first.filter(|it| known::normalized(it) != known::normalized(&named))
            {
                known.alternatives.retain(|it| known::normalized(it) != known::normalized(&named));
                known.alternatives.insert(0, other);
            }
            known.requirement = Some(requirement.clone());
            known.confidence = Confidence::Table;
            known.source = Origin::Script;
            known.meant = None;
        }
        Some(known)
    }

    fn here(
        &self,
        name: &str,
        state: State,
        distribution: Option<(String, String)>,
        known: Option<Known>,
    ) -> Need {
        let mut found = need(name, state);
        match distribution {
            Some((distribution, version)) => {
                found.requirement = Some(format!("{distribution}=={version}"));
                found.distribution = Some(distribution);
                found.version = Some(version);
                found.confidence = Some(Confidence::Exact);
                found.source = Some(Origin::Installed);
            }
            // It is there, and nothing says where it came from.
            None => {
                if let Some(known) = known.filter(|it| it.confidence > Confidence::Guess) {
                    found.distribution = known.distribution;
                    found.confidence = Some(known.confidence);
                    found.source = Some(known.source);
                }
            }
        }
        found
    }

    fn absent(&self, name: &str, known: Option<Known>) -> Need {
        let Some(known) = known else { return need(name, State::Unknown) };
        let sure = known.distribution.is_some() && known.confidence > Confidence::Guess;
        let mut found = need(name, if sure { State::Missing } else { State::Unknown });
        if let Some(meant) = &known.meant {
            found.hints.push(format!("nobody knows it; is {meant} meant?"));
        }
        let here = known.distribution.as_deref().and_then(|it| self.path.version_of(it));
        if let Some((distribution, version)) = here {
            found
                .hints
                .push(format!("{distribution} {version} is installed, but does not have it"));
        }
        found.hints.extend(known.note);
        let extras = known.extras.iter().map(|(extra, purpose)| {
            let distribution = known.distribution.as_deref().unwrap_or_default();
            format!("{distribution}[{extra}] {purpose}")
        });
        found.hints.extend(extras);
        let indexes = known.indexes.iter().map(|(purpose, options)| {
            let distribution = known.distribution.as_deref().unwrap_or_default();
            format!("for {purpose}: pip install {distribution} {options}")
        });
        found.hints.extend(indexes);
        found.distribution = known.distribution;
        found.requirement = known.requirement;
        found.confidence = Some(known.confidence);
        found.source = Some(known.source);
        found.alternatives = known.alternatives;
        found.system = known.system;
        found.meant = known.meant;
        found
    }
}

fn need(import: &str, state: State) -> Need {
    Need {
        import: import.to_owned(),
        state,
        optional: false,
        deferred: false,
        lines: Vec::new(),
        places: Vec::new(),
        distribution: None,
        version: None,
        requirement: None,
        confidence: None,
        source: None,
        alternatives: Vec::new(),
        hints: Vec::new(),
        system: BTreeMap::new(),
        meant: None,
    }
}

/// The longest part of a name that the user's table has.
fn user_entry<'a>(
    names: &'a BTreeMap<String, String>,
    name: &'a str,
) -> Option<(&'a str, &'a str)> {
    let mut prefix = name;
    loop {
        if let Some(distribution) = names.get(prefix) {
            return Some((prefix, distribution));
        }
        prefix = prefix.rsplit_once('.')?.0;
    }
}

/// The project of a requirement: `requests` of `requests[socks]<3; python_version > "3"`.
fn project(requirement: &str) -> &str {
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let requirement = requirement.trim_start();
    let end = requirement.find(|letter| !is_name(letter)).unwrap_or(requirement.len());
    &requirement[..end]
}
