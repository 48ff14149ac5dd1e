//! Bundles: wheels and other artifacts that somebody carried here, each asked for by its sha256
//! before a server is asked for anything.
//!
//! ```text
//! work.bundle.zip   bundle.json, pylock.toml, artifacts/<sha256>/<file name> …
//!   ─ somebody wants a sha256 ─ copied, hashed on the way ─▶ a blob, as if it had been downloaded
//! ```
//!
//! Nothing else of a bundle is believed: neither its lock nor its names. One that cannot be used says
//! so, once; then the network is asked, as without it. What is in a wheel is read inside the bundle:
//! if a program mounts a hundred wheels and imports three, only three are copied.

mod bundle;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Kind, Result};
use crate::events::{Events, Notice, NoticeKind};
use crate::name::Digest;
use crate::store::blob::BlobStore;
use crate::threads;

use bundle::durable;
pub use bundle::{Bundle, Member};

/// So many threads read bundles.
const READERS: usize = 4;

/// Folders with bundles, which are opened when something is wanted for the first time.
#[derive(Debug, Default)]
pub struct Bundles {
    folders: Mutex<BTreeSet<PathBuf>>,
    opened: OnceLock<Vec<Bundle>>,
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
        let found = each(sought, |wanted| brought(bundles, blobs, wanted, events))?;
        if !found.is_empty() {
            durable(blobs)?;
        }
        Ok(found)
    }

    /// Where the bytes of these lie, by their places. They were hashed.
    pub fn find(&self, sought: &[Sought], events: &Events) -> Vec<(usize, Member)> {
        let bundles = self.opened.get_or_init(|| self.open(events));
        let found = each(sought, |wanted| {
            let mut members =
                having(bundles, wanted, events).filter_map(|it| it.member(&wanted.sha256));
            // One that holds other bytes is told of by whoever copies them.
            Ok(members.find(Member::is_sound))
        });
        found.unwrap_or_default()
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

/// What comes of each that is sought, by its place.
fn each<T: Send>(
    sought: &[Sought],
    find: impl Fn(&Sought) -> Result<Option<T>> + std::marker::Sync,
) -> Result<Vec<(usize, T)>> {
    let (next, found, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Mutex::new(None));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(wanted) = sought.get(at) else { return };
            match find(wanted) {
                Ok(Some(it)) => found.lock().push((at, it)),
                Ok(None) => {}
                Err(error) => *failed.lock() = Some(error),
            }
        }
    };
    threads::together(READERS.min(sought.len()), work);
    if let Some(error) = failed.into_inner() {
        return Err(error);
    }
    let mut found = found.into_inner();
    found.sort_unstable_by_key(|(at, _)| *at);
    Ok(found)
}

/// Those that say they have it, in the size that is wanted.
fn having<'a>(
    bundles: &'a [Bundle],
    wanted: &'a Sought,
    events: &'a Events,
) -> impl Iterator<Item = &'a Bundle> {
    bundles.iter().filter(move |bundle| match bundle.size(&wanted.sha256) {
        None => false,
        Some(size) if wanted.size.is_some_and(|wanted| wanted != size) => {
            unused(
                events,
                bundle.path(),
                &format!("it holds {} in another size", wanted.file_name),
            );
            false
        }
        Some(_) => true,
    })
}

fn brought(
    bundles: &[Bundle],
    blobs: &BlobStore,
    wanted: &Sought,
    events: &Events,
) -> Result<Option<u64>> {
    for bundle in having(bundles, wanted, events) {
        match bundle.copy(blobs, &wanted.sha256) {
            Ok(size) => return Ok(size),
            // The disk is the cache's: nobody else could write there either.
            Err(error) if error.kind() == Kind::Store && blobs.stamp(&wanted.sha256).is_none() => {
                return Err(error);
            }
            Err(error) => unused(events, bundle.path(), &reason(&error)),
        }
    }
    for bundle in bundles {
        if let Some(other) = bundle.other(&wanted.file_name) {
            let why = format!(
                "it holds {other}, but {} is needed: it is outdated, or for another platform",
                wanted.file_name
            );
            unused(events, bundle.path(), &why);
        }
    }
    Ok(None)
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
