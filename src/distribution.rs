//! What a distribution says of itself in its `x.dist-info`.
//!
//! | file       | form                                     | read by      |
//! |------------|------------------------------------------|--------------|
//! | `METADATA` | the headers of an e-mail                 | [`Metadata`] |
//! | `RECORD`   | CSV, a line for each file: path first    | [`rows`]     |
//!
//! <https://packaging.python.org/en/latest/specifications/core-metadata/>,
//! <https://packaging.python.org/en/latest/specifications/recording-installed-packages/>

use crate::name::{BadName, Digest, DistributionName, Version, bad};

/// The headers of `METADATA` that count here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// As an index spells it.
    pub name: DistributionName,
    /// The name as its author writes it.
    pub title: String,
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
        Self::read(text, |lines| lines.map(Requirement::new).collect())
    }

    /// The same of what others published long ago: a requirement that cannot be read counts for
    /// nothing.
    pub fn parse_published(text: &str) -> Result<Self, BadName> {
        Self::read(text, |lines| Ok(lines.filter_map(|line| Requirement::new(line).ok()).collect()))
    }

    fn read(
        text: &str,
        requirements: impl FnOnce(&mut dyn Iterator<Item = &str>) -> Result<Vec<Requirement>, BadName>,
    ) -> Result<Self, BadName> {
        let headers = headers(text);
        let all = |wanted: &'static str| {
            headers.iter().filter(move |(key, _)| key == wanted).map(|(_, value)| value.as_str())
        };
        let first = |wanted| all(wanted).next();
        let Some(name) = first("name") else { return bad("it has no Name") };
        Ok(Self {
            name: DistributionName::new(name)?,
            title: name.to_owned(),
            version: Version::new(first("version").unwrap_or_default())?,
            summary: first("summary")
                .filter(|text| !text.is_empty() && *text != "UNKNOWN")
                .map(str::to_owned),
            requires_python: first("requires-python")
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
            requirements: requirements(&mut all("requires-dist"))?,
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

/// One line of a `RECORD`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// With slashes, as it is spelled there: some lead out of the folder that the distribution
    /// is in.
    pub path: String,
    /// Where it is written as the format says.
    pub sha256: Option<Digest>,
    /// In bytes.
    pub size: Option<u64>,
}

/// The lines of a `RECORD`. Fields with a comma are quoted.
pub fn rows(record: &str) -> impl Iterator<Item = Row> + '_ {
    record.lines().map(|line| {
        let mut fields = fields(line.trim()).into_iter();
        let path = fields.next().unwrap_or_default().replace('\\', "/");
        let sha256 = fields.next().and_then(|text| digest(text.strip_prefix("sha256=")?));
        let size = fields.next().and_then(|text| text.parse().ok());
        Row { path, sha256, size }
    })
}

/// The paths of a `RECORD`.
pub fn recorded(record: &str) -> impl Iterator<Item = String> + '_ {
    rows(record).map(|row| row.path)
}

/// The fields of one line of CSV; in quotes, a quote is written twice.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let (mut quoted, mut rest) = (false, line.chars().peekable());
    while let Some(c) = rest.next() {
        match c {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
            }
            '"' => {
                quoted = !quoted;
                continue;
            }
            ',' if !quoted => {
                fields.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(field) = fields.last_mut() {
            field.push(c);
        }
    }
    fields
}

/// A sha256 in base64 for URLs, without padding.
fn digest(text: &str) -> Option<Digest> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    };
    if text.len() != 43 {
        return None;
    }
    let (mut bytes, mut held, mut bits) = (Vec::with_capacity(32), 0_u32, 0);
    for c in text.bytes() {
        held = held << 6 | u32::from(value(c)?);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    Some(Digest::from_bytes(bytes.try_into().ok().filter(|_| held == 0)?))
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

    #[test]
    fn a_row_has_a_digest_and_a_size_where_it_says_so() {
        let empty = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        let record = format!(
            "a.py,{empty},0\nb.py,,\nc.py,{empty}=,7\nd.py,sha256=,x\ne.py,md5=00,1\n\"f,g\",{empty},3"
        );
        let rows: Vec<Row> = rows(&record).collect();
        let is_empty = |row: &Row| row.sha256 == Some(Digest::of(b""));
        assert_eq!(
            rows.iter().map(is_empty).collect::<Vec<_>>(),
            [true, false, false, false, false, true]
        );
        let sizes: Vec<_> = rows.iter().map(|row| row.size).collect();
        assert_eq!(sizes, [Some(0), None, Some(7), None, Some(1), Some(3)]);
        assert_eq!(rows.last().unwrap().path, "f,g");
    }
}
