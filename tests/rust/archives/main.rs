//! Archives of strangers: every rule has an archive that breaks it, built byte by byte;
//! thousands of damaged ones are refused or read as another reader reads them; no bomb
//! writes more than was declared.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod bombs;
mod builder;
mod hostile;
mod mutations;
mod sound;
mod wheels;

use std::collections::BTreeMap;
use std::io::Cursor;

use magic_module::error::Result;
use magic_module::unpack::{Limits, Pack};

/// Path and bytes of every file.
type Tree = BTreeMap<String, Vec<u8>>;

const LABEL: &str = "files/some.zip";

/// What the strict reader makes of an archive.
fn strict(bytes: &[u8]) -> Result<Tree> {
    within(bytes, &Limits::NONE)
}

fn within(bytes: &[u8], limits: &Limits) -> Result<Tree> {
    let mut pack = Pack::read(Cursor::new(bytes), LABEL, limits)?;
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
fn independent(bytes: &[u8]) -> Option<Tree> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).ok()?;
    let mut tree = Tree::new();
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at).ok()?;
        if entry.is_dir() {
            continue;
        }
        let mut unpacked = Vec::new();
        std::io::copy(&mut entry, &mut unpacked).ok()?;
        tree.insert(entry.name().ok()?.into_owned(), unpacked);
    }
    Some(tree)
}
