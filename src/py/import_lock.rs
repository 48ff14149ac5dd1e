//! The global import lock (`_imp`), and who is served while we work.

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

/// The global import lock, given up however often this thread holds it.
pub struct ImportLock {
    depth: usize,
}

impl ImportLock {
    pub fn release(py: Python<'_>) -> PyResult<Self> {
        let imp = py.import("_imp")?;
        let mut depth = 0;
        while imp.call_method0("release_lock").is_ok() {
            depth += 1;
        }
        Ok(Self { depth })
    }

    pub fn take_back(self, py: Python<'_>) -> PyResult<()> {
        let imp = py.import("_imp")?;
        for _ in 0..self.depth {
            imp.call_method0("acquire_lock")?;
        }
        Ok(())
    }
}
