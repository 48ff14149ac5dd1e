//! A unit's entry in a manifest, and the digest of the tree that it describes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::object::{Object, objects, objects_by};
use crate::name::{Age, Digest, FilePath, Hasher, UnitName, UrlText, Version};

/// Records by unit name. JSON allows a key twice, a manifest does not.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Modules(pub BTreeMap<UnitName, Box<Record>>);

/// What is downloaded together and imported as one module or package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// As its author wrote it.
    pub version: Version,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// A version specifier for the interpreter (PEP 440), such as `>=3.10`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_python: Option<String>,
    /// Distributions that must be installed (PEP 508).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<String>,
    /// Units of the same manifest that come with this one.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub requires: BTreeSet<UnitName>,
    /// Why new fetches refuse this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yanked: Option<String>,
    /// All of them, also those that packs hold.
    #[serde(deserialize_with = "objects")]
    pub files: Vec<File>,
    /// Shorter ways to many of `files`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "objects")]
    pub packs: Vec<Pack>,
    /// For platforms, in no order.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "objects")]
    pub variants: Vec<Variant>,
    /// Older records by version, for pins and rollback on a fresh machine.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "objects_by")]
    pub versions: BTreeMap<Version, Box<Record>>,
    /// When the version was published, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<u64>,
}

/// One file of a unit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct File {
    /// In the tree.
    pub path: FilePath,
    /// Where its bytes come from.
    #[serde(rename = "url")]
    pub place: Place,
    /// In bytes; anything else is refused.
    pub size: u64,
    /// Of the bytes as they are written; anything else is refused.
    pub sha256: Digest,
    /// Fetched when it is first asked for, and kept outside the tree.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lazy: bool,
    /// A tool that programs run: its file has the executable bits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// Where a file's bytes come from. A document can only say `Url`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Place {
    /// An artifact of its own, absolute or relative to the manifest's URL. Packs that list the
    /// file hold it, too, under its path.
    Url(UrlText),
    /// The packs that list the file and nothing else, under a name that may be another than its
    /// path: a wheel's `x.data/purelib/` is not where its files go.
    #[serde(skip_serializing)]
    InPack {
        /// The name.
        entry: FilePath,
    },
}

/// Many small files in one artifact, or the code compiled from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pack {
    /// How it is read.
    pub format: PackFormat,
    /// Which interpreter code is for; code only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Absolute, or relative to the manifest's.
    pub url: UrlText,
    /// In bytes, packed.
    pub size: u64,
    /// Of the pack itself.
    pub sha256: Digest,
    /// The entries that are the record's files; none for code.
    pub paths: Vec<FilePath>,
}

/// A format that is not known is skipped: `files` are the fallback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackFormat {
    /// Stored or deflated.
    Zip,
    /// A zip in one zstd frame.
    #[serde(rename = "zip+zstd")]
    ZipZstd,
    /// A zip as it is installed: folders may have entries, which mean nothing. No document can
    /// say it.
    #[serde(skip)]
    Wheel,
    /// A zip with marshalled code, each entry named by the sha256 of its source.
    Code,
    /// As it was written.
    #[serde(untagged)]
    Unknown(String),
}

impl PackFormat {
    /// True if packs of this format hold files of the unit, and are understood.
    pub fn holds_files(&self) -> bool {
        matches!(self, Self::Zip | Self::ZipZstd | Self::Wheel)
    }
}

/// Files for one platform. They are added to the record's own; the same path replaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// A wheel tag: `cp310-abi3-manylinux_2_17_x86_64`
    /// (<https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/>).
    pub tag: String,
    /// All that the variant adds or replaces.
    #[serde(deserialize_with = "objects")]
    pub files: Vec<File>,
    /// Shorter ways to many of `files`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "objects")]
    pub packs: Vec<Pack>,
}

impl Record {
    /// The record as it is for the best of `tags` (best first): one flat list of
    /// files and packs, and the tag that was chosen.
    pub fn select(&self, tags: &[String]) -> (Record, Option<String>) {
        let best =
            tags.iter().find_map(|tag| self.variants.iter().find(|variant| variant.has(tag)));
        let mut record = Record { variants: Vec::new(), versions: BTreeMap::new(), ..self.clone() };
        let Some(variant) = best else { return (record, None) };
        let replaced = variant.paths();
        record.files.retain(|file| !replaced.contains(&file.path));
        // A pack holds what it was made from, which is not the file any more.
        record.packs.retain(|pack| !pack.paths.iter().any(|path| replaced.contains(path)));
        record.files.extend(variant.files.iter().cloned());
        record.packs.extend(variant.packs.iter().cloned());
        (record, Some(variant.tag.clone()))
    }

    /// sha256 over the sorted lines `path NUL size NUL sha256 LF`. A lazy file's
    /// line ends in `NUL lazy`, because it lies outside the tree; that of a file which
    /// can be run in `NUL executable`.
    pub fn tree_digest(&self) -> Digest {
        tree_digest(&self.files)
    }

    /// The digest of the tree that one of its variants makes.
    pub fn digest_with(&self, variant: &Variant) -> Digest {
        let replaced = variant.paths();
        let kept = self.files.iter().filter(|file| !replaced.contains(&file.path));
        tree_digest(kept.chain(&variant.files))
    }

