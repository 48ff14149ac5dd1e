//! Files of this machine behind `file:` URLs. Who may name one is decided above.

use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;

use super::{Body, BoxFuture, Fault, Origin, OriginError, Part, PartOf, Request, Response, Status};
use crate::descriptor::Own;

const CHUNK: usize = 256 << 10;

/// The disk of this machine, for `file:` URLs.
#[derive(Debug, Default)]
pub struct Files;

impl Origin for Files {
    fn get<'a>(&'a self, request: Request<'a>) -> BoxFuture<'a, Result<Response, OriginError>> {
        Box::pin(async move { open(request) })
    }
}

fn open(request: Request<'_>) -> Result<Response, OriginError> {
    let no_file = |()| {
        let why = "it names no file of this machine";
        OriginError::new(Fault::Lasting, why, "write file:///path/to/file")
    };
    let path = request.url.real().to_file_path().map_err(no_file)?;
    let metadata = fs_err::metadata(&path).map_err(broken)?;
    if !metadata.is_file() {
        // Opening a pipe would wait for its writer.
        return Err(OriginError::new(Fault::Lasting, "it is not a file", "check the address"));
    }
    let mut file = fs_err::File::open(&path).map_err(broken)?;
    let size = metadata.len();
    let (first, length) = match request.part {
        Some(Part::At(first, count)) if first < size => (first, count.min(size - first)),
        Some(Part::Last(count)) => (size.saturating_sub(count), count.min(size)),
        _ => (0, size),
    };
    let mut status = Status::Whole;
    if first > 0 || length < size {
        file.seek(SeekFrom::Start(first)).map_err(broken)?;
        status = Status::Part(Some(PartOf { first, last: first + length - 1, total: Some(size) }));
    }
    Ok(Response {
        status,
        length: Some(length),
        coding: None,
        validator: None,
        fresh_for: None,
        with_login: false,
        body: Box::new(Reader(Own::new(file), length)),
    })
}

/// A file, and how many bytes of it are still to come.
struct Reader(Own<fs_err::File>, u64);

impl Body for Reader {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, OriginError>> {
        Box::pin(async move {
            let most = self.1.min(CHUNK as u64);
            let mut chunk = Vec::with_capacity(most as usize);
            (&mut self.0).take(most).read_to_end(&mut chunk).map_err(broken)?;
            self.1 -= chunk.len() as u64;
            Ok(if chunk.is_empty() { None } else { Some(Bytes::from(chunk)) })
        })
    }
}

fn broken(error: io::Error) -> OriginError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            OriginError::new(Fault::Absent, "there is no such file", "check the address")
        }
        io::ErrorKind::PermissionDenied => {
            OriginError::new(Fault::Lasting, error, "make the file readable")
        }
        _ => OriginError::new(Fault::Lasting, error, "check the file"),
    }
}
