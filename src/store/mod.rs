//! The cache on disk.
//!
//! ```text
//! <cache>/v1/
//!   CACHEDIR.TAG
//!   blobs/<2 hex>/<sha256>      verified bytes, read-only: packs, files, manifests
//!   private/<sha256>            which spaces may use a blob that came with a login
//!   trees/<digest>/…            one immutable directory per tree, shaped like site-packages
//!   trees/<digest>.index        what it holds, stamps, and what it can be rebuilt from
//!   lazy/<sha256>/<file name>   data files that are fetched when they are asked for
//!   knots/<digest>/…            files of several trees together; an index as theirs
//!   views/<identity>/…          one environment of links for each lock
//!   views/<identity>.index      what stands in it
//!   wheels/<sha256>             what is in a wheel, whether the wheel is here or not
//!   builds/<sha256>/NAME.whl    a wheel that was built here; builds/<key>.key names it
//!   scripts/<sha256>/           the lock that a script's own metadata was resolved to
//!   mounts/<identity>/          generations, highest serial, code packs
//!   locks/                      who builds a tree, who is bound to a generation
//!   tmp/                        half of something; dead when its lock can be taken
//!   sealed                      all that is there, where nothing is to change any more
//! ```
//!
//! A name that can be seen is complete: everything is written aside and renamed.
//! Blobs and generations are synced before they are named; trees and code packs
//! are derived from them, and a tree is hashed once after every boot.

mod behind;
pub mod blob;
mod boot;
pub mod code;
pub mod disk;
pub mod generation;
pub(crate) mod lock;
mod preloaded;
pub mod prune;
pub mod registry;
pub mod seal;
pub mod sealed;
pub mod tree;
mod unused;
pub mod view;
pub mod wheels;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::name::{Digest, Hasher, SafeUrl};
use crate::settings::Settings;
use crate::status::{Status, own_user};
use lock::Shared;

pub use blob::BlobStore;

const CACHEDIR_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55\n\
    # This directory is a cache of magic_module; everything in it can be fetched again.\n\
    # See https://bford.info/cachedir/\n";

const ANOTHER_PLACE: &str = "set MAGIC_MODULE_CACHE_DIR to a directory that you may write to";

/// The directories below `v1`.
const FOLDERS: [&str; 12] = [
    "blobs", "private", "trees", "knots", "lazy", "views", "wheels", "builds", "scripts", "mounts",
    "locks", "tmp",
];

/// Where everything is, and who may be trusted with it.
#[derive(Debug, Clone)]
pub struct Store {
    cache: PathBuf,
    root: PathBuf,
    /// The same of further caches.
    behind: Vec<PathBuf>,
    trusted_owners: Vec<u32>,
    blobs: BlobStore,
}

impl Store {
    /// Names the store; touches nothing.
    pub fn new(settings: &Settings) -> Self {
        let root = settings.cache_dir.join("v1");
        let behind: Vec<_> = settings.further_caches.iter().map(|it| it.join("v1")).collect();
        let space = settings.space.as_ref().map_or(&[][..], |space| space.mark());
        Self {
            cache: settings.cache_dir.clone(),
            blobs: BlobStore::new(root.clone()).before(behind.clone()).of_space(space),
            root,
            behind,
            trusted_owners: settings.trusted_owners.clone(),
        }
    }

    /// The folder `<cache>/v1`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory of the setting.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Where artifacts go and files come from.
    pub fn blobs(&self) -> &BlobStore {
        &self.blobs
    }

    /// The folder of the trees and their indexes.
    pub fn trees(&self) -> PathBuf {
        self.root.join("trees")
    }

    /// The folder of the knots and their indexes.
    pub fn knots(&self) -> PathBuf {
        self.root.join("knots")
    }

    /// The folder of the views and their indexes.
    pub fn views(&self) -> PathBuf {
        self.root.join("views")
    }

