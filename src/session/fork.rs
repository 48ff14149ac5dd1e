//! What a `fork()` does to a session, beside its locks: no thread is left over, and the child keeps what it uses.
//! If a program closes our files, that is mended in the same way: they are locked again.

use std::sync::Arc;

use super::Session;
use crate::mount::Bound;
use crate::store::lock::Shared;
use crate::threads;

impl Session {
    /// CPython warns of a fork where there are other threads: those end that nobody waits for.
    pub fn settle(&self) {
        if !threads::are_at_work() {
            if let Some(compiling) = self.engine.compiling.get() {
                compiling.dismiss();
            }
            threads::settle();
        }
    }

    /// After a fork the child keeps its generations from being pruned by itself.
    pub fn take_locks_again(&self) {
        self.lock_again(|_| true);
    }

    /// Keeps generations from being pruned whose lock the program has closed.
    pub fn take_lost_locks(&self) {
        self.lock_again(|bound| bound.lock.as_ref().is_some_and(|lock| !lock.is_held()));
    }

    fn lock_again(&self, is_lost: impl Fn(&Bound) -> bool) {
        for mount in self.mounts().into_iter().filter(|mount| mount.is_bound()) {
            let Some(bound) = mount.bound().filter(|bound| is_lost(bound)) else { continue };
            let lock = Shared::take(&mount.folder.lock_of(bound.generation.number)).ok();
            // Nobody is there to be told: the child, and the program, go on without it.
            let _ = mount.change_bound(|bound| bound.lock = lock.map(Arc::new));
        }
    }
}
