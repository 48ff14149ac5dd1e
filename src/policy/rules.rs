//! What an administrator allows: the table `[policy]`, checked.
//!
//! ```text
//! deny ─ sources ─ size ─▶ refused
//!     allow ─────────────▶ allowed
//!         default ───────▶ allowed, asked about, or refused
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::name::{DistributionName, SafeUrl, Specifiers, Version};

/// The table, and the file that it stands in.
#[derive(Debug)]
pub struct Rules {
    /// As `MAGIC_MODULE_REGISTRY` names it.
    pub file: PathBuf,
    /// What becomes of what no list names.
    pub default: Otherwise,
    /// What may be fetched.
    pub allow: Vec<Rule>,
    /// What may not, whatever else is said.
    pub deny: Vec<Rule>,
    /// Where everything has to come from; `None` is anywhere.
    pub sources: Option<Vec<Place>>,
    /// Of one file, in bytes.
    pub max_size: Option<u64>,
    /// Of all that is fetched at once, in bytes.
    pub max_total: Option<u64>,
    /// No request is made.
    pub offline: bool,
    /// What it means if the audit log cannot be written.
    pub audit: Audit,
}

/// What becomes of what no list names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Otherwise {
    /// It is fetched.
    Allow,
    /// Somebody is asked.
    Ask,
    /// It is refused.
    Deny,
}

/// What it means if the audit log cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Audit {
    /// Nothing.
    #[default]
    Best,
    /// Nothing is fetched.
    Required,
}

/// One entry of a list.
#[derive(Debug)]
pub struct Rule {
    /// A distribution, or a unit as it follows `import`.
    pub name: DistributionName,
    /// Which versions of it.
    pub versions: Specifiers,
    /// Where it comes from; `None` is anywhere.
    pub source: Option<Place>,
    /// Name and versions, as a resolver is told: `numpy>=1.26,<3`.
    pub requirement: String,
    /// Where the rule stands: `policy.deny[2]`.
    pub at: String,
    /// What stands there.
    pub text: String,
}

/// Where bytes come from: a host (with its port, if it is not the usual one), or the beginning of a URL.
#[derive(Debug)]
pub enum Place {
    /// `files.example.com`, `127.0.0.1:8080`.
    Host(String),
    /// `https://files.example.com/approved/`.
    Below(SafeUrl),
}

/// What is to be fetched.
#[derive(Debug)]
pub struct Asked<'a> {
    /// A distribution, or a unit as it follows `import`.
    pub name: &'a str,
    /// As its author wrote it.
    pub version: &'a Version,
    /// Every file, with its size.
    pub files: &'a [(SafeUrl, u64)],
    /// What it comes with; `None` for what somebody wants by itself.
    pub required_by: Option<&'a str>,
}

/// What the rules say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It may be fetched; by this rule.
    Allowed(String),
    /// Somebody has to be asked; by this rule.
    Ask(String),
}

impl Place {
    /// A host, or an absolute URL.
    pub fn new(text: &str) -> Option<Self> {
        if text.contains("://") {
            return SafeUrl::new(text).ok().map(Self::Below);
        }
        let is_host = !text.is_empty() && !text.contains(['/', '@', '?', '#', ' ', '*']);
        is_host.then(|| Self::Host(text.to_ascii_lowercase()))
    }

    /// Whether a file lies there.
    pub fn holds(&self, url: &SafeUrl) -> bool {
        let real = url.real();
        match self {
            Self::Host(host) => {
                let own = real.host_str().unwrap_or_default().to_ascii_lowercase();
                match real.port() {
                    Some(port) => *host == format!("{own}:{port}"),
                    None => *host == own,
                }
            }
            Self::Below(place) => {
                let folder = place.real().path().trim_end_matches('/');
                let inside = real.path().strip_prefix(folder);
                // Two files have no origin in common, whatever their folders.
                let is_same = place.is_same_origin(url)
                    || (place.scheme() == "file" && url.scheme() == "file");
                is_same && inside.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => f.write_str(host),
            Self::Below(url) => url.fmt(f),
        }
    }
}

impl Rule {
    /// `None`: the version cannot be compared with those that the rule names.
    fn is_about(&self, asked: &Asked<'_>) -> Option<bool> {
        if !self.name.is(asked.name) {
            return Some(false);
        }
        let is_there = |source: &Place| asked.files.iter().all(|(url, _)| source.holds(url));
        if self.source.as_ref().is_some_and(|source| !is_there(source)) {
            return Some(false);
        }
        self.versions.hold(asked.version)
    }
}

impl Rules {
    /// Those of a file that has none: everything may be fetched.
    pub fn open(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            default: Otherwise::Allow,
            allow: Vec::new(),
            deny: Vec::new(),
            sources: None,
            max_size: None,
            max_total: None,
            offline: false,
            audit: Audit::default(),
        }
    }

