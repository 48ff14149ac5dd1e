//! The supply behind a lock: `pylock.toml` (PEP 751), every wheel of it a unit.
//!
//! ```text
//! lock ─ choose ─▶ wheels ─ inspect ─▶ contents ─ compile ─▶ document, a blob ─▶ records
//!                                                      └─▶ view
//! ```
//!
//! Its identity is the digest of (the lock's bytes, where its paths count from, the interpreter
//! and its platform, our own package, extras and groups, what may be built, the space). A process keeps the lock that it began with.

mod build;
pub mod choose;
mod compile;
pub mod index;
mod knots;
mod projects;
pub mod records;
pub mod site;
mod starting;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::{Answer, Asking, Imports, Knot, Supply, View};
use crate::distribution::Metadata;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::forking::Lock;
use crate::index::Units;
use crate::lockfile;
use crate::manifest::{Manifest, Modules, Record};
use crate::name::{Digest, DistributionName, Hasher, SafeUrl, UnitName, UrlText};
use crate::origin::Freshness;
use crate::policy::Policy;
use crate::pylock::{self, SIZE_LIMIT};
use crate::resolved::Optional;
use crate::space::Space;
use crate::store::generation::{Generation, MountFolder};
use crate::store::{disk, view, wheels};
use choose::Launch;
use knots::Knots;
use site::{Opened, Site};

/// A lock, and what is wanted of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Absolute.
    pub path: PathBuf,
    /// Of the lock's own project.
    pub extras: Vec<String>,
    /// Dependency groups (PEP 735); none means the lock's defaults.
    pub groups: Vec<String>,
    /// A wheel may come without a digest; what comes first is noted.
    pub unhashed: bool,
    /// What has no wheel may be built, which runs code of the package.
    pub build: bool,
    /// The program that builds.
    pub builder: &'static str,
    /// What optional imports do, but of units of which the lock says it.
    pub optional: Optional,
    /// Who chooses the wheels. `None`: this program embeds Python, and knows no interpreter.
    pub launch: Option<Launch>,
    /// Tells interpreters apart that need other wheels, or another view.
    pub environment: String,
    /// For whom they are chosen, itself in no environment; absolute.
    pub interpreter: PathBuf,
    /// The same, of the environment in which the program runs; it may have a pip that the other has not.
    pub in_environment: PathBuf,
    /// Of that interpreter: `3.12.1`.
    pub version: String,
    /// Our own package, as it is installed.
    pub package: PathBuf,
    /// Of the environment that it is mounted in.
    pub prefix: PathBuf,
    /// Of a lock that a manifest has; its path is the manifest's URL then.
    pub site: Option<Site>,
}

/// The lock of a folder that somebody works in, found as `magic.lock` is.
pub fn nearest(here: &Path) -> Option<PathBuf> {
    lockfile::nearest(here, "pylock.toml")
}

/// The wheels of a lock, for one interpreter.
pub struct LockSupply {
    engine: Arc<Engine>,
    source: Source,
    /// As it was when this process began with it.
    text: Vec<u8>,
    url: SafeUrl,
    identity: Digest,
    folder: MountFolder,
    /// Who imported what, through its view.
    imports: Arc<Imports>,
    compiled: OnceLock<Compiled>,
    knots: Lock<Knots>,
    site: Option<Opened>,
}

/// What was made of the lock.
struct Compiled {
    document: Digest,
    view: Arc<View>,
}

impl LockSupply {
    /// Reads the lock; what is in it is looked at when it is compiled.
    pub fn open(engine: &Arc<Engine>, source: &Source) -> Result<Self> {
        if let Some(site) = &source.site {
            return Self::of_site(engine, source, site);
        }
        let space = engine.settings.space.as_ref();
        if let Some(own) = space.filter(|space| space.lock() == source.path) {
            own.require()?;
        }
        let text = disk::read(&source.path, SIZE_LIMIT).map_err(|error| {
            let what = format!("cannot read the lock {}", source.path.display());
            Error::store(what, &source.path, &error).hint(match error.kind() {
                io::ErrorKind::NotFound => "make one: magic-module lock NAME -o pylock.toml",
                _ => "check that it is a file that you may read",
            })
        })?;
        let url = url::Url::from_file_path(&source.path)
            .map_err(|()| Error::new(Kind::Configuration, "the path of a lock must be absolute"))
            .and_then(|url| {
                let failed = |error| {
                    Error::new(Kind::Configuration, "the lock's path is not a URL")
                        .caused_by(&error)
                };
                SafeUrl::new(url.as_str()).map_err(failed)
            })?;
        let identity = identity(source, &text, space);
        if let Some(folder) = source.path.parent() {
            engine.places.add(folder.to_owned(), source.prefix.clone());
        }
        Ok(Self::new(engine, source, text, url, identity, None))
    }

