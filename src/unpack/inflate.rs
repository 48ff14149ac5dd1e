//! The bytes of one entry: exactly as many as declared, from exactly as many as declared.

use std::io::{BufRead, Read, Seek, Write};

use flate2::{Crc, Decompress, FlushDecompress, Status};
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::archive::{Entry, Refusal, rule, seek_to};
use super::frame::MAGIC;
use super::header::Method;
use crate::name::FilePath;

const CHUNK: usize = 64 << 10;

/// A frame may look back so far, as a power of two: 8 MiB, which every decoder is asked to have
/// (<https://www.rfc-editor.org/rfc/rfc8878#section-3.1.1.1.2>). So much memory it may take.
const WINDOW: u32 = 23;

/// Writes the bytes of an entry to `target`, piece by piece, and never one more than it declares.
pub(super) fn extract<R: BufRead + Seek>(
    reader: &mut R,
    path: &FilePath,
    entry: &Entry,
    target: &mut dyn Write,
) -> Result<(), Refusal> {
    seek_to(reader, entry.at).map_err(Refusal::Read)?;
    let mut input = reader.take(entry.compressed);
    let mut output = Output { path, entry, target, crc: Crc::new(), left: entry.size };
    match entry.method {
        Method::Stored => loop {
            let bytes = input.fill_buf().map_err(Refusal::Read)?;
            let count = bytes.len();
            if count == 0 {
                break;
            }
            output.write(bytes)?;
            input.consume(count);
        },
        Method::Deflated => inflate(&mut input, &mut output)?,
        Method::Zstd => decode(&mut input, &mut output)?,
    }
    if output.left > 0 {
        return rule(format!("holds less of {path} than it declares"));
    }
    if output.crc.sum() != entry.crc {
        return rule(format!("holds {path} with a wrong checksum"));
    }
    Ok(())
}

fn inflate<R: BufRead>(input: &mut R, output: &mut Output<'_>) -> Result<(), Refusal> {
    let path = output.path;
    let mut decoder = Decompress::new(false);
    let mut buffer = output.buffer();
    loop {
        let (read, written) = (decoder.total_in(), decoder.total_out());
        let bytes = input.fill_buf().map_err(Refusal::Read)?;
        let is_last = bytes.is_empty();
        let status = decoder
            .decompress(bytes, &mut buffer, FlushDecompress::None)
            .map_err(|_| Refusal::Rule(format!("holds {path} in damaged compression")))?;
        let (read, written) = (decoder.total_in() - read, decoder.total_out() - written);
        input.consume(read as usize);
        output.write(&buffer[..written as usize])?;
        match status {
            Status::StreamEnd => break,
            _ if is_last && written == 0 => {
                return rule(format!("holds {path} in compression that is cut off"));
            }
            _ => {}
        }
    }
    nothing_behind(input, path)
}

/// One zstd frame, piece by piece: no skippable frame, no dictionary, no large window.
fn decode<R: BufRead>(input: &mut R, output: &mut Output<'_>) -> Result<(), Refusal> {
    let path = output.path;
    let damaged = |code| {
        let why = zstd_safe::get_error_name(code);
        Refusal::Rule(format!("holds {path} in damaged compression ({why})"))
    };
    let mut decoder =
        DCtx::try_create().ok_or_else(|| Refusal::Read(std::io::ErrorKind::OutOfMemory.into()))?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW)).map_err(damaged)?;
    let mut buffer = output.buffer();
    let mut head = Vec::new();
    input.take(MAGIC.len() as u64).read_to_end(&mut head).map_err(Refusal::Read)?;
    // A skippable frame begins otherwise.
    if head != MAGIC {
        return rule(format!("holds {path} in something else than a zstd frame"));
    }
    decoder
        .decompress_stream(&mut OutBuffer::around(&mut buffer[..]), &mut InBuffer::around(&head))
        .map_err(damaged)?;
    loop {
        let bytes = input.fill_buf().map_err(Refusal::Read)?;
        let is_last = bytes.is_empty();
        let (mut read, mut written) = (InBuffer::around(bytes), OutBuffer::around(&mut buffer[..]));
        let left = decoder.decompress_stream(&mut written, &mut read).map_err(damaged)?;
        let (read, written) = (read.pos(), written.pos());
        input.consume(read);
        output.write(&buffer[..written])?;
        if left == 0 {
            return nothing_behind(input, path);
        }
        if is_last && written == 0 {
            return rule(format!("holds {path} in compression that is cut off"));
        }
    }
}

fn nothing_behind<R: BufRead>(input: &mut R, path: &FilePath) -> Result<(), Refusal> {
    if input.fill_buf().map_err(Refusal::Read)?.is_empty() {
        return Ok(());
    }
    rule(format!("has unknown bytes behind the compressed bytes of {path}"))
}

struct Output<'a> {
    path: &'a FilePath,
    entry: &'a Entry,
    target: &'a mut dyn Write,
    crc: Crc,
    left: u64,
}

impl Output<'_> {
    /// Room for a piece: one byte more than is declared is enough to know of a lie.
    fn buffer(&self) -> Vec<u8> {
        vec![0; usize::try_from(self.entry.size).unwrap_or(CHUNK).clamp(1, CHUNK - 1) + 1]
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            Refusal::Rule(format!("holds more of {} than it declares", self.path))
        })?;
        self.crc.update(bytes);
        let written = self.target.write_all(bytes);
        written.map_err(|cause| Refusal::Write { path: self.path.clone(), cause })
    }
}
