//! The global import lock (`_imp`), and imports of our own, which others serve.

use std::cell::Cell;

use pyo3::prelude::*;

thread_local! {
    /// This thread is inside our own machinery: what it imports is not ours to serve.
    static BUSY: Cell<bool> = const { Cell::new(false) };
}

pub fn is_busy() -> bool {
    BUSY.get()
}

/// What this thread imports while the guard lives is served by others.
pub struct Busy {
    before: bool,
}

pub fn busy() -> Busy {
    Busy { before: BUSY.replace(true) }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.set(self.before);
    }
}

/// The global import lock, given up however often this thread holds it. Dropped, it takes it
/// back to the same depth: whatever ends the work meanwhile, the import that waits is the
/// holder's again.
pub struct ImportLock<'py> {
    imp: Bound<'py, PyModule>,
    depth: usize,
}

impl<'py> ImportLock<'py> {
    pub fn release(py: Python<'py>) -> PyResult<Self> {
        let mut given_up = Self { imp: py.import("_imp")?, depth: 0 };
        while given_up.imp.call_method0("release_lock").is_ok() {
            given_up.depth += 1;
        }
        Ok(given_up)
    }
}

impl Drop for ImportLock<'_> {
    fn drop(&mut self) {
        for _ in 0..self.depth {
            // Waits for the lock, and has no other end.
            if let Err(error) = self.imp.call_method0("acquire_lock") {
                error.write_unraisable(self.imp.py(), Some(self.imp.as_any()));
            }
        }
    }
}
