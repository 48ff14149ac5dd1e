//! One download of a blob for any number of threads.
//!
//! The first who asks leads, the others follow: they see how far it has come and
//! share its result. A leader that is cancelled makes way for a follower.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::error::Error;
use crate::name::{Digest, SafeUrl};

/// How often a follower looks how far the leader is.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
pub(super) struct Once {
    flights: Mutex<HashMap<Digest, Arc<Flight>>>,
}

#[derive(Debug)]
pub(super) struct Flight {
    /// Another URL may work where this one fails.
    pub url: SafeUrl,
    bytes: AtomicU64,
    outcome: watch::Sender<Option<Outcome>>,
}

#[derive(Debug, Clone)]
pub(super) enum Outcome {
    /// `fresh`: it was written now, and had not been there before.
    Done {
        fresh: bool,
    },
    Failed(Error),
    Abandoned,
}

pub(super) enum Role<'a> {
    Leader(Leader<'a>),
    Follower(Arc<Flight>),
}

pub(super) struct Leader<'a> {
    once: &'a Once,
    digest: Digest,
    flight: Arc<Flight>,
}

impl Once {
    pub(super) fn enter(&self, digest: Digest, url: &SafeUrl) -> Role<'_> {
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.get(&digest) {
            return Role::Follower(flight.clone());
        }
        let (bytes, outcome) = (AtomicU64::new(0), watch::Sender::new(None));
        let flight = Arc::new(Flight { url: url.clone(), bytes, outcome });
        flights.insert(digest, flight.clone());
        Role::Leader(Leader { once: self, digest, flight })
    }
}

impl Leader<'_> {
    /// Shows followers how far it is.
    pub fn at(&self, bytes: u64) {
        self.flight.bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn finish(self, outcome: Outcome) {
        self.flight.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        self.once.flights.lock().remove(&self.digest);
        self.flight.outcome.send_modify(|outcome| {
            outcome.get_or_insert(Outcome::Abandoned);
        });
    }
}

impl Flight {
    /// Waits for the leader; `show` is told the bytes that it has.
    pub async fn wait(&self, mut show: impl FnMut(u64)) -> Outcome {
        let mut outcome = self.outcome.subscribe();
        loop {
            let seen = outcome.borrow_and_update().clone();
            show(self.bytes.load(Ordering::Relaxed));
            if let Some(outcome) = seen {
                return outcome;
            }
            // A time-out only looks again.
            let _ = tokio::time::timeout(LOOK, outcome.changed()).await;
        }
    }
}
