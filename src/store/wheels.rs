//! What is in wheels that are not here: kept by the wheel's sha256, for every lock that names it.
//!
//! ```text
//! wheels/<sha256>     magic_module wheel 1
//!                     <sha256 of what follows>
//!                     {"sha256": …, "size": …, "dist_info": …, "files": […], "texts": {…}}
//! ```
//!
//! What is damaged is as if it were not there: it can be asked for again. A wheel that is not known
//! here is looked for in further caches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Store, Sync, disk, write_aside};
use crate::error::{Error, Result};
use crate::manifest::from_json;
use crate::name::Digest;
use crate::wheel::Contents;

const FORMAT: &str = "magic_module wheel 1";

/// The largest entry that is read, in bytes: about 250,000 files.
const LIMIT: u64 = 64 << 20;

/// What is known of a wheel; `None` for nothing.
pub fn read(store: &Store, wheel: &Digest) -> Result<Option<Contents>> {
    let known = |bytes: Vec<u8>| parse(&bytes).filter(|contents| contents.sha256 == *wheel);
    let path = path(store, wheel);
    match disk::read_private(&path, LIMIT) {
        Ok(bytes) => Ok(known(bytes)),
        Err(error) if disk::is_absent(&error) => {
            let name = wheel.to_hex();
            let read = |folder: &PathBuf| disk::read_private(&folder.join(&name), LIMIT).ok();
            Ok(store.folders_behind(Path::new("wheels")).iter().find_map(|it| known(read(it)?)))
        }
        Err(error) if disk::is_damage(&error) => Ok(None),
        Err(error) => Err(Error::store("cannot read from the cache", &path, &error)),
    }
}

fn parse(bytes: &[u8]) -> Option<Contents> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (digest, body) = text.strip_prefix(FORMAT)?.strip_prefix('\n')?.split_once('\n')?;
    if Digest::of(body.as_bytes()).to_hex() != digest {
        return None;
    }
    serde_json::from_str(body).ok()
}

/// Keeps what is known of a wheel, in the place of what was known before. What would be too
/// large to be read is not kept.
pub fn keep(store: &Store, contents: &Contents) -> Result<()> {
    let path = path(store, &contents.sha256);
    let body = serde_json::to_string(contents)
        .map_err(|error| Error::store("cannot write to the cache", &path, &error.into()))?;
    let text = format!("{FORMAT}\n{}\n{body}", Digest::of(body.as_bytes()));
    if text.len() as u64 > LIMIT {
        return Ok(());
    }
    write_aside(&store.tmp(), &path, text.as_bytes(), Sync::Later)
}

/// True if something was ever told of a wheel, even if that is not believed any more.
pub fn has(store: &Store, wheel: &Digest) -> bool {
    fs_err::symlink_metadata(path(store, wheel)).is_ok()
}

/// What is known of a wheel is not believed any more: whoever told it is not to be heard again.
pub fn doubt(store: &Store, wheel: &Digest) -> Result<()> {
    write_aside(&store.tmp(), &path(store, wheel), b"", Sync::Later)
}

/// The wheels of which something is known.
pub fn all(store: &Store) -> Result<BTreeSet<Digest>> {
    let folder = store.wheels();
    let listed = disk::list(&folder)
        .map_err(|error| Error::store("cannot look into the cache", &folder, &error))?;
    Ok(listed.iter().filter_map(|path| Digest::new(path.file_name()?.to_str()?).ok()).collect())
}

/// Forgets what is known of a wheel.
pub fn remove(store: &Store, wheel: &Digest) -> Result<()> {
    let path = path(store, wheel);
    disk::remove(&path).map_err(|error| Error::store("cannot remove from the cache", &path, &error))
}

/// The wheels that a lock's document is made from; none in that of a manifest.
pub fn named_by(document: &[u8]) -> Result<BTreeSet<Digest>> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Document {
        resolved: Resolved,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Resolved {
        units: BTreeMap<String, Unit>,
    }
    #[derive(Deserialize)]
    struct Unit {
        sha256: Digest,
    }
    let Document { resolved } = from_json(document)?;
    Ok(resolved.units.into_values().map(|unit| unit.sha256).collect())
}

fn path(store: &Store, wheel: &Digest) -> PathBuf {
    store.wheels().join(wheel.to_hex())
}
