//! The folder that a static host serves.
//!
//! ```text
//! OUT/
//!   files/3f/3f…9a.csv     a file of a unit; the suffix gives hosts the content type
//!   packs/3f…9a.zip.zst    the small files of a unit
//!   parts/3f…9a.json       tables and leaves of a large catalogue
//!   locks/3f…9a.toml       a lock, and beside it what it means for an interpreter: .json.zst
//!   wheels/3f…9a.whl       the wheels of a lock
//!   signatures/3f…9a.K.minisig   of the manifest with this sha256, by key K
//!   manifest.json.minisig  the first key's signature, written before the manifest
//!   manifest.json          the only file that ever changes, written last
//!   .magic-module.lock     held by the one who publishes
//!   .magic-module.tmp/     what is being written; the next publisher removes it
//! ```
//!
//! Files are not named as in SRC: GitHub Pages serves no name that starts with an
//! underscore (`__init__.py`), and URLs stay free of quoting.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fs_err::File;

use super::Options;
use super::bucket::{self, Remote};
use super::source::SourceFile;
use crate::error::{Error, Kind, Result};
use crate::files;
use crate::manifest::{self, Modules, Pack, PackFormat};
use crate::name::{Digest, FilePath, Hashing, UrlText};
use crate::origin::Content;
use crate::store::lock::unsupported;
use crate::store::{disk, sync_folder};
use crate::supply::lock::site::wheel_url;

pub(super) const MANIFEST: &str = "manifest.json";
const LOCK: &str = ".magic-module.lock";
const TEMPORARY: &str = ".magic-module.tmp";
/// Folders whose files are named by their content.
const FOLDERS: [&str; 6] =
    ["files", "packs", "parts", "locks", "wheels", super::signatures::FOLDER];
/// Up to so many new files are synced one by one, more by one sync of the file system.
#[cfg(target_os = "linux")]
const FEW: usize = 16;

pub(super) struct Site {
    root: PathBuf,
    /// Kept open: the lock ends with it.
    _lock: Option<File>,
    /// Where all of it is that is not in a folder.
    remote: Option<Remote>,
    counter: u64,
    written: Vec<PathBuf>,
    /// The parts of the catalogue that is served from now on.
    parts: BTreeSet<String>,
}

impl Site {
    /// Waits until nobody else publishes into `root`; in a bucket that shows at the end.
    pub fn open(root: &Path, options: &Options) -> Result<Self> {
        if let Some(url) = bucket::url_of(root) {
            return Ok(Self {
                root: PathBuf::new(),
                _lock: None,
                remote: Some(Remote::new(url, options)?),
                counter: 0,
                written: Vec::new(),
                parts: BTreeSet::new(),
            });
        }
        let failed = |error: std::io::Error| cannot_write(root, &error);
        fs_err::create_dir_all(root).map_err(failed)?;
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        let lock = options.open(root.join(LOCK)).map_err(failed)?;
        // Below the wrapper, whose errors do not tell the system's number.
        match lock.file().lock() {
            // A file system without locks: as safe as its only user makes it.
            Err(error) if unsupported(&error) => {}
            other => other.map_err(failed)?,
        }
        let temporary = root.join(TEMPORARY);
        if temporary.exists() {
            fs_err::remove_dir_all(&temporary).map_err(failed)?;
        }
        fs_err::create_dir(&temporary).map_err(failed)?;
        Ok(Self {
            root: root.to_path_buf(),
            _lock: Some(lock),
            remote: None,
            counter: 0,
            written: Vec::new(),
            parts: BTreeSet::new(),
        })
    }

    pub fn manifest_path(&self) -> PathBuf {
        if let Some(remote) = &self.remote {
            return remote.manifest_url().into();
        }
        self.root.join(MANIFEST)
    }

    /// The bytes at a path of the site; `None` if there is nothing.
    pub fn read(&self, relative: &str) -> Result<Option<Vec<u8>>> {
        if let Some(remote) = &self.remote {
            return remote.read(relative);
        }
        match fs_err::read(self.root.join(relative)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(cannot_read(&self.root.join(relative), &error)),
        }
    }

