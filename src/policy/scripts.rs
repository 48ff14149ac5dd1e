//! What scripts may import: the table `[scripts]`, checked and judged.
//!
//! ```toml
//! [scripts]
//! allow = ["bifrost.*", "pandas"]     # these, with all below them, and nothing else
//! deny = ["shared.*"]                 # whatever else is said
//! ```

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::reading;
use crate::error::{Error, Kind, Result};
use crate::name::is_identifier;

const KEYS: [&str; 2] = ["allow", "deny"];

/// The table, and the file that it stands in.
#[derive(Debug)]
pub struct Scripts {
    file: PathBuf,
    allow: Option<Vec<Pattern>>,
    deny: Vec<Pattern>,
}

/// What refuses an import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Where the rule stands: `scripts.deny[0]`.
    pub rule: String,
    /// The same with its file, in words.
    pub why: String,
    /// No list of what is forbidden names it: the list of what is allowed does not.
    pub unlisted: bool,
}

/// A name, which stands for itself and all below it.
#[derive(Debug)]
struct Pattern {
    name: String,
    text: String,
}

impl Pattern {
    fn new(text: &str) -> Option<Self> {
        let name = text.strip_suffix(".*").unwrap_or(text);
        let is_name = text == "*" || name.split('.').all(is_identifier);
        is_name.then(|| Self { name: name.to_owned(), text: text.to_owned() })
    }

    fn holds(&self, full: &str) -> bool {
        let rest = full.strip_prefix(&self.name);
        self.name == "*" || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

impl Scripts {
    /// The table of a file; `None` if it has none. A wrong key or value is an error, for it was
    /// meant to forbid something.
    pub fn read(file: &Path) -> Result<Option<Self>> {
        let document = reading::document_of(file)?;
        let wrong = |why: String| reading::wrong(file, why);
        let table = match document.get("scripts") {
            None => return Ok(None),
            Some(Value::Object(table)) => table,
            Some(_) => return Err(wrong("scripts must be a table".to_owned())),
        };
        reading::known("scripts", table, &KEYS).map_err(wrong)?;
        let (allow, deny) = (list(table, "allow").map_err(wrong)?, list(table, "deny"));
        let deny = deny.map_err(wrong)?.unwrap_or_default();
        Ok(Some(Self { file: file.to_owned(), allow, deny }))
    }

    /// Why `full`, all that follows `import`, may not be imported by a script.
    pub fn judge(&self, full: &str) -> Option<Refusal> {
        let file = self.file.display();
        if let Some(at) = self.deny.iter().position(|pattern| pattern.holds(full)) {
            let rule = format!("scripts.deny[{at}]");
            let why = format!("{rule} of {file} is {:?}", self.deny[at].text);
            return Some(Refusal { rule, why, unlisted: false });
        }
        let allowed = |list: &Vec<Pattern>| list.iter().any(|pattern| pattern.holds(full));
        if self.allow.as_ref().is_none_or(allowed) {
            return None;
        }
        let rule = "scripts.allow".to_owned();
        let why = format!("{rule} of {file} does not list it");
        Some(Refusal { rule, why, unlisted: true })
    }

    /// The error of an import that is refused.
    pub fn error(&self, full: &str, importer: &str, refusal: &Refusal) -> Error {
        let what = format!("`import {full}` in {importer} is refused: {}", refusal.why);
        let file = self.file.display();
        Error::new(Kind::Policy, what)
            .name(full)
            .path(&refusal.rule)
            .hint(format!("ask whoever keeps {file} to change that, or do without it"))
    }
}

fn list(table: &Map<String, Value>, key: &str) -> Result<Option<Vec<Pattern>>, String> {
    let Some(value) = table.get(key) else { return Ok(None) };
    let items = value.as_array().ok_or(format!("scripts.{key} must be a list"))?;
    let pattern = |(at, item): (usize, &Value)| {
        let why = || format!("scripts.{key}[{at}] must be a name such as \"acme\" or \"acme.*\"");
        item.as_str().and_then(Pattern::new).ok_or_else(why)
    };
    items.iter().enumerate().map(pattern).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Scripts>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("modules.toml");
        fs_err::write(&file, text).unwrap();
        Scripts::read(&file)
    }

    #[test]
    fn a_name_stands_for_itself_and_all_below_it() {
        let scripts = read(
            "[policy]\n[scripts]\nallow = ['bifrost.*', 'a.b', 'shared']\ndeny = ['shared.*', 'bifrost.inner']",
        );
        let scripts = scripts.unwrap().unwrap();
        for (name, rule) in [
            ("bifrost", None),
            ("bifrost.api.deep", None),
            ("bifrost.inner", Some("scripts.deny[1]")),
            ("bifrost.inner.most", Some("scripts.deny[1]")),
            ("bifrosty", Some("scripts.allow")),
            ("a", Some("scripts.allow")),
            ("a.b.c", None),
            ("shared", Some("scripts.deny[0]")),
        ] {
            assert_eq!(scripts.judge(name).map(|it| it.rule).as_deref(), rule, "{name}");
        }
        let none = read("[scripts]\ndeny = ['*']\n").unwrap().unwrap();
        assert!(none.judge("anything").is_some_and(|it| !it.unlisted));
        assert!(read("[policy]\n").unwrap().is_none());
        let open = read("[scripts]\ndeny = []").unwrap().unwrap();
        assert_eq!(open.judge("x"), None);
    }

    #[test]
    fn what_cannot_be_meant_is_an_error() {
        for (text, why) in [
            ("scripts = 1", "scripts must be a table"),
            ("[scripts]\nalow = []", "scripts has no key alow: did you mean allow?"),
            ("[scripts]\nallow = 'x'", "scripts.allow must be a list"),
            ("[scripts]\ndeny = ['a', '.b']", "scripts.deny[1] must be a name such as"),
            ("[scripts]\ndeny = ['a*']", "scripts.deny[0] must be a name such as"),
        ] {
            let error = read(text).err().unwrap();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