    /// The bytes of everything that is not lazy.
    pub fn size(&self) -> u64 {
        let eager = self.files.iter().filter(|file| !file.lazy);
        eager.fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// True if something outside of the unit decides whether it can be used.
    pub fn has_conditions(&self) -> bool {
        self.requires_python.is_some() || !self.dependencies.is_empty()
    }

    /// The version and those that came before it, in no order.
    pub fn with_older(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(self.versions.values().map(Box::as_ref))
    }

    /// Its files, and those of all its variants.
    pub fn all_files(&self) -> impl Iterator<Item = &File> {
        self.files.iter().chain(self.variants.iter().flat_map(|variant| &variant.files))
    }

    /// Its packs, and those of all its variants.
    pub fn all_packs(&self) -> impl Iterator<Item = &Pack> {
        self.packs.iter().chain(self.variants.iter().flat_map(|variant| &variant.packs))
    }

    /// The newest version that was not taken back.
    pub fn newest_good(&self) -> Option<&Self> {
        if self.yanked.is_none() {
            return Some(self);
        }
        let good = self.versions.values().filter(|older| older.yanked.is_none());
        good.max_by_key(|older| older.age()).map(Box::as_ref)
    }

    /// The version and those that came before it, the newest first.
    pub fn newest_first(&self) -> Vec<&Version> {
        let mut records: Vec<&Record> = self.with_older().collect();
        records.sort_by_cached_key(|record| std::cmp::Reverse(record.age()));
        records.into_iter().map(|record| &record.version).collect()
    }

    /// The record of a version; `None` if there is no such version.
    pub fn in_version(&self, version: &str) -> Option<&Self> {
        let older = || self.versions.get(version).map(Box::as_ref);
        if self.version.as_str() == version { Some(self) } else { older() }
    }

    /// The greater is the newer one.
    pub fn age(&self) -> Age {
        self.version.age(self.published)
    }

    /// Looks for `path`, lazy files included.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path.as_str() == path)
    }
}

impl File {
    /// The artifact that holds nothing else.
    pub fn url(&self) -> Option<&UrlText> {
        match &self.place {
            Place::Url(url) => Some(url),
            Place::InPack { .. } => None,
        }
    }

    /// What the file is called in the packs that list it.
    pub fn entry(&self) -> &FilePath {
        match &self.place {
            Place::Url(_) => &self.path,
            Place::InPack { entry } => entry,
        }
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        UrlText::deserialize(deserializer).map(Self::Url)
    }
}

impl Pack {
    /// True for code that the interpreter called `tag` can run.
    pub fn is_code_for(&self, tag: &str) -> bool {
        self.format == PackFormat::Code && self.tag.as_deref() == Some(tag)
    }
}

impl Variant {
    /// What it adds or replaces.
    fn paths(&self) -> BTreeSet<&FilePath> {
        self.files.iter().map(|file| &file.path).collect()
    }

    /// A compressed tag (`py2.py3-none-any`) stands for each of its expansions.
    fn has(&self, tag: &str) -> bool {
        let mut own = self.tag.splitn(3, '-');
        let mut wanted = tag.splitn(3, '-');
        (0..3).all(|_| match (own.next(), wanted.next()) {
            (Some(own), Some(it)) => own.split('.').any(|part| part.eq_ignore_ascii_case(it)),
            _ => false,
        })
    }
}

impl Modules {
    /// True if a path is in another Unicode normal form than C.
    pub fn any_form(&self) -> bool {
        let mut records = self.0.values().flat_map(|record| record.with_older());
        records.any(|record| record.all_files().any(|file| file.path.is_composed().is_err()))
    }

    /// Reasons by unit and version of what was taken back.
    pub fn yanked(&self) -> BTreeMap<UnitName, BTreeMap<Version, String>> {
        let mut all: BTreeMap<UnitName, BTreeMap<Version, String>> = BTreeMap::new();
        let records =
            self.0.iter().flat_map(|(name, it)| it.with_older().map(move |it| (name, it)));
        for (name, record) in records {
            if let Some(reason) = &record.yanked {
                let unit = all.entry(name.clone()).or_default();
                unit.insert(record.version.clone(), reason.clone());
            }
        }
        all
    }
}

/// The line that a tree's digest covers of a file; see [`Record::tree_digest`].
pub fn listed(path: &FilePath, size: u64, sha256: &Digest, lazy: bool, executable: bool) -> String {
    let lazy = if lazy { "\0lazy" } else { "" };
    let executable = if executable { "\0executable" } else { "" };
    format!("{path}\0{size}\0{sha256}{lazy}{executable}\n")
}

/// See [`Record::tree_digest`].
pub fn tree_digest<'a>(files: impl IntoIterator<Item = &'a File>) -> Digest {
    let line =
        |file: &File| listed(&file.path, file.size, &file.sha256, file.lazy, file.executable);
    let mut lines: Vec<String> = files.into_iter().map(line).collect();
    lines.sort_unstable();
    let mut hasher = Hasher::default();
    lines.iter().for_each(|line| hasher.update(line.as_bytes()));
    hasher.finish()
}

impl<'de> Deserialize<'de> for Modules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Modules;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of records by unit name")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Modules, A::Error> {
                let mut modules = BTreeMap::new();
                while let Some((name, record)) = map.next_entry::<UnitName, Object<Record>>()? {
                    if modules.insert(name, Box::new(record.0)).is_some() {
                        return Err(serde::de::Error::custom("a unit appears here twice"));
                    }
                }
                Ok(Modules(modules))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
