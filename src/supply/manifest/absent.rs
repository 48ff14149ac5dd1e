//! Remembers for an hour that a manifest does not have a name, or that it has a unit which is
//! refused.

use super::ManifestSupply;
use crate::clock::now;

/// How long the disk remembers that a name is not in a manifest, in seconds.
const ABSENT_FOR: u64 = 60 * 60;

/// At most this many absent names are remembered.
const ABSENT_NAMES: usize = 256;

impl ManifestSupply {
    /// Notes that the newest manifest does not have `name`.
    pub(super) fn remember_absent(&self, name: &str) {
        if self.namespace.is_empty() || self.is_remembered(name) {
            return;
        }
        // The import lock is held: who would have to wait for a process that activates leaves
        // it. Not being able to remember costs a request, nothing else.
        let Ok(Some(lock)) = self.folder.try_lock() else { return };
        let _ = self.change_state(&lock, |state| {
            let now = now();
            state.absent.retain(|_, asked| now.saturating_sub(*asked) <= ABSENT_FOR);
            if state.absent.len() < ABSENT_NAMES {
                state.absent.insert(name.to_owned(), now);
            }
        });
    }

    /// Notes that something that the newest manifest has is refused.
    pub(super) fn remember_refused(&self) {
        if self.folder.state().is_ok_and(|state| state.refused) {
            return;
        }
        // As above: not being able to remember is not a failure.
        let Ok(Some(lock)) = self.folder.try_lock() else { return };
        let _ = self.change_state(&lock, |state| state.refused = true);
    }

    pub(super) fn is_remembered(&self, name: &str) -> bool {
        // Who cannot read it asks again.
        let known = self.folder.state().unwrap_or_default();
        let asked = known.absent.get(name).copied();
        asked.is_some_and(|asked| now().saturating_sub(asked) <= ABSENT_FOR)
    }
}
