//! State that a forked child must not share with its parent.
//!
//! Connections, permits and running downloads belong to threads that a child does
//! not have. A child gets a value of its own at its first use; the parent's copy
//! is left as it is, since its locks may be held for ever. Nobody has to be told
//! of the fork. In the same way a value is left behind whose descriptors the program closed.

use std::sync::OnceLock;

/// A value that a forked child makes again.
#[derive(Debug)]
pub struct PerProcess<T> {
    process: u32,
    value: T,
    child: OnceLock<Box<PerProcess<T>>>,
}

impl<T> PerProcess<T> {
    /// Holds `value` for this process.
    pub fn new(value: T) -> Self {
        Self { process: std::process::id(), value, child: OnceLock::new() }
    }

    /// This process's value, made by `make` if it was forked since.
    pub fn get(&self, make: impl Fn() -> T) -> &T {
        self.get_good(make, |_| true)
    }

    /// The same; a value that is not `good` any more is left behind, too.
    pub fn get_good(&self, make: impl Fn() -> T, good: impl Fn(&T) -> bool) -> &T {
        let mut link = self;
        // A link is added only by the process that it belongs to: no child can
        // find its own one half made.
        while link.process != std::process::id() || !good(&link.value) {
            link = link.child.get_or_init(|| Box::new(Self::new(make())));
        }
        &link.value
    }
}
