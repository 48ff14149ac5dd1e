//! How many downloads a server takes at once, as far as it has shown.
//!
//! ```text
//! 16 at a time ─ the server takes 2, and refuses 14 ─▶ 14 give up their places ─▶ 2 at a time
//! ```
//!
//! Who is refused while others are served (429, 503, no connection) gives up its place and waits
//! for one of theirs. Who is alone has nobody to wait for: that is a failure like any other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::retry::{Failure, Limits, PROGRESS};
use crate::origin::{Fault, OriginError};

/// Shared by all downloads of a process that run at the same time.
#[derive(Debug)]
pub struct Room {
    places: Semaphore,
    running: AtomicUsize,
    /// How many have come in so far.
    entered: AtomicUsize,
    narrow: AtomicBool,
}

/// The room of what is running now. What begins later, when nothing runs, has all the room again.
#[derive(Debug, Default)]
pub struct Rooms(Mutex<std::sync::Weak<Room>>);

impl Rooms {
    pub(super) fn enter(&self, places: usize) -> Arc<Room> {
        let mut current = self.0.lock();
        if let Some(room) = current.upgrade() {
            return room;
        }
        let room = Arc::new(Room {
            places: Semaphore::new(places.max(1)),
            running: AtomicUsize::new(0),
            entered: AtomicUsize::new(0),
            narrow: AtomicBool::new(false),
        });
        *current = Arc::downgrade(&room);
        room
    }
}

/// One download's place in the room.
pub struct Place<'a> {
    room: &'a Room,
    /// The semaphore is never closed: there always is one.
    permit: Option<SemaphorePermit<'a>>,
    /// Nobody else ran when the attempt began, and so many had come in.
    alone: Option<usize>,
}

impl Room {
    pub(super) async fn place(&self) -> Place<'_> {
        let permit = self.places.acquire().await.ok();
        self.running.fetch_add(1, Ordering::SeqCst);
        self.entered.fetch_add(1, Ordering::SeqCst);
        Place { room: self, permit, alone: None }
    }

    /// True if a server has refused one of several.
    pub fn is_narrow(&self) -> bool {
        self.narrow.load(Ordering::Relaxed)
    }

    /// What else helps than to wait, unless the server said how long.
    pub fn advise(&self, error: &mut OriginError, limits: &Limits) {
        let busy = matches!(error.status, Some(429 | 503));
        let short = error.retry_after.is_none_or(|wanted| wanted <= limits.retry_after);
        if self.is_narrow() && busy && short {
            let fewer = "or set MAGIC_MODULE_CONCURRENCY to fewer downloads at once";
            error.hint = format!("{}, {fewer}", error.hint).into();
        }
    }
}

impl Place<'_> {
    /// An attempt begins.
    pub fn begin(&mut self) {
        let alone = self.room.running.load(Ordering::SeqCst) == 1;
        self.alone = alone.then(|| self.room.entered.load(Ordering::SeqCst));
    }

    /// Gives the place up for good if others keep theirs. False if nobody else ran since the
    /// attempt began: then it was not for want of room that it failed.
    pub fn give_up(&mut self) -> bool {
        let others = |running: usize| (running > 1).then(|| running - 1);
        let counter = &self.room.running;
        let left = counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, others).is_ok();
        if left && let Some(permit) = self.permit.take() {
            permit.forget();
            self.room.narrow.store(true, Ordering::Relaxed);
        }
        left || self.alone != Some(self.room.entered.load(Ordering::SeqCst))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.permit.is_some() {
            self.room.running.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// How long to wait before the next attempt, if a failure looks as if the server had enough to do.
pub fn crowded(failure: &Failure, received: u64, limits: &Limits) -> Option<Duration> {
    let Failure::Broken(error) = failure else { return None };
    let busy = matches!(error.status, None | Some(429 | 503));
    if error.fault != Fault::Temporary || !busy || received >= PROGRESS {
        return None;
    }
    let wanted = error.retry_after.filter(|wanted| *wanted <= limits.retry_after);
    Some(wanted.unwrap_or_default().max(limits.backoff))
}