    /// A lock that a manifest has: its text is fetched where it is needed.
    fn of_site(engine: &Arc<Engine>, source: &Source, site: &Site) -> Result<Self> {
        let opened = Opened::open(engine, site)?;
        let url = opened.supply.url().clone();
        let mut text = format!("{} {}", opened.supply.identity(), site.published.text.sha256);
        if let Some(packed) = site.packed() {
            text += &format!(" {}", packed.sha256);
        }
        let identity = identity(source, text.as_bytes(), engine.settings.space.as_ref());
        Ok(Self::new(engine, source, Vec::new(), url, identity, Some(opened)))
    }

    fn new(
        engine: &Arc<Engine>,
        source: &Source,
        text: Vec<u8>,
        url: SafeUrl,
        identity: Digest,
        site: Option<Opened>,
    ) -> Self {
        Self {
            engine: engine.clone(),
            source: source.clone(),
            text,
            url,
            identity,
            folder: MountFolder::new(&engine.store, &identity),
            imports: Arc::default(),
            compiled: OnceLock::new(),
            knots: Lock::default(),
            site,
        }
    }

    /// What every further process begins with, and the generation that it is bound to: while
    /// somebody is, nothing of the lock is pruned.
    fn set_document(&self, document: Option<Digest>) -> Result<()> {
        self.folder.create()?;
        let _lock = self.folder.lock()?;
        if document.is_some() && self.folder.current()?.is_none() {
            let first = Generation { manifest: document, ..self.folder.fresh()? };
            self.folder.write(&first)?;
            self.folder.switch(first.number)?;
        }
        let mut state = self.folder.state()?;
        state.manifest = document;
        self.folder.write_state(&state)
    }

    /// What was compiled before, by whatever process: the document is read and the view is
    /// there. `None`: it has to be compiled.
    fn load(&self) -> Result<Option<&Compiled>> {
        if let Some(compiled) = self.compiled.get() {
            return Ok(Some(compiled));
        }
        let state = self.folder.state()?;
        let Some(document) = state.manifest else { return Ok(None) };
        let Ok(resolved) = compile::read(&self.engine.store, &document) else { return Ok(None) };
        if !projects::are_unchanged(&resolved) {
            return Ok(None);
        }
        let Some(folder) = view::open(&self.engine.store, &self.identity)? else {
            return Ok(None);
        };
        self.learn_knots(&state, &resolved);
        let view = Arc::new(View { folder, resolved, imports: self.imports.clone() });
        Ok(Some(self.compiled.get_or_init(|| Compiled { document, view })))
    }
}

impl Supply for LockSupply {
    fn identity(&self) -> Digest {
        self.identity
    }

    fn url(&self) -> &SafeUrl {
        &self.url
    }

    /// What a digest holds may come over any line.
    fn policy(&self) -> Policy {
        if let Some(opened) = &self.site {
            return opened.supply.policy();
        }
        let offline = self.engine.settings.offline;
        let closed = self.engine.administrator.is_closed();
        Policy { offline, closed, allow_http: !self.source.unhashed, logins: true }
    }

    fn resolve(&self, url: &UrlText) -> Result<SafeUrl> {
        if let Some(opened) = &self.site {
            return opened.supply.resolve(url);
        }
        let url = SafeUrl::new(url.as_str()).map_err(|error| {
            Error::new(Kind::Manifest, format!("the lock names {url:?}, which is not a URL"))
                .caused_by(&error)
        })?;
        self.policy().may_come_from(&url).map(|()| url)
    }

    fn document(&self, digest: &Digest) -> Result<Arc<Manifest>> {
        let bytes = self.engine.store.blobs().read_verified(digest, compile::LIMIT)?;
        Manifest::parse(&bytes).map(Arc::new)
    }

    fn newest(&self) -> Result<Option<Digest>> {
        Ok(self.load()?.map(|compiled| compiled.document))
    }

