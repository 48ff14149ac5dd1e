//! The open files that a forked child must close: with them it would keep its parent's locks.

#[cfg(unix)]
mod slots {
    use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
    use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

    use fs_err::File;

    use crate::descriptor::{Identity, Own};

    const FREE: i32 = -1;
    /// Somebody is filling it in.
    const TAKEN: i32 = -2;

    struct Slot {
        number: AtomicI32,
        device: AtomicU64,
        inode: AtomicU64,
    }

    /// Without a mutex: another thread may have held it when the process was forked.
    /// A file that finds no slot is closed in a child when that ends or executes.
    static SLOTS: [Slot; 4096] = [const {
        Slot { number: AtomicI32::new(FREE), device: AtomicU64::new(0), inode: AtomicU64::new(0) }
    }; 4096];

    pub fn register(file: &Own<File>) -> Option<usize> {
        let identity = file.identity()?;
        let at = SLOTS.iter().position(|slot| {
            let taken =
                || slot.number.compare_exchange(FREE, TAKEN, Ordering::AcqRel, Ordering::Relaxed);
            slot.number.load(Ordering::Relaxed) == FREE && taken().is_ok()
        })?;
        let slot = SLOTS.get(at)?;
        slot.device.store(identity.device, Ordering::Relaxed);
        slot.inode.store(identity.inode, Ordering::Relaxed);
        slot.number.store(file.just_opened().as_raw_fd(), Ordering::Release);
        Some(at)
    }

    pub fn unregister(slot: Option<usize>) {
        if let Some(slot) = slot.and_then(|slot| SLOTS.get(slot)) {
            slot.number.store(FREE, Ordering::Release);
        }
    }

    /// Call first in a forked child, where no other thread runs.
    pub fn close_all_in_child() {
        for slot in &SLOTS {
            let number = slot.number.swap(FREE, Ordering::AcqRel);
            if number < 0 {
                continue;
            }
            // SAFETY: whatever is open under the number is only looked at.
            let open = unsafe { BorrowedFd::borrow_raw(number) };
            let identity = Identity {
                device: slot.device.load(Ordering::Relaxed),
                inode: slot.inode.load(Ordering::Relaxed),
            };
            // The program may have closed it, and have a file of its own there.
            if Identity::of(&open) == Some(identity) {
                // SAFETY: it is the file that was registered, which nothing in this process
                // will use or close: its guard belongs to the parent.
                drop(unsafe { OwnedFd::from_raw_fd(number) });
            }
        }
    }
}

#[cfg(not(unix))]
mod slots {
    pub fn register(_: &crate::descriptor::Own<fs_err::File>) -> Option<usize> {
        None
    }

    pub fn unregister(_: Option<usize>) {}

    /// There is no fork here.
    pub fn close_all_in_child() {}
}

pub use slots::close_all_in_child;
pub(super) use slots::{register, unregister};
