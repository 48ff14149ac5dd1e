//! Locks that end with their holder, however it ends.
//!
//! A lock is an open file (`flock`, `LockFileEx`). A forked child inherits the
//! open file and with it the lock: the parent's would outlive the parent. So
//! every locked file is registered (registry.rs), and closed in the child, which
//! leaves the parent's locks alone. A guard that was taken before a
//! fork does nothing in the child. A program may have closed them before, and have
//! files of its own under their numbers: a file is known by device and inode.
//!
//! Where the file system knows no locks, everything goes on without them:
//! what is written is written aside and renamed, so only work is done twice.

use std::fs::TryLockError;
use std::io;
use std::path::Path;

use fs_err::File;

use super::disk::{self, careful};
use super::{registry, sealed};
use crate::descriptor::Own;
use crate::error::{Error, Result};

/// Locked is the file below the wrapper, whose errors do not tell the system's number: it says
/// whether there are locks here at all.
#[expect(clippy::disallowed_types, reason = "the wrapper hides the number of an error")]
type Plain = std::fs::File;

/// Held together with others.
#[derive(Debug)]
pub struct Shared {
    file: Option<OpenFile>,
}

/// Held alone.
#[derive(Debug)]
pub struct Exclusive {
    file: Option<OpenFile>,
}

impl Shared {
    /// Waits while somebody holds `path` alone.
    pub fn take(path: &Path) -> Result<Self> {
        acquire(path, Plain::lock_shared).map(|file| Self { file })
    }

    /// False once the program has closed its file, and in a forked child.
    pub fn is_held(&self) -> bool {
        self.file.as_ref().is_none_or(OpenFile::is_ours)
    }
}

impl Exclusive {
    /// Waits while anybody holds `path`.
    pub fn wait(path: &Path) -> Result<Self> {
        acquire(path, Plain::lock).map(|file| Self { file })
    }

    /// False where there are no locks: then others may hold it as well.
    pub fn is_real(&self) -> bool {
        self.file.is_some()
    }

    /// `None` while anybody holds `path`. Where there are no locks, it is taken without a file.
    pub fn try_take(path: &Path) -> Result<Option<Self>> {
        loop {
            let Some(file) = open(path)? else { return Ok(Some(Self { file: None })) };
            match file
                .just_opened()
                .file()
                .try_lock()
                .and_then(|()| file.is_at(path).map_err(TryLockError::Error))
            {
                Ok(true) => return Ok(Some(Self { file: Some(file) })),
                Ok(false) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) if unsupported(&error) => {
                    return Ok(Some(Self { file: None }));
                }
                Err(TryLockError::Error(error)) => return Err(failed(path, &error)),
            }
        }
    }
}

/// `Ok(None)`: there are no locks here.
fn acquire(path: &Path, lock: fn(&Plain) -> io::Result<()>) -> Result<Option<OpenFile>> {
    loop {
        let Some(file) = open(path)? else { return Ok(None) };
        match lock(file.just_opened().file()).and_then(|()| file.is_at(path)) {
            Ok(true) => return Ok(Some(file)),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if unsupported(&error) => return Ok(None),
            Err(error) => return Err(failed(path, &error)),
        }
    }
}

/// A lock's file; a store that may only be read has none, or one that others wrote.
fn open(path: &Path) -> Result<Option<OpenFile>> {
    // Nothing changes there.
    if sealed::is_sealed(path) {
        return Ok(None);
    }
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    careful(&mut options, 0o644);
    match open_in_place(&options, path) {
        Ok(file) => return Ok(Some(OpenFile::new(file))),
        Err(error) if is_denied(&error) => {}
        Err(error) => return Err(failed(path, &error)),
    }
    match disk::open(path) {
        Ok((file, _)) => Ok(Some(OpenFile::new(file))),
        // Nobody prunes a store that nobody can write.
        Err(error) if disk::is_damage(&error) || is_denied(&error) => Ok(None),
        Err(error) => Err(failed(path, &error)),
    }
}

fn is_denied(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::store(format!("cannot lock {}", path.display()), path, error)
}

/// Opens a file of ours to write to it. Whatever else stands in its place gives way.
pub(super) fn open_in_place(options: &fs_err::OpenOptions, path: &Path) -> io::Result<File> {
    sealed::refuse(path)?;
    let opened = options.open(path);
    let stranger = match &opened {
        // A pipe whose other end somebody holds can be opened.
        Ok(file) => Some(file.metadata()?).filter(|metadata| !metadata.is_file()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
        Err(_) => fs_err::symlink_metadata(path).ok().filter(|metadata| !metadata.is_file()),
    };
    if stranger.is_none() {
        return opened;
    }
    disk::remove(path)?;
    options.open(path)
}

/// True if this file system or this system has no locks.
pub fn unsupported(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        if let Some(code) = error.raw_os_error() {
            let errno = Errno::from_raw_os_error(code);
            return [Errno::NOLCK, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS].contains(&errno);
        }
    }
    error.kind() == io::ErrorKind::Unsupported
}

