//! `x.dist-info`: what the metadata of a distribution says about its units.
//!
//! The format is that of e-mail headers
//! (<https://packaging.python.org/en/latest/specifications/core-metadata/>);
//! `RECORD` names the files, where it is missing `top_level.txt` the modules
//! (<https://packaging.python.org/en/latest/specifications/recording-installed-packages/>).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use unicode_normalization::UnicodeNormalization as _;

use super::source::{Source, SourceFile};
use super::{LeftOut, refused, unreadable, walk};
use crate::error::Result;
use crate::name::{UnitName, Version};

#[derive(Debug)]
pub(super) struct Distribution {
    /// As the index spells it: lower case, single dashes.
    pub name: String,
    pub version: Version,
    pub summary: Option<String>,
    pub requires_python: Option<String>,
    /// `Requires-Dist`, without what only an extra needs.
    pub requirements: Vec<String>,
    /// Units of SRC that hold its files.
    pub units: BTreeSet<UnitName>,
    /// The unit that the metadata is served with; the others require it.
    pub home: UnitName,
    pub files: Vec<SourceFile>,
}

/// The distributions of SRC that have at least one unit there. Others only carry
/// scripts or requirements, and nothing of theirs could ever be imported.
pub(super) fn read_all(source: &mut Source) -> Result<Vec<Distribution>> {
    let mut owners: BTreeMap<String, &UnitName> = BTreeMap::new();
    for (name, unit) in &source.units {
        owners.extend(unit.files.iter().map(|file| (file.path.as_str().nfc().collect(), name)));
    }
    let (mut distributions, mut left_out) = (Vec::new(), Vec::new());
    for (folder, files) in &source.distributions {
        let found = read(folder, files, source, &owners)?;
        if found.is_none() {
            let reason = "it describes no unit of the source folder";
            left_out.push(LeftOut::new(folder.clone(), true, reason));
        } else if let Some(private) = files.iter().find(|file| is_private(file)) {
            let reason = "it tells where the publisher installed the distribution from";
            left_out.push(LeftOut::new(private.path.to_string(), false, reason));
        }
        distributions.extend(found);
    }
    source.left_out.extend(left_out);
    Ok(distributions)
}

fn read(
    folder: &str,
    files: &[SourceFile],
    source: &Source,
    owners: &BTreeMap<String, &UnitName>,
) -> Result<Option<Distribution>> {
    let text = |name: &str| -> Result<Option<String>> {
        let path = format!("{folder}/{name}");
        let Some(file) = files.iter().find(|file| file.path.as_str() == path) else {
            return Ok(None);
        };
        let bytes = fs_err::read(&file.disk).map_err(|error| unreadable(&path, &error))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    };
    let place = format!("{folder}/METADATA");
    let remedy = "install the distribution anew, or move its .dist-info out of the source folder";
    let Some(metadata) = text("METADATA")? else {
        return Err(refused(place, "the file is missing", remedy));
    };
    let headers = headers(&metadata);
    let first = |wanted: &str| {
        headers.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone())
    };
    let Some(name) = first("name") else {
        return Err(refused(place, "it has no Name", remedy));
    };
    let version = first("version").unwrap_or_default();
    let version = Version::new(&version).map_err(|why| refused(&place, why, remedy))?;

    let units = match (text("RECORD")?, text("top_level.txt")?) {
        (Some(record), _) => units_of_record(&record, owners),
        (None, Some(names)) => units_of_top_level(&names, source),
        (None, None) => {
            return Err(refused(
                format!("{folder}/"),
                "neither RECORD nor top_level.txt tells which modules it describes",
                remedy,
            ));
        }
    };
    let name = normalized(&name);
    let namesake = units.iter().find(|unit| normalized(unit.as_str()) == name);
    let Some(home) = namesake.or_else(|| units.first()).cloned() else {
        return Ok(None);
    };
    let requirements = headers
        .iter()
        .filter(|(key, value)| key == "requires-dist" && !needs_extra(value))
        .map(|(_, value)| value.clone())
        .collect();
    let served = files.iter().filter(|file| !is_private(file));
    Ok(Some(Distribution {
        name,
        version,
        summary: first("summary").filter(|text| !text.is_empty() && text != "UNKNOWN"),
        requires_python: first("requires-python").filter(|text| !text.is_empty()),
        requirements,
        units,
        home,
        files: served.cloned().collect(),
    }))
}

