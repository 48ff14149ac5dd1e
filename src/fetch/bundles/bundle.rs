//! One bundle, and where in it the bytes of an artifact are.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::name::{Digest, FilePath, Hasher};
use crate::sign::Keys;
use crate::store::blob::{Begin, BlobStore, BlobWriter};
use crate::store::{Reuse, Sync};
use crate::unpack::Pack;
use crate::wheel::distribution_of;

/// The folder of artifacts in a bundle.
const ARTIFACTS: &str = "artifacts/";

/// What a bundle says of itself.
const ABOUT: &str = "bundle.json";

/// Beside it, if somebody signed it, as the minisign tool does.
const SIGNATURE: &str = "bundle.json.minisig";

/// The lock that it was made of.
const LOCK: &str = "pylock.toml";

/// The form of bundles that is known here.
const FORMAT: u64 = 1;

/// So many bytes are hashed at a time.
const CHUNK: usize = 1 << 18;

/// One bundle, as it was found.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    artifacts: BTreeMap<Digest, Artifact>,
}

#[derive(Debug)]
struct Artifact {
    file: FilePath,
    size: u64,
    /// Where its bytes begin, if they are not compressed.
    stored: Option<u64>,
}

/// The bytes of an artifact where they lie.
#[derive(Debug, Clone)]
pub struct Member {
    path: PathBuf,
    start: u64,
    size: u64,
    sha256: Digest,
}

impl Bundle {
    /// Reads what a bundle has. One whose names escape, or that is not whole, is refused.
    pub fn open(path: &Path) -> Result<Self> {
        Self::read(path, None)
    }

    /// The same of a bundle that one of `keys` signed: it has what is listed in it, and nothing
    /// else.
    pub fn open_signed(path: &Path, keys: &Keys) -> Result<Self> {
        Self::read(path, Some(keys))
    }

    fn read(path: &Path, keys: Option<&Keys>) -> Result<Self> {
        let mut pack = Pack::open_any(path, &path.display().to_string())?;
        let about = FilePath::new(ABOUT).map_err(|_| strange(path, "has no name for itself"))?;
        let mut text = Vec::new();
        pack.extract(&about, &mut text)?;
        if let Some(keys) = keys {
            let mut signature = Vec::new();
            let beside = FilePath::new(SIGNATURE).ok();
            let is_there = beside.is_some_and(|it| pack.extract(&it, &mut signature).is_ok());
            if !is_there || !keys.accept(&text, &signature) {
                return Err(unsigned(path, is_there));
            }
        }
        let said: serde_json::Value = serde_json::from_slice(&text)
            .map_err(|error| strange(path, "cannot be understood").caused_by(&error))?;
        if said.get("bundle").and_then(serde_json::Value::as_u64) != Some(FORMAT) {
            return Err(strange(path, "has a format that this version does not know"));
        }
        if let Some(listed) = said.get("lock_sha256").and_then(serde_json::Value::as_str)
            && keys.is_some()
        {
            let mut lock = Vec::new();
            let name =
                FilePath::new(LOCK).map_err(|_| strange(path, "has no name for its lock"))?;
            pack.extract(&name, &mut lock)?;
            if Digest::of(&lock).to_hex() != listed {
                return Err(strange(path, "holds another lock than the one that was signed"));
            }
        }
        let listed: BTreeSet<&str> = said
            .get("artifacts")
            .and_then(serde_json::Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|it| it["sha256"].as_str())
            .collect();
        let mut artifacts = BTreeMap::new();
        for (file, entry) in &pack.directory().files {
            let named = file.as_str().strip_prefix(ARTIFACTS).and_then(|it| it.split_once('/'));
            let digest = named.and_then(|(digest, _)| Digest::new(digest).ok());
            if let Some(digest) =
                digest.filter(|it| keys.is_none() || listed.contains(it.to_hex().as_str()))
            {
                let artifact = Artifact {
                    file: file.clone(),
                    size: entry.size,
                    stored: pack.stored(file).map(|span| span.start),
                };
                artifacts.insert(digest, artifact);
            }
        }
        Ok(Self { path: path.to_owned(), artifacts })
    }