    /// True if the site holds these very bytes at `relative`.
    fn holds(&self, relative: &str, size: u64, sha256: &Digest) -> bool {
        if let Some(remote) = &self.remote {
            return remote.holds(relative);
        }
        let path = self.root.join(relative);
        fs_err::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == size)
            && digest_of(&path).is_ok_and(|(_, digest)| digest == *sha256)
    }

    pub fn holds_pack(&self, pack: &Pack) -> bool {
        self.holds(pack.url.as_str(), pack.size, &pack.sha256)
    }

    /// Copies a file of SRC, if it is not there yet, and says where it is.
    pub fn keep_file(&mut self, file: &SourceFile) -> Result<String> {
        let hex = file.sha256.to_hex();
        let suffix = suffix_of(file.path.file_name());
        let relative = format!("files/{}/{hex}{suffix}", &hex[..2]);
        if self.holds(&relative, file.size, &file.sha256) {
            return Ok(relative);
        }
        if let Some(remote) = &mut self.remote {
            let (path, size, sha256) = (file.disk.clone(), file.size, file.sha256);
            remote.keep(relative.clone(), Content::File { path, size, sha256 })?;
            return Ok(relative);
        }
        let temporary = self.temporary();
        let failed = |error: std::io::Error| cannot_write(&self.root, &error);
        let reader =
            File::open(&file.disk).map_err(|error| super::unreadable(&file.path, &error))?;
        let writer = File::create(&temporary).map_err(failed)?;
        if copy(reader, writer).map_err(failed)? != (file.size, file.sha256) {
            return Err(file.changed());
        }
        self.place(&temporary, &relative)?;
        Ok(relative)
    }

    pub fn keep_pack(
        &mut self,
        format: PackFormat,
        tag: Option<String>,
        bytes: &[u8],
        paths: Vec<FilePath>,
    ) -> Result<Pack> {
        let sha256 = Digest::of(bytes);
        let suffix = if format == PackFormat::Zip { ".zip" } else { ".zip.zst" };
        let relative = format!("packs/{sha256}{suffix}");
        self.keep(&relative, &sha256, bytes)?;
        let (url, size) = (UrlText::new(relative), bytes.len() as u64);
        Ok(Pack { format, tag, url, size, sha256, paths })
    }

    pub fn keep_part(&mut self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        let relative = part_path(digest);
        self.keep(&relative, digest, bytes)?;
        self.parts.insert(relative);
        Ok(())
    }

    /// True if it holds a wheel, whole.
    pub fn holds_wheel(&self, sha256: &Digest, size: u64) -> bool {
        self.holds(wheel_url(sha256).as_str(), size, sha256)
    }

    /// Where a wheel lies that it holds.
    pub fn wheel(&self, sha256: &Digest) -> PathBuf {
        if let Some(remote) = &self.remote {
            return remote.local(sha256);
        }
        self.root.join(wheel_url(sha256).as_str())
    }

    /// Copies a wheel out of the cache; its bytes are looked at once more.
    pub fn keep_wheel(&mut self, blob: &Path, sha256: &Digest, size: u64) -> Result<()> {
        if let Some(remote) = &mut self.remote {
            return remote.keep_wheel(wheel_url(sha256).as_str(), blob, *sha256, size);
        }
        let temporary = self.temporary();
        let failed = |error: std::io::Error| cannot_write(&self.root, &error);
        let reader = File::open(blob).map_err(|error| cannot_read(blob, &error))?;
        let writer = File::create(&temporary).map_err(failed)?;
        if copy(reader, writer).map_err(failed)? != (size, *sha256) {
            let what = format!("cannot publish: {} is damaged", blob.display());
            return Err(Error::new(Kind::Integrity, what)
                .path(blob.display().to_string())
                .hint("run `magic-module verify`, then publish again"));
        }
        self.place(&temporary, wheel_url(sha256).as_str())
    }

    /// Copies what it holds, or is about to hold, to a place on this machine.
    pub fn copy(&self, relative: &str, to: &Path) -> Result<()> {
        let Some(remote) = &self.remote else { return linked(&self.root.join(relative), to) };
        let bytes = remote.whole(relative)?;
        let written = made_folder(to).and_then(|()| fs_err::write(to, bytes));
        written.map_err(|error| cannot_write(to, &error))
    }

    /// Puts a part of a lock there, named by its content.
    pub fn keep_lock_part(&mut self, suffix: &str, bytes: &[u8]) -> Result<manifest::Part> {
        let sha256 = Digest::of(bytes);
        let relative = format!("locks/{sha256}{suffix}");
        self.keep(&relative, &sha256, bytes)?;
        Ok(manifest::Part { url: UrlText::new(relative), size: bytes.len() as u64, sha256 })
    }

    /// Parts that an unchanged manifest goes on to refer to.
    pub fn still_uses(&mut self, parts: &BTreeSet<String>) {
        self.parts.extend(parts.iter().cloned());
    }

    /// Has what waits put into the bucket.
    pub fn flush(&mut self) -> Result<()> {
        self.remote.as_mut().map_or(Ok(()), Remote::flush)
    }

    /// True if what it holds does not lie on this machine.
    pub fn is_remote(&self) -> bool {
        self.remote.is_some()
    }

    /// What the manifest before refers to needs not be looked for in a bucket.
    pub fn know(&mut self, references: BTreeSet<String>) {
        if let Some(remote) = &mut self.remote {
            remote.know(references);
        }
    }

    /// The names in a folder of the site; what has no name of ours is left out. A bucket lists none.
    pub fn names(&self, folder: &str) -> Result<Vec<String>> {
        if self.remote.is_some() {
            return Ok(Vec::new());
        }
        let path = self.root.join(folder);
        let entries = disk::list(&path).map_err(|error| cannot_read(&path, &error))?;
        let name = |entry: &PathBuf| Some(entry.file_name()?.to_str()?.to_owned());
        Ok(entries.iter().filter_map(name).collect())
    }

    /// Writes a small file in one step, whatever was there.
    pub fn replace(&mut self, relative: &str, bytes: &[u8]) -> Result<()> {
        if let Some(remote) = &mut self.remote {
            let content = Content::Bytes(bytes.to_vec().into());
            return remote.keep(relative.to_owned(), content);
        }
        let temporary = self.temporary();
        let written = fs_err::write(&temporary, bytes);
        written.map_err(|error| cannot_write(&self.root, &error))?;
        self.place(&temporary, relative)
    }

    fn keep(&mut self, relative: &str, digest: &Digest, bytes: &[u8]) -> Result<()> {
        if self.holds(relative, bytes.len() as u64, digest) {
            return Ok(());
        }
        self.replace(relative, bytes)
    }

    /// Makes the new state visible in one step: first all that it refers to is on
    /// the disk, then the manifest takes the place of the old one.
    ///
    /// `before` and `after` are what the two manifests refer to. False: the bucket has another
    /// manifest by now than the one that this one was made from.
    pub fn commit(
        &mut self,
        manifest: &[u8],
        before: &BTreeSet<String>,
        after: &BTreeSet<String>,
    ) -> Result<bool> {
        if let Some(remote) = &mut self.remote {
            return remote.commit(manifest);
        }
        let temporary = self.temporary();
        let written = fs_err::write(&temporary, manifest).and_then(|()| self.sync(&temporary));
        let failed = |error: std::io::Error| cannot_write(&self.root, &error);
        written.map_err(failed)?;
        // From now on nobody new asks for these: their age for `--drop-older-than`
        // counts from today, because somebody may hold the old manifest.
        let now = SystemTime::now();
        for path in before.difference(after).filter(|path| !self.parts.contains(*path)) {
            match File::options().append(true).open(self.root.join(path)) {
                Ok(file) => file.set_modified(now).map_err(failed)?,
                // Gone, or another publisher's.
                Err(error) if is_absent_or_denied(&error) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        files::rename(&temporary, &self.manifest_path()).map_err(failed)?;
        // Where that cannot be asked for, the system sees to it.
        let _ = sync_folder(&self.root);
        Ok(true)
    }

    /// Deletes what no record refers to, once it is older than `days`; from a bucket nothing.
    pub fn sweep(&self, references: &BTreeSet<String>, days: u64, clock: u64) -> Result<u64> {
        if self.remote.is_some() {
            return Ok(0);
        }
        let limit = Duration::from_secs(clock.saturating_sub(days.saturating_mul(super::DAY)));
        let limit = SystemTime::UNIX_EPOCH + limit;
        let signatures = super::signatures::current(self)?;
        let used = references.union(&self.parts).chain(&signatures).map(String::as_str).collect();
        let mut dropped = 0;
        for folder in FOLDERS {
            dropped += self.sweep_folder(folder, &used, limit)?;
        }
        Ok(dropped)
    }

    fn sweep_folder(&self, folder: &str, used: &BTreeSet<&str>, limit: SystemTime) -> Result<u64> {
        let path = self.root.join(folder);
        let failed = |error: std::io::Error| cannot_write(&path, &error);
        let mut dropped = 0;
        for entry in disk::list(&path).map_err(failed)? {
            // What has another name is not ours.
            let Some(name) = entry.file_name().and_then(OsStr::to_str) else { continue };
            let relative = format!("{folder}/{name}");
            let meta = fs_err::symlink_metadata(&entry).map_err(failed)?;
            if meta.is_dir() && folder == "files" && name.len() == 2 {
                dropped += self.sweep_folder(&relative, used, limit)?;
            } else if meta.is_file()
                && name.get(..64).is_some_and(|hex| Digest::new(hex).is_ok())
                && !used.contains(relative.as_str())
                && meta.modified().map_err(failed)? < limit
            {
                fs_err::remove_file(&entry).map_err(failed)?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    fn temporary(&mut self) -> PathBuf {
        self.counter += 1;
        self.root.join(TEMPORARY).join(self.counter.to_string())
    }

    /// Gives a finished file its name.
    fn place(&mut self, temporary: &Path, relative: &str) -> Result<()> {
        let path = self.root.join(relative);
        let failed = |error: std::io::Error| cannot_write(&self.root, &error);
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent).map_err(failed)?;
        }
        files::rename(temporary, &path).map_err(failed)?;
        self.written.push(path);
        Ok(())
    }

    fn sync(&mut self, manifest: &Path) -> std::io::Result<()> {
        #[cfg(target_os = "linux")]
        if self.written.len() > FEW {
            self.written.clear();
            return Ok(rustix::fs::syncfs(File::open(&self.root)?)?);
        }
        for path in self.written.drain(..) {
            File::options().append(true).open(path)?.sync_all()?;
        }
        File::options().append(true).open(manifest)?.sync_all()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.remote.is_some() {
            return;
        }
        // Nothing to tell: the next publisher removes what is left.
        let _ = fs_err::remove_dir_all(self.root.join(TEMPORARY));
    }
}

/// The URLs of all files and packs that `modules` refers to.
pub(super) fn references(modules: &Modules) -> BTreeSet<String> {
    let mut urls = BTreeSet::new();
    for record in modules.0.values().flat_map(|record| record.with_older()) {
        let files = record.all_files().filter_map(manifest::File::url);
        let all = files.chain(record.all_packs().map(|pack| &pack.url));
        urls.extend(all.map(|url| url.as_str().trim_start_matches("./").to_owned()));
    }
    urls
}

/// Gives a file another name, or copies it to where that cannot be.
pub(super) fn linked(from: &Path, to: &Path) -> Result<()> {
    let link = || fs_err::hard_link(from, to).or_else(|_| fs_err::copy(from, to).map(drop));
    made_folder(to).and_then(|()| link()).map_err(|error| cannot_write(to, &error))
}

fn made_folder(path: &Path) -> std::io::Result<()> {
    fs_err::create_dir_all(path.parent().unwrap_or(path))
}

pub(super) fn part_path(digest: &Digest) -> String {
    format!("parts/{digest}.json")
}

/// Size and sha256 of a file.
pub(super) fn digest_of(path: &Path) -> std::io::Result<(u64, Digest)> {
    copy(File::open(path)?, std::io::sink())
}

fn copy(reader: File, writer: impl Write) -> std::io::Result<(u64, Digest)> {
    let size = reader.metadata()?.len();
    let mut hashing = Hashing::new(writer);
    Ok((hashing.copy(reader, size)?, hashing.finish()))
}

/// `.csv` of `Table.CSV`; nothing where it would need quoting.
fn suffix_of(name: &str) -> String {
    let is_plain = |suffix: &&str| {
        (1..=16).contains(&suffix.len()) && suffix.chars().all(|c| c.is_ascii_alphanumeric())
    };
    let suffix = name.rsplit_once('.').map(|(_, suffix)| suffix).filter(is_plain);
    suffix.map_or_else(String::new, |suffix| format!(".{}", suffix.to_ascii_lowercase()))
}

fn is_absent_or_denied(error: &std::io::Error) -> bool {
    disk::is_absent(error) || error.kind() == std::io::ErrorKind::PermissionDenied
}

fn cannot_write(path: &Path, cause: &std::io::Error) -> Error {
    Error::new(Kind::Store, format!("cannot publish into {}", path.display()))
        .path(path.display().to_string())
        .caused_by(cause)
        .hint("make it writable, free some space, or choose another output folder")
}

fn cannot_read(path: &Path, cause: &std::io::Error) -> Error {
    Error::new(Kind::Store, format!("cannot read {}", path.display()))
        .path(path.display().to_string())
        .caused_by(cause)
        .hint("make it readable, or choose another output folder")
}
