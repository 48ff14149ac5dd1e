//! The bytes of an archive that came in a zstd frame
//! (<https://www.rfc-editor.org/rfc/rfc8878>): one frame, which says how much it holds,
//! and not a byte around it.
//!
//! It is unpacked in one step into a buffer of just that size, so that whatever window the
//! frame asks for, no memory is given for it.

use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;
use zstd_safe::DCtx;

use super::archive::{Limits, Refusal, room, rule};

/// How a frame begins; no zip archive does.
pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The most that a frame may hold. Several packs at a time are in memory.
pub const FRAME_LIMIT: u64 = 16 << 20;

/// Around a file an archive has two headers, twice the name, and what some writers add.
const AROUND_ENTRY: u64 = 256;
const AROUND_ALL: u64 = 256;

impl Limits {
    /// The longest archive that stores `names`, so many bytes of them, within these limits.
    fn archive(&self, names: u64) -> u64 {
        let around = self.entries.saturating_mul(AROUND_ENTRY).saturating_add(AROUND_ALL);
        self.bytes.saturating_add(around).saturating_add(names.saturating_mul(2)).min(FRAME_LIMIT)
    }
}

/// What is in memory while a frame of `size` bytes is opened: the frame, and the archive in it.
pub(super) fn memory(size: u64, limits: &Limits, names: u64) -> u64 {
    size.min(longest()).saturating_add(limits.archive(names))
}

/// The longest frame of an archive that may come in one.
fn longest() -> u64 {
    zstd_safe::compress_bound(FRAME_LIMIT as usize) as u64
}

/// True if a frame begins where `file` does.
pub(super) fn begins<R: Read + Seek>(file: &mut R) -> io::Result<bool> {
    let mut head = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(head == MAGIC)
}

/// All of a frame, which is hardly longer than what it holds.
pub(super) fn read<R: Read + Seek>(file: &mut R) -> Result<Vec<u8>, Refusal> {
    let most = longest();
    let length = file.seek(SeekFrom::End(0)).map_err(Refusal::Read)?.min(most);
    file.seek(SeekFrom::Start(0)).map_err(Refusal::Read)?;
    let mut frame = room(length + 1)?;
    file.take(most + 1).read_to_end(&mut frame).map_err(Refusal::Read)?;
    if frame.len() as u64 > most {
        return rule(format!("is a zstd frame of more than {most} bytes"));
    }
    Ok(frame)
}

/// The archive in `frame`, if it is no longer than what is declared can be.
pub(super) fn open(frame: &[u8], limits: &Limits, names: u64) -> Result<Bytes, Refusal> {
    inside(frame, limits.archive(names)).map(Bytes::from)
}

/// What is in a whole `frame`, if it is no longer than `most` bytes.
pub(super) fn inside(frame: &[u8], most: u64) -> Result<Vec<u8>, Refusal> {
    if !frame.starts_with(&MAGIC) {
        return rule("is not a zstd frame");
    }
    match zstd_safe::find_frame_compressed_size(frame) {
        Ok(length) if length == frame.len() => {}
        Ok(_) => return rule("has unknown bytes behind its zstd frame"),
        Err(_) => return rule("is a zstd frame that is damaged or cut off"),
    }
    if zstd_safe::get_dict_id_from_frame(frame).is_some() {
        return rule("is a zstd frame that needs a dictionary");
    }
    let size = match zstd_safe::get_frame_content_size(frame) {
        Ok(Some(size)) => size,
        _ => return rule("is a zstd frame that does not say how much it holds"),
    };
    if size > most {
        return rule(format!("unpacks to an archive of {size} bytes, but {most} are enough"));
    }
    let Some(mut decoder) = DCtx::try_create() else {
        return Err(Refusal::Read(io::ErrorKind::OutOfMemory.into()));
    };
    let mut content = room(size)?;
    match decoder.decompress(&mut content, frame) {
        Ok(length) if length as u64 == size => Ok(content),
        _ => rule("is a zstd frame that is damaged"),
    }
}