    pub(crate) fn mounts(&self) -> PathBuf {
        self.root.join("mounts")
    }

    /// The folder of the files that are fetched one by one.
    pub fn lazy(&self) -> PathBuf {
        self.root.join("lazy")
    }

    /// The folder of what is known of wheels.
    pub fn wheels(&self) -> PathBuf {
        self.root.join("wheels")
    }

    /// Where a lock is kept that follows from `facts`: what a script says of itself, and for whom.
    /// The folder is made if it is not there.
    pub fn script(&self, facts: &str) -> Result<PathBuf> {
        self.create()?;
        let folder = self.scripts().join(Digest::of(facts.as_bytes()).to_hex());
        self.make(&folder)?;
        self.check_folder(&folder)?;
        Ok(folder)
    }

    /// The lock beside a registry, and whether it was found to be what the registry says, both as
    /// they are now. `None`: one of them cannot be read.
    pub fn plain_lock(&self, registry: &Path) -> Option<(PathBuf, bool)> {
        let (lock, note) = self.plain_note(registry)?;
        Some((lock, note.is_file()))
    }

    /// Notes that it is.
    pub fn note_plain_lock(&self, registry: &Path) -> Result<()> {
        let Some((_, note)) = self.plain_note(registry) else { return Ok(()) };
        self.note(&note, b"")
    }

    /// Writes a note of what was found out, which can be found out again.
    pub(crate) fn note(&self, note: &Path, text: &[u8]) -> Result<()> {
        self.create()?;
        if let Some(folder) = note.parent() {
            self.make(folder)?;
        }
        write_aside(&self.tmp(), note, text, Sync::Later)
    }

    fn plain_note(&self, registry: &Path) -> Option<(PathBuf, PathBuf)> {
        let lock = lock_beside(registry)?;
        let texts = [fs_err::read(registry).ok()?, fs_err::read(&lock).ok()?];
        Some((lock, self.note_of(&texts, "plain")))
    }

