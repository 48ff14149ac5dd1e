//! A report in the words that people read.

use super::{Need, Report, State};
use crate::error::shown;
use crate::known::Confidence;
use crate::scan::Metadata;

impl Report {
    /// What is missing, how it is installed, and whom to ask; one line if nothing is.
    pub fn message(&self) -> String {
        let subject = self.subject();
        let mut lines: Vec<String> = self
            .troubles
            .iter()
            .map(|trouble| {
                let file = if trouble.file.is_empty() { &subject } else { &trouble.file };
                match trouble.place {
                    Some(place) => {
                        let cell = place.cell.map_or(String::new(), |it| format!(" cell {it}"));
                        format!("{file}{cell} line {}: {}", place.line, trouble.message)
                    }
                    None => trouble.message.clone(),
                }
            })
            .collect();
        let mut absent: Vec<&Need> = self.absent().collect();
        if self.files == 1 {
            absent.sort_by_key(|need| (self.place(need).len(), need.lines.first().copied()));
        }
        if absent.is_empty() {
            if lines.is_empty() {
                lines.push(format!("{subject} finds here all that it needs"));
            }
        } else {
            lines.push(format!("{subject} needs {} not here:", packages(absent.len())));
            lines.extend(self.rows(&absent));
            lines.extend(self.remedies(&absent));
        }
        let optional: Vec<&str> = self
            .needs
            .iter()
            .filter(|need| need.optional && need.state.is_absent())
            .map(|need| need.import.as_str())
            .collect();
        if !optional.is_empty() {
            lines.push(format!("not here, and not needed: {}", optional.join(", ")));
        }
        if !self.unclear.is_empty() {
            lines.push(format!(
                "imported by names that are computed at run time: {}",
                self.unclear.join(", ")
            ));
        }
        lines.iter().map(|line| shown(line, 2000)).collect::<Vec<_>>().join("\n")
    }

    fn subject(&self) -> String {
        let name = self.path.as_deref().map(|path| {
            let name = path.file_name().unwrap_or(path.as_os_str());
            name.to_string_lossy().into_owned()
        });
        name.unwrap_or_else(|| "the script".to_owned())
    }

    fn rows(&self, absent: &[&Need]) -> Vec<String> {
        let places: Vec<String> = absent.iter().map(|need| self.place(need)).collect();
        let names: Vec<&str> =
            absent.iter().map(|need| need.distribution.as_deref().unwrap_or("?")).collect();
        let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
        let first = width(&mut places.iter().map(|it| it.chars().count()));
        let second = width(&mut absent.iter().map(|it| it.import.chars().count()));
        let third = width(&mut names.iter().map(|it| it.chars().count()));
        let mut rows = Vec::new();
        for ((need, place), name) in absent.iter().zip(&places).zip(&names) {
            let mut notes = Vec::new();
            if need.distribution.is_some() && need.confidence == Some(Confidence::Guess) {
                notes.push("a guess: look at it before you install it".to_owned());
            }
            notes.extend(system(need));
            notes.extend(need.hints.iter().cloned());
            if !need.alternatives.is_empty() {
                notes.push(format!("or {}", need.alternatives.join(", ")));
            }
            let import = &need.import;
            let row = format!(
                "  {place:first$}   {import:second$}   {name:third$}   {}",
                notes.join("; ")
            );
            rows.push(row.trim_end().to_owned());
        }
        rows
    }

    fn place(&self, need: &Need) -> String {
        if self.files > 1 {
            return need.places.first().cloned().unwrap_or_default();
        }
        let Some(line) = need.lines.first() else { return String::new() };
        let in_cell = need.places.first().and_then(|place| place.rsplit_once(']'));
        match in_cell.and_then(|(before, _)| before.rsplit_once('[')) {
            Some((_, cell)) => format!("cell {cell} line {line}"),
            None => format!("line {line}"),
        }
    }

    fn remedies(&self, absent: &[&Need]) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(command) = self.command() {
            lines.push(format!("install them:   {command}"));
        }
        if absent.iter().any(|need| need.state == State::Missing) {
            lines.push("or ask the administrator of this environment to approve them".to_owned());
        }
        if self.files == 1 && self.declared.is_none() {
            lines.push("or declare at the top of the script what it needs, for `uv run` and `magic-module lock --script`:".to_owned());
            lines.extend(self.metadata().lines().map(|line| format!("  {line}")));
        }
        lines
    }

    /// The command that installs what is missing, as far as that is known; no guess is in it.
    pub fn command(&self) -> Option<String> {
        let wanted = self.wanted();
        let quoted = wanted.iter().map(|one| {
            let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.=,".contains(letter);
            let mark = if cfg!(windows) { '"' } else { '\'' };
            if one.chars().all(plain) { one.clone() } else { format!("{mark}{one}{mark}") }
        });
        let quoted: Vec<String> = quoted.collect();
        (!quoted.is_empty()).then(|| format!("pip install {}", quoted.join(" ")))
    }

    /// The requirements of what is missing, each once.
    pub fn wanted(&self) -> Vec<String> {
        let mut wanted: Vec<String> = Vec::new();
        for need in self.absent().filter(|need| need.state == State::Missing) {
            if let Some(requirement) = need.requirement.clone().filter(|it| !wanted.contains(it)) {
                wanted.push(requirement);
            }
        }
        wanted
    }

    /// The script's metadata (PEP 723) that would pin what it uses: what is here as it is here,
    /// what is missing in any version.
    pub fn metadata(&self) -> String {
        let mut dependencies: Vec<String> = Vec::new();
        let used = self.needs.iter().filter(|need| {
            matches!(need.state, State::Installed | State::Provided)
                || need.state == State::Missing && !need.optional
        });
        for requirement in used.filter_map(|need| need.requirement.clone()) {
            if !dependencies.contains(&requirement) {
                dependencies.push(requirement);
            }
        }
        dependencies.sort_by_key(|one| one.to_lowercase());
        let requires_python = Some(self.requires_python.clone());
        Metadata { dependencies, requires_python }.written()
    }
}

fn packages(count: usize) -> String {
    if count == 1 { "1 package that is".to_owned() } else { format!("{count} packages that are") }
}

/// What the operating system must have, in the words of its package managers.
fn system(need: &Need) -> Option<String> {
    let each = need.system.iter().map(|(platform, packages)| match platform.as_str() {
        "debian" => format!("apt-get install {packages}"),
        "macos" => format!("brew install {packages}"),
        "conda" => format!("conda install {packages}"),
        other => format!("{other}: {packages}"),
    });
    let each: Vec<String> = each.collect();
    (!each.is_empty()).then(|| format!("also needs what pip does not install: {}", each.join(", ")))
}
