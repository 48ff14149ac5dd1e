//! Bombs: whatever an archive promises, not a byte is written beyond what was declared.

use std::io::{self, Cursor, Write};

use magic_module::error::Kind;
use magic_module::name::{Digest, FilePath};
use magic_module::unpack::{Limits, Pack};

use super::builder::{Archive, End, Part, archive, deflate};
use super::{LABEL, within};

const DECLARED: u64 = 1000;
const HUGE: usize = 4 << 20;

/// Counts what would have been written.
#[derive(Default)]
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `HUGE` zeros that say to be `DECLARED` bytes; `told` by both headers.
fn swollen() -> Part {
    let part = Part::deflated("a", &vec![0; DECLARED as usize]);
    let body = deflate(&vec![0; HUGE]);
    let compressed = body.len() as u32;
    Part { body, ..part.both(|header| header.compressed = compressed) }
}

#[test]
fn an_entry_that_unpacks_to_more_is_stopped_before_the_first_byte_too_many() {
    let bytes = archive([swollen()]).bytes();
    let mut pack = Pack::read(Cursor::new(&bytes), LABEL, &Limits::NONE).unwrap();
    let mut written = Counter::default();
    let path = FilePath::new("a").unwrap();
    let error = pack.copy(&path, DECLARED, &Digest::of(b""), &mut written).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert!(error.to_string().contains("holds more of a than it declares"), "{error}");
    assert!(written.0 <= DECLARED, "{} bytes written", written.0);
}

#[test]
fn an_entry_that_admits_its_size_is_not_begun() {
    let bytes = archive([Part::deflated("a", &vec![0; HUGE])]).bytes();
    let error = within(&bytes, &Limits { entries: 1, bytes: DECLARED }).unwrap_err();
    assert!(error.to_string().contains("unpacks to 4194304 bytes, but 1000 are"), "{error}");
    let mut pack = Pack::read(Cursor::new(&bytes), LABEL, &Limits::NONE).unwrap();
    let mut written = Counter::default();
    let path = FilePath::new("a").unwrap();
    let error = pack.copy(&path, DECLARED, &Digest::of(b""), &mut written).unwrap_err();
    assert!(error.to_string().contains("in another size"), "{error}");
    assert_eq!(written.0, 0);
}

#[test]
fn what_compresses_well_is_no_bomb() {
    let bytes = archive([Part::deflated("a", &vec![0; HUGE])]).bytes();
    assert!(HUGE / bytes.len() > 900);
    let tree = within(&bytes, &Limits { entries: 1, bytes: HUGE as u64 }).unwrap();
    assert_eq!(tree["a"].len(), HUGE);
}

#[test]
fn many_entries_over_the_same_bytes_are_refused() {
    let kernel = Part::deflated("kernel", &vec![0; 1 << 20]);
    let shared = (0..100).map(|at| {
        let mut part = kernel.clone().both(|header| header.name = format!("f{at:05}").into_bytes());
        part.offset = Some(0);
        if at > 0 {
            part.body = Vec::new();
        }
        part
    });
    let error = within(&archive(shared).bytes(), &Limits::NONE).unwrap_err();
    assert!(error.to_string().contains("in bytes of another entry"), "{error}");
}

#[test]
fn a_directory_is_counted_before_it_is_read() {
    let claimed = End { entries: Some(60_000), entries_here: Some(60_000), ..End::default() };
    let bytes = Archive { end: claimed, ..archive([Part::stored("a", b"")]) }.bytes();
    let error = within(&bytes, &Limits { entries: 1, bytes: 0 }).unwrap_err();
    assert!(error.to_string().contains("holds 60000 entries, but 1 are declared"), "{error}");

    let padded = Archive {
        around_directory: [Vec::new(), vec![0; 17 << 20]],
        ..archive([Part::stored("a", b"")])
    };
    let error = within(&padded.bytes(), &Limits::NONE).unwrap_err();
    assert!(error.to_string().contains("has a directory of more than"), "{error}");
}
