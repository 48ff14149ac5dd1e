//! Packs: the small files of a unit in one artifact, so that they cost one request.
//!
//! A pack is a zip of stored entries in one zstd frame: what the files have in common is
//! compressed once, which makes it a quarter smaller than a deflated zip, and unpacked at
//! several times the speed. `docs/concepts/packs.md` has the figures behind each number here.
//!
//! The same files give the same bytes: entries are sorted, times and modes fixed.

use std::io::{Cursor, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};
use zstd_safe::{CCtx, CParameter};

use super::source::SourceFile;
use crate::error::{Error, Kind, MORE_MEMORY, Result};
use crate::threads;

/// Larger files are downloaded by themselves: they can be resumed and shared.
pub(super) const SMALL: u64 = 1 << 20;
/// A pack is unpacked in memory, by one thread while others take other packs. Larger ones
/// save a few hundredths of the bytes.
pub(super) const TOTAL: u64 = 2 << 20;
/// A file costs two headers, too, and its name in both.
const HEADERS: u64 = 128;

/// Above it, a hundredth of the bytes costs twice the time and four times the memory.
const LEVEL: i32 = 19;

/// What the compressor takes is this many times some 50 MB.
const THREADS: usize = 8;

/// Small files in groups of at most [`TOTAL`] bytes, in the order given.
pub(super) fn groups<'a>(files: impl Iterator<Item = &'a SourceFile>) -> Vec<Vec<&'a SourceFile>> {
    let small = files.filter(|file| file.size <= SMALL);
    let mut groups = within(small, TOTAL, |file| (file.path.as_str(), file.size));
    // One file in a pack is one request either way.
    groups.retain(|group| group.len() > 1);
    groups
}

/// Groups of entries, whose name and size `entry` tells, of at most `total` bytes; what
/// is larger alone is left out.
pub(super) fn within<T>(
    items: impl IntoIterator<Item = T>,
    total: u64,
    entry: impl Fn(&T) -> (&str, u64),
) -> Vec<Vec<T>> {
    let mut groups: Vec<Vec<T>> = Vec::new();
    let mut room = 0;
    for item in items {
        let (name, size) = entry(&item);
        let bytes = in_a_pack(name, size);
        if bytes > total {
            continue;
        }
        match groups.last_mut() {
            Some(group) if bytes <= room => group.push(item),
            _ => {
                groups.push(vec![item]);
                room = total;
            }
        }
        room -= bytes;
    }
    groups
}

/// What a file of `size` bytes takes of a pack.
pub(super) fn in_a_pack(name: &str, size: u64) -> u64 {
    size.saturating_add(HEADERS + 2 * name.len() as u64)
}

/// The packs of `groups`, in the same order. Compressing takes seconds, and every core.
pub(super) fn each<T: Sync>(
    groups: &[T],
    pack: impl Fn(&T) -> Result<Vec<u8>> + Sync,
) -> Result<Vec<Vec<u8>>> {
    let next = AtomicUsize::new(0);
    let made: Vec<OnceLock<Result<Vec<u8>>>> = groups.iter().map(|_| OnceLock::new()).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    threads::together(cores.min(THREADS).min(groups.len()), || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let (Some(group), Some(place)) = (groups.get(at), made.get(at)) else { break };
            place.get_or_init(|| pack(group));
        }
    });
    made.into_iter().map(|pack| pack.into_inner().unwrap_or_else(|| Err(cannot_write()))).collect()
}

/// A pack of names and bytes, in the order given.
pub(super) fn zip_zstd(entries: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    compress(&zip(entries, CompressionMethod::Stored)?)
}

/// The same with a frame in each entry, which is unpacked piece by piece: a frame around all would
/// be in memory at once.
pub(super) fn zip_of_frames(entries: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    zip(entries, CompressionMethod::Zstd)
}

fn zip(entries: &[(String, Vec<u8>)], method: CompressionMethod) -> Result<Vec<u8>> {
    let failed = |error: zip::result::ZipError| cannot_write().caused_by(&error);
    let options = SimpleFileOptions::default()
        .compression_method(method)
        .compression_level((method == CompressionMethod::Zstd).then_some(LEVEL.into()))
        .last_modified_time(DateTime::default())
        .system(System::Unix)
        .unix_permissions(0o644);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(name, options).map_err(failed)?;
        writer.write_all(bytes).map_err(|error| failed(error.into()))?;
    }
    Ok(writer.finish().map_err(failed)?.into_inner())
}

/// One zstd frame, which says how much it holds.
pub(super) fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    let failed = |code: usize| {
        let why = std::io::Error::other(zstd_safe::get_error_name(code));
        cannot_write().caused_by(&why)
    };
    let mut compressor = CCtx::try_create().ok_or_else(cannot_write)?;
    compressor.set_parameter(CParameter::CompressionLevel(LEVEL)).map_err(failed)?;
    let mut frame = Vec::new();
    frame
        .try_reserve_exact(zstd_safe::compress_bound(bytes.len()))
        .map_err(|_| cannot_write().hint(MORE_MEMORY))?;
    compressor.compress2(&mut frame, bytes).map_err(failed)?;
    Ok(frame)
}

fn cannot_write() -> Error {
    Error::new(Kind::Store, "cannot write a pack")
}
