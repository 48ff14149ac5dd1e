//! What only some systems say about a file: its mode, its owner and more. Elsewhere a file counts
//! as nobody's, and as closed to others.

use std::fs::Metadata;

/// The part of `stat` that is looked at here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// `st_mode`.
    pub mode: u32,
    /// `st_uid`.
    pub owner: u32,
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
    /// `st_nlink`: how many names it has.
    pub names: u64,
}

impl Status {
    /// Reads what is known; asks nothing.
    pub fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let (mode, owner) = (metadata.mode(), metadata.uid());
            let (device, inode) = (metadata.dev(), metadata.ino());
            Self { mode, owner, device, inode, names: metadata.nlink() }
        }
        #[cfg(not(unix))]
        {
            let _ = metadata;
            Self { mode: 0, owner: 0, device: 0, inode: 0, names: 1 }
        }
    }
}

/// Whose files this process makes.
pub fn own_user() -> u32 {
    #[cfg(unix)]
    return rustix::process::geteuid().as_raw();
    #[cfg(not(unix))]
    0
}
