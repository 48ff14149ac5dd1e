//! The directory of an archive, held against every byte that is not an entry's own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use super::end::End;
use super::header::{Central, EMPTY, EntryKind, Local, Method};
use super::names::Names;
use crate::name::FilePath;

/// The largest central directory that is read, in bytes: about 100,000 files.
const DIRECTORY_LIMIT: u64 = 16 << 20;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Their number, folders included.
    pub entries: u64,
    /// The sum of all files, unpacked.
    pub bytes: u64,
}

impl Limits {
    /// Where each entry is held against its own size later on.
    pub const NONE: Self = Self { entries: u64::MAX, bytes: u64::MAX };
}

/// Why an archive is not read.
#[derive(Debug)]
pub enum Refusal {
    /// What it does that no archive may, as the end of a sentence about it.
    Rule(String),
    /// The archive could not be read.
    Read(io::Error),
    /// A file could not be written.
    Write {
        /// In the archive.
        path: FilePath,
        /// What the disk said.
        cause: io::Error,
    },
}

impl Refusal {
    /// Where an archive ends too early, that is its fault and not the disk's.
    pub(super) fn from_read(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::Rule("is cut off".to_owned());
        }
        Self::Read(error)
    }
}

pub(super) fn rule<T>(rule: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Rule(rule.into()))
}

/// An empty buffer for `size` bytes: what an archive says of itself never ends the process.
pub(super) fn room(size: u64) -> Result<Vec<u8>, Refusal> {
    let none = |()| Refusal::Read(io::ErrorKind::OutOfMemory.into());
    let mut bytes = Vec::new();
    let size = usize::try_from(size).map_err(|_| none(()))?;
    bytes.try_reserve_exact(size).map_err(|_| none(()))?;
    Ok(bytes)
}

pub(super) fn read_at<R: Read + Seek>(
    reader: &mut R,
    at: u64,
    bytes: &mut [u8],
) -> Result<(), Refusal> {
    seek_to(reader, at).map_err(Refusal::Read)?;
    reader.read_exact(bytes).map_err(Refusal::from_read)
}

/// What is in a buffer already is not read once more.
pub(super) fn seek_to<R: Seek>(reader: &mut R, at: u64) -> io::Result<()> {
    let here = reader.stream_position()?;
    match (at.checked_signed_diff(here), at == here) {
        (_, true) => Ok(()),
        (Some(by), _) => reader.seek_relative(by),
        (None, _) => reader.seek(SeekFrom::Start(at)).map(drop),
    }
}

/// Where the bytes of one file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Unpacked, in bytes.
    pub size: u64,
    /// Somebody may run it, as far as its Unix mode tells.
    pub executable: bool,
    pub(super) method: Method,
    pub(super) crc: u32,
    pub(super) compressed: u64,
    pub(super) at: u64,
}

/// What a sound archive holds.
#[derive(Debug, Default)]
pub struct Directory {
    /// By path, as the archive has it.
    pub files: BTreeMap<FilePath, Entry>,
    /// Folders that have an entry of their own; they mean nothing.
    pub folders: BTreeSet<FilePath>,
}

impl Directory {
    /// Reads and checks everything but the files' own bytes.
    pub fn read<R: Read + Seek>(reader: &mut R, limits: &Limits) -> Result<Self, Refusal> {
        let length = reader.seek(SeekFrom::End(0)).map_err(Refusal::Read)?;
        let end = End::read(reader, length)?;
        let headers = headers(reader, &end, limits)?;
        Self::walk(reader, &headers, end.directory_at)
    }

    /// All files, in the order in which they lie.
    pub fn in_order(&self) -> Vec<(&FilePath, &Entry)> {
        let mut files: Vec<_> = self.files.iter().collect();
        files.sort_by_key(|(_, entry)| entry.at);
        files
    }

