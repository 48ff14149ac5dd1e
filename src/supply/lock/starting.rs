//! What wheels have an interpreter do when it starts: their `.pth` and `.start` files.
//!
//! ```text
//! a wheel whose list has one at its top ─ fetched whole, hashed ─ read ─▶ Start, in the document
//! ```
//!
//! The list is a hint; what is run comes from the wheel, once that was hashed. The text is kept in
//! the document, so that no further start needs the wheel for it.
//!
//! <https://docs.python.org/3/library/site.html>, <https://peps.python.org/pep-0829/>

use super::LockSupply;
use super::compile::{Inspected, beside};
use crate::error::{Error, Kind, Result};
use crate::events::Progress;
use crate::fetch::Artifact;
use crate::name::{Digest, FilePath, UnitName};
use crate::resolved::{FileEntry, Owner, Owners, Start, runs_at_start};
use crate::store::{Reuse, Store, disk, wheels};
use crate::supply::Supply as _;
use crate::unpack::{Limits, Pack};
use crate::wheel::{Scheme, WheelFile};

/// The largest of these files, in bytes.
const LARGEST: u64 = 1 << 20;

/// A file that is to be read out of a wheel.
struct Wanted<'a> {
    inspected: &'a Inspected,
    path: &'a FilePath,
    file: &'a WheelFile,
}

impl LockSupply {
    /// Fetches the wheels that have such files, and reads these. `files` has those of every unit.
    pub(super) async fn start(
        &self,
        inspected: &[Inspected],
        files: &[(UnitName, Vec<FileEntry>)],
        owners: &Owners,
        scheme: &Scheme,
    ) -> Result<Start> {
        let mut wanted = Vec::new();
        for (it, (unit, placed)) in inspected.iter().zip(files) {
            for (file, FileEntry { path, .. }) in it.contents.files.iter().zip(placed) {
                let is_own =
                    matches!(owners.owner(path.as_str()), Some(Owner::Unit(by)) if by == unit);
                if is_own && runs_at_start(path, &scheme.site) {
                    wanted.push(Wanted { inspected: it, path, file });
                }
            }
        }
        wanted.sort_by_key(|it| it.path);
        self.fetch_whole(&wanted).await?;
        let mut start = Start::default();
        for Wanted { inspected: it, path, file } in wanted {
            let (store, title) = (self.engine.store.clone(), it.metadata.title.clone());
            let (sha256, file) = (it.contents.sha256, file.clone());
            let text = beside(move || read(&store, &sha256, &title, &file)).await?;
            start.add(path, it.unit.clone(), text, scheme, |folder| is_there(files, folder));
        }
        Ok(start)
    }

    async fn fetch_whole(&self, wanted: &[Wanted<'_>]) -> Result<()> {
        let blobs = self.engine.store.blobs();
        let progress = Progress::new("what runs at the start", self.engine.events.clone());
        let mut artifacts = Vec::new();
        for Wanted { inspected: it, .. } in wanted {
            let (label, sha256) = (it.metadata.title.clone(), it.contents.sha256);
            let (url, size) = (self.resolve(&it.wheel.url)?, it.contents.size);
            // A blob from before was hashed then; what is read now is run.
            if blobs.is_whole(&sha256, size)? {
                let here = Artifact { label, url, size, sha256 };
                self.engine.admit(&here, self.policy(), &progress).await?;
                continue;
            }
            blobs.remove(&sha256)?;
            let what = || {
                format!("{label}, which runs code when an interpreter starts, is not in the cache")
            };
            let may = self.may_fetch(&url, &what).and_then(|()| self.engine.may_come_from(&url));
            may.map_err(|error| error.name(label.clone()))?;
            artifacts.push(Artifact { label, url, size, sha256 });
        }
        let fetcher = &self.engine.fetcher;
        fetcher.blobs(&artifacts, self.policy(), &progress, Reuse::WhatIsHere).await?;
        if let Some(last) = artifacts.last() {
            progress.finish(last.url.file_name());
        }
        Ok(())
    }
}

/// True if a wheel has something at `folder` or below it.
fn is_there(files: &[(UnitName, Vec<FileEntry>)], folder: &FilePath) -> bool {
    let all = files.iter().flat_map(|(_, files)| files);
    let mut below = all.filter_map(|file| file.path.as_str().strip_prefix(folder.as_str()));
    below.any(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The text of a file of a wheel whose bytes were hashed when they arrived.
fn read(store: &Store, wheel: &Digest, title: &str, file: &WheelFile) -> Result<String> {
    let path = store.blobs().path(wheel);
    let (opened, _) = disk::open(&path)
        .map_err(|error| Error::store("cannot read from the cache", &path, &error))?;
    if file.size > LARGEST {
        let what = format!("{} of {title} has more than {LARGEST} bytes", file.entry);
        return Err(Error::new(Kind::Integrity, what).name(title).hint(
            "lock another version, or ask its author why an interpreter should run so much",
        ));
    }
    let mut bytes = Vec::new();
    let mut pack = Pack::read(opened, title, &Limits::NONE)?;
    if let Err(error) = pack.copy(&file.entry, file.size, &file.sha256, &mut bytes) {
        // What was learnt of the wheel was a lie: it is looked into again.
        let _ = wheels::doubt(store, wheel);
        return Err(error.or_name(title.to_owned()));
    }
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    Ok(String::from_utf8_lossy(text).into_owned())
}
