//! Sealed caches, as a process meets them: only read, never locked, and settled by a listing.
//!
//! ```text
//! v1 has no write bit ─ v1/sealed ─ its head: the digest of the listing
//!                            │ noted by this user, in this boot, for this very file? ─▶ done
//!                            └─ else it is compared with the folders, once, and that is noted
//! ```
//!
//! What a listing settles is not looked at again: no stamps, no owners. What is executed is hashed
//! at each load as everywhere. A listing that does not hold settles nothing: all is looked at as in
//! any other cache. Notes lie in a folder of the user's own, and count only if nobody else can
//! write there.
//!
//! What follows from it for whoever locks and writes stands in `sealed.rs`.

mod close;
mod listing;

pub use close::{Closed, open, seal};

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::boot::{boot, has_name};
use super::lock::Exclusive;
use super::sealed::{DOUBTED, HOLDS, OPEN, is_sealed, set, settles};
use super::tree::Stamp;
use super::{Store, Sync, disk, make_folders, open_to_others, write_aside};
use crate::error::{Error, Kind, Result, Sealed};
use crate::name::Digest;
use crate::settings::data_folder;
use crate::status::{Status, own_user};
use listing::{HEAD, Listing};

/// The listing's name below `v1`.
const NAME: &str = "sealed";

/// The longest note, in bytes.
const NOTE_LIMIT: u64 = 16 << 10;

/// The longest that another process is waited for that compares: one that was stopped holds its
/// lock for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked whether it is done.
const LOOK: Duration = Duration::from_millis(5);

/// Notes of boots that are over go after this time.
const OVER: Duration = Duration::from_secs(90 * 24 * 60 * 60);

impl Store {
    /// An error if nothing can come into the first cache because it is sealed; `missing` says what
    /// that is for.
    pub fn may_write(&self, missing: impl FnOnce() -> String) -> Result<()> {
        self.check()?;
        if !is_sealed(&self.root) {
            return Ok(());
        }
        let sealed = Sealed { cache: self.cache.clone() };
        let error = Error::new(Kind::Store, missing()).caused_by(&sealed).hint(sealed.hint());
        Err(error.path(self.cache.display().to_string()))
    }

    /// As [`Store::check`]; an error if nothing can go from the first cache because it is sealed.
    pub fn may_remove(&self) -> Result<bool> {
        let is_there = self.check()?;
        if !is_sealed(&self.root) {
            return Ok(is_there);
        }
        let cache = self.cache.display();
        let what = format!("cannot remove anything from the cache {cache}, which is sealed");
        let hint = format!("undo that, when nobody uses it: magic-module seal --undo {cache}");
        Err(Error::new(Kind::Store, what).path(cache.to_string()).hint(hint))
    }

    /// As `check_folder`, for what has an index: in a sealed cache both are listed.
    pub(super) fn check_settled(&self, folder: &Path) -> Result<bool> {
        if settles(folder) { Ok(true) } else { self.check_folder(folder) }
    }

    /// Looks whether a cache is sealed whose folder `v1` has just been looked at.
    pub(super) fn meet(&self, root: &Path, metadata: &std::fs::Metadata) -> Result<()> {
        // A cache that can be written to has this bit, and none is sealed where there are none; so those
        // pay nothing for the question.
        if cfg!(not(unix)) || Status::of(metadata).mode & 0o222 != 0 {
            set(root, OPEN);
            return Ok(());
        }
        if is_sealed(root) {
            return Ok(());
        }
        let Some((head, key)) = head_of(root)? else { return Ok(()) };
        let holds = match self.remembered(root, &head, &key) {
            Ok(difference) => difference.is_empty(),
            Err(_) => false,
        };
        set(root, if holds { HOLDS } else { DOUBTED });
        Ok(())
    }

    /// In what the folders of a sealed cache differ from its listing; empty, if they do not.
    /// `None`: it is not sealed.
    pub fn doubt(&self, root: &Path) -> Result<Option<String>> {
        let Some((head, key)) = head_of(root)? else { return Ok(None) };
        let found = self.remembered(root, &head, &key);
        let cannot =
            |error| Error::store("cannot compare a sealed cache with its listing", root, &error);
        found.map(Some).map_err(cannot)
    }

