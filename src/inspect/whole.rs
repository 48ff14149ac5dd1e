//! Wheels that have to be downloaded whole, and what is in them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::Asked;
use super::contents::{DistInfo, Record, TEXT_LIMIT, contradicts, text_of};
use crate::error::{Error, Result};
use crate::events::Progress;
use crate::fetch::{Artifact, Fetcher};
use crate::name::Digest;
use crate::policy::Policy;
use crate::store::{Reuse, disk};
use crate::unpack::{Limits, Pack};
use crate::wheel::{Contents, WheelFile};

/// The largest wheel whose size nobody knows, in bytes.
const LARGEST: u64 = 8 << 30;

/// The most that a wheel may unpack to, where no list tells.
const UNPACKED: u64 = 32 << 30;

/// Downloads wheels of which the size is known or not; afterwards each is a blob with the digest
/// and the size that are returned.
pub(super) async fn fetch(
    fetcher: &Fetcher,
    wheels: &[(usize, Asked, Option<u64>)],
    policy: Policy,
    progress: &Arc<Progress>,
) -> Result<Vec<(Digest, u64)>> {
    let mut artifacts = Vec::new();
    let mut found = Vec::new();
    for (_, asked, size) in wheels {
        let (Some(sha256), Some(size)) = (asked.wheel.sha256, *size) else {
            found.push(unpinned(fetcher, asked, policy, progress).await?);
            continue;
        };
        let (label, url) = (asked.label().to_owned(), asked.url.clone());
        // A blob from before was hashed then; what is learnt now comes from its bytes of now.
        if !fetcher.store().is_whole(&sha256, size)? {
            fetcher.store().remove(&sha256)?;
        }
        artifacts.push(Artifact { label, url, size, sha256 });
        found.push((sha256, size));
    }
    fetcher.blobs(&artifacts, policy, progress, Reuse::WhatIsHere).await?;
    Ok(found)
}

async fn unpinned(
    fetcher: &Fetcher,
    asked: &Asked,
    policy: Policy,
    progress: &Progress,
) -> Result<(Digest, u64)> {
    let limit = asked.wheel.size.unwrap_or(LARGEST);
    let (sha256, size) = fetcher.unpinned(&asked.url, limit, policy, progress).await?;
    asked.check_size(size)?;
    match asked.wheel.sha256 {
        Some(pinned) if pinned != sha256 => Err(asked
            .broken("is not the one that the lock names: its sha256 differs")
            .expected(pinned.to_hex())
            .got(sha256.to_hex())),
        _ => Ok((sha256, size)),
    }
}

/// Reads what is in a wheel at `path`, and hashes each of its files.
pub(super) fn read(path: &Path, asked: &Asked, sha256: Digest, size: u64) -> Result<Contents> {
    let (file, _) = disk::open(path)
        .map_err(|error| Error::store("cannot read from the cache", path, &error))?;
    let limits = Limits { bytes: UNPACKED, ..Limits::NONE };
    let mut pack = Pack::read(file, asked.label(), &limits)?;
    let entries: Vec<_> = {
        let in_order = pack.directory().in_order();
        in_order.into_iter().map(|(path, entry)| (path.clone(), *entry)).collect()
    };
    let dist_info = DistInfo::find(asked, entries.iter().map(|(path, _)| path))?;
    let mut texts = BTreeMap::new();
    for (name, path) in &dist_info.texts {
        let size = pack.directory().files.get(path).map_or(0, |entry| entry.size);
        if size > TEXT_LIMIT {
            return Err(asked.broken(&format!("has more than {TEXT_LIMIT} bytes of {name}")));
        }
        let mut bytes = Vec::new();
        pack.extract(path, &mut bytes)?;
        texts.insert((*name).to_owned(), text_of(&bytes));
    }
    let lies =
        |path: &str| asked.broken(&format!("lies about its RECORD: {path} is different there"));
    let record = match texts.get("RECORD") {
        Some(text) => Some(Record::parse(text).map_err(|path| lies(&path))?),
        None => None,
    };
    let mut files = Vec::new();
    for (entry, found) in entries {
        let sha256 = pack.extract(&entry, &mut io::sink())?;
        let row = record.as_ref().and_then(|record| record.of(&entry));
        if row.is_some_and(|row| contradicts(row, found.size, &sha256)) {
            return Err(lies(entry.as_str()));
        }
        files.push(WheelFile { entry, size: found.size, sha256, executable: found.executable });
    }
    Ok(Contents { sha256, size, dist_info: dist_info.folder, files, texts })
}
