//! Bundles: wheels and other artifacts that somebody carried here, each asked for by its sha256
//! before a server is asked for anything.
//!
//! ```text
//! work.bundle.zip   bundle.json, pylock.toml, artifacts/<sha256>/<file name> …
//!   ─ somebody wants a sha256 ─ copied, hashed on the way ─▶ a blob, as if it had been downloaded
//! ```
//!
//! Nothing else of a bundle is believed: neither its lock nor its names. One that cannot be used says
//! so, once; then the network is asked, as without it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Kind, Result};
use crate::events::{Events, Notice, NoticeKind};
use crate::name::{Digest, FilePath};
use crate::store::blob::{Begin, BlobStore, BlobWriter};
use crate::store::{Reuse, Sync};
use crate::threads;
use crate::unpack::Pack;

/// The folder of artifacts in a bundle.
const ARTIFACTS: &str = "artifacts/";

/// What a bundle says of itself.
const ABOUT: &str = "bundle.json";

/// The form of bundles that is known here.
const FORMAT: u64 = 1;

/// So many threads copy out of bundles.
const COPIERS: usize = 4;

/// Folders with bundles, which are opened when something is wanted for the first time.
#[derive(Debug, Default)]
pub struct Bundles {
    folders: Mutex<BTreeSet<PathBuf>>,
    opened: OnceLock<Vec<Bundle>>,
}

/// One bundle, as it was found.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    artifacts: BTreeMap<Digest, (FilePath, u64)>,
}

/// What somebody looks for.
#[derive(Debug, Clone)]
pub struct Sought {
    /// Names the bytes.
    pub sha256: Digest,
    /// If it is known.
    pub size: Option<u64>,
    /// The last part of its URL.
    pub file_name: String,
}

impl Bundles {
    /// Every bundle of this folder may be used from now on; or the one of this name.
    pub fn add(&self, folder: PathBuf) {
        self.folders.lock().insert(folder);
    }

    /// True if there is no bundle that could be used.
    pub fn is_empty(&self, events: &Events) -> bool {
        self.opened.get_or_init(|| self.open(events)).is_empty()
    }

    /// Copies what a bundle has into the store. Tells which of them are there now, by their
    /// places, with their sizes.
    pub fn bring(
        &self,
        blobs: &BlobStore,
        sought: &[Sought],
        events: &Events,
    ) -> Result<Vec<(usize, u64)>> {
        let bundles = self.opened.get_or_init(|| self.open(events));
        if bundles.is_empty() {
            return Ok(Vec::new());
        }
        let (next, found, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(None));
        let work = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(wanted) = sought.get(at) else { return };
                match one(bundles, blobs, wanted, events) {
                    Ok(Some(size)) => found.lock().push((at, size)),
                    Ok(None) => {}
                    Err(error) => *failed.lock() = Some(error),
                }
            }
        };
        threads::together(COPIERS.min(sought.len()), work);
        match failed.into_inner() {
            Some(error) => return Err(error),
            None => durable(blobs)?,
        }
        let mut found = found.into_inner();
        found.sort_unstable();
        Ok(found)
    }

    fn open(&self, events: &Events) -> Vec<Bundle> {
        let mut paths = BTreeSet::new();
        for folder in self.folders.lock().iter() {
            match fs_err::read_dir(folder) {
                Ok(listed) => paths.extend(listed.filter_map(|it| Some(it.ok()?.path()))),
                Err(_) if folder.is_file() => _ = paths.insert(folder.clone()),
                // As a variable may name a folder that is filled later.
                Err(_) => {}
            }
        }
        paths.retain(|path| path.extension().is_some_and(|it| it == "zip"));
        let open = |path: &PathBuf| match Bundle::open(path) {
            Ok(bundle) => Some(bundle),
            Err(error) => {
                unused(events, path, &reason(&error));
                None
            }
        };
        paths.iter().filter_map(open).collect()
    }
}

impl Bundle {
    /// Reads what a bundle has. One whose names escape, or that is not whole, is refused.
    pub fn open(path: &Path) -> Result<Self> {
        let mut pack = Pack::open_any(path, &path.display().to_string())?;
        let about = FilePath::new(ABOUT).map_err(|_| strange(path, "has no name for itself"))?;
        let mut text = Vec::new();
        pack.extract(&about, &mut text)?;
        let said: serde_json::Value = serde_json::from_slice(&text)
            .map_err(|error| strange(path, "says nothing that is understood").caused_by(&error))?;
        if said.get("bundle").and_then(serde_json::Value::as_u64) != Some(FORMAT) {
            return Err(strange(path, "is of a form that this version does not know"));
        }
        let mut artifacts = BTreeMap::new();
        for (file, entry) in &pack.directory().files {
            let named = file.as_str().strip_prefix(ARTIFACTS).and_then(|it| it.split_once('/'));
            let digest = named.and_then(|(digest, _)| Digest::new(digest).ok());
            if let Some(digest) = digest {
                artifacts.insert(digest, (file.clone(), entry.size));
            }
        }
        Ok(Self { path: path.to_owned(), artifacts })
    }

