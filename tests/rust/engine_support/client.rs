//! A process that imports: a session with one mount, driven like the Python floor drives it.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use magic_module::error::Result;
use magic_module::layout::Suffixes;
use magic_module::mount::{Mount, MountRequest};
use magic_module::name::{Namespace, UnitName, UrlText, Version};
use magic_module::session::{Located, Lookup, Session, TopLevel};
use magic_module::settings::{Settings, Show};
use magic_module::store::Reuse;
use magic_module::store::code::Interpreter;
use magic_module::supply::{Source, manifest};
use magic_module::unit::{Python, Unit};
use magic_module::uses::moves::upgrade::Move;

#[derive(Clone)]
pub struct Options {
    pub namespace: String,
    pub manifest_url: String,
    pub cache: PathBuf,
    pub keys: Vec<String>,
    pub pins: Vec<(&'static str, &'static str)>,
    pub offline: bool,
    pub first: bool,
    /// For how many seconds an answer counts whose server does not say.
    pub fresh: u64,
    /// The suffix of extension modules, and the wheel tags.
    pub python: (&'static str, &'static [&'static str]),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            namespace: String::new(),
            manifest_url: String::new(),
            cache: PathBuf::new(),
            keys: Vec::new(),
            pins: Vec::new(),
            offline: false,
            first: false,
            fresh: 0,
            python: (".cpython-313.so", &["cp313-cp313-test", "py3-none-any"]),
        }
    }
}

pub struct Client {
    pub session: Arc<Session>,
    pub mount: Arc<Mount>,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    pub fn new(options: Options) -> Self {
        Self::try_new(options).unwrap()
    }

    pub fn try_new(options: Options) -> Result<Self> {
        let session = Arc::new(Session::new(settings(&options), python(&options)));
        let mount = session.mount(request(&options))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Ok(Self { session, mount, runtime })
    }

    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn full(&self, name: &str) -> String {
        self.mount.namespace.join(name)
    }

    /// What a name is, asking where that decides it. `None`: there is no such module.
    pub fn find(&self, name: &str) -> Result<Option<Located>> {
        let top_level = if self.mount.request.first { TopLevel::First } else { TopLevel::Last };
        let looked = match self.session.lookup(&self.full(name), top_level)? {
            Lookup::Ask { mount, relative, silence } => {
                self.wait(self.session.ask(&mount, &relative, silence))?
            }
            Lookup::Refused { mount, relative, error } => {
                self.wait(self.session.ask_again(&mount, &relative, error))?
            }
            other => other,
        };
        Ok(match looked {
            Lookup::Located(located) => Some(located),
            _ => None,
        })
    }

    /// Everything that an import does before the module's code runs.
    pub fn import(&self, name: &str) -> Result<Arc<Unit>> {
        let located = self.find(name)?;
        let unit = located.unwrap_or_else(|| panic!("{name} was not found")).unit;
        if !self.session.is_ready(&unit)? {
            let attempt = || async {
                let members = self.session.closure(&unit).await?;
                self.session.fetch(&self.mount, &members, &unit.full_name).await
            };
            self.wait(self.session.or_newer(&self.mount, self.mount.known(), attempt))?;
        }
        Ok(unit)
    }

    /// The text of every file of a unit, as the loaders read it.
    pub fn read(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let unit = self.import(name)?;
        let tree = unit.tree().unwrap();
        let mut texts = BTreeMap::new();
        for file in tree.files.iter().filter(|file| !file.lazy) {
            let bytes = unit.read(file.path.as_str())?;
            texts.insert(file.path.to_string(), String::from_utf8(bytes).unwrap());
        }
        Ok(texts)
    }

    pub fn text(&self, name: &str, path: &str) -> String {
        self.read(name).unwrap()[path].clone()
    }

    /// What an error says, with the mount's URL in it shortened.
    pub fn sentence<T>(&self, outcome: Result<T>) -> String {
        let Err(error) = outcome else { panic!("this is not an error") };
        let url = self.mount.supply.url().to_string();
        let site = url.trim_end_matches("manifest.json");
        error.to_string().replace(site, "SITE/")
    }

    /// Upgrades `names`; the moves as `name: old -> new`.
    pub fn upgrade(&self, names: &[&str]) -> Result<Vec<String>> {
        self.upgrade_with(names, Reuse::WhatIsHere)
    }

    pub fn upgrade_with(&self, names: &[&str], reuse: Reuse) -> Result<Vec<String>> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let prepared = self.wait(self.session.prepare_upgrade(&self.mount, &names, reuse))?;
        self.session.commit(&prepared)?;
        Ok(prepared.moves.iter().map(shown).collect())
    }

    pub fn rollback(&self, name: &str) -> Result<Vec<String>> {
        let prepared = self.wait(self.session.prepare_rollback(&self.mount, name))?;
        self.session.commit(&prepared)?;
        Ok(prepared.moves.iter().map(shown).collect())
    }

    /// The versions that are active in this process.
    pub fn active(&self) -> Vec<String> {
        let bound = self.mount.bound();
        let active = bound.iter().flat_map(|bound| &bound.generation.active);
        active.map(|(key, active)| format!("{key} {}", active.version)).collect()
    }
}

fn shown(step: &Move) -> String {
    let version = |active: &Option<magic_module::store::generation::Active>| {
        active.as_ref().map_or("nothing".to_owned(), |active| active.version.to_string())
    };
    format!("{}: {} -> {}", step.key, version(&step.old), version(&step.new))
}

pub fn request(options: &Options) -> MountRequest {
    let pin = |(name, version): &(&str, &str)| {
        (UnitName::new(name).unwrap(), Version::new(version).unwrap())
    };
    MountRequest {
        namespace: Namespace::new(&options.namespace).unwrap(),
        source: Source::Manifest(manifest::Source {
            url: UrlText::new(options.manifest_url.clone()),
            public_keys: options.keys.clone(),
            ..manifest::Source::default()
        }),
        first: options.first,
        pins: options.pins.iter().map(pin).collect(),
        frozen: false,
    }
}

fn settings(options: &Options) -> Settings {
    Settings {
        space: None,
        spaces_dir: None,
        lock: None,
        mounts: Vec::new(),
        broken_mounts: Vec::new(),
        registry: None,
        auto_install: None,
        sync: false,
        trace_part: None,
        bundles: None,
        start: true,
        manifest_url: None,
        public_keys: Vec::new(),
        pins: BTreeMap::new(),
        allow_http: false,
        cache_dir: options.cache.clone(),
        further_caches: Vec::new(),
        cache_limit: None,
        trusted_owners: Vec::new(),
        offline: options.offline,
        progress: Show::Off,
        concurrency: 8,
        verify_full: false,
        source_date_epoch: None,
        fresh: options.fresh,
        key_password: None,
        netrc: None,
        certificates: None,
    }
}

pub fn python(options: &Options) -> Python {
    let (suffix, tags) = options.python;
    let known = OnceLock::new();
    known.set(tags.iter().map(|tag| (*tag).to_owned()).collect()).unwrap();
    Python {
        code: Interpreter { cache_tag: "cpython-313".into(), magic: vec![1, 2], optimization: 0 },
        suffixes: Suffixes(vec![suffix.to_owned(), ".so".to_owned()]),
        environment: "test".into(),
        tags: known,
    }
}
