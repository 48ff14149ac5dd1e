//! What a `fork()` does to a session: no lock is ever copied in the hands of another thread.
//! What a program does that closes our files is mended in the same way: they are locked again.

use std::sync::Arc;

use super::Session;
use crate::events::ForkLock;
use crate::mount::Bound;
use crate::store::lock::Shared;
use crate::threads;

impl Session {
    /// Takes every lock that another thread could hold while this one forks.
    pub fn hold(&self) {
        // CPython warns of a fork where there are other threads: those end that nobody waits for.
        if !threads::are_at_work() {
            if let Some(compiling) = self.engine.compiling.get() {
                compiling.dismiss();
            }
            threads::settle();
        }
        self.mounts.hold();
        // SAFETY: `hold` keeps the list as it is.
        for mount in unsafe { &*self.mounts.data_ptr() } {
            mount.locks().for_each(ForkLock::hold);
        }
        self.units.lock().hold();
        self.engine.events.lock().hold();
    }

    /// # Safety
    /// Only after `hold` in the same thread, once.
    pub unsafe fn release(&self) {
        // SAFETY: the caller's promise, lock by lock in reverse order.
        unsafe {
            self.engine.events.lock().release();
            self.units.lock().release();
            for mount in &*self.mounts.data_ptr() {
                mount.locks().for_each(|lock| lock.release());
            }
            ForkLock::release(&self.mounts);
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