    /// Puts everything that it has into the store: how many artifacts, and how many bytes.
    pub fn unpack(&self, blobs: &BlobStore) -> Result<(usize, u64)> {
        for sha256 in self.artifacts.keys() {
            self.copy(blobs, sha256)?;
        }
        durable(blobs)?;
        Ok((self.artifacts.len(), self.artifacts.values().map(|it| it.size).sum()))
    }

    /// Names of what it has.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.artifacts.keys()
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How large it says that an artifact is, if it has it.
    pub fn size(&self, sha256: &Digest) -> Option<u64> {
        self.artifacts.get(sha256).map(|it| it.size)
    }

    /// Where an artifact's bytes are, if they lie there as they are.
    pub fn member(&self, sha256: &Digest) -> Option<Member> {
        let Artifact { size, stored, .. } = self.artifacts.get(sha256)?;
        let path = self.path.clone();
        stored.map(|start| Member { path, start, size: *size, sha256: *sha256 })
    }

    /// Makes a blob of an artifact, if it has it; its size.
    pub fn copy(&self, blobs: &BlobStore, sha256: &Digest) -> Result<Option<u64>> {
        let Some(Artifact { file, size, .. }) = self.artifacts.get(sha256) else { return Ok(None) };
        let size = *size;
        let mut writer = match blobs.begin(sha256, size, Reuse::WhatIsHere)? {
            Begin::Ready => return Ok(Some(size)),
            Begin::Writer(writer) => writer,
            // Another process downloads it: nobody knows for how long.
            Begin::Busy { .. } => blobs.begin_apart(sha256)?,
        };
        let label = self.path.display().to_string();
        let mut pack = Pack::open_any(&self.path, &label)?;
        pack.copy(file, size, sha256, &mut Into(&mut writer))?;
        let sync = if cfg!(target_os = "linux") { Sync::Later } else { Sync::Now };
        writer.commit(sync).map(|()| Some(size))
    }

    /// The file name of another artifact of the same distribution.
    pub fn other(&self, file_name: &str) -> Option<&str> {
        let first = distribution_of(file_name)?;
        let names = self.artifacts.values().filter_map(|it| it.file.as_str().rsplit('/').next());
        names.into_iter().find(|name| distribution_of(name).is_some_and(|it| it == first))
    }
}

impl Member {
    /// How many they are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Some of them.
    pub fn read(&self, span: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let end = span.end.min(self.size);
        let count = end.saturating_sub(span.start);
        self.open(span.start)
            .and_then(|file| file.take(count).read_to_end(&mut bytes))
            .map_err(|error| Error::store("cannot read a bundle", &self.path, &error))?;
        Ok(bytes)
    }

    /// Whether they are those that the sha256 names.
    pub fn is_sound(&self) -> bool {
        let hashed = || -> io::Result<Digest> {
            let (mut file, mut hasher) = (self.open(0)?.take(self.size), Hasher::default());
            let mut chunk = vec![0; CHUNK];
            loop {
                match file.read(&mut chunk)? {
                    0 => return Ok(hasher.finish()),
                    count => hasher.update(&chunk[..count]),
                }
            }
        };
        hashed().is_ok_and(|digest| digest == self.sha256)
    }

    fn open(&self, at: u64) -> io::Result<fs_err::File> {
        let mut file = fs_err::File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.start + at))?;
        Ok(file)
    }
}

struct Into<'a>(&'a mut BlobWriter);

impl Write for Into<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map(|()| bytes.len()).map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Once for all that was copied.
pub(super) fn durable(blobs: &BlobStore) -> Result<()> {
    #[cfg(target_os = "linux")]
    blobs.sync()?;
    #[cfg(not(target_os = "linux"))]
    let _ = blobs;
    Ok(())
}

fn strange(path: &Path, why: &str) -> Error {
    Error::new(Kind::Integrity, format!("the bundle {} {why}", path.display()))
        .path(path.display().to_string())
        .hint("make it again: magic-module bundle")
}

fn unsigned(path: &Path, is_signed: bool) -> Error {
    let why = if is_signed { "was not signed with any of the given keys" } else { "is not signed" };
    Error::new(Kind::Signature, format!("the bundle {} {why}", path.display()))
        .path(path.display().to_string())
        .hint("ask whoever made it: magic-module bundle --sign KEY")
}