    /// Puts everything that it has into the store: how many artifacts, and how many bytes.
    pub fn unpack(&self, blobs: &BlobStore) -> Result<(usize, u64)> {
        for (sha256, (_, size)) in &self.artifacts {
            self.copy(blobs, sha256, *size)?;
        }
        durable(blobs)?;
        Ok((self.artifacts.len(), self.artifacts.values().map(|(_, size)| size).sum()))
    }

    fn copy(&self, blobs: &BlobStore, sha256: &Digest, size: u64) -> Result<()> {
        let Some((file, _)) = self.artifacts.get(sha256) else { return Ok(()) };
        let mut writer = match blobs.begin(sha256, size, Reuse::WhatIsHere)? {
            Begin::Ready => return Ok(()),
            Begin::Writer(writer) => writer,
            // Another process downloads it: nobody knows for how long.
            Begin::Busy { .. } => blobs.begin_apart(sha256)?,
        };
        let label = self.path.display().to_string();
        let mut pack = Pack::open_any(&self.path, &label)?;
        pack.copy(file, size, sha256, &mut Into(&mut writer))?;
        let sync = if cfg!(target_os = "linux") { Sync::Later } else { Sync::Now };
        writer.commit(sync)
    }

    /// The file name of another artifact of the same distribution.
    fn other(&self, file_name: &str) -> Option<&str> {
        let first = distribution(file_name)?;
        let names =
            self.artifacts.values().filter_map(|(file, _)| file.as_str().rsplit('/').next());
        names.into_iter().find(|name| distribution(name).is_some_and(|it| it == first))
    }
}

struct Into<'a>(&'a mut BlobWriter);

impl Write for Into<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map(|()| bytes.len()).map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn one(
    bundles: &[Bundle],
    blobs: &BlobStore,
    wanted: &Sought,
    events: &Events,
) -> Result<Option<u64>> {
    for bundle in bundles {
        let Some((_, size)) = bundle.artifacts.get(&wanted.sha256) else { continue };
        let size = *size;
        if wanted.size.is_some_and(|wanted| wanted != size) {
            unused(events, &bundle.path, &format!("it holds {} in another size", wanted.file_name));
            continue;
        }
        match bundle.copy(blobs, &wanted.sha256, size) {
            Ok(()) => return Ok(Some(size)),
            // The disk is the cache's: nobody else could write there either.
            Err(error) if error.kind() == Kind::Store && blobs.stamp(&wanted.sha256).is_none() => {
                return Err(error);
            }
            Err(error) => unused(events, &bundle.path, &reason(&error)),
        }
    }
    for bundle in bundles {
        if let Some(other) = bundle.other(&wanted.file_name) {
            let why = format!(
                "it holds {other} where {} is wanted: it is outdated, or for another platform",
                wanted.file_name
            );
            unused(events, &bundle.path, &why);
        }
    }
    Ok(None)
}

fn distribution(file_name: &str) -> Option<String> {
    let name = file_name.strip_suffix(".whl")?.split('-').next()?;
    Some(name.to_ascii_lowercase().replace('_', "-"))
}

fn durable(blobs: &BlobStore) -> Result<()> {
    #[cfg(target_os = "linux")]
    blobs.sync()?;
    #[cfg(not(target_os = "linux"))]
    let _ = blobs;
    Ok(())
}

fn strange(path: &Path, why: &str) -> Error {
    Error::new(Kind::Integrity, format!("the bundle {} {why}", path.display()))
        .path(path.display().to_string())
        .hint("make it anew: magic-module bundle")
}

/// Without the hint, which is for whoever made a pack.
fn reason(error: &Error) -> String {
    let details = error.details();
    let said = [&details.message].into_iter().chain(&details.causes);
    said.map(String::as_str).collect::<Vec<_>>().join(": ")
}

fn unused(events: &Events, path: &Path, why: &str) {
    let subject = path.display().to_string();
    let text = format!("the bundle {subject} is not used for what it should have: {why}");
    events.notice(Notice { kind: NoticeKind::Costly, subject, text });
}
