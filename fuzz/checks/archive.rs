//! Packs: refused, or read as an independent reader reads them.

use std::collections::BTreeMap;
use std::io::{BufRead, Cursor, Read as _, Seek};

use magic_module::error::{Kind, Result};
use magic_module::unpack::{Limits, Pack};

/// Path and bytes of every file.
pub type Tree = BTreeMap<String, Vec<u8>>;

pub const LABEL: &str = "files/some.zip";

/// So many bytes have the names that are declared for an archive in a zstd frame.
const NAMES: u64 = 1 << 12;

const LIMITS: Limits = Limits { entries: 1000, bytes: 1 << 20 };

pub fn check(data: &[u8]) {
    match within(data, &LIMITS) {
        Ok(tree) if is_framed(data) => {
            assert!(tree.values().map(Vec::len).sum::<usize>() as u64 <= LIMITS.bytes);
        }
        // The other reader also refuses what we never look at, such as a damaged time.
        Ok(tree) => {
            assert!(independent(data).is_none_or(|other| other == tree), "read in two ways")
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

/// What an independent reader makes of it; `None` if it refuses.
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
