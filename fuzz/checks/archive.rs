//! Packs: refused, or read as an independent reader reads them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{BufRead, Cursor, Read as _, Seek};

use magic_module::error::{Kind, Result};
use magic_module::unpack::{Limits, Pack};
use zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

/// Path and bytes of every file.
pub type Tree = BTreeMap<String, Vec<u8>>;

pub const LABEL: &str = "files/some.zip";

/// So many bytes have the names that are declared for an archive in a zstd frame.
const NAMES: u64 = 1 << 12;

const LIMITS: Limits = Limits { entries: 1000, bytes: 1 << 20 };

pub fn check(data: &[u8]) {
    match within(data, &LIMITS) {
        Ok(tree) => {
            assert!(tree.values().map(Vec::len).sum::<usize>() as u64 <= LIMITS.bytes);
            let archive = unframed(data);
            assert!(archive.is_some(), "a frame that others refuse was read");
            let other = archive.and_then(|archive| independent(&archive));
            // The other reader also refuses what we never look at, such as a damaged time.
            assert!(other.is_none_or(|other| other == tree), "read in two ways");
        }
        Err(error) => assert_eq!(error.kind(), Kind::Integrity, "{error}"),
    }
}

/// What the strict reader makes of an archive.
pub fn strict(bytes: &[u8]) -> Result<Tree> {
    within(bytes, &Limits::NONE)
}

/// The same, where only so much is declared.
pub fn within(bytes: &[u8], limits: &Limits) -> Result<Tree> {
    if is_framed(bytes) {
        return read(Pack::unframe(bytes, LABEL, limits, NAMES)?);
    }
    read(Pack::read(Cursor::new(bytes), LABEL, limits)?)
}

fn is_framed(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x28\xb5\x2f\xfd")
}

fn read<R: BufRead + Seek>(mut pack: Pack<R>) -> Result<Tree> {
    let paths: Vec<_> = pack.directory().files.keys().cloned().collect();
    let mut tree = Tree::new();
    for path in paths {
        let mut unpacked = Vec::new();
        pack.extract(&path, &mut unpacked)?;
        tree.insert(path.to_string(), unpacked);
    }
    Ok(tree)
}

/// The archive in a frame, decoded in small pieces through a window, and not in one step as the
/// product does; what is no frame is an archive already. `None` if it is not one whole frame.
pub fn unframed(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !is_framed(bytes) {
        return Some(bytes.into());
    }
    let mut decoder = DCtx::create();
    // Whatever window a frame asks for, no more is kept than it holds.
    decoder.set_parameter(DParameter::WindowLogMax(31)).ok()?;
    let (mut archive, mut piece) = (Vec::new(), [0; 1000]);
    let mut input = InBuffer::around(bytes);
    loop {
        let mut output = OutBuffer::around(&mut piece[..]);
        let left = decoder.decompress_stream(&mut output, &mut input).ok()?;
        archive.extend(output.as_slice());
        if left == 0 {
            return (input.pos() == bytes.len()).then_some(archive.into());
        }
        if input.pos() == bytes.len() && output.as_slice().is_empty() {
            return None;
        }
    }
}

/// What an independent reader makes of an archive; `None` if it refuses.
pub fn independent(bytes: &[u8]) -> Option<Tree> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).ok()?;
    let mut tree = Tree::new();
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at).ok()?;
        if entry.is_dir() {
            continue;
        }
        let mut unpacked = Vec::new();
        entry.read_to_end(&mut unpacked).ok()?;
        tree.insert(entry.name().ok()?.into_owned(), unpacked);
    }
    Some(tree)
}
