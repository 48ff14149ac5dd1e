//! The mounts of one process, and what a name is.
//!
//! ```text
//! name ─ mount ─ bound generation ─ active unit ─ layout ─▶ Located
//!                     └─ newest manifest ─ record ─ layout ─▶ Located, not downloaded yet
//!                     └─ nothing known ──────────────────────▶ Ask
//! ```
//!
//! [`Session::lookup`] never waits: whatever needs a request is told to the caller,
//! who gives up the import lock before asking.

mod fork;

use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Kind, Result};
use crate::fetch::{Access, Fetcher};
use crate::layout::Found;
use crate::manifest::Body;
use crate::mount::{Answer, Bound as Binding, Context, Mount, MountRequest, WhenOld};
use crate::name::{Digest, Namespace, UnitName};
use crate::progress::Events;
use crate::project::Project;
use crate::settings::Settings;
use crate::store::Store;
use crate::store::generation::Active;
use crate::store::lock::Shared;
use crate::unit::{Python, Unit};

pub const OWN: &str = "magic_module";

pub struct Session {
    pub store: Store,
    pub settings: Arc<Settings>,
    pub events: Arc<Events>,
    pub python: Arc<Python>,
    fetcher: Arc<Fetcher>,
    pub project: Arc<Project>,
    mounts: Mutex<Vec<Arc<Mount>>>,
}

/// What a name is.
pub enum Lookup {
    /// No mount serves it.
    Foreign,
    Located(Located),
    /// A namespace that the mount provides, or a folder that only has units below it.
    Namespace(Arc<Mount>, String),
    /// Everything is known, and it is not there.
    Absent,
    /// A request decides; `required` tells whether failing to ask is an error.
    Ask {
        mount: Arc<Mount>,
        relative: String,
        required: bool,
    },
}

#[derive(Clone)]
pub struct Located {
    pub unit: Arc<Unit>,
    pub found: Found,
    /// The name is the unit's own.
    pub root: bool,
}

impl Session {
    pub fn new(settings: Settings, python: Python) -> Self {
        let settings = Arc::new(settings);
        let store = Store::new(&settings);
        let access =
            Access { netrc: settings.netrc.clone(), certificates: settings.certificates.clone() };
        let fetcher = Arc::new(Fetcher::new(store.blobs().clone(), settings.concurrency, access));
        Self {
            store,
            events: Arc::new(Events::default()),
            python: Arc::new(python),
            fetcher,
            settings,
            project: Arc::new(Project::default()),
            mounts: Mutex::new(Vec::new()),
        }
    }

    pub fn context(&self) -> Context {
        Context {
            store: self.store.clone(),
            settings: self.settings.clone(),
            fetcher: self.fetcher.clone(),
            events: self.events.clone(),
        }
    }

    /// Keeps what is being fetched from being pruned; waits while somebody prunes.
    pub async fn keep(&self) -> Result<Arc<Shared>> {
        self.store.create()?;
        let store = self.store.clone();
        let kept = tokio::task::spawn_blocking(move || store.keep()).await;
        let kept = kept.map_err(|error| {
            Error::new(Kind::Store, "waiting for the cache ended unexpectedly").caused_by(&error)
        })?;
        kept.map(Arc::new)
    }

    /// Adds a mount. The same call twice gives the same mount.
    pub fn mount(&self, request: MountRequest) -> Result<Arc<Mount>> {
        let mut mounts = self.mounts.lock();
        if let Some(same) = mounts.iter().find(|mount| mount.request == request) {
            return Ok(same.clone());
        }
        let mount = Mount::new(&self.store, request)?;
        mount.hold_to(&self.project);
        if !mount.namespace.is_empty()
            && let Some(at) = mounts.iter().position(|other| other.namespace == mount.namespace)
        {
            if mounts[at].is_bound()
                || mount.namespace.as_str() != OWN
                || !self.is_environments(&mounts[at])
            {
                return Err(Error::new(
                    Kind::Configuration,
                    format!(
                        "{} is mounted already, from {}",
                        mount.namespace,
                        mounts[at].shown_url()
                    ),
                )
                .name(mount.namespace.as_str())
                .url(mounts[at].shown_url())
                .hint("close the first mount, or mount before anything below it is imported"));
            }
            mounts.remove(at);
        }
        mounts.push(mount.clone());
        Ok(mount)
    }

