//! Logins as uv and pip know them, for the servers that a lock names.
//!
//! They are found by the URL's origin (scheme, host and port), in this order:
//!
//! ```text
//! 1  UV_INDEX_<NAME>_USERNAME and _PASSWORD    of the index that uv's settings call so
//! 2  user:password in the URL of an index      of the registry, of uv's settings, then of pip's
//! 3  the netrc file
//! 4  keyring get URL USER                      if uv's or pip's settings ask for it
//! ```
//!
//! Of several indexes of one origin the one counts whose path has most in common with the URL's.
//! Settings that cannot be read are passed over. Nothing of this is ever shown or kept.

mod file;
mod keyring;
mod pip;
mod registry;
mod uv;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use tokio::sync::OnceCell;

use super::netrc::{Login, Netrc};
use crate::name::SafeUrl;
use crate::settings;
use crate::threads;

/// Where settings lie beside those of the user and of the machine.
#[derive(Debug, Default)]
pub struct Places {
    locks: Mutex<Vec<Place>>,
    /// The registry that the user named.
    registry: Option<PathBuf>,
    /// URLs with what lets one in, as the program told them.
    told: Mutex<Vec<String>>,
}

/// Of one lock.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    folder: PathBuf,
    prefix: PathBuf,
}

impl Places {
    /// The folder of a lock: its settings and those above it count, as they do for uv. `prefix`:
    /// of the environment that it is mounted in, which may have settings of pip.
    pub fn add(&self, folder: PathBuf, prefix: PathBuf) {
        let place = Place { folder, prefix };
        let mut places = self.locks.lock();
        if !places.contains(&place) {
            places.push(place);
        }
    }

    /// With the registry that the user named.
    pub fn with_registry(registry: Option<PathBuf>) -> Self {
        Self { registry, ..Self::default() }
    }

    /// URLs of indexes with what lets one in: these count before all settings.
    pub fn tell(&self, urls: Vec<String>) {
        let mut told = self.told.lock();
        let new: Vec<_> = urls.into_iter().filter(|url| !told.contains(url)).collect();
        told.extend(new);
    }
}

/// True if this user has a login for the server of `url`, in settings of uv or pip, or in the netrc
/// file.
pub async fn has_login(places: &Arc<Places>, netrc: Option<&Path>, url: &SafeUrl) -> bool {
    let netrc = netrc.map(Netrc::read).unwrap_or_default();
    Logins::new(places.clone()).find(url, &netrc).await.is_some()
}

/// What one process knows of logins.
#[derive(Debug, Default)]
pub(super) struct Logins {
    places: Arc<Places>,
    /// With the number of places that were known when it was read.
    indexes: Mutex<Option<(usize, Arc<Indexes>)>>,
    /// What the keyring said, by origin: nobody is asked twice.
    passwords: Mutex<HashMap<String, Arc<OnceCell<Option<Password>>>>>,
}

#[derive(Clone)]
struct Password(String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password")
    }
}

impl Logins {
    pub fn new(places: Arc<Places>) -> Self {
        Self { places, ..Self::default() }
    }

    /// What the server of `url` wants to be told; for one whose URL says it all there is nothing.
    pub async fn find(&self, url: &SafeUrl, netrc: &Netrc) -> Option<Login> {
        let real = url.real();
        let host = real.host_str().filter(|_| real.password().is_none())?;
        let own = percent_decode_str(real.username()).decode_utf8_lossy().into_owned();
        let indexes = self.indexes();
        if let Some(entry) = indexes.best(url, |it| it.is_whole && it.is_of(&own)) {
            return Some(entry.login.clone());
        }
        let half = indexes.best(url, |it| !it.is_whole).filter(|_| own.is_empty());
        let (user, service) = match half {
            Some(entry) => (entry.login.login.clone(), Some(entry.url.clone())),
            None => (own, url.join("/").ok()),
        };
        if let Some(login) = netrc.find(host, &user) {
            return Some(login.clone());
        }
        if user.is_empty() {
            return None;
        }
        let password = match service.filter(|_| indexes.has_keyring) {
            Some(service) => self.keyring(&service, &user).await,
            None => None,
        };
        // Some servers want a token, and take it for the name of a user.
        Some(Login { login: user, password: password.unwrap_or_default() })
    }

    fn indexes(&self) -> Arc<Indexes> {
        let places = self.places.locks.lock().clone();
        let told = self.places.told.lock().clone();
        let mut known = self.indexes.lock();
        let now = places.len() + told.len();
        match &*known {
            Some((count, indexes)) if *count == now => indexes.clone(),
            _ => {
                let registry = self.places.registry.as_deref();
                let indexes = Arc::new(Indexes::read(&told, registry, &places));
                *known = Some((now, indexes.clone()));
                indexes
            }
        }
    }

