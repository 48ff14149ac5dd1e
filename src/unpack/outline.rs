//! An archive of which only the end is at hand: what it holds, and those of its entries that lie
//! there.
//!
//! ```text
//! entries …            │ entry ─ entry ─ directory ─ end record │
//!  not read, not known └ what a reader must have                ┘
//! ```
//!
//! What is read is held to the rules for all archives; that the rest keeps them is seen when
//! the archive is opened as a [`Pack`](super::Pack).

use std::io::{BufRead, Read, Seek, SeekFrom};
use std::ops::Range;

use super::archive::{Limits, Refusal, headers, room, rule};
use super::end::End;
use super::header::{Central, EntryKind};
use super::inflate;
use crate::name::FilePath;

/// What the directory of an archive tells.
#[derive(Debug)]
pub struct Outline {
    /// In the order in which they lie.
    headers: Vec<Central>,
    directory_at: u64,
}

/// One file, as the directory tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outlined<'a> {
    /// In the archive.
    pub path: &'a FilePath,
    /// Unpacked, in bytes.
    pub size: u64,
    /// Somebody may run it, as far as its Unix mode tells.
    pub executable: bool,
}

impl Outline {
    /// Where the directory lies.
    pub fn place<R: Read + Seek>(reader: &mut R) -> Result<Range<u64>, Refusal> {
        let end = Self::end(reader)?;
        Ok(end.directory_at..end.directory_at + end.directory_size)
    }

    /// Reads the directory.
    pub fn read<R: Read + Seek>(reader: &mut R) -> Result<Self, Refusal> {
        let end = Self::end(reader)?;
        let headers = headers(reader, &end, &Limits::NONE)?;
        Ok(Self { headers, directory_at: end.directory_at })
    }

    fn end<R: Read + Seek>(reader: &mut R) -> Result<End, Refusal> {
        let length = reader.seek(SeekFrom::End(0)).map_err(Refusal::Read)?;
        End::read(reader, length)
    }

    /// All files, in the order in which they lie.
    pub fn files(&self) -> impl Iterator<Item = Outlined<'_>> {
        let files = self.headers.iter().filter(|header| header.kind == EntryKind::File);
        files.map(|it| Outlined { path: &it.path, size: it.size, executable: it.executable })
    }

    /// Where a file lies, with all that belongs to it.
    pub fn span(&self, path: &FilePath) -> Option<Range<u64>> {
        let at = self.find(path)?;
        let next = self.headers.get(at + 1).map_or(self.directory_at, |next| next.offset);
        let first = self.headers.get(at)?.offset;
        (first < next).then_some(first..next)
    }

    /// The bytes of a file that has at most `limit` of them, its checksum compared.
    pub fn extract<R: BufRead + Seek>(
        &self,
        reader: &mut R,
        path: &FilePath,
        limit: u64,
    ) -> Result<Vec<u8>, Refusal> {
        let found = self.find(path).and_then(|at| self.headers.get(at)).zip(self.span(path));
        let Some((header, span)) = found else {
            return rule(format!("does not hold {path}"));
        };
        if header.size > limit {
            return rule(format!("holds {path} in more than {limit} bytes"));
        }
        let at = header.check_local(reader)?.at;
        if at.checked_add(header.compressed).is_none_or(|after| after > span.end) {
            return rule(format!("holds {path} in bytes of another entry"));
        }
        // It grows with what is unpacked, not with what is declared.
        let mut bytes = room(header.compressed.min(header.size))?;
        inflate::extract(reader, path, &header.entry(at), &mut bytes)?;
        Ok(bytes)
    }

    fn find(&self, path: &FilePath) -> Option<usize> {
        self.headers
            .iter()
            .position(|header| header.kind == EntryKind::File && header.path == *path)
    }
}
