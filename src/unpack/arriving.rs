//! The files at the front of an archive that is still arriving.
//!
//! ```text
//! header │ bytes │ header │ bytes │ header │ by…        the directory comes last
//! ```
//!
//! What a file's own header says is a hint until the directory is here, and the archive's hash:
//! who reads a file this way must know by its digest what it must be. Where a header does not say
//! how long its file is, nothing more is read ahead.

use std::io::{self, BufRead, Seek, SeekFrom, Write};

use super::archive::{Entry, Refusal, read_at, rule};
use super::fields::{ALL_32, Fields};
use super::header::{DESCRIPTOR, LOCAL, Method};
use super::inflate;
use crate::name::{Digest, FilePath, Hashing};

/// How far an archive was read that begins at the beginning of `reader`.
pub struct Arriving<R> {
    reader: R,
    at: u64,
}

/// What comes next in it.
pub enum Ahead {
    /// Not all of it is here; so many bytes have to be.
    Later(u64),
    /// A file, or a folder that has an entry of its own.
    Entry(Found),
}

/// A file of which all is here.
pub struct Found {
    /// As the archive has it.
    pub name: String,
    entry: Entry,
}

impl Found {
    /// Unpacked, in bytes.
    pub fn size(&self) -> u64 {
        self.entry.size
    }
}

impl<R: BufRead + Seek> Arriving<R> {
    /// Nothing was read yet.
    pub fn new(reader: R) -> Self {
        Self { reader, at: 0 }
    }

    /// How much is here.
    pub fn length(&mut self) -> io::Result<u64> {
        self.reader.seek(SeekFrom::End(0))
    }

    /// The next file, if it lies within the first `here` bytes. After a refusal there is none.
    pub fn next(&mut self, here: u64) -> Result<Ahead, Refusal> {
        let mut head = [0; LOCAL];
        let names_at = self.at + LOCAL as u64;
        if here < names_at {
            return Ok(Ahead::Later(names_at));
        }
        read_at(&mut self.reader, self.at, &mut head)?;
        if !head.starts_with(b"PK\x03\x04") {
            return rule("has no more files here".to_owned());
        }
        let fields = Fields(&head);
        let (flags, method) = (fields.u16(6), fields.u16(8));
        let (compressed, size) = (fields.u32(18), fields.u32(22));
        if flags & DESCRIPTOR != 0 || compressed == ALL_32 || size == ALL_32 {
            return rule("does not say how long a file is".to_owned());
        }
        let Some(method) = Method::of(method) else {
            return rule("is compressed in an unknown way".to_owned());
        };
        let name_length = fields.u16(26);
        let at = names_at + name_length + fields.u16(28);
        if here < at + compressed {
            return Ok(Ahead::Later(at + compressed));
        }
        let mut name = vec![0; name_length as usize];
        read_at(&mut self.reader, names_at, &mut name)?;
        let name = String::from_utf8(name).or_else(|_| rule("has a strange name".to_owned()))?;
        self.at = at + compressed;
        let crc = fields.u32(14) as u32;
        let entry = Entry { size, executable: false, method, crc, compressed, at };
        Ok(Ahead::Entry(Found { name, entry }))
    }

    /// Writes the bytes of a file, as many as it declares, and tells their digest.
    pub fn extract(
        &mut self,
        path: &FilePath,
        found: &Found,
        target: impl Write,
    ) -> Result<Digest, Refusal> {
        let mut hashing = Hashing::new(target);
        inflate::extract(&mut self.reader, path, &found.entry, &mut hashing)?;
        Ok(hashing.finish())
    }
}
