//! Packs: what is read out of an archive that a stranger made.
//!
//! ```text
//! [zstd frame ─▶] end record ─ central directory ─ local headers ─▶ Directory ─ entry ─ inflate ─▶ bytes
//!  frame.rs        end.rs       header.rs           archive.rs                       inflate.rs
//! ```
//!
//! Every byte of an archive has exactly one meaning, or the archive is refused as a
//! whole before a byte of it is written: the entries lie one after the other from the
//! first byte to the directory, the directory up to the end record, the end record up
//! to the last byte, and what is said twice is said alike. So whatever reads the same
//! archive, an auditor's `unzip` or Python's `zipfile`, sees the same tree.
//!
//! An entry is only ever looked up by a path that the manifest pinned, and read up to
//! the size that the manifest pinned; nothing in the archive chooses a name, a mode or
//! a length. Sizes are judged by their sum against what was declared, never by ratio:
//! honest wheels hold files that compress 235:1.

mod archive;
mod arriving;
mod end;
mod fields;
mod frame;
mod header;
mod inflate;
mod names;
mod outline;

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

pub use archive::{Directory, Entry, Limits, Refusal};
pub use arriving::{Ahead, Arriving, Found};
pub use frame::FRAME_LIMIT;
pub use outline::{Outline, Outlined};

use crate::error::{Error, Kind, Result};
use crate::manifest::PackFormat;
use crate::name::{Digest, FilePath, Hashing, folders};
use crate::store::disk;

/// So much of an archive is read at once, in bytes.
const BUFFER: usize = 32 << 10;

/// Whether an archive lies in a zstd frame.
#[derive(Clone, Copy)]
enum Framing {
    Frame,
    Plain,
    /// Its first bytes tell.
    Unknown,
}

/// Which folders may have an entry of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folders {
    /// Those that a declared file is below.
    Needed,
    /// All: an installer makes none of them.
    Any,
}

/// What a pack is read from: a file, or memory.
pub trait Source: BufRead + Seek + Send {}

impl<T: BufRead + Seek + Send> Source for T {}

/// An archive that was found to be sound and is open for reading.
pub struct Pack<R = Box<dyn Source>> {
    directory: Arc<Directory>,
    reader: R,
    label: Arc<str>,
    /// All of it, where it came in a frame.
    memory: Option<Bytes>,
}

impl Pack {
    /// Opens a pack that must hold exactly the files of `declared`, in these sizes.
    pub fn open(
        path: &Path,
        label: &str,
        format: &PackFormat,
        declared: &BTreeMap<&FilePath, u64>,
    ) -> Result<Self> {
        let (mut limits, names) = limits_of(declared.iter().map(|(path, size)| (*path, *size)));
        let folders = if *format == PackFormat::Wheel { Folders::Any } else { Folders::Needed };
        if folders == Folders::Any {
            limits.entries = Limits::NONE.entries;
        }
        let framing = match format {
            PackFormat::ZipZstd => Framing::Frame,
            _ => Framing::Plain,
        };
        let pack = Self::open_within(path, label, &limits, names, framing)?;
        pack.compare(declared, folders)?;
        Ok(pack)
    }

    /// Opens a pack whose list of paths is no longer known; each entry is still
    /// verified by its own digest.
    pub fn open_any(path: &Path, label: &str) -> Result<Self> {
        Self::open_within(path, label, &Limits::NONE, 0, Framing::Unknown)
    }

    fn open_within(
        path: &Path,
        label: &str,
        limits: &Limits,
        names: u64,
        framing: Framing,
    ) -> Result<Self> {
        let mut file = file_at(path)?;
        let is_framed = match framing {
            Framing::Frame => true,
            Framing::Plain => false,
            Framing::Unknown => {
                frame::begins(&mut file).map_err(|error| cannot_open(path, &error))?
            }
        };
        if !is_framed {
            return Self::over(Box::new(buffered(file)), label, limits);
        }
        let bytes = frame::read(&mut file).map_err(|refusal| refused(label, refusal))?;
        Self::unframe(&bytes, label, limits, names)
    }

    /// Reads an archive in a zstd frame, all of which is in memory from then on. `names`: so
    /// many bytes have the paths that are declared.
    pub fn unframe(frame: &[u8], label: &str, limits: &Limits, names: u64) -> Result<Self> {
        let archive = frame::open(frame, limits, names);
        let archive = archive.map_err(|refusal| refused(label, refusal))?;
        let pack = Self::over(Box::new(io::Cursor::new(archive.clone())), label, limits)?;
        Ok(Self { memory: Some(archive), ..pack })
    }

    /// The most bytes that are in memory while a frame of `size` bytes is opened, which holds
    /// exactly these files.
    pub fn memory<'a>(size: u64, declared: impl Iterator<Item = (&'a FilePath, u64)>) -> u64 {
        let (limits, names) = limits_of(declared);
        frame::memory(size, &limits, names)
    }

    /// True if all of it is in memory.
    pub fn is_in_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// The same archive, to be read by another thread.
    pub fn again(&self, path: &Path) -> Result<Self> {
        let (directory, label, memory) =
            (self.directory.clone(), self.label.clone(), self.memory.clone());
        let reader: Box<dyn Source> = match memory.clone() {
            Some(memory) => Box::new(io::Cursor::new(memory)),
            None => Box::new(buffered(file_at(path)?)),
        };
        Ok(Self { directory, reader, label, memory })
    }
}

