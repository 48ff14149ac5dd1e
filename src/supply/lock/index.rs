//! `pylock.index.json`: what is in the wheels of the lock beside it, so that nobody has to ask
//! for it again.
//!
//! ```text
//! {"magic_module_index": 1, "wheels": [
//! {"sha256": "…", "size": 7, "dist_info": "x-1.dist-info", "files": [["x.py", 3, "…"]], "texts": {…}},
//! …
//! ]}
//! ```
//!
//! It is a hint, like what a server tells. An entry counts for that wheel of the lock that has its
//! sha256. An entry that contradicts itself is passed over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Error, Result};
use crate::files;
use crate::inspect::agrees;
use crate::name::{Digest, FilePath};
use crate::resolved::Resolved;
use crate::store::{Store, disk, wheels};
use crate::wheel::{Contents, Wheel, WheelFile};

const FORMAT: u32 = 1;

/// The largest that is read, in bytes.
const LIMIT: u64 = 64 << 20;

#[derive(Deserialize)]
struct Document {
    magic_module_index: u32,
    wheels: Vec<Box<RawValue>>,
}

/// As [`Contents`], but shorter. The `RECORD` would say once more what the files do.
#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    sha256: Digest,
    size: u64,
    dist_info: String,
    files: Vec<File>,
    texts: BTreeMap<String, String>,
}

/// Path, size, sha256, and whether it is executable.
#[derive(Serialize, Deserialize)]
struct File(
    FilePath,
    u64,
    Digest,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")] bool,
);

/// Where the index of a lock lies.
pub fn beside(lock: &Path) -> PathBuf {
    lock.with_extension("index.json")
}

/// Takes what the index beside the lock knows of `wanted` for known.
pub(super) fn learn(store: &Store, lock: &Path, wanted: &[Wheel]) -> Result<()> {
    let mut known = read(lock);
    // What it told before may have been a lie.
    known.retain(|digest, _| !wheels::has(store, digest));
    for wheel in wanted {
        let Some(digest) = &wheel.sha256 else { continue };
        let Some(contents) = known.get(digest).filter(|it| agrees(wheel, it)) else { continue };
        wheels::keep(store, contents)?;
    }
    Ok(())
}

/// Writes the index of a lock: what the store knows of the wheels that were chosen, and what
/// an index from before knows of others that the lock names. Returns the file, and how many wheels
/// it tells of.
pub fn write(store: &Store, resolved: &Resolved, lock: &Path) -> Result<(PathBuf, usize)> {
    let path = beside(lock);
    let failed = |error: std::io::Error| {
        Error::store(format!("cannot write {}", path.display()), &path, &error)
            .hint("check the folder of the lock")
    };
    let text = disk::read(lock, super::SIZE_LIMIT).map_err(failed)?;
    let text = String::from_utf8_lossy(&text);
    let mut all = read(lock);
    all.retain(|digest, _| text.contains(&digest.to_hex()));
    for unit in resolved.units.values() {
        if let Some(contents) = wheels::read(store, &unit.sha256)? {
            all.insert(unit.sha256, contents);
        }
    }
    let mut lines = Vec::with_capacity(all.len());
    for contents in all.into_values() {
        lines.push(
            serde_json::to_string(&Entry::from(contents)).map_err(|error| failed(error.into()))?,
        );
    }
    let lines = (lines.len(), lines.join(",\n"));
    let document = format!("{{\"magic_module_index\": {FORMAT}, \"wheels\": [\n{}\n]}}\n", lines.1);
    let aside = path.with_extension(format!("json.{}", std::process::id()));
    fs_err::write(&aside, document).map_err(failed)?;
    files::rename(&aside, &path).map_err(|error| {
        let _ = fs_err::remove_file(&aside);
        failed(error)
    })?;
    Ok((path, lines.0))
}

/// What can be read of the index of a lock, by wheel.
fn read(lock: &Path) -> BTreeMap<Digest, Contents> {
    let document = disk::read(&beside(lock), LIMIT)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Document>(&bytes).ok());
    let Some(document) = document.filter(|it| it.magic_module_index == FORMAT) else {
        return BTreeMap::new();
    };
    let entries = document.wheels.iter();
    let entries = entries.filter_map(|it| serde_json::from_str::<Entry>(it.get()).ok());
    entries.map(|entry| (entry.sha256, entry.into())).collect()
}

impl From<Contents> for Entry {
    fn from(contents: Contents) -> Self {
        let Contents { sha256, size, dist_info, files, mut texts } = contents;
        texts.remove("RECORD");
        let files = files.into_iter().map(|it| File(it.entry, it.size, it.sha256, it.executable));
        Self { sha256, size, dist_info, files: files.collect(), texts }
    }
}

impl From<Entry> for Contents {
    fn from(entry: Entry) -> Self {
        let Entry { sha256, size, dist_info, files, texts } = entry;
        let file =
            |File(entry, size, sha256, executable)| WheelFile { entry, size, sha256, executable };
        Self { sha256, size, dist_info, files: files.into_iter().map(file).collect(), texts }
    }
}