    fn remembered(&self, root: &Path, head: &[u8], key: &Option<Digest>) -> io::Result<String> {
        let Some(note) = key.and_then(|key| note_of(&key)) else { return self.compare(root, head) };
        if let Some(text) = read_note(&note) {
            return Ok(text);
        }
        let folder = note.parent().unwrap_or(&note);
        // Who cannot note it compares, as the next process will.
        if make_folders(folder).is_err() || !is_own(folder) {
            return self.compare(root, head);
        }
        // One process of a node compares, the others wait for what it finds.
        let (lock, began) = (folder.join("lock"), Instant::now());
        let _alone = loop {
            let taken = Exclusive::try_take(&lock);
            if let Some(text) = read_note(&note) {
                return Ok(text);
            }
            match taken {
                Ok(None) if began.elapsed() < PATIENCE => std::thread::sleep(LOOK),
                taken => break taken,
            }
        };
        let text = self.compare(root, head)?;
        let _ = write_aside(folder, &note, text.as_bytes(), Sync::Later);
        sweep(folder);
        Ok(text)
    }

    fn compare(&self, root: &Path, head: &[u8]) -> io::Result<String> {
        let (mut file, metadata) = disk::open(&root.join(NAME))?;
        if open_to_others(&metadata) {
            return Ok(format!("others may write to {}", root.join(NAME).display()));
        }
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(
                usize::try_from(metadata.len()).map_err(|_| io::ErrorKind::OutOfMemory)?,
            )
            .map_err(|_| io::ErrorKind::OutOfMemory)?;
        file.read_to_end(&mut bytes)?;
        match Listing::parse(&bytes) {
            Some(listing) if bytes.starts_with(head) => {
                Ok(listing.difference(self, root)?.unwrap_or_default())
            }
            _ => Ok(format!("{} is damaged", root.join(NAME).display())),
        }
    }
}

/// How a listing begins, and what tells it from every other, in whatever boot and wherever it lies;
/// without the latter nothing can be remembered. `None`: there is none.
fn head_of(root: &Path) -> Result<Option<(Vec<u8>, Option<Digest>)>> {
    let path = root.join(NAME);
    let read = || -> io::Result<_> {
        let (file, metadata) = disk::open(&path)?;
        let mut head = Vec::with_capacity(HEAD);
        file.take(HEAD as u64).read_to_end(&mut head)?;
        Ok((head, metadata))
    };
    match read() {
        Ok((head, metadata)) => {
            let key = key_of(&head, &metadata);
            Ok(Some((head, key)))
        }
        Err(error) if disk::is_absent(&error) => Ok(None),
        Err(error) => Err(Error::store("cannot look whether the cache is sealed", &path, &error)),
    }
}

fn key_of(head: &[u8], metadata: &std::fs::Metadata) -> Option<Digest> {
    // Anybody may have written what is open to others; and the home may be that of many machines,
    // which only names of boots tell apart.
    if !has_name() || open_to_others(metadata) {
        return None;
    }
    let Stamp { mtime, ctime, inode } = Stamp::of(metadata);
    let device = Status::of(metadata).device;
    let mut text = format!("{} {device} {inode} {mtime} {ctime}\n", boot()).into_bytes();
    text.extend_from_slice(head);
    Some(Digest::of(&text))
}

fn note_of(key: &Digest) -> Option<PathBuf> {
    Some(data_folder()?.join("seals").join(key.to_hex()))
}

/// True for a folder that nobody else can put anything into.
fn is_own(folder: &Path) -> bool {
    fs_err::symlink_metadata(folder).is_ok_and(|metadata| {
        metadata.is_dir() && Status::of(&metadata).owner == own_user() && !open_to_others(&metadata)
    })
}

/// `None`: there is none, or none that is to be believed.
fn read_note(note: &Path) -> Option<String> {
    if !is_own(note.parent()?) {
        return None;
    }
    let (file, metadata) = disk::open(note).ok()?;
    if Status::of(&metadata).owner != own_user() || open_to_others(&metadata) {
        return None;
    }
    let mut text = String::new();
    file.take(NOTE_LIMIT).read_to_string(&mut text).ok()?;
    Some(text)
}

fn sweep(folder: &Path) {
    let is_over = |path: &PathBuf| {
        let written = fs_err::symlink_metadata(path).and_then(|it| it.modified());
        let age = written.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        age.is_some_and(|age| age > OVER)
    };
    let notes = disk::list(folder).unwrap_or_default();
    for note in notes.iter().filter(|note| is_over(note)) {
        let _ = disk::remove(note);
    }
}
