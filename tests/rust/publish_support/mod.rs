//! A source folder and a site in a temporary directory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use magic_module::error::Result;
use magic_module::manifest::{Body, Manifest, Modules, Record};
use magic_module::name::{Digest, Namespace};
use magic_module::uses::publish::{Options, Published, Reach, publish};

pub const DAY: u64 = 86_400;
pub const NOW: u64 = 1_700_000_000;

pub struct Sandbox {
    pub source: PathBuf,
    pub output: PathBuf,
    _folder: tempfile::TempDir,
}

impl Sandbox {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let sandbox = Self { source: root.join("src"), output: root.join("out"), _folder: folder };
        std::fs::create_dir(&sandbox.source).unwrap();
        files.iter().for_each(|(path, text)| sandbox.write(path, text));
        sandbox
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.source.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn publish(&self) -> Result<Published> {
        self.publish_at(NOW)
    }

    pub fn publish_at(&self, clock: u64) -> Result<Published> {
        publish(&self.source, &self.output, &options("magic_module", clock, None))
    }

    pub fn publish_dropping(&self, clock: u64, days: u64) -> Result<Published> {
        self.publish_dropping_into("magic_module", clock, days)
    }

    pub fn publish_dropping_into(&self, name: &str, clock: u64, days: u64) -> Result<Published> {
        publish(&self.source, &self.output, &options(name, clock, Some(days)))
    }

    pub fn publish_into(&self, namespace: &str) -> Result<Published> {
        publish(&self.source, &self.output, &options(namespace, NOW, None))
    }

    pub fn publish_to(&self, output: &Path) -> Result<Published> {
        publish(&self.source, output, &options("magic_module", NOW, None))
    }

    pub fn manifest(&self) -> Manifest {
        let bytes = std::fs::read(self.output.join("manifest.json")).unwrap();
        Manifest::parse(&bytes).unwrap()
    }

    /// All records, those of a catalogue read as a client reads them.
    pub fn modules(&self) -> Modules {
        let manifest = self.manifest();
        let catalogue = match manifest.body {
            Body::Modules(modules) => return modules,
            Body::Catalogue(catalogue) => catalogue,
        };
        let part = |digest: &Digest| {
            let bytes = std::fs::read(self.output.join(catalogue.url_of(digest))).unwrap();
            assert_eq!(Digest::of(&bytes), *digest);
            bytes
        };
        let mut modules = Modules::default();
        for (number, digest) in catalogue.tables.iter().enumerate() {
            let Some(digest) = digest else { continue };
            let table = catalogue.parse_table(&part(digest)).unwrap();
            for (leaf, digest) in table.iter().enumerate() {
                let Some(digest) = digest else { continue };
                let slot = (number, leaf);
                let records = catalogue.parse_leaf(&manifest.namespace, slot, &part(digest));
                modules.0.extend(records.unwrap().0);
            }
        }
        modules
    }

    /// URLs of all files and packs of a unit, those of older versions included.
    pub fn files_of(&self, unit: &str) -> BTreeSet<String> {
        let modules = self.modules();
        let record = &modules.0[unit];
        let mut urls = BTreeSet::new();
        for record in record.versions.values().chain([record]) {
            artifacts(record, |url, _, _| {
                urls.insert(url.to_owned());
            });
        }
        urls
    }

    /// Every file that the manifest refers to is what the manifest says.
    pub fn check_every_file(&self) {
        self.check_files(&self.modules());
    }

    pub fn check_files(&self, modules: &Modules) {
        let mut count = 0;
        for record in modules.0.values() {
            for record in record.versions.values().chain([record]) {
                artifacts(record, |url, size, sha256| {
                    let bytes = std::fs::read(self.output.join(url)).unwrap();
                    assert_eq!((bytes.len() as u64, Digest::of(&bytes)), (size, sha256), "{url}");
                    count += 1;
                });
            }
        }
        assert!(count > 0);
    }

    /// Bytes and time of every file of the site.
    pub fn snapshot(&self) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.output.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&self.output).unwrap().display().to_string();
                    let time = path.metadata().unwrap().modified().unwrap();
                    files.insert(name, (std::fs::read(&path).unwrap(), time));
                }
            }
        }
        files
    }

    /// Makes a file of the site look as if it had been written at `seconds`.
    pub fn age(&self, url: &str, seconds: u64) {
        let file = fs_err::File::options().append(true).open(self.output.join(url)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    pub fn modified(&self, url: &str) -> u64 {
        let time = self.output.join(url).metadata().unwrap().modified().unwrap();
        time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
    }
}

pub fn options(namespace: &str, clock: u64, drop_older_than: Option<u64>) -> Options {
    let namespace = Namespace::new(namespace).unwrap();
    Options {
        namespace,
        drop_older_than,
        clock,
        settings_epoch: true,
        sign: Vec::new(),
        compiler: None,
        reach: Reach::default(),
        packs_for: None,
    }
}

fn artifacts(record: &Record, mut each: impl FnMut(&str, u64, Digest)) {
    let variants = &record.variants;
    for file in record.files.iter().chain(variants.iter().flat_map(|it| &it.files)) {
        each(file.url().unwrap().as_str(), file.size, file.sha256);
    }
    for pack in record.packs.iter().chain(variants.iter().flat_map(|it| &it.packs)) {
        each(pack.url.as_str(), pack.size, pack.sha256);
    }
}
