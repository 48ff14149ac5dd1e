//! Verified bytes, named by their sha256.
//!
//! ```text
//! tmp/<sha256>.part     being written; its writer holds its lock
//!    │ complete, hash right: mode 0444, synced, renamed
//!    ▼
//! blobs/<2 hex>/<sha256>
//! ```
//!
//! What is not there is looked for in further caches, whose blobs are read where they lie. One of
//! those that is damaged is hidden by an empty file in its place here.
//!
//! The part file is its own lock: whoever finds it locked waits, whoever can lock
//! it found the rest of a dead writer and starts again. Whoever waits in vain, and where
//! there are no locks, writes `tmp/<sha256>.<process>.<number>.part` instead.

mod private;

use std::fs::TryLockError;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::disk::{self, careful};
use super::lock::{OpenFile, open_in_place, unsupported};
use super::{Reuse, Sync, aside, cannot_look, make_folders, rename_onto, sync_folder};
use crate::error::{Error, Kind, Result};
use crate::name::Digest;
use crate::status::Status;

pub use private::Admission;

/// Where there are no locks, the rest of a dead writer is known by its age.
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// For so many blobs the folders are listed first.
const ENOUGH_TO_LIST: usize = 64;

const SUFFIX: &str = "part";

/// Finds blobs by their digests, and takes new ones.
#[derive(Debug, Clone)]
pub struct BlobStore {
    root: PathBuf,
    /// The same of further caches, which are only read.
    behind: Vec<PathBuf>,
    /// Names the space that it is used for; empty without one.
    who: String,
}

/// What there is to do for a blob.
#[derive(Debug)]
pub enum Begin {
    /// It is there.
    Ready,
    /// It is yours to write.
    Writer(BlobWriter),
    /// Somebody is writing it and has come this far.
    Busy {
        /// Written until now.
        bytes: u64,
    },
}

/// What the store held a moment ago.
#[derive(Debug)]
pub struct Glance<'a> {
    blobs: &'a BlobStore,
    /// Which folders there are, if they were listed.
    folders: Option<[bool; 256]>,
}

impl Glance<'_> {
    pub(crate) fn has(&self, digest: &Digest, size: u64) -> bool {
        let folder = usize::from(digest.as_bytes()[0]);
        self.folders.is_none_or(|folders| folders[folder]) && self.blobs.has(digest, size)
    }
}

/// What distinguishes one writing of a blob from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(Option<SystemTime>, u64, u64);