/// An open file that may be locked: used, and closed, by its own process only, and only while
/// nobody else has closed it.
#[derive(Debug)]
pub(super) struct OpenFile {
    file: Own<File>,
    slot: Option<usize>,
}

impl OpenFile {
    pub(super) fn new(file: File) -> Self {
        let file = Own::new(file);
        let slot = registry::register(&file);
        Self { file, slot }
    }

    pub(super) fn file(&self) -> io::Result<&File> {
        self.file.get()
    }

    /// The same without a look, right after it was opened.
    pub(super) fn just_opened(&self) -> &File {
        self.file.just_opened()
    }

    pub(super) fn is_ours(&self) -> bool {
        self.file.is_ours()
    }

    /// True if `path` still names this file: whoever held the lock before may have
    /// renamed or removed it. Who cannot look does not know: to look again could last forever.
    pub(super) fn is_at(&self, path: &Path) -> io::Result<bool> {
        let named = match fs_err::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            named => named?,
        };
        #[cfg(unix)]
        {
            use crate::descriptor::Identity;
            use std::os::unix::fs::MetadataExt;
            let open = self.file.identity();
            Ok(open == Some(Identity { device: named.dev(), inode: named.ino() }))
        }
        #[cfg(not(unix))]
        {
            if named.is_symlink() {
                return Ok(false);
            }
            // Here a file has its number while it is open: both are, until they are compared.
            let open = same_file::Handle::from_file(self.just_opened().file().try_clone()?)?;
            match same_file::Handle::from_path(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                named => Ok(open == named?),
            }
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if !self.file.is_of_this_process() {
            // Closed after the fork; its place in the registry is the child's.
            return;
        }
        // A child that is forked before the file is closed must not keep the lock.
        let _ = self.file().map(File::unlock);
        registry::unregister(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_writer_or_many_readers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = Shared::take(&path).unwrap();
        let second = Shared::take(&path).unwrap();
        assert!(Exclusive::try_take(&path).unwrap().is_none());
        drop((first, second));
        let alone = Exclusive::try_take(&path).unwrap();
        assert!(alone.is_some());
        let other = fs_err::File::open(&path).unwrap();
        assert!(matches!(other.try_lock_shared(), Err(TryLockError::WouldBlock)));
    }

    #[test]
    fn a_removed_lock_file_is_not_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let old = Exclusive::wait(&path).unwrap();
        fs_err::remove_file(&path).unwrap();
        let new = Exclusive::try_take(&path).unwrap();
        assert!(new.is_some());
        drop(old);
        assert!(Exclusive::try_take(&path).unwrap().is_none());
    }

    #[test]
    fn a_renamed_file_is_not_at_its_old_name() {
        let folder = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (folder.path().join("lock"), folder.path().join("elsewhere"));
        let file = OpenFile::new(File::create(&path).unwrap());
        assert!(file.is_at(&path).unwrap());
        fs_err::rename(&path, &elsewhere).unwrap();
        assert!(!file.is_at(&path).unwrap());
        fs_err::write(&path, "another").unwrap();
        assert!(!file.is_at(&path).unwrap() && file.is_at(&elsewhere).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_or_a_folder_is_not_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let (path, elsewhere) = (folder.path().join("lock"), folder.path().join("elsewhere"));
        fs_err::write(&elsewhere, "somebody's").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        drop(Exclusive::wait(&path).unwrap());
        assert!(fs_err::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs_err::read(&elsewhere).unwrap(), b"somebody's");

        fs_err::remove_file(&path).unwrap();
        fs_err::create_dir_all(path.join("inside")).unwrap();
        let first = Exclusive::wait(&path).unwrap();
        assert!(Exclusive::try_take(&path).unwrap().is_none());
        drop(first);
    }

    #[cfg(unix)]
    #[test]
    fn who_cannot_look_at_the_path_gives_up() {
        let folder = tempfile::tempdir().unwrap();
        let file = OpenFile::new(File::create(folder.path().join("lock")).unwrap());
        assert!(file.is_at(&folder.path().join("lock")).unwrap());
        assert!(!file.is_at(&folder.path().join("gone")).unwrap());
        // A name that no file system looks up: any error but "there is none".
        assert!(file.is_at(&folder.path().join("x".repeat(5000))).is_err());
    }
}