    /// Goes over the archive from its first byte to its directory.
    fn walk<R: Read + Seek>(
        reader: &mut R,
        headers: &[Central],
        directory_at: u64,
    ) -> Result<Self, Refusal> {
        let mut found = Self::default();
        let ends = headers.iter().skip(1).map(|header| header.offset).chain([directory_at]);
        if headers.first().map_or(directory_at, |first| first.offset) != 0 {
            return rule("has bytes before its first entry");
        }
        for (header, next) in headers.iter().zip(ends) {
            let local = header.check_local(reader)?;
            let at = local.at;
            let after = at.checked_add(header.compressed).filter(|after| *after <= next);
            let Some(after) = after else {
                return rule(format!("holds {} in bytes of another entry", header.path));
            };
            check_gap(reader, header, &local, after..next)?;
            if header.kind == EntryKind::Folder {
                check_empty(reader, header, at)?;
                found.folders.insert(header.path.clone());
                continue;
            }
            found.files.insert(header.path.clone(), header.entry(at));
        }
        Ok(found)
    }
}

/// What the directory tells of each entry, in the order in which they lie.
pub(super) fn headers<R: Read + Seek>(
    reader: &mut R,
    end: &End,
    limits: &Limits,
) -> Result<Vec<Central>, Refusal> {
    if end.entries > limits.entries {
        let Limits { entries, .. } = limits;
        return rule(format!("holds {} entries, but {entries} are declared", end.entries));
    }
    if end.directory_size > DIRECTORY_LIMIT {
        return rule(format!("has a directory of more than {DIRECTORY_LIMIT} bytes"));
    }
    let mut bytes = room(end.directory_size)?;
    bytes.resize(end.directory_size as usize, 0);
    read_at(reader, end.directory_at, &mut bytes)?;
    let mut headers = parse(&bytes, end, limits)?;
    headers.sort_by_key(|header| header.offset);
    Ok(headers)
}

fn parse(mut bytes: &[u8], end: &End, limits: &Limits) -> Result<Vec<Central>, Refusal> {
    let mut headers = Vec::new();
    let mut names = Names::default();
    let mut total = 0_u64;
    for _ in 0..end.entries {
        let header = Central::take(&mut bytes)?;
        names.add(&header.path, header.kind)?;
        total = total.saturating_add(header.size);
        headers.push(header);
    }
    if !bytes.is_empty() {
        return rule("has more in its directory than its end record counts");
    }
    if total > limits.bytes {
        return rule(format!("unpacks to {total} bytes, but {} are declared", limits.bytes));
    }
    Ok(headers)
}

/// Between the bytes of an entry and the next there is a descriptor, if one is announced,
/// and nothing else.
fn check_gap<R: Read + Seek>(
    reader: &mut R,
    header: &Central,
    local: &Local,
    gap: Range<u64>,
) -> Result<(), Refusal> {
    const LONGEST: usize = 24;
    let mut bytes = [0; LONGEST];
    let sound = match (usize::try_from(gap.end - gap.start), header.has_descriptor) {
        (Ok(length @ 1..=LONGEST), true) => {
            let bytes = &mut bytes[..length];
            read_at(reader, gap.start, bytes)?;
            header.is_descriptor(bytes, local)
        }
        (Ok(0), false) => true,
        _ => false,
    };
    if sound { Ok(()) } else { rule(format!("has unknown bytes behind {}", header.path)) }
}

/// A folder has no bytes, not even behind a size that says so.
fn check_empty<R: Read + Seek>(reader: &mut R, header: &Central, at: u64) -> Result<(), Refusal> {
    let mut bytes = [0; EMPTY.len()];
    let sound = match (header.method, header.compressed) {
        (Method::Stored, 0) => true,
        (Method::Deflated, length) if length == EMPTY.len() as u64 => {
            read_at(reader, at, &mut bytes)?;
            bytes == EMPTY
        }
        _ => false,
    };
    if sound { Ok(()) } else { rule(format!("holds {} as a folder that has bytes", header.path)) }
}