    fn is_environments(&self, mount: &Mount) -> bool {
        self.settings.manifest_url.as_deref() == Some(mount.request.manifest_url.as_str())
            && mount.request == self.environment_request(&mount.request.manifest_url)
    }

    fn environment_request(&self, url: &str) -> MountRequest {
        MountRequest {
            namespace: Namespace::new(OWN).unwrap_or_default(),
            manifest_url: url.to_owned(),
            public_keys: self.settings.public_keys.clone(),
            first: false,
            pins: self.settings.pins.clone(),
            allow_http: self.settings.allow_http,
            max_age: WhenOld::Warn,
            frozen: false,
        }
    }

    /// The mount of `magic_module`: an explicit one, else the environment's.
    pub fn own_mount(&self) -> Result<Arc<Mount>> {
        if let Some(mount) = self.mounts.lock().iter().find(|mount| mount.namespace.as_str() == OWN)
        {
            return Ok(mount.clone());
        }
        self.mount(self.environment_request(self.settings.require_manifest_url()?))
    }

    pub fn close(&self, mount: &Arc<Mount>) {
        self.mounts.lock().retain(|other| !Arc::ptr_eq(other, mount));
    }

    pub fn mounts(&self) -> Vec<Arc<Mount>> {
        self.mounts.lock().clone()
    }

    pub fn find_mount(&self, matches: impl Fn(&Mount) -> bool) -> Option<Arc<Mount>> {
        self.mounts.lock().iter().find(|mount| matches(mount)).cloned()
    }

    /// The mounts that may serve `full`: the longest namespace, or the empty ones.
    fn serving(&self, full: &str, top_level: TopLevel) -> Result<Vec<(Arc<Mount>, String)>> {
        let below = full.strip_prefix(OWN).is_some_and(|rest| rest.starts_with('.'));
        if below && top_level != TopLevel::Behind {
            self.own_mount()?;
        }
        let mounts = self.mounts.lock();
        let named = mounts
            .iter()
            .filter(|mount| !mount.namespace.is_empty())
            .filter_map(|mount| {
                mount.namespace.strip(full).map(|relative| (mount.clone(), relative.to_owned()))
            })
            .max_by_key(|(mount, _)| mount.namespace.as_str().len());
        if named.is_some() {
            return Ok(if top_level == TopLevel::Behind {
                Vec::new()
            } else {
                named.into_iter().collect()
            });
        }
        let first = top_level == TopLevel::First;
        Ok(mounts
            .iter()
            .filter(|mount| mount.namespace.is_empty() && mount.request.first == first)
            .map(|mount| (mount.clone(), full.to_owned()))
            .collect())
    }

    /// What `full` is, as far as it can be told without waiting.
    pub fn lookup(&self, full: &str, top_level: TopLevel) -> Result<Lookup> {
        let serving = self.serving(full, top_level)?;
        let mut outcome = Lookup::Foreign;
        for (mount, relative) in serving {
            match self.lookup_in(&mount, &relative)? {
                Lookup::Absent => outcome = Lookup::Absent,
                other => return Ok(other),
            }
        }
        Ok(outcome)
    }

