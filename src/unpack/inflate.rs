//! The bytes of one entry: exactly as many as declared, from exactly as many as declared.

use std::io::{BufRead, Read, Seek, Write};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::archive::{Entry, Refusal, rule, seek_to};
use super::header::Method;
use crate::name::FilePath;

const CHUNK: usize = 64 << 10;

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
    // One byte more than is declared is enough to know of a lie.
    let room = usize::try_from(output.entry.size).unwrap_or(CHUNK).clamp(1, CHUNK - 1) + 1;
    let mut buffer = vec![0; room];
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
    if !input.fill_buf().map_err(Refusal::Read)?.is_empty() {
        return rule(format!("has unknown bytes behind the compressed bytes of {path}"));
    }
    Ok(())
}

struct Output<'a> {
    path: &'a FilePath,
    entry: &'a Entry,
    target: &'a mut dyn Write,
    crc: Crc,
    left: u64,
}

impl Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(|| {
            Refusal::Rule(format!("holds more of {} than it declares", self.path))
        })?;
        self.crc.update(bytes);
        let written = self.target.write_all(bytes);
        written.map_err(|cause| Refusal::Write { path: self.path.clone(), cause })
    }
}