impl<R: Read + Seek> Pack<BufReader<R>> {
    /// Reads an archive from anything; what it may hold beyond `limits` is the caller's to say.
    pub fn read(reader: R, label: &str, limits: &Limits) -> Result<Self> {
        Self::over(BufReader::new(reader), label, limits)
    }
}

impl<R: BufRead + Seek> Pack<R> {
    fn over(mut reader: R, label: &str, limits: &Limits) -> Result<Self> {
        let directory =
            Directory::read(&mut reader, limits).map_err(|refusal| refused(label, refusal))?;
        Ok(Self { directory: Arc::new(directory), reader, label: label.into(), memory: None })
    }

    /// What was found in it.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Where in the archive the bytes of a file lie, if they lie there as they are.
    pub fn stored(&self, path: &FilePath) -> Option<std::ops::Range<u64>> {
        let entry = self.directory.files.get(path)?;
        let is_stored = entry.method == header::Method::Stored && self.memory.is_none();
        is_stored.then(|| entry.at..entry.at + entry.size)
    }

    fn compare(&self, declared: &BTreeMap<&FilePath, u64>, allowed: Folders) -> Result<()> {
        let Directory { files, folders: found } = &*self.directory;
        let needed = folders(declared.keys().copied());
        let strange =
            |what| self.broken(&format!("holds {what}, which the manifest does not list in it"));
        let unknown = found.iter().find(|folder| !needed.contains(folder.as_str()));
        if let Some(folder) = unknown.filter(|_| allowed == Folders::Needed) {
            return Err(strange(format!("the folder {folder}")));
        }
        for (path, entry) in files {
            let size = declared.get(path).ok_or_else(|| strange(path.to_string()))?;
            self.compare_size(path, entry, *size)?;
        }
        let missing = declared.keys().find(|path| !files.contains_key(**path));
        missing.map_or(Ok(()), |path| {
            Err(self.broken(&format!("does not hold {path}, which the manifest lists in it")))
        })
    }

    fn compare_size(&self, path: &FilePath, entry: &Entry, size: u64) -> Result<()> {
        if entry.size == size {
            return Ok(());
        }
        Err(self
            .broken(&format!("holds {path} in another size than the manifest says"))
            .expected(size.to_string())
            .got(entry.size.to_string()))
    }

    /// Copies the entry `path` to `target`, if it is what was pinned. Never writes more
    /// than `size` bytes.
    pub fn copy(
        &mut self,
        path: &FilePath,
        size: u64,
        sha256: &Digest,
        target: &mut impl Write,
    ) -> Result<()> {
        self.compare_size(path, self.entry(path)?, size)?;
        let got = self.extract(path, target)?;
        if got == *sha256 {
            return Ok(());
        }
        Err(self
            .broken(&format!("holds other bytes for {path}"))
            .expected(sha256.to_hex())
            .got(got.to_hex()))
    }

    /// Copies the entry `path` to `target`, as many bytes as it declares, and tells their digest.
    pub fn extract(&mut self, path: &FilePath, target: &mut impl Write) -> Result<Digest> {
        let entry = *self.entry(path)?;
        let mut hashing = Hashing::new(target);
        inflate::extract(&mut self.reader, path, &entry, &mut hashing)
            .map_err(|refusal| refused(&self.label, refusal))?;
        Ok(hashing.finish())
    }

    fn entry(&self, path: &FilePath) -> Result<&Entry> {
        let found = self.directory.files.get(path);
        found.ok_or_else(|| self.broken(&format!("does not hold {path}")))
    }

    fn broken(&self, rule: &str) -> Error {
        broken(&self.label, rule)
    }
}

/// How much these files are, with an entry for each folder above them, and so many bytes
/// their paths have.
fn limits_of<'a>(declared: impl Iterator<Item = (&'a FilePath, u64)>) -> (Limits, u64) {
    let declared: Vec<_> = declared.collect();
    let folders = folders(declared.iter().map(|(path, _)| *path));
    let entries = (declared.len() + folders.len()) as u64;
    let bytes = declared.iter().fold(0_u64, |sum, (_, size)| sum.saturating_add(*size));
    let paths = declared.iter().map(|(path, _)| path.as_str().len());
    // A folder's name ends in a slash.
    let names = paths.chain(folders.iter().map(|folder| folder.len() + 1)).sum::<usize>();
    (Limits { entries, bytes }, names as u64)
}

/// For a reader that goes forwards, over entries that are mostly small.
pub fn buffered<R: Read>(file: R) -> BufReader<R> {
    BufReader::with_capacity(BUFFER, file)
}

fn file_at(path: &Path) -> Result<fs_err::File> {
    disk::open(path).map(|(file, _)| file).map_err(|error| cannot_open(path, &error))
}

fn cannot_open(path: &Path, error: &io::Error) -> Error {
    Error::store("cannot open a pack", path, error)
}

/// What is in one zstd frame that is not an archive, of at most `most` bytes.
pub fn unframed(label: &str, frame: &[u8], most: u64) -> Result<Vec<u8>> {
    frame::inside(frame, most).map_err(|refusal| refused(label, refusal))
}

fn refused(label: &str, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Rule(rule) => broken(label, &rule),
        Refusal::Read(error) => {
            Error::store(format!("cannot read the pack {label}"), Path::new(label), &error)
        }
        Refusal::Write { path, cause } => {
            Error::store(format!("cannot unpack {path}"), Path::new(path.as_str()), &cause)
        }
    }
}

fn broken(label: &str, rule: &str) -> Error {
    Error::new(Kind::Integrity, format!("the pack {label} {rule}"))
        .hint("ask the author to publish it again; none of it was used")
}
