//! New files with the bytes of others: clones of their blocks, other names, or copies.

use std::io;
use std::path::Path;

use crate::name::Digest;
use crate::store::{create_file, disk};

#[cfg(target_os = "linux")]
pub(super) fn clone_blocks(from: &Path, target: &Path) -> io::Result<()> {
    let (input, _) = disk::open(from)?;
    let output = create(target)?;
    rustix::fs::ioctl_ficlone(output.file(), input.file()).or_else(|error| {
        drop(output);
        fs_err::remove_file(target)?;
        Err(error.into())
    })
}

#[cfg(not(target_os = "linux"))]
pub(super) fn clone_blocks(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Copies `from` to a new file, and hashes what it copies.
pub(super) fn copy(from: &Path, target: &Path, size: u64) -> io::Result<Digest> {
    disk::copy(from, size, &mut create(target)?)
}

/// A new file that nobody may write to, but through what is returned.
pub(super) fn create(target: &Path) -> io::Result<fs_err::File> {
    create_file(target, 0o444)
}

/// Lets all run a file who may read it; the umask has decided who that is.
pub fn make_executable(target: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mut permissions = fs_err::symlink_metadata(target)?.permissions();
        let readers = permissions.mode() & 0o444;
        permissions.set_mode(readers | (readers >> 2));
        fs_err::set_permissions(target, permissions)?;
    }
    #[cfg(not(unix))]
    let _ = target;
    Ok(())
}

/// Another name of a file, if nobody may write to it: who did would write to both.
pub fn link(from: &Path, target: &Path) -> io::Result<()> {
    if !is_read_only(&fs_err::symlink_metadata(from)?) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    fs_err::hard_link(from, target)
}

fn is_read_only(metadata: &std::fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        metadata.permissions().mode() & 0o7777 == 0o444
    }
    #[cfg(not(unix))]
    metadata.permissions().readonly()
}
