//! Appending to a code pack: one open file for a process, locked for each append.
//!
//! Processes that import the same unit for the first time take turns, one append each, so
//! none waits for another and none writes into another's bytes. What a killed process left
//! half is behind the last whole entry, and is cut off by the next append. What another
//! process appended meanwhile, or this one before, is not appended again.

use std::collections::HashSet;
use std::io::{Read, Seek, SeekFrom, Write};

use super::{CodePack, Entry, FORMAT, HEADER, HERE, LIMIT, entry_at};
use crate::name::Digest;
use crate::status::Status;
use crate::store::disk::careful;
use crate::store::lock::{OpenFile, open_in_place};
use crate::store::open_to_others;

/// The file that a process appends to.
#[derive(Debug)]
pub(super) struct Writer {
    /// Of one process, or a forked child would have its parent's lock: it opens its own.
    file: OpenFile,
    /// Where the whole entries end, as far as this process knows; 0 where it knows nothing.
    end: u64,
    /// What was appended since the pack was opened, by whomever: path, source, mark.
    appended: HashSet<(String, Digest, u32)>,
}

impl Writer {
    /// True if `path` was appended; code that was compiled here takes the place of published code.
    fn has(&self, path: &str, entry: &Entry) -> bool {
        let is_in = |mark| self.appended.contains(&(path.to_owned(), entry.source, mark));
        is_in(HERE) || is_in(entry.mark)
    }

    fn note(&mut self, path: String, entry: &Entry) {
        self.appended.insert((path, entry.source, entry.mark));
    }
}

impl CodePack {
    /// Appends whole entries; the file stays open for the next ones.
    pub(super) fn append(&self, entries: &[u8]) -> std::io::Result<()> {
        let mut kept = self.writer.lock();
        let mut writer = match kept.take() {
            Some(writer) if writer.file.is_ours() => writer,
            _ => self.open_writer()?,
        };
        // Somebody else is writing: they, or the next process, will add it.
        if writer.file.file()?.file().try_lock().is_err() {
            *kept = Some(writer);
            return Ok(());
        }
        let metadata = writer.file.file()?.metadata()?;
        // Who removed it took its only name.
        let is_gone = Status::of(&metadata).names == 0;
        if open_to_others(&metadata) || is_gone {
            // Begun again: who has the old one open for writing keeps that.
            if !is_gone {
                fs_err::remove_file(&self.path)?;
            }
            writer = Writer { end: 0, ..self.open_writer()? };
            if writer.file.file()?.file().try_lock().is_err() {
                return Ok(());
            }
        }
        let written = self.write(&mut writer, entries);
        let _ = writer.file.file().map(fs_err::File::unlock);
        if written.is_ok() {
            *kept = Some(writer);
        }
        written
    }

    fn open_writer(&self) -> std::io::Result<Writer> {
        let mut options = fs_err::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        careful(&mut options, 0o644);
        let file = open_in_place(&options, &self.path)?;
        Ok(Writer { file: OpenFile::new(file), end: self.held.end, appended: HashSet::new() })
    }

    /// Writes behind the last whole entry. The file's lock is held.
    fn write(&self, writer: &mut Writer, entries: &[u8]) -> std::io::Result<()> {
        let length = writer.file.file()?.metadata()?.len();
        if length != writer.end || writer.end == 0 {
            // Another process appended, or the end is damaged: find where the entries end.
            if length < writer.end || length > LIMIT {
                writer.end = 0;
                writer.appended.clear();
            }
            if length <= LIMIT {
                self.find_end(writer)?;
            }
            if writer.end == 0 {
                let mut file = writer.file.file()?;
                file.set_len(0)?;
                file.seek(SeekFrom::Start(0))?;
                file.write_all(&[FORMAT, self.binding.as_bytes()].concat())?;
                writer.end = HEADER as u64;
            } else if writer.end < length {
                writer.file.file()?.set_len(writer.end)?;
            }
        }
        let (mut missing, mut at) = (Vec::with_capacity(entries.len()), 0);
        while let Some((path, entry)) = entry_at(entries, at) {
            let whole = at..entry.code.end;
            at = whole.end;
            if !writer.has(&path, &entry) {
                missing.extend_from_slice(entries.get(whole).unwrap_or_default());
                writer.note(path, &entry);
            }
        }
        let mut file = writer.file.file()?;
        file.seek(SeekFrom::Start(writer.end))?;
        file.write_all(&missing)?;
        writer.end += missing.len() as u64;
        Ok(())
    }

    /// Finds where the last whole entry ends, from the end of one on; 0 in a foreign file.
    fn find_end(&self, writer: &mut Writer) -> std::io::Result<()> {
        let mut bytes = Vec::new();
        let mut file = writer.file.file()?;
        file.seek(SeekFrom::Start(writer.end))?;
        file.read_to_end(&mut bytes)?;
        let mut at = 0;
        if writer.end == 0 {
            if !self.is_ours(&bytes) {
                return Ok(());
            }
            at = HEADER;
        }
        while let Some((path, entry)) = entry_at(&bytes, at) {
            at = entry.code.end;
            writer.note(path, &entry);
        }
        writer.end += at as u64;
        Ok(())
    }
}
