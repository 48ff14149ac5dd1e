//! The environment, read in this file only.
//!
//! Every variable stands in the reference table of `docs/reference/settings.md`. No variable
//! overrides what a `mount()` call pins.

mod caches;
mod mounts;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::name::{Namespace, SpaceName, UnitName, UrlText, Version};
use crate::space::Space;

pub use mounts::{Broken, Exported, parse as parse_mounts, text_of as text_of_mounts};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Show {
    /// A bar on a terminal or in a notebook, nothing elsewhere.
    #[default]
    Auto,
    /// Always a bar.
    Bar,
    /// JSON lines on stderr.
    Json,
    /// Nothing.
    Off,
}

impl Show {
    /// The word that the variable takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Bar => "bar",
            Self::Json => "json",
            Self::Off => "off",
        }
    }
}

/// What becomes of a name that nothing provides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoInstall {
    /// The registry's lock is mounted, and the rest is refused.
    Registry,
    /// Somebody is asked.
    Ask,
}

impl AutoInstall {
    /// The word that the variable takes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Ask => "ask",
        }
    }
}

/// What the environment says, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `MAGIC_MODULE_MANIFEST_URL`: where `magic_module`'s own units come from.
    pub manifest_url: Option<UrlText>,
    /// `MAGIC_MODULE_PUBLIC_KEY`: minisign keys for it, separated by white space or commas.
    pub public_keys: Vec<String>,
    /// `MAGIC_MODULE_PINS`: `alpha==1.1.0,beta==2.0`.
    pub pins: BTreeMap<UnitName, Version>,
    /// `MAGIC_MODULE_ALLOW_HTTP=1`: plain HTTP beyond the loopback.
    pub allow_http: bool,
    /// `MAGIC_MODULE_SPACE`: whose lock, policy, registry and audit log hold.
    pub space: Option<Space>,
    /// `MAGIC_MODULE_SPACES_DIR`, else `spaces` in the user's data folder; `None` without a home.
    pub spaces_dir: Option<PathBuf>,
    /// `MAGIC_MODULE_LOCK`: a lock that every interpreter mounts when it starts; absolute. In a
    /// space that of the space.
    pub lock: Option<PathBuf>,
    /// `MAGIC_MODULE_MOUNTS`: what else it mounts then.
    pub mounts: Vec<Exported>,
    /// What it says of mounts that cannot be made: no process fails to start for them.
    pub broken_mounts: Vec<Broken>,
    /// `MAGIC_MODULE_REGISTRY`: a `modules.toml`, which says what is approved; absolute. A space
    /// may have its own.
    pub registry: Option<PathBuf>,
    /// `MAGIC_MODULE_AUTO_INSTALL=registry|ask`.
    pub auto_install: Option<AutoInstall>,
    /// `MAGIC_MODULE_SYNC=1`: the project of that lock is locked again at the start, if it changed.
    pub sync: bool,
    /// `MAGIC_MODULE_TRACE_PART`: where a child of a traced process notes what it uses.
    pub trace_part: Option<PathBuf>,
    /// `MAGIC_MODULE_START=0`: nothing is mounted at the start.
    pub start: bool,
    /// `MAGIC_MODULE_CACHE_DIR`, else the platform's cache directory for `magic_module`.
    pub cache_dir: PathBuf,
    /// What else it names, separated as in `PATH`: caches that are looked into and never written.
    pub further_caches: Vec<PathBuf>,
    /// `MAGIC_MODULE_CACHE_LIMIT`: bytes, or with a suffix K, M, G (powers of 1024).
    pub cache_limit: Option<u64>,
    /// `MAGIC_MODULE_TRUSTED_OWNERS`: user ids whose read-only caches are trusted.
    pub trusted_owners: Vec<u32>,
    /// `MAGIC_MODULE_BUNDLES`: a folder with bundles, which are looked into before a server is asked.
    pub bundles: Option<PathBuf>,
    /// `MAGIC_MODULE_OFFLINE=1`: no request is made.
    pub offline: bool,
    /// `MAGIC_MODULE_PROGRESS=auto|bar|json|off`.
    pub progress: Show,
    /// `MAGIC_MODULE_CONCURRENCY`: parallel downloads, 1 to 256.
    pub concurrency: usize,
    /// `MAGIC_MODULE_VERIFY=full`: hash every file, ignore compiled code.
    pub verify_full: bool,
    /// `MAGIC_MODULE_FRESH`: for how many seconds a manifest is not asked for again whose server does
    /// not say so itself.
    pub fresh: u64,
    /// `MAGIC_MODULE_KEY_PASSWORD`: of the keys of `keygen` and `publish --sign`.
    pub key_password: Option<Secret>,
    /// `SSL_CERT_FILE`: the certificates to trust instead of the system's, in PEM form.
    pub certificates: Option<PathBuf>,
    /// `NETRC`, else `~/.netrc`: credentials by machine.
    pub netrc: Option<PathBuf>,
    /// `SOURCE_DATE_EPOCH`: the clock of `publish`, in seconds since 1970.
    pub source_date_epoch: Option<u64>,
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for whoever must have it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Downloads at a time, where nothing else is said.
pub const DEFAULT_CONCURRENCY: usize = 32;

