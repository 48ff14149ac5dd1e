//! A site that is published and served, and clients that stand for processes.

pub mod client;
pub mod server;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use magic_module::name::Namespace;
use magic_module::uses::publish::{Options, Published, Reach, publish};

pub use client::{Client, Options as ClientOptions};
pub use server::Server;

/// A source folder, its site on a server, and a place for caches.
pub struct World {
    pub source: PathBuf,
    pub site: PathBuf,
    pub server: Server,
    namespace: String,
    /// Each publishing is a second later than the one before.
    clock: Cell<u64>,
    root: PathBuf,
    _folder: tempfile::TempDir,
}

impl World {
    /// Publishes `files` as units of `acme`.
    pub fn new(files: &[(&str, &str)]) -> Self {
        Self::of("acme", files)
    }

    pub fn of(namespace: &str, files: &[(&str, &str)]) -> Self {
        let world = Self::empty(namespace);
        for (path, text) in files {
            world.write(path, text);
        }
        world.publish();
        world
    }

    /// Nothing is published yet.
    pub fn empty(namespace: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (source, site) = (root.join("source"), root.join("site"));
        std::fs::create_dir_all(&source).unwrap();
        std::fs::create_dir_all(&site).unwrap();
        Self {
            server: Server::start(&site),
            source,
            site,
            namespace: namespace.to_owned(),
            clock: Cell::new(1_700_000_000),
            root,
            _folder: folder,
        }
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.source.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn publish(&self) -> Published {
        self.clock.set(self.clock.get() + 1);
        let options = Options {
            namespace: Namespace::new(&self.namespace).unwrap(),
            drop_older_than: None,
            clock: self.clock.get(),
            settings_epoch: true,
            sign: Vec::new(),
            compiler: None,
            reach: Reach::default(),
            packs_for: None,
        };
        publish(&self.source, &self.site, &options).unwrap()
    }

    pub fn manifest_url(&self) -> String {
        self.server.url("manifest.json")
    }

    pub fn manifest(&self) -> PathBuf {
        self.site.join("manifest.json")
    }

    pub fn options(&self) -> ClientOptions {
        ClientOptions {
            namespace: self.namespace.clone(),
            manifest_url: self.manifest_url(),
            cache: self.root.join("cache"),
            ..ClientOptions::default()
        }
    }

    /// A process with this world's mount and the common cache.
    pub fn client(&self) -> Client {
        Client::new(self.options())
    }

    pub fn offline(&self) -> Client {
        Client::new(ClientOptions { offline: true, ..self.options() })
    }

    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }
}

/// Every file below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.symlink_metadata().unwrap().is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Copies a folder, modes included.
#[cfg(unix)]
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
