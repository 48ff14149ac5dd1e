//! How long an answer counts for all processes of a machine.
//!
//! | what is asked                        | an answer of another process will do               |
//! |--------------------------------------|----------------------------------------------------|
//! | the first manifest of a mount        | whenever it came                                   |
//! | whether there is a newer one         | while it is fresh, or if it was asked after we began |
//! | the same, past caches (`force=True`) | never                                              |
//!
//! It is fresh for as long as the server said (`Cache-Control`), else for `MAGIC_MODULE_FRESH` seconds, each
//! time up to a tenth more or less: the machines of a cluster do not come back together.

use super::ManifestSupply;
use crate::clock::{microseconds, now};
use crate::store::generation::State;

/// What a server says that is longer is held to be a mistake, in seconds.
const LONGEST: u64 = 24 * 60 * 60;

impl ManifestSupply {
    /// How long the answer counts that stands in the state, in microseconds. The time at which it was
    /// asked for decides whether that is more or less: all processes of a machine agree.
    fn period(&self, state: &State) -> u64 {
        let seconds = state.fresh_for.unwrap_or(self.engine.settings.fresh).min(LONGEST);
        let thousandths = 900 + state.asked.unwrap_or_default() % 201;
        seconds * 1000 * thousandths
    }

    /// True if what stands in the state is an answer to who began to ask `at`.
    pub(super) fn is_fresh(&self, state: &State, at: u64) -> bool {
        let now = microseconds();
        // Not what a clock that went wrong wrote down.
        let is_past = state.asked.is_some_and(|asked| asked <= now);
        let is_newer = state.asked.is_some_and(|asked| asked >= at);
        let is_fresh = state.asked.is_some_and(|asked| now < asked + self.period(state));
        is_past && (is_newer || is_fresh) && !self.has_grown_old(state)
    }

    /// True if nobody has asked since the manifest has expired.
    fn has_grown_old(&self, state: &State) -> bool {
        let known = state.manifest.and_then(|digest| self.manifest(&digest).ok());
        let asked = state.asked.map_or(0, |asked| asked / 1_000_000);
        known.is_none_or(|it| it.expires().is_some_and(|end| end < now() && asked <= end))
    }
}
