//! Appending to a code pack: one open file for a process, locked for each append.
//!
//! Processes that import the same unit for the first time take turns, one append each, so
//! none waits for another and none writes into another's bytes. What a killed process left
//! half is behind the last whole entry, and is cut off by the next append.

use std::io::{Read, Seek, SeekFrom, Write};

use super::{CodePack, FORMAT, HEADER, entry_at};
use crate::store::lock::{no_follow, open_in_place};
use crate::store::open_to_others;

/// The file that a process appends to.
#[derive(Debug)]
pub(super) struct Writer {
    file: fs_err::File,
    /// A forked child has its parent's file, and with it the parent's lock: it opens its own.
    process: u32,
    /// Where the whole entries end, as far as this process knows; 0 where it knows nothing.
    end: u64,
}

impl CodePack {
    /// Appends whole entries; the file stays open for the next ones.
    pub(super) fn append(&self, entries: &[u8]) -> std::io::Result<()> {
        let mut kept = self.writer.lock();
        let mut writer = match kept.take() {
            Some(writer) if writer.process == std::process::id() => writer,
            _ => self.open_writer()?,
        };
        // Somebody else is writing: they, or the next process, will add it.
        if writer.file.file().try_lock().is_err() {
            *kept = Some(writer);
            return Ok(());
        }
        let metadata = writer.file.metadata()?;
        if open_to_others(&metadata) || is_gone(&metadata) {
            // Begun anew: who has the old one open for writing keeps that.
            if !is_gone(&metadata) {
                fs_err::remove_file(&self.path)?;
            }
            writer = Writer { end: 0, ..self.open_writer()? };
            if writer.file.file().try_lock().is_err() {
                return Ok(());
            }
        }
        let written = self.write(&mut writer, entries);
        let _ = writer.file.file().unlock();
        if written.is_ok() {
            *kept = Some(writer);
        }
        written
    }

    fn open_writer(&self) -> std::io::Result<Writer> {
        let mut options = fs_err::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        no_follow(&mut options, 0o644);
        let file = open_in_place(&options, &self.path)?;
        Ok(Writer { file, process: std::process::id(), end: self.held.end })
    }

    /// Writes behind the last whole entry. The file's lock is held.
    fn write(&self, writer: &mut Writer, entries: &[u8]) -> std::io::Result<()> {
        let Writer { file, end, .. } = writer;
        let length = file.metadata()?.len();
        if length != *end || *end == 0 {
            // Another process appended, or the end is damaged: find where the entries end.
            let from = if length < *end { 0 } else { *end };
            *end = self.end_of_entries(file, from)?;
            if *end == 0 {
                file.set_len(0)?;
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&[FORMAT, &self.binding].concat())?;
                *end = HEADER as u64;
            } else if *end < length {
                file.set_len(*end)?;
            }
        }
        file.seek(SeekFrom::Start(*end))?;
        file.write_all(entries)?;
        *end += entries.len() as u64;
        Ok(())
    }

    /// Where the last whole entry ends, looked for from the end of one; 0 in a foreign file.
    fn end_of_entries(&self, file: &mut fs_err::File, from: u64) -> std::io::Result<u64> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut bytes)?;
        let mut at = 0;
        if from == 0 {
            if !self.is_ours(&bytes) {
                return Ok(0);
            }
            at = HEADER;
        }
        while let Some((_, entry)) = entry_at(&bytes, at) {
            at = entry.code.end;
        }
        Ok(from + at as u64)
    }
}

/// True for a file that does not bear its name any more.
fn is_gone(metadata: &std::fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        metadata.nlink() == 0
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        false
    }
}