    async fn keyring(&self, service: &SafeUrl, user: &str) -> Option<String> {
        let origin = service.real().origin().ascii_serialization();
        let cell = self.passwords.lock().entry(origin).or_default().clone();
        let (service, user) = (service.without_credentials().to_string(), user.to_owned());
        let ask = || async {
            threads::beside(move || keyring::get(&service, &user)).await.flatten().map(Password)
        };
        cell.get_or_init(ask).await.as_ref().map(|it| it.0.clone())
    }
}

/// What settings say.
#[derive(Debug, Default)]
struct Found {
    /// With their names where they have any, in the order in which they count.
    indexes: Vec<(Option<String>, String)>,
    has_keyring: bool,
}

impl Found {
    fn add(&mut self, url: &str) {
        self.indexes.push((None, url.to_owned()));
    }

    fn set_keyring(&mut self, provider: &str) {
        self.has_keyring |= provider == "subprocess";
    }
}

/// Logins by index.
#[derive(Debug, Default)]
struct Indexes {
    /// In the order in which they count.
    entries: Vec<Entry>,
    has_keyring: bool,
}

#[derive(Debug)]
struct Entry {
    /// Without credentials.
    url: SafeUrl,
    login: Login,
    /// It has a password, too.
    is_whole: bool,
}

impl Entry {
    fn is_of(&self, user: &str) -> bool {
        user.is_empty() || self.login.login == user
    }

    /// How many folders the paths of both begin with.
    fn common(&self, url: &SafeUrl) -> usize {
        let folders = |url: &SafeUrl| -> Vec<String> {
            url.real().path_segments().into_iter().flatten().map(str::to_owned).collect()
        };
        folders(&self.url).iter().zip(&folders(url)).take_while(|(one, other)| one == other).count()
    }
}

impl Indexes {
    fn read(told: &[String], registry: Option<&Path>, places: &[Place]) -> Self {
        let mut found = Found::default();
        told.iter().for_each(|url| found.add(url));
        registry.into_iter().for_each(|path| registry::read(path, &mut found));
        uv::read(places, &mut found);
        pip::read(places, &mut found);
        let mut by_name = Vec::new();
        let mut by_url = Vec::new();
        for (name, url) in &found.indexes {
            let Ok(url) = SafeUrl::new(url) else { continue };
            let text = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
            let (user, password) = (text(url.real().username()), url.real().password().map(text));
            let bare = SafeUrl::from(url.without_credentials());
            let add = |entries: &mut Vec<Entry>, user: String, password: Option<String>| {
                if !user.is_empty() || password.is_some() {
                    let is_whole = password.is_some();
                    let login = Login { login: user, password: password.unwrap_or_default() };
                    entries.push(Entry { url: bare.clone(), login, is_whole });
                }
            };
            if let Some((own_user, own_password)) = name.as_deref().and_then(variables) {
                let user = own_user.unwrap_or_else(|| user.clone());
                add(&mut by_name, user, own_password.or_else(|| password.clone()));
            }
            add(&mut by_url, user, password);
        }
        by_name.append(&mut by_url);
        Self { entries: by_name, has_keyring: found.has_keyring }
    }

    /// Among those of the origin of `url`.
    fn best(&self, url: &SafeUrl, fits: impl Fn(&Entry) -> bool) -> Option<&Entry> {
        let of_origin = self.entries.iter().filter(|it| it.url.is_same_origin(url) && fits(it));
        of_origin.min_by_key(|it| Reverse(it.common(url)))
    }
}

/// The user and the password that the environment has for an index of this name.
fn variables(name: &str) -> Option<(Option<String>, Option<String>)> {
    let upper = |letter: char| match letter {
        letter if letter.is_ascii_alphanumeric() => letter.to_ascii_uppercase(),
        _ => '_',
    };
    let name: String = name.chars().map(upper).collect();
    let user = variable(&format!("UV_INDEX_{name}_USERNAME"));
    let password = variable(&format!("UV_INDEX_{name}_PASSWORD"));
    (user.is_some() || password.is_some()).then_some((user, password))
}

/// Of the environment, if it is set to something.
fn variable(name: &str) -> Option<String> {
    settings::variable(name)?.into_string().ok().filter(|text| !text.is_empty())
}

/// Folders of settings below the user's home: the first one first.
fn user_folders(program: &str) -> Vec<PathBuf> {
    let Some(base) = directories::BaseDirs::new() else { return Vec::new() };
    let own = variable("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let mut folders = vec![own.unwrap_or_else(|| base.home_dir().join(".config")).join(program)];
    // Another one on macOS and Windows.
    folders.push(base.config_dir().join(program));
    folders.dedup();
    folders
}