    pub fn lookup_in(&self, mount: &Arc<Mount>, relative: &str) -> Result<Lookup> {
        mount.trust(&self.store)?;
        // A lock that cannot be read is never taken for none.
        self.project.lock()?;
        let ask = |required| Lookup::Ask {
            mount: mount.clone(),
            relative: relative.to_owned(),
            required,
        };
        let Some(bound) = mount.bound() else { return Ok(ask(true)) };
        let mut owned = false;
        for name in prefixes(relative) {
            if let Some(unit) = self.active_unit(mount, &bound, name)? {
                owned = true;
                if let Some(found) = unit.find(relative, &self.python.suffixes) {
                    return Ok(Lookup::Located(Located { root: name == relative, unit, found }));
                }
            }
        }
        let Some(manifest) = bound.manifest else { return Ok(ask(true)) };
        let Ok(document) = mount.manifest(&self.store, &manifest) else { return Ok(ask(true)) };
        for name in prefixes(relative) {
            if UnitName::new(name).is_err() {
                return Ok(Lookup::Absent);
            }
            match mount.record(&self.store, &manifest, name)? {
                Answer::NotHere => return Ok(ask(true)),
                Answer::Absent => {}
                // Something new is not decided by a manifest that is too old.
                Answer::Record(_)
                    if !self.settings.offline && mount.should_ask_first(&document) =>
                {
                    return Ok(ask(true));
                }
                Answer::Record(record) => {
                    owned = true;
                    let unit = self.unit_of(mount, name, manifest, &record)?;
                    if let Some(found) = unit.find(relative, &self.python.suffixes) {
                        return Ok(Lookup::Located(Located {
                            root: name == relative,
                            unit,
                            found,
                        }));
                    }
                }
            }
        }
        if let Body::Modules(modules) = &document.body {
            let inside = format!("{relative}.");
            let next = modules
                .0
                .range::<str, _>((Bound::Included(inside.as_str()), Bound::Unbounded))
                .next();
            if next.is_some_and(|(name, _)| name.as_str().starts_with(&inside)) {
                return Ok(Lookup::Namespace(mount.clone(), relative.to_owned()));
            }
        }
        if owned {
            return Ok(Lookup::Absent);
        }
        if mount.may_ask_for(relative) {
            return Ok(ask(false));
        }
        mount.remember_absent(relative);
        Ok(Lookup::Absent)
    }

    /// The active unit called `name`, as its tree on disk or its record tells.
    pub fn active_unit(
        &self,
        mount: &Arc<Mount>,
        bound: &Binding,
        name: &str,
    ) -> Result<Option<Arc<Unit>>> {
        let Some((key, active)) = self.active_entry(mount, bound, name) else { return Ok(None) };
        let Ok(unit_name) = UnitName::new(name) else { return Ok(None) };
        if let Some(unit) = mount.interned(&unit_name, &active.tree) {
            return Ok(Some(unit));
        }
        if let Some(unit) = Unit::of_tree(mount, &self.store, &unit_name, key.clone(), active)? {
            return Ok(Some(mount.intern(unit)));
        }
        // The tree is gone, or its index is damaged: the manifest still knows what it was, or
        // the newest one, after a rollback to what was pruned.
        let record =
            [Some(active.manifest), bound.manifest].into_iter().flatten().find_map(|manifest| {
                let record = self.record_of_tree(mount, &manifest, name, &active.tree)?;
                Some((manifest, record))
            });
        Ok(record.map(|(manifest, record)| {
            mount.intern(Unit::of_record(mount, &self.store, &unit_name, key, manifest, &record))
        }))
    }

