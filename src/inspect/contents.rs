//! The directory of a wheel and its `RECORD` become its contents.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Asked;
use crate::distribution::{Row, rows};
use crate::error::Result;
use crate::name::{Digest, DistributionName, FilePath};
use crate::wheel::Contents;

/// What stands in `.dist-info` for tools to read.
const TEXTS: [&str; 5] = ["METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt"];

/// The largest of them, in bytes.
pub(super) const TEXT_LIMIT: u64 = 16 << 20;

/// The folder with the metadata, and those of its texts that there are.
#[derive(Debug)]
pub(super) struct DistInfo {
    pub folder: String,
    /// By their names there.
    pub texts: BTreeMap<&'static str, FilePath>,
}

impl DistInfo {
    /// Finds the one among all files of the wheel.
    pub fn find<'a>(asked: &Asked, files: impl Iterator<Item = &'a FilePath>) -> Result<Self> {
        let files: BTreeSet<&str> = files.map(FilePath::as_str).collect();
        let tops = files.iter().filter_map(|path| Some(path.split_once('/')?.0));
        let folders: BTreeSet<&str> = tops.filter(|top| top.ends_with(".dist-info")).collect();
        let mut folders = folders.into_iter();
        let folder = match (folders.next(), folders.next()) {
            (Some(folder), None) => folder,
            (None, _) => return Err(asked.broken("has no .dist-info folder")),
            (Some(one), Some(other)) => {
                let what = format!("has more than one .dist-info folder: {one} and {other}");
                return Err(asked.broken(&what));
            }
        };
        let name = folder.split('-').next().unwrap_or_default();
        if asked.name.as_ref().is_some_and(|own| DistributionName::new(name).as_ref() != Ok(own)) {
            return Err(asked.broken(&format!("has another name than its {folder}")));
        }
        let text = |name: &'static str| {
            let path = format!("{folder}/{name}");
            files.contains(path.as_str()).then(|| FilePath::new(&path).ok())?.map(|it| (name, it))
        };
        let texts: BTreeMap<_, _> = TEXTS.into_iter().filter_map(text).collect();
        for needed in ["METADATA", "WHEEL"] {
            if !texts.contains_key(needed) {
                return Err(asked.broken(&format!("has no {needed} in its {folder}")));
            }
        }
        Ok(Self { folder: folder.to_owned(), texts })
    }

    /// The name of the `RECORD`, if there is one.
    pub fn record(&self) -> Option<&FilePath> {
        self.texts.get("RECORD")
    }
}

/// True if the facts name the files of a wheel, and the texts are those that its files have.
pub(super) fn is_whole(asked: &Asked, contents: &Contents) -> bool {
    let Ok(found) = DistInfo::find(asked, contents.files.iter().map(|file| &file.entry)) else {
        return false;
    };
    let is_named = |name: &String| found.texts.contains_key(name.as_str());
    let is_right = |(name, path): (&&str, &FilePath)| {
        let file = contents.files.iter().find(|file| file.entry == *path);
        let text = contents.texts.get(*name).map(String::as_bytes);
        match (file, text) {
            (Some(file), Some(text)) => {
                file.size == text.len() as u64 && file.sha256 == Digest::of(text)
            }
            _ => *name == "RECORD",
        }
    };
    found.folder == contents.dist_info
        && contents.texts.keys().all(is_named)
        && found.texts.iter().all(is_right)
}

/// The lines of a `RECORD`, by path.
pub(super) struct Record(HashMap<String, Row>);

impl Record {
    /// `Err` has the path that appears there twice, with other facts.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut known = HashMap::new();
        for row in rows(text).filter(|row| !row.path.is_empty() && !row.path.ends_with('/')) {
            match known.get(&row.path) {
                Some(other) if *other != row => return Err(row.path),
                _ => drop(known.insert(row.path.clone(), row)),
            }
        }
        Ok(Self(known))
    }

    /// What it says of a file.
    pub fn of(&self, path: &FilePath) -> Option<&Row> {
        self.0.get(path.as_str())
    }

    /// How many files it names.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// True if a file of this size and digest is none of those that the row can mean.
pub(super) fn contradicts(row: &Row, size: u64, sha256: &Digest) -> bool {
    row.size.is_some_and(|it| it != size) || row.sha256.is_some_and(|it| it != *sha256)
}

/// What a text says. Old tools wrote in encodings of their own.
pub(super) fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