    fn refresh(&self, _used: Option<Digest>, _freshness: Freshness) -> Asking<'_, Option<Digest>> {
        Box::pin(async {
            if let Some(compiled) = self.load()? {
                return Ok(Some(compiled.document));
            }
            let compiled = self.compile().await?;
            Ok(Some(self.compiled.get_or_init(|| compiled).document))
        })
    }

    /// Names of modules are found by the folders of the view.
    fn units_for<'a>(&'a self, _name: &'a str) -> Units<'a> {
        Box::new(std::iter::empty())
    }

    /// By the name of its distribution, in any spelling.
    fn unit_called(&self, name: &str) -> Option<UnitName> {
        let unit = UnitName::of_distribution(&DistributionName::new(name).ok()?).ok()?;
        self.view()?.resolved.units.contains_key(&unit).then_some(unit)
    }

    fn title<'a>(&self, unit: &'a UnitName) -> Cow<'a, str> {
        let known = self.view().and_then(|view| view.resolved.units.get(unit));
        known.map_or(Cow::Borrowed(unit.as_str()), |it| Cow::Owned(it.name.clone()))
    }

    fn summary(&self, unit: &UnitName) -> Option<String> {
        let it = self.view()?.resolved.units.get(unit)?;
        let contents = wheels::read(&self.engine.store, &it.sha256).ok()??;
        Metadata::parse_published(contents.texts.get("METADATA")?).ok()?.summary
    }

    fn mend_view(&self) -> Asking<'_, Vec<String>> {
        Box::pin(async {
            let (store, identity) = (self.engine.store.clone(), self.identity);
            let changed = compile::beside(move || view::changed(&store, &identity)).await?;
            if !changed.is_empty() {
                self.compile().await?;
            }
            Ok(changed)
        })
    }

    fn site(&self) -> &str {
        self.view().map_or("", |view| &view.resolved.scheme.site)
    }

    fn view(&self) -> Option<&Arc<View>> {
        self.compiled.get().map(|compiled| &compiled.view)
    }

    fn withholds(&self) -> bool {
        let by_name = self.view().is_some_and(|view| !view.resolved.optional.is_empty());
        by_name || self.source.optional != Optional::Fetch
    }

    fn optional(&self, unit: &UnitName) -> Optional {
        let by_name = self.view().and_then(|view| view.resolved.optional.get(unit));
        by_name.copied().unwrap_or(self.source.optional)
    }

    fn knot_of(&self, unit: &UnitName) -> Option<Arc<Knot>> {
        self.known_knot(unit)
    }

    fn has_knot(&self, digest: &Digest) -> bool {
        self.has_known_knot(digest)
    }

    fn tie(&self, units: &[UnitName]) -> Asking<'_, Vec<UnitName>> {
        let units = units.to_vec();
        Box::pin(async move { self.tie_units(&units).await })
    }

    fn may_fetch(&self, url: &SafeUrl, what: &dyn Fn() -> String) -> Result<()> {
        if url.scheme() == "file" { Ok(()) } else { self.policy().may_ask(url, what) }
    }

    /// Before anything is downloaded: whether the newest manifest is too old for that.
    fn check_age(&self, _document: &Digest) -> Result<()> {
        let Some(Opened { supply, site }) = &self.site else { return Ok(()) };
        supply.check_age(&supply.newest()?.unwrap_or(site.manifest))
    }

    fn may_move(&self) -> Result<()> {
        if self.site.is_some() {
            return Ok(());
        }
        let lock = self.source.path.display();
        Err(Error::new(Kind::Policy, format!("the lock {lock} says which versions are used"))
            .path(lock.to_string())
            .hint("resolve it again: magic-module lock --upgrade NAME"))
    }

    /// A server, or the index beside the lock, may have lied about what is in a wheel: the server
    /// is asked once more, by the next process.
    fn distrust(&self, units: &[UnitName]) {
        // Whoever signed it vouches for what it says of wheels: it is the wheel that is damaged.
        let Some(view) = self.view().filter(|_| self.site.is_none()) else { return };
        for known in units.iter().filter_map(|unit| view.resolved.units.get(unit)) {
            let _ = wheels::doubt(&self.engine.store, &known.sha256);
        }
        let _ = self.set_document(None);
    }

    fn record(&self, _document: &Digest, unit: &str) -> Result<Answer> {
        Self::record(self, unit)
    }

    fn whole_record(&self, unit: &str) -> Result<Option<Record>> {
        Self::whole_record(self, unit)
    }

    fn is_rest(&self, unit: &str) -> bool {
        let parts = self.view().and_then(|view| view.resolved.packs.get_key_value(unit));
        parts.is_some_and(|(unit, _)| unit.is_rest())
    }

    fn fetch_parts<'a>(&'a self, _document: &'a Digest, unit: &'a str) -> Asking<'a, ()> {
        Box::pin(Self::fetch_parts(self, unit))
    }

    fn all_records<'a>(&'a self, _document: &'a Digest) -> Asking<'a, Modules> {
        Box::pin(Self::all_records(self))
    }
}

fn identity(source: &Source, text: &[u8], space: Option<&Space>) -> Digest {
    let mut hasher = Hasher::default();
    let mut add = |part: &[u8]| {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    };
    add(if source.site.is_some() { b"site 1" } else { b"lock 2" });
    add(text);
    let folder = source.path.parent().filter(|_| pylock::has_paths(text));
    add(folder.map_or(&b""[..], |folder| folder.as_os_str().as_encoded_bytes()));
    add(source.environment.as_bytes());
    // A view has a link to it.
    add(source.package.as_os_str().as_encoded_bytes());
    for list in [&source.extras, &source.groups] {
        add(&(list.len() as u64).to_le_bytes());
        list.iter().for_each(|one| add(one.as_bytes()));
    }
    add(&[u8::from(source.unhashed)]);
    if source.build {
        add(b"build");
    }
    match source.optional {
        Optional::Fetch => {}
        Optional::PresentOnly => add(b"present-only"),
        Optional::Deny => add(b"deny"),
    }
    if let Some(space) = space {
        add(b"space");
        add(space.mark());
    }
    hasher.finish()
}
