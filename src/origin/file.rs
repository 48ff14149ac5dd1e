//! Files of this machine behind `file:` URLs. Who may name one is decided above.

use std::io::{self, Read};

use bytes::Bytes;

use super::{Body, BoxFuture, Fault, Origin, OriginError, Request, Response, Status};
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
    let file = fs_err::File::open(&path).map_err(broken)?;
    Ok(Response {
        status: Status::Whole,
        length: Some(metadata.len()),
        coding: None,
        validator: None,
        body: Box::new(Reader(Own::new(file))),
    })
}

struct Reader(Own<fs_err::File>);

impl Body for Reader {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, OriginError>> {
        Box::pin(async move {
            let mut chunk = Vec::with_capacity(CHUNK);
            (&mut self.0).take(CHUNK as u64).read_to_end(&mut chunk).map_err(broken)?;
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