impl BlobStore {
    /// `root` is `<cache>/v1`; nothing is touched.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), behind: Vec::new(), who: String::new() }
    }

    /// The same with further caches behind it.
    #[must_use]
    pub fn before(self, behind: Vec<PathBuf>) -> Self {
        Self { behind, ..self }
    }

    /// Where the blob is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let own = self.own_path(digest);
        self.path_behind(digest, &own).unwrap_or(own)
    }

    fn own_path(&self, digest: &Digest) -> PathBuf {
        path_below(&self.root, digest)
    }

    /// Where it is in a further cache, unless something stands at `own`.
    fn path_behind(&self, digest: &Digest, own: &Path) -> Option<PathBuf> {
        if self.behind.is_empty() || fs_err::symlink_metadata(own).is_ok() {
            return None;
        }
        let paths = self.behind.iter().map(|root| path_below(root, digest));
        paths.into_iter().find(|path| fs_err::symlink_metadata(path).is_ok_and(|it| it.is_file()))
    }

    /// True if the blob is there in full. Its bytes are hashed when they are read.
    pub fn has(&self, digest: &Digest, size: u64) -> bool {
        fs_err::symlink_metadata(self.path(digest))
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
    }

    /// How large the blob is, if it is there.
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        let metadata = fs_err::symlink_metadata(self.path(digest)).ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    /// The same as [`Self::has`] for many: in a store that is almost empty most folders are missing, and what
    /// would lie in them need not be looked for. Blobs that come later may be overlooked.
    pub fn glance(&self, many: usize) -> Glance<'_> {
        let pays = many >= ENOUGH_TO_LIST && self.behind.is_empty();
        Glance { blobs: self, folders: if pays { self.folders() } else { None } }
    }

    /// Which folders there are; `None` if that cannot be told.
    fn folders(&self) -> Option<[bool; 256]> {
        let mut found = [false; 256];
        for entry in fs_err::read_dir(self.root.join("blobs")).ok()? {
            let name = entry.ok()?.file_name();
            if let Ok(number) = u8::from_str_radix(name.to_str()?, 16) {
                found[usize::from(number)] = true;
            }
        }
        Some(found)
    }

    /// `None` if the blob is not there.
    pub fn stamp(&self, digest: &Digest) -> Option<Stamp> {
        let metadata = fs_err::symlink_metadata(self.path(digest)).ok()?;
        Some(Stamp(metadata.modified().ok(), metadata.len(), Status::of(&metadata).inode))
    }

    /// Takes the blob for writing, unless it is there or somebody else writes it. Whoever
    /// may have missed it looks first; what counts is what is seen with the lock in hand.
    pub fn begin(&self, digest: &Digest, size: u64, reuse: Reuse) -> Result<Begin> {
        let part = self.tmp().join(format!("{digest}.{SUFFIX}"));
        loop {
            let file = self.open(&part)?;
            match file.just_opened().try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let bytes = file.just_opened().metadata().map_or(0, |metadata| metadata.len());
                    return Ok(Begin::Busy { bytes });
                }
                Err(TryLockError::Error(error)) if unsupported(&error) => {
                    // Two writers must not share a file that neither can lock.
                    drop(file);
                    return self.begin_apart(digest).map(Begin::Writer);
                }
                Err(TryLockError::Error(error)) => {
                    return Err(Error::store("cannot lock a part of the cache", &part, &error));
                }
            }
            if !file.is_at(&part).map_err(|error| cannot_look(&part, &error))? {
                continue;
            }
            let writer = self.writer(file, part.clone(), digest);
            if reuse == Reuse::WhatIsHere && self.has(digest, size) {
                return Ok(Begin::Ready);
            }
            writer.truncate()?;
            return Ok(Begin::Writer(writer));
        }
    }

    /// Takes a part file of its own, whoever else writes the blob.
    pub fn begin_apart(&self, digest: &Digest) -> Result<BlobWriter> {
        let part = aside(&self.tmp(), digest, SUFFIX);
        let file = self.open(&part)?;
        // Keeps `sweep` away; without locks its age does.
        let _ = file.just_opened().try_lock();
        Ok(self.writer(file, part, digest))
    }

    /// Takes a part file for bytes whose digest is not known yet.
    pub fn begin_unnamed(&self) -> Result<BlobWriter> {
        self.begin_apart(&Digest::of(b""))
    }

    /// Gives such bytes, all of which the caller has hashed, their name.
    pub fn name(&self, mut writer: BlobWriter, digest: &Digest, sync: Sync) -> Result<()> {
        writer.target = self.own_path(digest);
        writer.commit(sync)
    }

    /// Puts bytes that are in memory into the store, and returns their name. What is there
    /// already and damaged is replaced.
    pub fn insert(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        if !self.is_whole(&digest, bytes.len() as u64)? {
            let mut writer = self.begin_apart(&digest)?;
            writer.write(bytes)?;
            writer.commit(Sync::Now)?;
        }
        Ok(digest)
    }

    /// The blob's bytes, hashed; at most `limit` of them.
    pub fn read_verified(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let path = self.path(digest);
        let bytes = disk::read(&path, limit).map_err(|error| {
            if disk::is_damage(&error) && !disk::is_absent(&error) {
                damaged(&path).caused_by(&error)
            } else {
                Error::store("cannot read from the cache", &path, &error)
            }
        })?;
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(damaged(&path).expected(digest.to_hex()).got(found.to_hex()));
        }
        Ok(bytes)
    }

    /// Hashes the blob where it lies. False if it is damaged, not there, or larger than `size`.
    pub fn is_whole(&self, digest: &Digest, size: u64) -> Result<bool> {
        let path = self.path(digest);
        match disk::digest(&path, size) {
            Ok(found) => Ok(found == *digest),
            Err(error) if disk::is_damage(&error) => Ok(false),
            Err(error) => Err(Error::store("cannot read from the cache", &path, &error)),
        }
    }

    /// Removes the blob, which is damaged, if it is there.
    pub fn remove(&self, digest: &Digest) -> Result<()> {
        let path = self.own_path(digest);
        disk::remove(&path)
            .map_err(|error| Error::store("cannot remove from the cache", &path, &error))?;
        let Some(behind) = self.path_behind(digest, &path) else { return Ok(()) };
        let size = fs_err::symlink_metadata(&behind).map_or(0, |it| it.len());
        if disk::digest(&behind, size).is_ok_and(|found| found == *digest) {
            return Ok(());
        }
        self.begin_apart(digest)?.commit(Sync::Later)
    }

    /// Removes what dead writers left, and returns how many bytes that were.
    pub fn sweep(&self) -> Result<u64> {
        let tmp = self.tmp();
        let mut parts = disk::list(&tmp).map_err(|error| cannot_look(&tmp, &error))?;
        parts.retain(|path| path.extension().is_some_and(|it| it == SUFFIX));
        Ok(parts.iter().filter_map(|path| self.sweep_one(path)).sum())
    }

    fn sweep_one(&self, path: &Path) -> Option<u64> {
        let mut options = fs_err::OpenOptions::new();
        options.write(true);
        careful(&mut options, 0);
        let file = OpenFile::new(options.open(path).ok()?);
        let metadata = file.just_opened().metadata().ok()?;
        match file.just_opened().try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error))
                if unsupported(&error)
                    && metadata.modified().ok()?.elapsed().ok()? >= DEAD_AFTER => {}
            Err(_) => return None,
        }
        file.is_at(path).ok().filter(|here| *here)?;
        fs_err::remove_file(path).ok().map(|()| metadata.len())
    }

    /// Makes everything that was committed without syncing durable, in one call.
    #[cfg(target_os = "linux")]
    pub fn sync(&self) -> Result<()> {
        let folder = self.root.join("blobs");
        let sync = || rustix::fs::syncfs(fs_err::File::open(&folder)?).map_err(io::Error::from);
        sync().map_err(|error| Error::store("cannot sync the cache", &folder, &error))
    }

    fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    fn open(&self, part: &Path) -> Result<OpenFile> {
        let mut options = fs_err::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        careful(&mut options, 0o600);
        let opened = match open_in_place(&options, part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_folders(&self.tmp()).and_then(|()| open_in_place(&options, part))
            }
            opened => opened,
        };
        opened.map(OpenFile::new).map_err(|error| cannot_write(part, &error))
    }

    fn writer(&self, file: OpenFile, part: PathBuf, digest: &Digest) -> BlobWriter {
        BlobWriter { file, part, target: self.own_path(digest), committed: false }
    }
}

