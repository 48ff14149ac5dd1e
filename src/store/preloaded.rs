//! Whether what a registry wants to have at hand was fetched: noted under a digest of the registry and
//! of the locks that it is taken from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Store, lock_beside};
use crate::error::Result;

/// What failed is tried again after this time.
const AGAIN: Duration = Duration::from_secs(60 * 60);

/// The word by which a registry names it; without it there is nothing to do.
const WORD: &[u8] = b"preload";

const FAILED: &[u8] = b"failed";

impl Store {
    /// True if the registry names something, and nobody noted that it was fetched as things are.
    pub fn is_to_preload(&self, registry: &Path, lock: Option<&Path>) -> bool {
        let Some(note) = self.preload_note(registry, lock) else { return false };
        match fs_err::read(&note) {
            Ok(text) if text == FAILED => {
                let age = fs_err::metadata(&note).and_then(|it| it.modified());
                age.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > AGAIN))
            }
            found => found.is_err(),
        }
    }

    /// Notes that it was fetched, or could not be.
    pub fn note_preloaded(
        &self,
        registry: &Path,
        lock: Option<&Path>,
        is_done: bool,
    ) -> Result<()> {
        match self.preload_note(registry, lock) {
            Some(note) => self.note(&note, if is_done { b"" } else { FAILED }),
            None => Ok(()),
        }
    }

    fn preload_note(&self, registry: &Path, lock: Option<&Path>) -> Option<PathBuf> {
        let said = fs_err::read(registry).ok()?;
        said.windows(WORD.len()).any(|it| it == WORD).then_some(())?;
        let locks = [lock_beside(registry).as_deref(), lock]
            .map(|it| it.and_then(|it| fs_err::read(it).ok()).unwrap_or_default());
        let [own, other] = locks;
        Some(self.note_of(&[said, own, other], "preloaded"))
    }
}
