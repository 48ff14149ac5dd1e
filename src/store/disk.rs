//! The one place where files of the store are opened to be read.
//!
//! ```text
//! open ─ no link, no waiting ─ a regular file ─ read up to the size that is known
//! ```
//!
//! Whatever else stands in a file's place (a link, a pipe, a device, a folder, a file that is
//! too large) is damage, and is healed by who needs the file. What the system refuses
//! (EIO, EMFILE, EACCES) says nothing about the file: it is an error, never "nothing there".

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{open_to_others, sealed};
use crate::files::patiently;
use crate::name::{Digest, Hashing};

/// A regular file of the store, and its size.
pub fn open(path: &Path) -> io::Result<(fs_err::File, std::fs::Metadata)> {
    let mut options = fs_err::OpenOptions::new();
    options.read(true);
    careful(&mut options, 0);
    let file = options.open(path).map_err(|error| match fs_err::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => stranger(),
        _ => error,
    })?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata)) } else { Err(stranger()) }
}

/// The bytes of a file that has at most `limit` of them. It takes the fewest calls: one look,
/// and one read that ends where the look said.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let (file, metadata) = open(path)?;
    read_rest(file, &metadata, limit)
}

/// The same for a file whose checksum only shows damage: whoever may write to it could write
/// its checksum as well, so a file that others may write to is damage.
pub fn read_private(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_dated(path, limit).map(|(bytes, _)| bytes)
}

/// The same, and when the file was last modified, where the system tells.
pub fn read_dated(path: &Path, limit: u64) -> io::Result<(Vec<u8>, Option<SystemTime>)> {
    let (file, metadata) = open(path)?;
    if open_to_others(&metadata) {
        return Err(damage("others may write to it"));
    }
    Ok((read_rest(file, &metadata, limit)?, metadata.modified().ok()))
}

fn read_rest(
    mut file: fs_err::File,
    metadata: &std::fs::Metadata,
    limit: u64,
) -> io::Result<Vec<u8>> {
    let size = metadata.len();
    if size > limit {
        return Err(damage(&format!("it has {size} bytes, but at most {limit} are expected")));
    }
    let size = usize::try_from(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.resize(size, 0);
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Writes to the end of a file, all at once; how long it is then. The file is made if there is
/// none, for its owner alone.
pub fn append(path: &Path, bytes: &[u8]) -> io::Result<u64> {
    sealed::refuse(path)?;
    let mut options = fs_err::OpenOptions::new();
    options.append(true).create(true);
    careful(&mut options, 0o600);
    let mut file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(stranger());
    }
    // Never in two parts: others write there, too.
    if file.write(bytes)? < bytes.len() {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(file.metadata()?.len())
}

/// Hashes a file that should have `size` bytes.
pub fn digest(path: &Path, size: u64) -> io::Result<Digest> {
    copy(path, size, &mut io::sink())
}

/// Copies a file that should have `size` bytes, and hashes what it copies. One byte more is
/// read, which is enough to know that it is wrong.
pub fn copy(path: &Path, size: u64, target: &mut impl Write) -> io::Result<Digest> {
    let (file, _) = open(path)?;
    let mut hashing = Hashing::new(target);
    hashing.copy(file.take(size.saturating_add(1)), size)?;
    Ok(hashing.finish())
}

/// What lies in a folder; nothing, if there is no such folder.
pub fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs_err::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Removes whatever stands at `path`, links not followed. Nothing there is nothing to do.
pub fn remove(path: &Path) -> io::Result<()> {
    sealed::refuse(path)?;
    let removed = match fs_err::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => match patiently(|| fs_err::remove_dir_all(path)) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                reopen_all(path).and_then(|()| fs_err::remove_dir_all(path))
            }
            done => done,
        },
        Ok(_) => patiently(|| fs_err::remove_file(path)),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if !is_absent(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Lets the owner write to a folder that was closed: without that, nothing in it can be removed,
/// and the folder itself can not be moved.
pub fn reopen(folder: &Path) -> io::Result<()> {
    sealed::refuse(folder)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mut permissions = fs_err::symlink_metadata(folder)?.permissions();
        permissions.set_mode(permissions.mode() | 0o700);
        fs_err::set_permissions(folder, permissions)?;
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// The same for all folders in it, links not followed.
fn reopen_all(folder: &Path) -> io::Result<()> {
    reopen(folder)?;
    for entry in list(folder)? {
        if fs_err::symlink_metadata(&entry)?.is_dir() {
            reopen_all(&entry)?;
        }
    }
    Ok(())
}

/// True if the error says that there is nothing, or nothing of ours: it can be made again.
pub fn is_damage(error: &io::Error) -> bool {
    is_absent(error)
        || matches!(
            error.kind(),
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::IsADirectory
        )
}

/// Removes `NAME.….SUFFIX` from a folder: what processes left that were killed. Whoever calls it
/// holds the lock under which such are made. What cannot be removed stays until the cache is pruned.
pub fn remove_left(folder: &Path, name: &str, suffix: &str) {
    for path in list(folder).unwrap_or_default() {
        let found = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        let rest = found.strip_prefix(name).and_then(|rest| rest.strip_suffix(suffix));
        if rest.is_some_and(|rest| rest.starts_with('.') && rest.ends_with('.')) {
            let _ = remove(&path);
        }
    }
}

/// True if the error says that there is nothing.
pub fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// What a file of the store is opened and created with: a planted link is not followed, and
/// nobody waits for the other end of a pipe.
pub(super) fn careful(options: &mut fs_err::OpenOptions, mode: u32) {
    #[cfg(unix)]
    {
        use fs_err::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.mode(mode).custom_flags(flags.bits().cast_signed());
    }
    #[cfg(not(unix))]
    let _ = (options, mode);
}

fn stranger() -> io::Error {
    damage("it is not a regular file")
}

fn damage(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
