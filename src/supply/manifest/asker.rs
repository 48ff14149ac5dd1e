//! One asker on a machine: who wants what another process is asking for waits for its answer.
//!
//! ```text
//! mounts/<identity>/asking    locked by who asks for the manifest and its signature
//! mounts/<identity>/failed    when the last one who had it began to ask in vain
//! locks/<digest>.part         locked by who asks for that part of a catalogue
//! ```
//!
//! A lock ends with its holder. Nobody waits longer than `PATIENCE`: if a holder was stopped, or its server
//! is silent, the others ask the server themselves. Where a mount has keys, the answer is the manifest and
//! its signature: who waited checks both. After a failure all who waited ask at once, each for itself: if
//! they asked one after the other, the last would wait for all of them. Where there are no locks, everybody
//! asks.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::clock::microseconds;
use crate::error::Result;
use crate::store::lock::Exclusive;
use crate::store::{Sync, disk, write_aside};

/// The longest that another process is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked whether it is done.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// Whose turn it is to ask.
pub(super) enum Turn<T> {
    /// Another process has brought the answer.
    Told(T),
    /// This one's; others wait while the lock is held, if there is one.
    Ask(Option<Exclusive>),
}

/// Waits until nobody else asks; `answer` looks whether there is anything left to ask then. `failed`
/// is the file in which failures are noted, if they are.
pub(super) async fn turn<T>(
    lock: &Path,
    failed: Option<&Path>,
    answer: impl Fn() -> Result<Option<T>>,
) -> Result<Turn<T>> {
    turn_within(PATIENCE, lock, failed, answer).await
}

async fn turn_within<T>(
    patience: Duration,
    lock: &Path,
    failed: Option<&Path>,
    answer: impl Fn() -> Result<Option<T>>,
) -> Result<Turn<T>> {
    let (began, end) = (microseconds(), Instant::now() + patience);
    let mut waited = false;
    loop {
        // Where nobody can lock, everybody asks.
        let Ok(taken) = Exclusive::try_take(lock) else { return Ok(Turn::Ask(None)) };
        if (taken.is_some() || waited)
            && let Some(answer) = answer()?
        {
            return Ok(Turn::Told(answer));
        }
        let in_vain = || failed.is_some_and(|path| noted(path) >= began);
        if let Some(lock) = taken {
            return Ok(Turn::Ask((!waited || !in_vain()).then_some(lock)));
        }
        if Instant::now() >= end || in_vain() {
            return Ok(Turn::Ask(None));
        }
        waited = true;
        tokio::time::sleep(LOOK).await;
    }
}

/// Where failures are noted. A note that cannot be written costs others their patience.
pub(super) fn note_failure(tmp: &Path, failed: &Path) {
    let now = microseconds().to_string();
    let _ = write_aside(tmp, failed, now.as_bytes(), Sync::Later);
}

fn noted(failed: &Path) -> u64 {
    let text = disk::read_private(failed, 32).ok().and_then(|it| String::from_utf8(it).ok());
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The files of a mount.
pub(super) fn places(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("asking"), folder.join("failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_holder_is_waited_for_until_it_answers_fails_or_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (lock, failed) = places(folder.path());
        let nothing = || Ok(None::<u8>);
        let held = Exclusive::wait(&lock).unwrap();
        let short = Duration::from_millis(1);
        let silent = turn_within(short, &lock, Some(&failed), nothing).await.unwrap();
        assert!(matches!(silent, Turn::Ask(None)), "it is asked past");

        let told = turn(&lock, Some(&failed), || Ok(Some(1))).await.unwrap();
        assert!(matches!(told, Turn::Told(1)), "an answer is seen although the lock is held");

        let fails = || {
            note_failure(folder.path(), &failed);
            nothing()
        };
        let vain = turn(&lock, Some(&failed), fails).await.unwrap();
        assert!(matches!(vain, Turn::Ask(None)), "nobody waits for the next one");

        drop(held);
        let own = turn(&lock, Some(&failed), nothing).await.unwrap();
        assert!(matches!(own, Turn::Ask(Some(_))));
    }
}
