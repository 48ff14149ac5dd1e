//! Views that nobody used for long: a used one is marked once a day, and goes with its mount
//! thirty days after that.
//!
//! ```text
//! user    reads the index ─ a day old? ─ marks it ─ gone by then? ─▶ as if there were no view
//! pruner  old? ─ moves the index away ─ marked meanwhile? ─ back ┆ else the view goes, then its mount
//! ```
//!
//! A process that uses units of the view holds their generation besides; see `generation.rs`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::view::{folder_of, index_of};
use super::{Store, aside, disk, sealed};
use crate::error::{Error, Result};
use crate::name::Digest;

/// So often is it noted that a view is used.
const NOTED: Duration = Duration::from_secs(24 * 60 * 60);

/// After this time without a note nobody uses a view.
const UNUSED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Notes that a view is used whose index was last marked at `noted`. False: it has just gone.
pub(super) fn note(index: &Path, noted: Option<SystemTime>) -> bool {
    if sealed::is_sealed(index) || !noted.is_some_and(|noted| is_past(noted, NOTED)) {
        return true;
    }
    match disk::open(index) {
        Ok((file, _)) => {
            // Where nobody may write, nobody prunes either.
            let _ = file.file().set_modified(SystemTime::now());
            fs_err::symlink_metadata(index).is_ok()
        }
        Err(error) => !disk::is_absent(&error),
    }
}

/// A view that nobody used for long, taken away from whoever comes next; it comes back unless it
/// is removed.
pub(super) struct Unused {
    folder: PathBuf,
    index: PathBuf,
    away: PathBuf,
}

impl Unused {
    /// `None`: it was used not long ago, unless that does not matter; or there is none.
    pub(super) fn take(store: &Store, identity: &Digest, any: bool) -> Result<Option<Self>> {
        let (folder, index) = (folder_of(store, identity), index_of(store, identity));
        let away = aside(&store.tmp(), identity, "unused");
        let taken = Self { folder, index, away };
        let take = || match any || was_unused(&taken.index)? {
            true => {
                fs_err::rename(&taken.index, &taken.away)?;
                // Somebody may have begun to use it in between.
                Ok(any || was_unused(&taken.away)?)
            }
            false => Ok(false),
        };
        match take() {
            Ok(unused) => Ok(unused.then_some(taken)),
            Err(error) if disk::is_absent(&error) => Ok(None),
            Err(error) => Err(Error::store("cannot look at a view's index", &taken.index, &error)),
        }
    }

    /// Its folder; the bytes are counted by who removes it.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// It has gone: the index stays away.
    pub(super) fn gone(&self) -> io::Result<()> {
        disk::remove(&self.away)
    }
}

impl Drop for Unused {
    fn drop(&mut self) {
        let _ = fs_err::rename(&self.away, &self.index);
    }
}

fn was_unused(index: &Path) -> io::Result<bool> {
    fs_err::symlink_metadata(index)?.modified().map(|noted| is_past(noted, UNUSED))
}

/// A clock that was set back makes nothing old.
fn is_past(noted: SystemTime, age: Duration) -> bool {
    noted.elapsed().is_ok_and(|elapsed| elapsed > age)
}