/// Where the publisher installed it from is nobody's business.
fn is_private(file: &SourceFile) -> bool {
    file.path.file_name() == "direct_url.json"
}

/// Files with a dotted name, or in a folder with one, that a `RECORD` directly below `folder`
/// lists, and those folders: they belong to what was installed, as `.dylibs` of a wheel does.
pub(super) fn dotted(folder: &Path) -> Result<BTreeSet<String>> {
    let mut dotted = BTreeSet::new();
    let failed = |error: std::io::Error| unreadable(walk::shown(folder, folder), &error);
    for entry in fs_err::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name.ends_with(".dist-info")) {
            continue;
        }
        // What is missing or cannot be read is told where the distribution is read.
        let Ok(record) = fs_err::read(entry.path().join("RECORD")) else { continue };
        for path in paths_of_record(&String::from_utf8_lossy(&record)) {
            for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
                let above = &path[..end];
                if above.rsplit('/').next().is_some_and(|name| name.starts_with('.')) {
                    dotted.insert(above.to_owned());
                }
            }
        }
    }
    Ok(dotted)
}

/// The headers before the first empty line, keys in lower case, folded lines joined.
fn headers(text: &str) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            break;
        }
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = headers.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((key, value)) = line.split_once(':') {
            headers.push((key.trim().to_lowercase(), value.trim().to_owned()));
        }
    }
    headers
}

/// The first column of each line of a CSV file; paths with a comma are quoted.
fn paths_of_record(record: &str) -> impl Iterator<Item = String> + '_ {
    let path = |line: &str| match line.strip_prefix('"') {
        Some(quoted) => {
            let end = quoted.rfind("\",").unwrap_or(quoted.len());
            quoted[..end].replace("\"\"", "\"")
        }
        None => line.split(',').next().unwrap_or(line).to_owned(),
    };
    record.lines().map(move |line| path(line.trim()).replace('\\', "/").nfc().collect())
}

fn units_of_record(record: &str, owners: &BTreeMap<String, &UnitName>) -> BTreeSet<UnitName> {
    paths_of_record(record)
        .filter_map(|path| owners.get(&path).map(|name| (*name).clone()))
        .collect()
}

fn units_of_top_level(names: &str, source: &Source) -> BTreeSet<UnitName> {
    let tops: BTreeSet<String> = names.lines().map(|line| line.trim().nfc().collect()).collect();
    source.units.keys().filter(|unit| tops.contains(unit.top())).cloned().collect()
}

/// <https://packaging.python.org/en/latest/specifications/name-normalization/>
pub(super) fn normalized(name: &str) -> String {
    let parts = name.split(['-', '_', '.']).filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("-").to_lowercase()
}

/// The name in front of a PEP 508 requirement.
pub(super) fn name_of(requirement: &str) -> String {
    let end = requirement
        .find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
        .unwrap_or(requirement.len());
    normalized(&requirement[..end])
}

/// True if the marker asks for `extra`, outside of its quoted texts.
fn needs_extra(requirement: &str) -> bool {
    let Some((_, marker)) = requirement.split_once(';') else { return false };
    let mut quote = None;
    let mut bare = String::new();
    for c in marker.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                bare.push(' ');
            }
            None => bare.push(c),
        }
    }
    bare.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).any(|word| word == "extra")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_end_at_the_first_empty_line() {
        let text = "Name: x\nSummary: one\n  two\nRequires-Dist: a\n\nVersion: 9\n";
        let headers = headers(text);
        assert_eq!(headers.len(), 3);
        assert_eq!(headers[1], ("summary".to_owned(), "one two".to_owned()));
    }

    #[test]
    fn an_extra_is_seen_outside_of_quotes_only() {
        assert!(needs_extra("a>=1 ; python_version < '3' and extra == \"x\""));
        assert!(needs_extra("a; 'x'==extra"));
        assert!(!needs_extra("a; platform_system == 'extra'"));
        assert!(!needs_extra("extra>=1"));
    }

    #[test]
    fn names_are_normalized() {
        assert_eq!(name_of("Python_Dateutil[x]>=2.8; y"), "python-dateutil");
        assert_eq!(name_of("zope.interface"), "zope-interface");
        assert_eq!(normalized("a--_b"), "a-b");
    }
}
