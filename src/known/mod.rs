//! Import name to distribution: `sklearn` is the name, `scikit-learn` what is installed for it.
//!
//! ```text
//! import name ─ the user's [names] ─▶ Known, of a table; whoever asks reads it
//!             └ reviewed.toml ─▶ Known, of the table         reviewed by people: prefixes, hints, alternatives
//!             └ generated.tsv ─▶ Known, of the table         the owners of 15,000 distributions' top-level names
//!             └ misspelling of a popular name ─▶ a warning   it is never taken for the name that was meant
//!             └ its own spelling ─▶ Known, a guess           for people to look at, for nobody to install
//! ```
//!
//! The tables are part of the library's file and are read when the first name is asked for; an import of
//! magic_module never does. `generated.md` says where the second comes from.

mod generated;
mod misspelt;
mod reviewed;
mod user;

use std::collections::BTreeMap;

pub use user::names;

/// How sure an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Nobody but the name's own spelling says so.
    Guess,
    /// A table of this library, or of the user, says so.
    Table,
    /// The files of the distribution say so.
    Exact,
}

impl Confidence {
    /// As `--json` shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guess => "guess",
            Self::Table => "table",
            Self::Exact => "exact",
        }
    }
}

/// What an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The index of a mount.
    Mount,
    /// The metadata of what is installed.
    Installed,
    /// The script's own metadata (PEP 723).
    Script,
    /// The user's table of names.
    User,
    /// The table that people reviewed.
    Reviewed,
    /// The table of the most downloaded distributions.
    Generated,
    /// The name's own spelling.
    Spelling,
}

impl Source {
    /// As `--json` shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mount => "mount",
            Self::Installed => "installed",
            Self::Script => "script",
            Self::User => "user",
            Self::Reviewed => "reviewed",
            Self::Generated => "generated",
            Self::Spelling => "spelling",
        }
    }
}

/// What is known about an import name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The part of the name that was looked up: `google.cloud.storage` of `google.cloud.storage.blob`.
    pub import: String,
    /// What has to be installed for it; `None` where no distribution has it.
    pub distribution: Option<String>,
    /// What pip is told: the distribution with extras and bounds, where it needs any.
    pub requirement: Option<String>,
    /// How sure that is.
    pub confidence: Confidence,
    /// What it comes from.
    pub source: Source,
    /// Other distributions with the same name of import.
    pub alternatives: Vec<String>,
    /// Extras that some uses need, with what they are for.
    pub extras: BTreeMap<String, String>,
    /// Options of an index for some uses, such as builds for a graphics card: use, then options.
    pub indexes: BTreeMap<String, String>,
    /// What the operating system must have, by platform: `debian`, `macos`, `windows`, `conda`.
    pub system: BTreeMap<String, String>,
    /// What else somebody should know.
    pub note: Option<String>,
    /// The popular name that this one may be a misspelling of.
    pub meant: Option<String>,
}

impl Known {
    /// An answer without any hint.
    pub fn new(
        import: &str,
        distribution: Option<String>,
        confidence: Confidence,
        source: Source,
    ) -> Self {
        Self {
            import: import.to_owned(),
            requirement: distribution.clone(),
            distribution,
            confidence,
            source,
            alternatives: Vec::new(),
            extras: BTreeMap::new(),
            indexes: BTreeMap::new(),
            system: BTreeMap::new(),
            note: None,
            meant: None,
        }
    }
}

/// Which distribution has a name that follows `import`; dotted names are told apart as far as
/// distributions share their first part.
///
/// `None` if it is not a name that can be imported.
pub fn distribution(import: &str) -> Option<Known> {
    let top = import.split('.').next().unwrap_or_default();
    if top.is_empty() || !import.split('.').all(is_identifier) {
        return None;
    }
    let table = generated::table();
    let (reviewed, generated) = (reviewed::find(import), table.find(import));
    // Who is known for the longer part of the name knows it better.
    let longer = |one: &Known, other: &Known| one.import.len() > other.import.len();
    match (reviewed, generated) {
        (Some(reviewed), Some(generated)) if longer(&generated, &reviewed) => {
            return Some(generated);
        }
        (Some(known), _) | (None, Some(known)) => return Some(known),
        (None, None) => {}
    }
    let spelt = top.replace('_', "-");
    // A name that begins so is somebody's own, and no distribution's name does.
    if spelt.starts_with('-') || spelt.ends_with('-') || !spelt.is_ascii() {
        return Some(Known::new(top, None, Confidence::Guess, Source::Spelling));
    }
    if let Some(meant) = misspelt::meant(top).filter(|_| !table.is_distribution(&spelt)) {
        let mut known = Known::new(top, None, Confidence::Guess, Source::Spelling);
        known.meant = Some(meant);
        return Some(known);
    }
    Some(Known::new(top, Some(spelt), Confidence::Guess, Source::Spelling))
}

/// The spelling of a distribution's name that all spellings of it share.
pub fn normalized(name: &str) -> String {
    let mut done = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '-' | '_' | '.' if done.ends_with('-') => {}
            '-' | '_' | '.' => done.push('-'),
            letter => done.extend(letter.to_lowercase()),
        }
    }
    done
}

fn is_identifier(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(|first| first == '_' || unicode_ident::is_xid_start(first))
        && letters.all(unicode_ident::is_xid_continue)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(import: &str) -> String {
        distribution(import).unwrap().distribution.unwrap()
    }

    #[test]
    fn tables_answer_before_the_spelling_does() {
        assert_eq!(named("cv2"), "opencv-python");
        assert_eq!(named("requests"), "requests");
        let guess = distribution("our_own_module").unwrap();
        assert_eq!(guess.confidence, Confidence::Guess);
        assert_eq!(guess.distribution.as_deref(), Some("our-own-module"));
    }

    #[test]
    fn names_that_many_share_are_told_apart_by_what_follows() {
        assert_eq!(named("google.cloud.storage"), "google-cloud-storage");
        assert_eq!(named("google.cloud.storage.blob"), "google-cloud-storage");
        assert_eq!(named("opentelemetry.sdk.trace"), "opentelemetry-sdk");
        assert_eq!(named("airflow.providers.amazon.aws"), "apache-airflow-providers-amazon");
        assert_eq!(distribution("azure.identity.aio").unwrap().import, "azure.identity");
    }

    #[test]
    fn a_misspelling_names_what_was_meant_and_nothing_to_install() {
        for (wrong, right) in [("requets", "requests"), ("nunpy", "numpy"), ("pandsa", "pandas")] {
            let known = distribution(wrong).unwrap();
            assert_eq!((known.distribution, known.meant.as_deref()), (None, Some(right)));
        }
    }

    #[test]
    fn what_cannot_be_imported_is_no_name() {
        for wrong in ["", ".", "a..b", "a-b", "1a"] {
            assert_eq!(distribution(wrong), None, "{wrong}");
        }
    }
}
