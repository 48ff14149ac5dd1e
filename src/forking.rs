//! Locks that no other thread holds while `fork()` copies them.
//!
//! ```text
//! thread of Python    holds a lock only while it has the interpreter; whoever forks has it then
//! any other thread    passes a gate first, which is closed while somebody forks
//! ```
//!
//! Whoever forks holds none of these locks itself. Between "before" and the fork, CPython calls what
//! other libraries have registered, and another thread may run: a thread of Python that waited for a
//! lock then would keep the interpreter, and whoever forks would never get it back. So such a thread
//! meets no gate. It never waits long, either: who is behind the gate never waits for the interpreter.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

/// How long one waits before it looks again: locks are held for moments, and forks are rare.
const MOMENT: Duration = Duration::from_micros(50);

/// How many fork, or are about to. Above nothing, the gate is closed.
static FORKING: AtomicUsize = AtomicUsize::new(0);

/// How many are behind the gate.
static INSIDE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// This thread works without the interpreter, beside those of Python.
    static BESIDE: Cell<bool> = const { Cell::new(false) };
    /// How many locks it holds.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// Does `work` as a thread does that works without the interpreter.
pub fn beside<T>(work: impl FnOnce() -> T) -> T {
    as_one(true, work)
}

/// Does `work` as a thread of Python does: within [`beside`], but with the interpreter.
pub fn within<T>(work: impl FnOnce() -> T) -> T {
    as_one(false, work)
}

fn as_one<T>(beside: bool, work: impl FnOnce() -> T) -> T {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            BESIDE.set(self.0);
        }
    }
    let _before = Before(BESIDE.replace(beside));
    work()
}

/// Closes the gate, and waits until nobody is behind it. Without the interpreter: who is behind it
/// may wait for a thread that needs that.
pub fn close() {
    FORKING.fetch_add(1, Ordering::SeqCst);
    while INSIDE.load(Ordering::SeqCst) > 0 {
        std::thread::sleep(MOMENT);
    }
}

/// Opens the gate after the fork, in the parent.
pub fn open() {
    // Where a fork began before we were there, nobody has closed it.
    let less = |forking: usize| forking.checked_sub(1);
    let _ = FORKING.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
}

/// The same in the child, which has none of the threads that waited.
pub fn open_in_child() {
    FORKING.store(0, Ordering::SeqCst);
    INSIDE.store(0, Ordering::SeqCst);
}

/// What several threads share, also those that Python knows nothing of.
#[derive(Debug, Default)]
pub struct Lock<T>(Mutex<T>);

impl<T> Lock<T> {
    /// Nobody holds it yet.
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Waits until it is this thread's.
    pub fn lock(&self) -> Held<'_, T> {
        let gate = Gate::pass();
        Held { value: self.0.lock(), _gate: gate }
    }
}

/// A lock that is this thread's, until it is dropped.
#[derive(Debug)]
pub struct Held<'a, T> {
    // Dropped in this order.
    value: MutexGuard<'a, T>,
    _gate: Gate,
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

#[derive(Debug)]
struct Gate {
    passed: bool,
}

impl Gate {
    fn pass() -> Self {
        let held = HELD.get();
        HELD.set(held + 1);
        // Who is behind it is waited for, and must not wait itself.
        let passed = BESIDE.get() && held == 0;
        while passed && !Self::go_in() {
            std::thread::sleep(MOMENT);
        }
        Self { passed }
    }

    /// Who counts itself first is seen by whoever closes the gate, or sees that it is closed.
    fn go_in() -> bool {
        INSIDE.fetch_add(1, Ordering::SeqCst);
        let is_open = FORKING.load(Ordering::SeqCst) == 0;
        if !is_open {
            INSIDE.fetch_sub(1, Ordering::SeqCst);
        }
        is_open
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        HELD.set(HELD.get() - 1);
        if self.passed {
            INSIDE.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// One test: there is one gate.
    #[test]
    fn only_who_works_beside_the_interpreter_waits_for_a_fork() {
        let lock = Lock::new(0);
        let (told, heard) = mpsc::channel();
        std::thread::scope(|scope| {
            let first = lock.lock();
            // It waits for who is behind the gate, of which there is nobody: this thread is Python's.
            close();
            scope.spawn(|| {
                *lock.lock() += 1;
                told.send("a thread of Python").unwrap();
            });
            drop(first);
            assert_eq!(heard.recv(), Ok("a thread of Python"));
            scope.spawn(|| {
                beside(|| {
                    within(|| *lock.lock() += 1);
                    told.send("within").unwrap();
                    let held = lock.lock();
                    told.send("beside").unwrap();
                    drop(held);
                });
            });
            assert_eq!(heard.recv(), Ok("within"));
            assert!(heard.recv_timeout(Duration::from_millis(20)).is_err());
            open();
            assert_eq!(heard.recv(), Ok("beside"));
        });
        let other = Lock::new(());
        beside(|| {
            // Who holds one already goes on, however many fork meanwhile.
            let _held = other.lock();
            FORKING.fetch_add(1, Ordering::SeqCst);
            assert_eq!(*lock.lock(), 2);
            assert_eq!(INSIDE.load(Ordering::SeqCst), 1);
            open();
        });
        assert_eq!(INSIDE.load(Ordering::SeqCst), 0);
    }
}