/// A variable that is read when it matters, for it may be set until then: those of proxies.
pub fn variable(name: &str) -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    std::env::var_os(name)
}

/// The names of all that are set for this program: what a tool that it starts must not see.
pub fn own_variables() -> Vec<OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names.filter(|name| name.as_encoded_bytes().starts_with(b"MAGIC_MODULE_")).collect()
}

/// True if `MAGIC_MODULE_MANIFEST_URL` is set: all that `import magic_module` asks.
pub fn names_a_manifest() -> bool {
    variable("MAGIC_MODULE_MANIFEST_URL").is_some_and(|url| !url.is_empty())
}

impl Settings {
    /// The password of a key: the one that is given, else the environment's.
    pub fn password<'a>(&'a self, given: Option<&'a str>) -> Option<&'a str> {
        given.or(self.key_password.as_ref().map(|own| own.reveal()))
    }

    /// Reads the variables; an error names the one that is wrong.
    pub fn from_env() -> Result<Self> {
        Self::read(variable)
    }

    fn read(get: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let exact = |name: &str| -> Result<Option<String>> {
            match get(name) {
                None => Ok(None),
                Some(value) if value.is_empty() => Ok(None),
                Some(value) => {
                    value.into_string().map(Some).map_err(|_| wrong(name, "is not valid Unicode"))
                }
            }
        };
        let text = |name: &str| -> Result<Option<String>> {
            let trimmed = exact(name)?.map(|text| text.trim().to_owned());
            Ok(trimmed.filter(|text| !text.is_empty()))
        };
        let word = |name: &str| Ok(text(name)?.map(|text| text.to_ascii_lowercase()));
        let flag = |name: &str| -> Result<bool> {
            match word(name)?.as_deref() {
                None | Some("0" | "false" | "no" | "off") => Ok(false),
                Some("1" | "true" | "yes" | "on") => Ok(true),
                Some(_) => Err(wrong(name, "must be 1 or 0")),
            }
        };
        let path = |name: &str| -> Result<Option<PathBuf>> {
            get(name).filter(|path| !is_blank(path)).map(|path| expanded(name, path)).transpose()
        };
        let absolute_path = |name: &str| path(name)?.map(|it| absolute(name, it)).transpose();
        let (cache_dir, further_caches) = caches::named_by(get("MAGIC_MODULE_CACHE_DIR"))?;
        let spaces_dir = match absolute_path("MAGIC_MODULE_SPACES_DIR")? {
            Some(dir) => Some(dir),
            None => data_folder().map(|data| data.join("spaces")),
        };
        let space =
            parsed(text("MAGIC_MODULE_SPACE")?, |name| parse_space(name, spaces_dir.as_deref()))?;
        let (lock, registry) = match &space {
            Some(space) => (Some(space.lock()), space.registry()),
            None => (None, None),
        };
        let (mounts, broken_mounts) = match text("MAGIC_MODULE_MOUNTS") {
            Ok(said) => said.as_deref().map(mounts::said).unwrap_or_default(),
            Err(why) => (Vec::new(), vec![Broken { namespace: Namespace::default(), why }]),
        };
        Ok(Self {
            space,
            spaces_dir,
            manifest_url: text("MAGIC_MODULE_MANIFEST_URL")?.map(UrlText::new),
            public_keys: text("MAGIC_MODULE_PUBLIC_KEY")?.as_deref().map(split).unwrap_or_default(),
            pins: parsed(text("MAGIC_MODULE_PINS")?, parse_pins)?.unwrap_or_default(),
            allow_http: flag("MAGIC_MODULE_ALLOW_HTTP")?,
            lock: match lock {
                Some(own) => Some(own),
                None => absolute_path("MAGIC_MODULE_LOCK")?,
            },
            mounts,
            broken_mounts,
            registry: match registry {
                Some(own) => Some(own),
                None => absolute_path("MAGIC_MODULE_REGISTRY")?,
            },
            auto_install: word("MAGIC_MODULE_AUTO_INSTALL")?
                .as_deref()
                .map_or(Ok(None), parse_auto_install)?,
            sync: flag("MAGIC_MODULE_SYNC")?,
            trace_part: absolute_path("MAGIC_MODULE_TRACE_PART")?,
            start: text("MAGIC_MODULE_START")?.is_none() || flag("MAGIC_MODULE_START")?,
            cache_dir,
            further_caches,
            cache_limit: parsed(text("MAGIC_MODULE_CACHE_LIMIT")?, parse_limit)?,
            trusted_owners: parsed(text("MAGIC_MODULE_TRUSTED_OWNERS")?, parse_owners)?
                .unwrap_or_default(),
            bundles: path("MAGIC_MODULE_BUNDLES")?
                .map(|it| absolute("MAGIC_MODULE_BUNDLES", it))
                .transpose()?,
            offline: flag("MAGIC_MODULE_OFFLINE")?,
            progress: parsed(word("MAGIC_MODULE_PROGRESS")?, parse_show)?.unwrap_or_default(),
            concurrency: parsed(text("MAGIC_MODULE_CONCURRENCY")?, parse_concurrency)?
                .unwrap_or(DEFAULT_CONCURRENCY),
            verify_full: match word("MAGIC_MODULE_VERIFY")?.as_deref() {
                None | Some("default") => false,
                Some("full") => true,
                Some(_) => return Err(wrong("MAGIC_MODULE_VERIFY", "must be default or full")),
            },
            fresh: parsed(text("MAGIC_MODULE_FRESH")?, parse_fresh)?.unwrap_or(0),
            key_password: exact("MAGIC_MODULE_KEY_PASSWORD")?.map(Secret),
            certificates: path("SSL_CERT_FILE")?,
            netrc: path("NETRC")?.or_else(default_netrc),
            source_date_epoch: parsed(text("SOURCE_DATE_EPOCH")?, parse_epoch)?,
        })
    }

