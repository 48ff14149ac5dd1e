//! Packs: the small files of a unit in one zip, so that they cost one request.
//!
//! The same files give the same bytes: entries are sorted, times and modes fixed.
//! What deflate does not shrink is stored.

use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, PreparedZipFile, System, ZipWriter};

use crate::error::{Error, Kind, Result};

/// Larger files are downloaded by themselves: they can be resumed and shared.
pub(super) const SMALL: u64 = 1 << 20;
/// A pack is read into memory and is what a broken download loses.
pub(super) const TOTAL: u64 = 64 << 20;

/// Small files, sorted by path, in groups of at most [`TOTAL`] bytes.
pub(super) fn groups<T>(files: Vec<T>, size: impl Fn(&T) -> u64) -> Vec<Vec<T>> {
    let small = files.into_iter().filter(|file| size(file) <= SMALL).collect();
    let mut groups = within(small, TOTAL, size);
    // One file in a pack is one request either way.
    groups.retain(|group| group.len() > 1);
    groups
}

/// Groups of at most `total` bytes; what is larger alone is left out.
pub(super) fn within<T>(items: Vec<T>, total: u64, size: impl Fn(&T) -> u64) -> Vec<Vec<T>> {
    let mut groups: Vec<Vec<T>> = Vec::new();
    let mut room = 0;
    for item in items.into_iter().filter(|item| size(item) <= total) {
        let bytes = size(&item);
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

/// A zip of `(path, bytes)`, in the order given.
pub(super) fn zip<'a>(entries: impl Iterator<Item = (&'a str, Vec<u8>)>) -> Result<Vec<u8>> {
    let failed = |error: zip::result::ZipError| {
        Error::new(Kind::Store, "cannot write a pack").caused_by(&error)
    };
    let options = SimpleFileOptions::default()
        .last_modified_time(DateTime::default())
        .system(System::Unix)
        .unix_permissions(0o644);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in entries {
        let deflate =
            options.compression_method(CompressionMethod::Deflated).compression_level(Some(9));
        let deflated = PreparedZipFile::from_data(path, deflate, &bytes).map_err(failed)?;
        if deflated.compressed_size() < deflated.uncompressed_size() {
            writer.add_prepared_file(deflated).map_err(failed)?;
        } else {
            let stored = options.compression_method(CompressionMethod::Stored);
            writer.start_file(path, stored).map_err(failed)?;
            writer.write_all(&bytes).map_err(|error| failed(error.into()))?;
        }
    }
    Ok(writer.finish().map_err(failed)?.into_inner())
}
