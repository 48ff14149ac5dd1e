//! What a distribution says of itself in its `x.dist-info`.
//!
//! | file       | form                                     | read by      |
//! |------------|------------------------------------------|--------------|
//! | `METADATA` | the headers of an e-mail                 | [`Metadata`] |
//! | `RECORD`   | CSV, a line for each file: path first    | [`recorded`] |
//!
//! <https://packaging.python.org/en/latest/specifications/core-metadata/>,
//! <https://packaging.python.org/en/latest/specifications/recording-installed-packages/>

use crate::name::{BadName, DistributionName, Version, bad};

/// The headers of `METADATA` that count here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// As its author writes it.
    pub name: DistributionName,
    /// As its author writes it.
    pub version: Version,
    /// One line for people.
    pub summary: Option<String>,
    /// A version specifier for the interpreter (PEP 440).
    pub requires_python: Option<String>,
    /// `Requires-Dist`, in the order of the file.
    pub requirements: Vec<Requirement>,
}

impl Metadata {
    /// Reads the headers; what they describe beyond the fields here is passed over.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let headers = headers(text);
        let all = |wanted: &'static str| {
            headers.iter().filter(move |(key, _)| key == wanted).map(|(_, value)| value.as_str())
        };
        let first = |wanted| all(wanted).next();
        let Some(name) = first("name") else { return bad("it has no Name") };
        Ok(Self {
            name: DistributionName::new(name)?,
            version: Version::new(first("version").unwrap_or_default())?,
            summary: first("summary")
                .filter(|text| !text.is_empty() && *text != "UNKNOWN")
                .map(str::to_owned),
            requires_python: first("requires-python")
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
            requirements: all("requires-dist").map(Requirement::new).collect::<Result<_, _>>()?,
        })
    }
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

/// What must be installed, too (PEP 508).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    text: String,
    name: DistributionName,
}

impl Requirement {
    /// Takes what begins with the name of a distribution; the rest is not looked at.
    pub fn new(text: &str) -> Result<Self, BadName> {
        let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)));
        match DistributionName::new(&text[..end.unwrap_or(text.len())]) {
            Ok(name) => Ok(Self { text: text.to_owned(), name }),
            Err(_) => bad(format!("Requires-Dist {text:?} begins with no distribution's name")),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The distribution that must be installed.
    pub fn name(&self) -> &DistributionName {
        &self.name
    }

    /// True if the marker asks for `extra`, outside of its quoted texts.
    pub fn needs_extra(&self) -> bool {
        let Some((_, marker)) = self.text.split_once(';') else { return false };
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
}

/// The paths of a `RECORD`, with slashes, as they are spelled there: some lead out of the folder
/// that the distribution is in. Those with a comma are quoted.
pub fn recorded(record: &str) -> impl Iterator<Item = String> + '_ {
    let path = |line: &str| match line.strip_prefix('"') {
        Some(quoted) => {
            let end = quoted.rfind("\",").unwrap_or(quoted.len());
            quoted[..end].replace("\"\"", "\"")
        }
        None => line.split(',').next().unwrap_or(line).to_owned(),
    };
    record.lines().map(move |line| path(line.trim()).replace('\\', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_end_at_the_first_empty_line() {
        let text = "Name: x_Y\nSummary: one\n  two\nVersion: 1\nRequires-Dist: a\n\nVersion: 9\n";
        let metadata = Metadata::parse(text).unwrap();
        assert_eq!(metadata.name.as_str(), "x-y");
        assert_eq!(metadata.version.as_str(), "1");
        assert_eq!(metadata.summary.as_deref(), Some("one two"));
        assert_eq!(metadata.requirements, [Requirement::new("a").unwrap()]);
    }

    #[test]
    fn what_has_no_name_is_refused() {
        let why = |text: &str| Metadata::parse(text).unwrap_err().to_string();
        assert_eq!(why("Version: 1\n"), "it has no Name");
        assert_eq!(why("Name: .\nVersion: 1\n"), "\".\" is not the name of a distribution");
        assert_eq!(
            why("Name: x\nVersion: 1\nRequires-Dist: a\nRequires-Dist: >=2\n"),
            "Requires-Dist \">=2\" begins with no distribution's name"
        );
    }

    #[test]
    fn an_extra_is_seen_outside_of_quotes_only() {
        let needs_extra = |text| Requirement::new(text).unwrap().needs_extra();
        assert!(needs_extra("a>=1 ; python_version < '3' and extra == \"x\""));
        assert!(needs_extra("a; 'x'==extra"));
        assert!(!needs_extra("a; platform_system == 'extra'"));
        assert!(!needs_extra("extra>=1"));
    }

    #[test]
    fn a_requirement_begins_with_a_name() {
        let name = |text| Requirement::new(text).unwrap().name.to_string();
        assert_eq!(name("Python_Dateutil[x]>=2.8; y"), "python-dateutil");
        assert_eq!(name("zope.interface"), "zope-interface");
        assert_eq!(name("a--_b"), "a-b");
    }

    #[test]
    fn recorded_paths_may_be_quoted() {
        let record = "a.py,sha256=x,1\r\n\"b,\"\"c\"\".py\",,\nd\\e.py,,\n../../bin/f,,";
        let paths: Vec<String> = recorded(record).collect();
        assert_eq!(paths, ["a.py", "b,\"c\".py", "d/e.py", "../../bin/f"]);
    }
}