    /// The manifest URL, or an error that tells how to set it.
    pub fn require_manifest_url(&self) -> Result<&UrlText> {
        self.manifest_url.as_ref().ok_or_else(|| {
            let is_ours = |it: &&Broken| matches!(it.namespace.as_str(), "" | "magic_module");
            if let Some(broken) = self.broken_mounts.iter().find(is_ours) {
                return broken.why.clone();
            }
            Error::new(Kind::Configuration, "no manifest is known for magic_module, because MAGIC_MODULE_MANIFEST_URL is not set")
                .hint("set MAGIC_MODULE_MANIFEST_URL, or call magic_module.mount(\"magic_module\", url) first")
        })
    }
}

/// Where the user's data is kept; `None` for one without a home.
pub fn data_folder() -> Option<PathBuf> {
    let data = directories::ProjectDirs::from("", "", "magic_module")?.data_local_dir().to_owned();
    data.is_absolute().then_some(data)
}

fn is_blank(value: &OsStr) -> bool {
    value.to_str().is_some_and(|text| text.trim().is_empty())
}

/// A path that may begin with `~`, the user's home directory: where no shell reads what is
/// set, nobody else says so.
fn expanded(name: &str, value: OsString) -> Result<PathBuf> {
    let path = PathBuf::from(value);
    let mut parts = path.components();
    let first = parts.next().map(|first| first.as_os_str().to_string_lossy().into_owned());
    match first.as_deref() {
        Some("~") => directories::BaseDirs::new()
            .map(|dirs| dirs.home_dir().join(parts.as_path()))
            .filter(|path| path.is_absolute())
            .ok_or_else(|| wrong(name, "begins with ~, but this user has no home directory")),
        Some(first) if first.starts_with('~') => Err(wrong(
            name,
            &format!("begins with {first}: write out that user's home directory, or ./{first}"),
        )),
        _ => Ok(path),
    }
}

fn absolute(name: &str, path: PathBuf) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| wrong(name, "is not a path").caused_by(&error))
}

