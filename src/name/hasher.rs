//! Hashes bytes that are in memory, and bytes that pass on their way from a reader to a writer.
//!
//! ```text
//! reader ─ Hashing ─▶ writer
//!             └─▶ Digest
//! ```
//!
//! What is verified is hashed on its way, never read a second time.

use std::cell::Cell;
use std::io::{self, BufReader, Read, Write};
use std::time::{Duration, Instant};

use sha2::Digest as _;

use super::Digest;

/// The largest buffer that a stream is copied through, in bytes.
const BUFFER: u64 = 256 << 10;

/// From this size on a piece is worth being counted, in bytes: looking at the clock costs as much
/// as hashing some fifty.
const COUNTED: usize = 4 << 10;

thread_local! {
    /// What this thread has hashed in such pieces, and the time that it took.
    static HASHED: Cell<(u64, Duration)> = const { Cell::new((0, Duration::ZERO)) };
}

/// How many bytes this thread has hashed, but for small pieces, and how long that took, with what
/// it waited for others that hash for it.
pub fn hashed() -> (u64, Duration) {
    HASHED.get()
}

/// Adds to [`hashed`].
pub fn count_hashed(bytes: u64, time: Duration) {
    let (before, taken) = HASHED.get();
    HASHED.set((before.saturating_add(bytes), taken + time));
}

/// Takes bytes, piece by piece, and ends in their digest.
#[derive(Debug, Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        if bytes.len() < COUNTED {
            return self.0.update(bytes);
        }
        let from = Instant::now();
        self.0.update(bytes);
        count_hashed(bytes.len() as u64, from.elapsed());
    }

    /// The digest of all that was taken.
    pub fn finish(self) -> Digest {
        Digest::from_bytes(self.0.finalize().into())
    }
}

/// Passes on what is written to it, and hashes that.
#[derive(Debug)]
pub struct Hashing<W> {
    target: W,
    hasher: Hasher,
}

impl<W: Write> Hashing<W> {
    /// Has passed nothing on yet.
    pub fn new(target: W) -> Self {
        Self { target, hasher: Hasher::default() }
    }

    /// Lets all of `reader` pass, which should have `size` bytes, and counts them.
    pub fn copy(&mut self, reader: impl Read, size: u64) -> io::Result<u64> {
        let buffer = usize::try_from(size.clamp(1, BUFFER)).unwrap_or(1);
        io::copy(&mut BufReader::with_capacity(buffer, reader), self)
    }

    /// The digest of all that has passed.
    pub fn finish(self) -> Digest {
        self.hasher.finish()
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.target.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_hashed_as_it_was_written() {
        /// Takes a few bytes at a time.
        struct Slow(Vec<u8>);
        impl Write for Slow {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let count = bytes.len().min(7);
                self.0.extend_from_slice(&bytes[..count]);
                Ok(count)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let bytes: Vec<u8> = (0..100_000_u32).map(|at| at as u8).collect();
        for expected in [0, 100, 10_000, u64::MAX] {
            let mut target = Slow(Vec::new());
            let mut hashing = Hashing::new(&mut target);
            assert_eq!(hashing.copy(&bytes[..], expected).unwrap(), 100_000);
            assert_eq!(hashing.finish(), Digest::of(&bytes));
            assert_eq!(target.0, bytes);
        }
    }
}
