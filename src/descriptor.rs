//! Descriptors that stay open between two calls, although the program may close them.
//!
//! A program that becomes a daemon closes every descriptor that it does not know, ours among
//! them, and its own next files get the same numbers. So whatever stays open between two calls
//! is known by its device and inode beside its number: before each use, and before it is
//! closed, both are compared. A number that is not ours any more is forgotten.

use std::io;
use std::mem::ManuallyDrop;

#[cfg(unix)]
pub use std::os::fd::AsFd as Open;

/// Whatever may be open.
#[cfg(not(unix))]
pub trait Open {}

#[cfg(not(unix))]
impl<T> Open for T {}

/// Which file a descriptor had when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

impl Identity {
    /// `None` for a number that nothing is open under.
    #[cfg(unix)]
    pub fn of(open: &impl Open) -> Option<Self> {
        let stat = rustix::fs::fstat(open).ok()?;
        #[allow(clippy::unnecessary_cast, reason = "they have other types elsewhere")]
        Some(Self { device: stat.st_dev as u64, inode: stat.st_ino as u64 })
    }

    /// Nobody closes handles by their numbers here.
    #[cfg(not(unix))]
    pub fn of(_: &impl Open) -> Option<Self> {
        Some(Self { device: 0, inode: 0 })
    }
}

/// What this process opened: used, and closed, only while it is that still, and never by a
/// forked child.
#[derive(Debug)]
pub struct Own<T: Open> {
    value: ManuallyDrop<T>,
    identity: Option<Identity>,
    process: u32,
}

impl<T: Open> Own<T> {
    /// Remembers which file the number stands for now.
    pub fn new(value: T) -> Self {
        let identity = Identity::of(&value);
        Self { value: ManuallyDrop::new(value), identity, process: std::process::id() }
    }

    /// What it is: of no use where it is not ours any more, but for its name.
    #[cfg(unix)]
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// True in the process that opened it, false in a child that was forked from it.
    pub fn is_of_this_process(&self) -> bool {
        self.process == std::process::id()
    }

    /// True while nobody has closed it.
    pub fn is_ours(&self) -> bool {
        self.is_of_this_process()
            && self.identity.is_some()
            && Identity::of(&*self.value) == self.identity
    }

    /// The same without a look, right after it was opened.
    pub fn just_opened(&self) -> &T {
        &self.value
    }

    /// The file, or an error if the number stands for another one.
    pub fn get(&self) -> io::Result<&T> {
        if self.is_ours() { Ok(&self.value) } else { Err(closed()) }
    }

    /// As [`get`](Self::get).
    pub fn get_mut(&mut self) -> io::Result<&mut T> {
        if self.is_ours() { Ok(&mut self.value) } else { Err(closed()) }
    }
}

fn closed() -> io::Error {
    io::Error::other("this program has closed it")
}

impl<T: Open> Drop for Own<T> {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: dropped here only, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

impl<T: Open + io::Read> io::Read for Own<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.get_mut()?.read(buffer)
    }
}

impl<T: Open + io::Write> io::Write for Own<T> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.get_mut()?.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.get_mut()?.flush()
    }
}

impl<T: Open + io::Seek> io::Seek for Own<T> {
    fn seek(&mut self, position: io::SeekFrom) -> io::Result<u64> {
        self.get_mut()?.seek(position)
    }
}

/// Tells whether somebody closed what was opened together with it, and cannot be asked itself:
/// the descriptors inside of a library. They go together, by a range of numbers.
#[derive(Debug)]
pub struct Witness {
    #[cfg(unix)]
    socket: Own<std::os::unix::net::UnixDatagram>,
}

impl Witness {
    /// Call it right before the others are opened.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            socket: Own::new(std::os::unix::net::UnixDatagram::unbound()?),
        })
    }

    /// False once it was closed, and in a forked child.
    pub fn is_ours(&self) -> bool {
        #[cfg(unix)]
        return self.socket.is_ours();
        #[cfg(not(unix))]
        true
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsRawFd;

    /// Puts `other` under the number of `mine`, as a program does that closes it and opens its own.
    fn replace(mine: &impl AsRawFd, other: &fs_err::File) {
        // SAFETY: the number is open, and stays so under the other file.
        let mut number = ManuallyDrop::new(unsafe {
            <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(mine.as_raw_fd())
        });
        rustix::io::dup2(other, &mut number).unwrap();
    }

    #[test]
    fn a_number_of_somebody_else_is_neither_used_nor_closed() {
        let mut other = fs_err::File::from_parts(tempfile::tempfile().unwrap(), "other");
        let mut mine = Own::new(fs_err::File::from_parts(tempfile::tempfile().unwrap(), "mine"));
        assert!(mine.is_ours());
        mine.write_all(b"mine").unwrap();
        let number = mine.get().unwrap().as_raw_fd();
        replace(mine.get().unwrap(), &other);
        assert!(mine.write_all(b"lost").is_err() && mine.rewind().is_err() && !mine.is_ours());
        drop(mine);
        // SAFETY: it is open: that is what is asked.
        let left = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
        assert_eq!(Identity::of(&left), Identity::of(&other));
        let mut text = String::new();
        other.read_to_string(&mut text).unwrap();
        assert_eq!(text, "");
    }

    #[test]
    fn a_witness_knows_when_it_was_closed() {
        let witness = Witness::new().unwrap();
        assert!(witness.is_ours());
        let other = fs_err::File::from_parts(tempfile::tempfile().unwrap(), "other");
        replace(witness.socket.get().unwrap(), &other);
        assert!(!witness.is_ours());
    }
}