fn default_netrc() -> Option<PathBuf> {
    let home = directories::BaseDirs::new()?;
    Some(home.home_dir().join(if cfg!(windows) { "_netrc" } else { ".netrc" }))
}

fn wrong(variable: &str, why: &str) -> Error {
    Error::new(Kind::Configuration, format!("{variable} {why}"))
        .hint(format!("change {variable} or unset it"))
}

fn split(text: &str) -> Vec<String> {
    text.split([',', ' ', '\n', '\t']).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Parses `alpha==1.1.0,beta==2.0`.
pub fn parse_pins(text: &str) -> Result<BTreeMap<UnitName, Version>> {
    let pin = |part: String| {
        let (name, version) = part
            .split_once("==")
            .ok_or_else(|| wrong("MAGIC_MODULE_PINS", "must look like alpha==1.1.0,beta==2.0"))?;
        let name = UnitName::new(name.trim())
            .map_err(|error| wrong("MAGIC_MODULE_PINS", "names no unit").caused_by(&error))?;
        let version = Version::new(version.trim())
            .map_err(|error| wrong("MAGIC_MODULE_PINS", "names no version").caused_by(&error))?;
        Ok((name, version))
    };
    split(text).into_iter().map(pin).collect()
}

/// Parses `1048576`, `512M`, `2 GiB`: powers of 1024, here and for every option.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor: u64 = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" | "KIB" => 1 << 10,
        "M" | "MB" | "MIB" => 1 << 20,
        "G" | "GB" | "GIB" => 1 << 30,
        "T" | "TB" | "TIB" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

fn parse_space(name: &str, spaces: Option<&Path>) -> Result<Space> {
    let name = SpaceName::new(name)
        .map_err(|why| wrong("MAGIC_MODULE_SPACE", "names no space").caused_by(&why))?;
    Ok(Space::new(spaces.ok_or_else(no_spaces)?, name))
}

/// The error where there is no place for spaces.
pub fn no_spaces() -> Error {
    Error::new(Kind::Configuration, "this user has no home directory to keep spaces in")
        .hint("set MAGIC_MODULE_SPACES_DIR to a directory that you may write to")
}

fn parse_owners(text: &str) -> Result<Vec<u32>> {
    split(text)
        .iter()
        .map(|part| {
            part.parse()
                .map_err(|_| wrong("MAGIC_MODULE_TRUSTED_OWNERS", "must be numeric user ids"))
        })
        .collect()
}

fn parsed<T>(text: Option<String>, parse: impl FnOnce(&str) -> Result<T>) -> Result<Option<T>> {
    text.as_deref().map(parse).transpose()
}

fn parse_limit(text: &str) -> Result<u64> {
    let why = "must be a size such as 500M or 2G";
    parse_size(text).ok_or_else(|| wrong("MAGIC_MODULE_CACHE_LIMIT", why))
}

fn parse_epoch(text: &str) -> Result<u64> {
    text.parse().map_err(|_| wrong("SOURCE_DATE_EPOCH", "must be seconds since 1970"))
}

fn parse_show(text: &str) -> Result<Show> {
    match text {
        "auto" => Ok(Show::Auto),
        "bar" => Ok(Show::Bar),
        "json" => Ok(Show::Json),
        "off" => Ok(Show::Off),
        _ => Err(wrong("MAGIC_MODULE_PROGRESS", "must be auto, bar, json or off")),
    }
}

fn parse_auto_install(text: &str) -> Result<Option<AutoInstall>> {
    match text {
        "off" | "0" => Ok(None),
        "registry" => Ok(Some(AutoInstall::Registry)),
        "ask" => Ok(Some(AutoInstall::Ask)),
        _ => Err(wrong("MAGIC_MODULE_AUTO_INSTALL", "must be registry, ask or off")),
    }
}

fn parse_fresh(text: &str) -> Result<u64> {
    let why = "must be a number of seconds from 0 to 86400";
    let seconds = text.parse().ok().filter(|seconds| (0..=86_400).contains(seconds));
    seconds.ok_or_else(|| wrong("MAGIC_MODULE_FRESH", why))
}

fn parse_concurrency(text: &str) -> Result<usize> {
    text.parse()
        .ok()
        .filter(|number| (1..=256).contains(number))
        .ok_or_else(|| wrong("MAGIC_MODULE_CONCURRENCY", "must be a number from 1 to 256"))
}