fn path_below(root: &Path, digest: &Digest) -> PathBuf {
    let name = digest.to_hex();
    root.join("blobs").join(&name[..2]).join(name)
}

fn cannot_write(part: &Path, error: &io::Error) -> Error {
    Error::store("cannot write to the cache", part, error)
}

fn damaged(path: &Path) -> Error {
    Error::new(Kind::Integrity, format!("{} is damaged", path.display()))
        .path(path.display().to_string())
}

/// The part file of one blob, locked. Dropped without a commit, it leaves nothing.
#[derive(Debug)]
pub struct BlobWriter {
    file: OpenFile,
    part: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl BlobWriter {
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let write = || self.file.file()?.write_all(bytes);
        write().map_err(|error| self.failed(&error))
    }

    /// Where its bytes are until they have their name.
    pub(crate) fn part(&self) -> &Path {
        &self.part
    }

    /// Back to the beginning: what was written came from an answer that is void.
    pub fn restart(&mut self) -> Result<()> {
        let rewind = || io::Seek::rewind(&mut self.file.file()?);
        rewind().map_err(|error| self.failed(&error))?;
        self.truncate()
    }

    fn truncate(&self) -> Result<()> {
        let truncate = || self.file.file()?.set_len(0);
        truncate().map_err(|error| self.failed(&error))
    }

    /// Gives the bytes, which the caller has verified, their name.
    pub fn commit(mut self, sync: Sync) -> Result<()> {
        self.publish(sync).map_err(|error| self.failed(&error))?;
        self.committed = true;
        Ok(())
    }

    fn publish(&self, sync: Sync) -> io::Result<()> {
        let file = self.file.file()?;
        // Elsewhere a file that is read-only could be neither replaced nor removed.
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o444))?;
        if sync == Sync::Now {
            file.sync_all()?;
        }
        let folder = self.target.parent().unwrap_or(&self.target);
        match rename_onto(&self.part, &self.target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_folders(folder)?;
                rename_onto(&self.part, &self.target)?;
            }
            done => done?,
        }
        if sync == Sync::Now { sync_folder(folder) } else { Ok(()) }
    }

    fn failed(&self, error: &io::Error) -> Error {
        cannot_write(&self.part, error)
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.committed && self.file.is_ours() {
            // While the lock is held: afterwards the name may be another writer's.
            let _ = fs_err::remove_file(&self.part);
        }
    }
}

#[cfg(test)]
mod tests;