    /// The entry of a generation that holds for this mount's pins and this interpreter.
    pub fn active_entry<'a>(
        &self,
        mount: &Mount,
        bound: &'a Binding,
        name: &str,
    ) -> Option<(String, &'a Active)> {
        // Most names that are asked for are modules inside of a unit: no key is made for them.
        if !bound.generation.has_key_of(name) {
            return None;
        }
        let locked = mount.locked(name).ok()?;
        let held = mount.key_of(name);
        let mut keys = vec![self.tagged(&held), held];
        if locked.is_some() {
            // The tree is what counts, whoever made it active.
            keys.extend([self.tagged(name), name.to_owned()]);
        }
        keys.into_iter().find_map(|key| {
            let active = bound.generation.active.get(&key)?;
            locked.is_none_or(|locked| locked.allows(&active.tree)).then_some((key, active))
        })
    }

    pub fn tagged(&self, key: &str) -> String {
        format!("{key}@{}", self.python.suffixes.0.first().map_or("", String::as_str))
    }

    /// What the newest manifest has in the place of a unit that is not in use yet.
    pub fn successor_of(&self, unit: &Unit) -> Option<Located> {
        let mount = unit.mount().ok()?;
        if mount.bound()?.generation.active.contains_key(&unit.key) {
            return None;
        }
        match self.lookup_in(&mount, unit.name.as_str()) {
            Ok(Lookup::Located(found)) if found.unit.digest != unit.digest => Some(found),
            _ => None,
        }
    }

    /// The unit of a record that stands in `manifest`.
    pub fn unit_of(
        &self,
        mount: &Arc<Mount>,
        name: &str,
        manifest: Digest,
        record: &crate::manifest::Record,
    ) -> Result<Arc<Unit>> {
        let unit_name = UnitName::new(name).map_err(|error| {
            Error::new(Kind::UnitNotFound, "no such unit").name(name).caused_by(&error)
        })?;
        let mut key = mount.key_of(name);
        if !record.variants.is_empty() {
            key = self.tagged(&key);
        }
        let selected = self.select(&mount.namespace.join(name), name, record)?;
        let unit = Unit::of_record(mount, &self.store, &unit_name, key, manifest, &selected);
        Ok(mount.interned(&unit.name, &unit.digest).unwrap_or_else(|| mount.intern(unit)))
    }

    /// The record for this platform.
    pub fn select(
        &self,
        full: &str,
        name: &str,
        record: &crate::manifest::Record,
    ) -> Result<crate::manifest::Record> {
        if record.variants.is_empty() {
            return Ok(record.clone());
        }
        let Some(tags) = self.python.tags.get() else {
            return Err(Error::new(Kind::Requirement, NEEDS_TAGS).name(full));
        };
        let (selected, tag) = record.select(tags);
        let paths = selected.files.iter().map(|file| file.path.as_str());
        if tag.is_none()
            && crate::layout::Layout::new(paths).find(name, &self.python.suffixes).is_none()
        {
            let offered: Vec<&str> =
                record.variants.iter().map(|variant| variant.tag.as_str()).collect();
            return Err(Error::new(
                Kind::Requirement,
                format!("{full} has no variant for this interpreter and platform"),
            )
            .name(full)
            .expected(offered.join(", "))
            .got(tags.first().map_or("", String::as_str))
            .hint("use a platform that its author publishes for, or ask for a variant"));
        }
        Ok(selected)
    }

    /// A record by its manifest, in a given version.
    pub fn record_of(
        &self,
        mount: &Mount,
        manifest: &Digest,
        name: &str,
        version: Option<&crate::name::Version>,
    ) -> Result<Option<crate::manifest::Record>> {
        let answer = match version {
            None => mount.record(&self.store, manifest, name)?,
            // This version is in use already, whatever is pinned by now.
            Some(_) => mount.unpinned(&self.store, manifest, name)?,
        };
        let Answer::Record(record) = answer else { return Ok(None) };
        let mut found = match version {
            Some(version) if record.version != *version => record.versions.get(version).cloned(),
            _ => Some((*record).clone()),
        };
        if let (Some(record), Ok(Some(locked))) = (&mut found, mount.locked(name)) {
            locked.narrow(record);
        }
        Ok(found)
    }

    /// The unit that an API name (`magic_module.alpha`) means.
    pub fn mount_of(&self, full: &str) -> Result<(Arc<Mount>, String)> {
        let unknown = || {
            Error::new(Kind::UnitNotFound, format!("no mounted namespace holds {full}"))
                .name(full)
                .hint("mount its namespace first, and write the name as it follows `import`")
        };
        let mut serving = self.serving(full, TopLevel::First)?;
        serving.extend(self.serving(full, TopLevel::Last)?);
        let first = serving.first().cloned().ok_or_else(unknown)?;
        let knows = |(mount, relative): &(Arc<Mount>, String)| {
            !matches!(self.lookup_in(mount, relative), Ok(Lookup::Absent))
        };
        Ok(serving.into_iter().find(knows).unwrap_or(first))
    }
}

/// What [`Session::select`] says when the wheel tags are not known yet: never shown.
pub const NEEDS_TAGS: &str = "the interpreter's wheel tags are needed";

/// Which finder asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopLevel {
    /// The one before every other: named namespaces, and mounts of top-level names that come first.
    First,
    /// As `First`, but the mounts of top-level names that come last.
    Last,
    /// The one behind every other: top-level names only.
    Behind,
}

/// `a.b.c`, `a.b`, `a`.
pub fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.rsplit_once('.').map(|(above, _)| above))
}