    /// What the rules say of a distribution of which nobody knows yet which version it will be: what
    /// a resolver is to be told. Whether that may be fetched, [`Self::judge`] tells.
    pub fn judge_name(&self, name: &str) -> Result<(Judgement, String)> {
        let is_whole = |rule: &&Rule| rule.source.is_none() && rule.versions.is_empty();
        let mut denied = self.deny.iter().filter(|it| it.name.is(name));
        if let Some(rule) = denied.find(is_whole) {
            let why = format!("{} of {} is {}", rule.at, self.place(), rule.text);
            return Err(self.refusal(name, "", &rule.at, &why));
        }
        let mut allowed = self.allow.iter().filter(|it| it.name.is(name));
        if let Some(rule) = allowed.next() {
            let requirement = if allowed.next().is_none() { &rule.requirement } else { name };
            return Ok((Judgement::Allowed(rule.at.clone()), requirement.to_owned()));
        }
        if self.default == Otherwise::Deny {
            let why = format!("policy.allow of {} does not list it", self.place());
            return Err(self.refusal(name, "", "policy.default", &why));
        }
        Ok((Judgement::Ask("MAGIC_MODULE_AUTO_INSTALL".to_owned()), name.to_owned()))
    }

    /// What the rules say; a refusal is the error.
    pub fn judge(&self, asked: &Asked<'_>) -> Result<Judgement> {
        // Whether a version is forbidden that cannot be compared, nobody knows.
        if let Some(rule) = self.deny.iter().find(|it| it.is_about(asked) != Some(false)) {
            let why = format!("{} of {} is {}", rule.at, self.place(), rule.text);
            return Err(self.refused(asked, &rule.at, &why));
        }
        for (url, size) in asked.files {
            self.may_come_from(url).map_err(|why| self.refused(asked, "policy.sources", &why))?;
            if let Some(limit) = self.max_size.filter(|limit| size > limit) {
                let why = format!(
                    "{} has {size} bytes, but policy.max_size of {} is {limit}",
                    url.file_name(),
                    self.place()
                );
                return Err(self.refused(asked, "policy.max_size", &why));
            }
        }
        if let Some(rule) = self.allow.iter().find(|it| it.is_about(asked) == Some(true)) {
            return Ok(Judgement::Allowed(rule.at.clone()));
        }
        if let Some(by) = asked.required_by {
            return Ok(Judgement::Allowed(format!("required by {by}")));
        }
        let rule = "policy.default".to_owned();
        match self.default {
            Otherwise::Allow => Ok(Judgement::Allowed(rule)),
            Otherwise::Ask => Ok(Judgement::Ask(rule)),
            Otherwise::Deny => {
                let named = self.allow.iter().any(|it| it.name.is(asked.name));
                let place = self.place();
                let why = if named {
                    format!("policy.allow of {place} only has other versions or sources of it")
                } else {
                    format!("policy.allow of {place} does not list it")
                };
                Err(self.refused(asked, &rule, &why))
            }
        }
    }

    /// Whether bytes may come from there; if not, why.
    pub fn may_come_from(&self, url: &SafeUrl) -> std::result::Result<(), String> {
        match &self.sources {
            Some(sources) if !sources.iter().any(|place| place.holds(url)) => {
                Err(format!("policy.sources of {} does not list {url}", self.place()))
            }
            _ => Ok(()),
        }
    }

    /// The same as an error, for what is asked of a server before it is known what will come.
    pub fn may_ask(&self, url: &SafeUrl) -> Result<()> {
        self.may_come_from(url).map_err(|why| {
            Error::new(Kind::Policy, format!("{url} may not be asked"))
                .caused_by(&std::io::Error::other(why))
                .url(url)
                .path("policy.sources")
                .hint(format!("ask whoever keeps {} to add that place", self.place()))
        })
    }

    /// Whether so much may be fetched at once.
    pub fn may_total(&self, asked: &Asked<'_>, bytes: u64) -> Result<()> {
        match self.max_total {
            Some(limit) if bytes > limit => {
                let why = format!(
                    "with what it requires it has {bytes} bytes, but policy.max_total of {} is {limit}",
                    self.place()
                );
                Err(self.refused(asked, "policy.max_total", &why))
            }
            _ => Ok(()),
        }
    }

    /// The error of whoever was asked and said no, or could not be asked.
    pub fn refused(&self, asked: &Asked<'_>, rule: &str, why: &str) -> Error {
        self.refusal(asked.name, asked.version.as_str(), rule, why)
    }

    fn refusal(&self, name: &str, version: &str, rule: &str, why: &str) -> Error {
        let what = format!("{name} {version}");
        Error::new(Kind::Policy, format!("{} may not be fetched", what.trim_end()))
            .caused_by(&std::io::Error::other(why.to_owned()))
            .name(name)
            .path(rule)
            .got(version)
            .hint(format!("ask whoever keeps {} to change that, or do without it", self.place()))
    }

    /// The error where nobody could be asked.
    pub fn unasked(&self, asked: &Asked<'_>, rule: &str) -> Error {
        let why = format!("{rule} of {} says to ask, but nobody can be asked here", self.place());
        self.refused(asked, rule, &why).hint(format!(
            "run it in a terminal, call magic_module.on_request(), or add {} to policy.allow",
            asked.name
        ))
    }

    fn place(&self) -> impl fmt::Display + '_ {
        self.file.display()
    }
}