    /// Where it is noted what was found out of files with these texts.
    fn note_of(&self, texts: &[Vec<u8>], name: &str) -> PathBuf {
        let mut hasher = Hasher::default();
        for text in texts {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text);
        }
        self.scripts().join(hasher.finish().to_hex()).join(name)
    }

    /// True for a wheel that was built here: it lies in the cache.
    pub fn has_built(&self, url: &SafeUrl) -> bool {
        let url = Some(url.real()).filter(|url| url.scheme() == "file");
        let path = url.and_then(|url| url.to_file_path().ok());
        path.is_some_and(|path| {
            [self.scripts(), self.builds()].iter().any(|it| path.starts_with(it))
        })
    }

    pub(crate) fn builds(&self) -> PathBuf {
        self.root.join("builds")
    }

    pub(crate) fn scripts(&self) -> PathBuf {
        self.root.join("scripts")
    }

    pub(crate) fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// Where all is written before it is renamed.
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// While this is held, nothing is pruned: what was fetched and is not part of a
    /// generation yet would look like what nobody needs.
    pub fn keep(&self) -> Result<Shared> {
        Shared::take(&self.pruning())
    }

    /// Held together by everyone who brings something in, alone by whoever prunes.
    pub(crate) fn pruning(&self) -> PathBuf {
        self.locks().join("prune")
    }

    /// Creates what is missing, and refuses a place that others could write to.
    pub fn create(&self) -> Result<()> {
        if !self.check()? {
            self.make(&self.cache)?;
            self.make(&self.root)?;
        }
        // It has what it has; nothing more comes.
        if sealed::is_sealed(&self.root) {
            return Ok(());
        }
        for folder in FOLDERS.map(|folder| self.root.join(folder)) {
            self.make(&folder)?;
            self.check_folder(&folder)?;
        }
        let tag = self.root.join("CACHEDIR.TAG");
        if !tag.exists() {
            write_aside(&self.tmp(), &tag, CACHEDIR_TAG, Sync::Later)?;
        }
        self.check().map(drop)
    }

    fn make(&self, folder: &Path) -> Result<()> {
        make_folders(folder).map_err(|error| {
            let what = format!("cannot create the cache directory {}", folder.display());
            Error::store(what, folder, &error).or_hint(ANOTHER_PLACE)
        })
    }

    /// True if there is a store. Every level from the cache directory down must be ours
    /// (or of a trusted owner) and closed to others, and no link may lead out of it.
    pub fn check(&self) -> Result<bool> {
        // The cache directory itself may be reached through a link that the user made.
        match fs_err::metadata(&self.cache) {
            Ok(metadata) => self.check_metadata(&self.cache, &metadata)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => {
                let what = "cannot look into the cache directory";
                return Err(Error::store(what, &self.cache, &error).or_hint(ANOTHER_PLACE));
            }
        }
        self.check_root(&self.root)
    }

    /// The same for a folder `v1`; whether the cache is sealed is known afterwards.
    fn check_root(&self, root: &Path) -> Result<bool> {
        match fs_err::symlink_metadata(root) {
            Ok(metadata) => {
                self.check_metadata(root, &metadata)?;
                self.meet(root, &metadata).map(|()| true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(cannot_look(root, &error)),
        }
    }

    /// True if `folder`, which lies in the store, exists; an error if it is not to be trusted.
    pub fn check_folder(&self, folder: &Path) -> Result<bool> {
        match fs_err::symlink_metadata(folder) {
            Ok(metadata) => self.check_metadata(folder, &metadata).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(cannot_look(folder, &error)),
        }
    }

    fn check_metadata(&self, path: &Path, metadata: &std::fs::Metadata) -> Result<()> {
        let shown = path.display();
        let refuse = |why: &str, hint: &str| {
            let error =
                Error::new(Kind::Store, format!("{shown} cannot be used as a cache: {why}"));
            Err(error.path(shown.to_string()).hint(hint))
        };
        if !metadata.is_dir() {
            let remedy = "remove it, or set MAGIC_MODULE_CACHE_DIR to another place";
            return refuse("it is not a directory", remedy);
        }
        let owner = Status::of(metadata).owner;
        if !self.trusts(owner) {
            return refuse(
                &format!("it belongs to user {owner}, not to you ({})", own_user()),
                &format!(
                    "set MAGIC_MODULE_CACHE_DIR to another place, or MAGIC_MODULE_TRUSTED_OWNERS={owner} if you trust that user"
                ),
            );
        }
        if open_to_others(metadata) {
            let remedy =
                format!("run `chmod go-w {shown}`, or set MAGIC_MODULE_CACHE_DIR to another place");
            return refuse("others may write to it", &remedy);
        }
        Ok(())
    }

    /// True for a folder, no link to one, that only we may write to.
    pub fn is_own_folder(&self, metadata: &std::fs::Metadata) -> bool {
        let is_closed = !open_to_others(metadata);
        metadata.is_dir() && self.trusts(Status::of(metadata).owner) && is_closed
    }

    fn trusts(&self, owner: u32) -> bool {
        owner == own_user() || owner == 0 || self.trusted_owners.contains(&owner)
    }
}

/// Where the lock of a registry lies.
fn lock_beside(registry: &Path) -> Option<PathBuf> {
    let stem = registry.file_stem()?.to_str()?.replace('.', "-");
    Some(registry.with_file_name(format!("pylock.{stem}.toml")))
}

fn cannot_look(path: &Path, error: &io::Error) -> Error {
    Error::store("cannot look into the cache", path, error)
}

/// A file that others may write to is nobody's verified file.
fn open_to_others(metadata: &std::fs::Metadata) -> bool {
    Status::of(metadata).mode & 0o022 != 0
}

/// When what was written is on the disk for sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// Before the call returns: it survives a power cut.
    Now,
    /// When somebody syncs the file system, or the system likes to.
    Later,
}

