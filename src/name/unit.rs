//! What is imported: units, and the namespaces that they live in.

use serde::{Deserialize, Serialize};
use unicode_normalization::is_nfkc;

use super::{BadName, DistributionName, RESERVED_ON_WINDOWS, bad, text_type};

/// Names of the public API, which no unit of `magic_module` may take.
pub const API_NAMES: &[&str] = &[
    "aprefetch",
    "arun",
    "available",
    "cache_dir",
    "check_script",
    "data_path",
    "errors",
    "events",
    "export_environment",
    "info",
    "install",
    "integrations",
    "load_links",
    "mount",
    "mount_lock",
    "on_event",
    "on_request",
    "prefetch",
    "progress",
    "prune",
    "rollback",
    "run",
    "upgrade",
    "verify",
    "ApprovedModule",
    "Difference",
    "Installed",
    "Link",
    "Mount",
    "ModuleInfo",
    "Registry",
    "Report",
    "Request",
    "Run",
    "ScriptReport",
    "Space",
    "Upgrade",
];

/// The keywords of Python 3.10 to 3.14 (`keyword.kwlist`).
const KEYWORDS: &[&str] = &[
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];

/// True for one Python identifier that is not a keyword, in the NFKC form in which
/// CPython looks it up (<https://docs.python.org/3/reference/lexical_analysis.html#identifiers>).
pub fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return false };
    (first == '_' || unicode_ident::is_xid_start(first))
        && chars.all(unicode_ident::is_xid_continue)
        && !KEYWORDS.contains(&text)
        && is_nfkc(text)
}

/// `a.b.c`, `a.b`, `a`.
pub fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.rsplit_once('.').map(|(above, _)| above))
}

/// How the name of what is left of a distribution ends.
const REST: &str = "__rest";

/// The dotted name of a unit below its namespace: `alpha`, `tools.csv`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitName(String);
text_type!(UnitName);

impl UnitName {
    /// Refuses what cannot be imported, or cannot be a file on Windows.
    pub fn new(text: &str) -> Result<Self, BadName> {
        if text.len() > 200 {
            return bad(format!("a name of {} bytes, but at most 200 are allowed", text.len()));
        }
        for part in text.split('.') {
            if KEYWORDS.contains(&part) {
                return bad(format!("{text:?} cannot be imported: {part:?} is a Python keyword"));
            }
            if !is_identifier(part) {
                return bad(format!(
                    "{text:?} cannot be imported: {part:?} is not a Python identifier"
                ));
            }
            if RESERVED_ON_WINDOWS.contains(&part.to_lowercase().as_str()) {
                return bad(format!("{text:?} cannot be a file: {part:?} is reserved on Windows"));
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The name under which a distribution is a unit: an identifier, and another one for each
    /// distribution, because their names have neither underscores nor capitals.
    pub fn of_distribution(name: &DistributionName) -> Result<Self, BadName> {
        let plain = name.as_str().replace('-', "_");
        let numbered = plain.starts_with(|c: char| c.is_ascii_digit());
        let plain = if numbered { format!("_{plain}") } else { plain };
        Self::new(&plain).or_else(|_| Self::new(&format!("{plain}_")))
    }

    /// The unit that holds the rest of a distribution, where that is a unit of its own: no
    /// distribution's own name has two underscores. `None`: the name would be too long.
    pub fn rest(&self) -> Option<Self> {
        Self::new(&format!("{}{REST}", self.0)).ok()
    }

    /// True for such a unit.
    pub fn is_rest(&self) -> bool {
        self.0.ends_with(REST)
    }

    /// The part before the first dot.
    pub fn top(&self) -> &str {
        self.0.split('.').next().unwrap_or(&self.0)
    }

    /// The name as a path without a suffix: `tools/csv`.
    pub fn to_path(&self) -> String {
        self.0.replace('.', "/")
    }
}

/// The importable prefix that a mount serves; empty for top-level names.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(String);
text_type!(Namespace);

impl Namespace {
    /// Takes what a unit may be called, or nothing.
    pub fn new(text: &str) -> Result<Self, BadName> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        UnitName::new(text).map(|name| Self(name.0))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As sentences name it.
    pub fn described(&self) -> &str {
        if self.0.is_empty() { "the top-level names" } else { &self.0 }
    }

    /// `a.b` of namespace `acme` is imported as `acme.a.b`.
    pub fn join(&self, unit: &str) -> String {
        if self.0.is_empty() { unit.to_owned() } else { format!("{}.{unit}", self.0) }
    }

    /// The part of a full module name that lies below this namespace.
    pub fn strip<'a>(&self, full: &'a str) -> Option<&'a str> {
        if self.0.is_empty() {
            return Some(full);
        }
        full.strip_prefix(&self.0)?.strip_prefix('.')
    }

    /// Why `unit` cannot live in this namespace, if it cannot.
    pub fn refuses(&self, unit: &UnitName) -> Option<String> {
        if self.0 != "magic_module" {
            return None;
        }
        let top = unit.top();
        if top.starts_with('_') {
            return Some(format!(
                "{unit:?} starts with an underscore, which magic_module keeps for itself"
            ));
        }
        API_NAMES.contains(&top).then(|| format!("{unit:?} is a name of magic_module's own API"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_names_are_dotted_identifiers() {
        for good in ["alpha", "a.b", "_x", "größe", "match", "type"] {
            assert!(UnitName::new(good).is_ok(), "{good}");
        }
        for wrong in
            ["", "a.", ".a", "a b", "1a", "class", "a.def", "a-b", "ﬁ", "a/b", "con", "x.Aux"]
        {
            assert!(UnitName::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_distribution_has_a_unit_name_of_its_own() {
        let unit = |name| UnitName::of_distribution(&DistributionName::new(name).unwrap()).unwrap();
        for (name, expected) in [
            ("scikit-learn", "scikit_learn"),
            ("Ruamel.YAML", "ruamel_yaml"),
            ("3to2", "_3to2"),
            ("async", "async_"),
            ("con", "con_"),
        ] {
            assert_eq!(unit(name).as_str(), expected);
        }
    }

    #[test]
    fn magic_module_keeps_its_own_names() {
        let own = Namespace::new("magic_module").unwrap();
        assert!(own.refuses(&UnitName::new("mount").unwrap()).is_some());
        assert!(own.refuses(&UnitName::new("_py.x").unwrap()).is_some());
        assert!(own.refuses(&UnitName::new("alpha").unwrap()).is_none());
        assert!(Namespace::default().refuses(&UnitName::new("mount").unwrap()).is_none());
    }
}
