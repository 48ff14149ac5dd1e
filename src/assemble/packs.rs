//! The bytes of one file of a tree, out of a pack, a blob or another tree.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use parking_lot::Mutex;

use super::copies::{clone_blocks, copy, create, link, make_executable};
use super::{Source, cannot_build};
use crate::error::{Error, Kind, Result};
use crate::manifest::{self, File, PackFormat, Record};
use crate::name::{Digest, FilePath};
use crate::store::Store;
use crate::store::disk;
use crate::store::tree::TreeFile;
use crate::unpack::Pack;

/// From this size on, a file shares its bytes with the blob instead of copying them.
const ENOUGH_TO_SHARE: u64 = 64 << 10;

/// What the packs of a record must hold; of a tree whose record is not at hand, nothing is known.
#[derive(Default)]
pub(super) struct Declared<'a> {
    packs: HashMap<&'a Digest, &'a manifest::Pack>,
    files: HashMap<&'a FilePath, &'a File>,
    /// Packs that several threads read. Who comes first opens one, and the others wait for it.
    pub shared: HashMap<&'a Digest, Mutex<Option<Pack>>>,
}

impl<'a> Declared<'a> {
    pub fn of(record: &'a Record) -> Self {
        Self {
            packs: record.packs.iter().map(|pack| (&pack.sha256, pack)).collect(),
            files: record.files.iter().map(|file| (&file.path, file)).collect(),
            shared: HashMap::new(),
        }
    }

    pub fn is_framed(&self, blob: &Digest) -> bool {
        self.packs.get(blob).is_some_and(|pack| pack.format == PackFormat::ZipZstd)
    }

    /// How much memory opening a pack takes that comes in a frame; others take none, and while an
    /// entry in a frame of its own is read, its window.
    pub fn memory(&self, blob: &Digest) -> u64 {
        match self.packs.get(blob) {
            Some(pack) if self.is_framed(blob) => Pack::memory(pack.size, self.entries(pack)),
            _ => 0,
        }
    }

    /// What `pack` must hold, and in which size.
    fn entries(&self, pack: &manifest::Pack) -> impl Iterator<Item = (&'a FilePath, u64)> {
        let files = pack.paths.iter().filter_map(|path| self.files.get(path));
        files.map(|file| (file.entry(), file.size))
    }

    pub fn is_shared(&self, blob: &Digest) -> bool {
        self.shared.contains_key(blob)
    }

    pub fn open(&self, store: &Store, blob: &Digest) -> Result<Pack> {
        let path = store.blobs().path(blob);
        let Some(pack) = self.packs.get(blob) else {
            return Pack::open_any(&path, &blob.to_hex());
        };
        let declared = self.entries(pack).collect();
        Pack::open(&path, &pack.url.to_string(), &pack.format, &declared)
    }

    /// The same for one of several threads.
    fn open_for_thread(&self, store: &Store, blob: &Digest) -> Result<Pack> {
        let Some(shared) = self.shared.get(blob) else { return self.open(store, blob) };
        let mut shared = shared.lock();
        let pack = match &mut *shared {
            Some(pack) => pack,
            none => none.insert(self.open(store, blob)?),
        };
        pack.again(&store.blobs().path(blob))
    }
}

/// The packs that one thread has open, of those in memory one at a time.
pub(super) struct Packs<'a> {
    store: &'a Store,
    declared: &'a Declared<'a>,
    open: HashMap<Digest, Pack>,
    /// False once the file system has refused to clone blocks.
    clones: bool,
}

impl<'a> Packs<'a> {
    pub fn new(store: &'a Store, declared: &'a Declared<'a>) -> Self {
        Self { store, declared, open: HashMap::new(), clones: cfg!(target_os = "linux") }
    }

    fn open(&mut self, blob: &Digest) -> Result<&mut Pack> {
        if !self.open.contains_key(blob) {
            self.open.retain(|_, pack| !pack.is_in_memory());
        }
        Ok(match self.open.entry(*blob) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(self.declared.open_for_thread(self.store, blob)?),
        })
    }

    /// Writes one file, which does not exist yet, and makes sure of its bytes. Whether it can
    /// be run is what the record says: an archive's own modes count for nothing.
    pub fn place(&mut self, target: &Path, file: &TreeFile, source: &Source) -> Result<()> {
        let cannot = |error| cannot_build(target, &error);
        if let Some((pack, entry)) = source.packed() {
            let pack = self.open(pack)?;
            pack.copy(entry, file.size, &file.sha256, &mut create(target).map_err(cannot)?)?;
        } else {
            self.place_whole(target, file, source)?;
        }
        if file.executable {
            make_executable(target).map_err(cannot)?;
        }
        Ok(())
    }

    /// A file that is a blob of its own, or a file of another tree.
    fn place_whole(&mut self, target: &Path, file: &TreeFile, source: &Source) -> Result<()> {
        let TreeFile { size, sha256, .. } = file;
        let from = source.file.clone().unwrap_or_else(|| self.store.blobs().path(sha256));
        let broken = |how| {
            Error::new(Kind::Integrity, format!("{} is {how}", from.display()))
                .path(from.display().to_string())
                .hint("run `magic-module verify`, which fetches it again")
        };
        if !fs_err::symlink_metadata(&from).is_ok_and(|metadata| metadata.is_file()) {
            return Err(broken("gone"));
        }
        let shared = *size >= ENOUGH_TO_SHARE && self.share(&from, target, file).is_ok();
        let got = if shared && source.fresh && source.file.is_none() {
            *sha256
        } else if shared {
            disk::digest(target, *size).map_err(|error| cannot_build(target, &error))?
        } else {
            copy(&from, target, *size).map_err(|error| cannot_build(target, &error))?
        };
        if got == *sha256 {
            return Ok(());
        }
        let _ = fs_err::remove_file(target);
        Err(broken("damaged").expected(sha256.to_hex()).got(got.to_hex()))
    }

    /// A clone of the blocks where the file system can, else another name of the same
    /// read-only file. All names of a file have one mode, so one that can be run is a copy.
    fn share(&mut self, from: &Path, target: &Path, file: &TreeFile) -> std::io::Result<()> {
        if self.clones {
            match clone_blocks(from, target) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(error),
                cloned => self.clones = cloned.is_ok(),
            }
            if self.clones {
                return Ok(());
            }
        }
        if file.executable || !self.store.owns(from) {
            return Err(std::io::ErrorKind::Unsupported.into());
        }
        link(from, target)
    }
}