/// Whether what is in the store already will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// What is here is taken as it is.
    WhatIsHere,
    /// Everything is fetched and made again.
    Nothing,
}

/// Writes a file under a temporary name and renames it: `target` is never half.
pub fn write_aside(tmp: &Path, target: &Path, bytes: &[u8], sync: Sync) -> Result<()> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let aside = aside(tmp, name, "new");
    let write = || -> io::Result<()> {
        let mut file = create_file(&aside, 0o644)?;
        file.write_all(bytes)?;
        if sync == Sync::Now {
            file.sync_all()?;
        }
        rename_onto(&aside, target)?;
        match target.parent() {
            Some(folder) if sync == Sync::Now => sync_folder(folder),
            _ => Ok(()),
        }
    };
    write().map_err(|error| {
        let _ = fs_err::remove_file(&aside);
        Error::store(format!("cannot write {}", target.display()), target, &error)
    })
}

/// Renames a file onto `target`, also where a folder has come to stand: nothing of ours is one.
pub fn rename_onto(from: &Path, target: &Path) -> io::Result<()> {
    sealed::refuse(target)?;
    match files::rename(from, target) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            fs_err::remove_dir_all(target)?;
            files::rename(from, target)
        }
        done => done,
    }
}

/// Takes away the folder whose name a new one is to get. Who has its files open keeps them.
pub fn make_way(tmp: &Path, folder: &Path) -> io::Result<()> {
    sealed::refuse(folder)?;
    if fs_err::symlink_metadata(folder).is_err_and(|error| disk::is_absent(&error)) {
        return Ok(());
    }
    let old = aside(tmp, "folder", "old");
    match files::rename_folder(folder, &old).or_else(|error| empty(folder, &old, error)) {
        Ok(()) => {
            let _ = disk::remove(&old);
            Ok(())
        }
        // A folder of a lower layer, an image's, can be removed but not be renamed.
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => disk::remove(folder),
        Err(error) if disk::is_absent(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Where a folder cannot be moved because a file in it is open, most of its files can.
#[cfg(windows)]
fn empty(folder: &Path, old: &Path, error: io::Error) -> io::Result<()> {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return Err(error);
    }
    fs_err::create_dir_all(old)?;
    for entry in disk::list(folder)? {
        let place = old.join(entry.file_name().unwrap_or_default());
        files::rename_folder(&entry, &place).or_else(|error| empty(&entry, &place, error))?;
    }
    files::patiently(|| fs_err::remove_dir(folder))
}

#[cfg(not(windows))]
fn empty(_: &Path, _: &Path, error: io::Error) -> io::Result<()> {
    Err(error)
}

/// True if a folder could not get its name because something has it.
pub fn in_the_way(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, DirectoryNotEmpty, NotADirectory};
    matches!(error.kind(), DirectoryNotEmpty | AlreadyExists | NotADirectory)
}

/// Creates a folder and those above it, closed to group and others whatever the umask says.
pub fn make_folders(path: &Path) -> io::Result<()> {
    if sealed::is_sealed(path) && path.is_dir() {
        return Ok(());
    }
    sealed::refuse(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o755).create(path).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot create the folder {}: {error}", path.display()),
            )
        })
    }
    #[cfg(not(unix))]
    fs_err::create_dir_all(path)
}

/// A new file with the bits of `mode` that the umask leaves.
pub fn create_file(path: &Path, mode: u32) -> io::Result<fs_err::File> {
    sealed::refuse(path)?;
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options.open(path)
}

/// A rename survives a power cut only once its folder is synced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs_err::File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// A temporary name that nobody else uses, for what is to become `name`.
pub fn aside(tmp: &Path, name: impl std::fmt::Display, suffix: &str) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    tmp.join(format!("{name}.{}.{number}.{suffix}", std::process::id()))
}
