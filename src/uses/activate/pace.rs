//! How quick a link is, while something comes through it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::fetch::{Artifact, Told};
use crate::name::Digest;

/// Tells, once half of what is missing has come, how much that was and how long it took.
pub(super) struct Pace {
    begun: Instant,
    coming: Mutex<Coming>,
}

struct Coming {
    /// Of what is to come over the network, in bytes.
    sizes: HashMap<Digest, u64>,
    arrived: u64,
    begun: HashSet<Digest>,
    tell: Option<oneshot::Sender<(u64, Duration)>>,
}

impl Pace {
    pub(super) fn of(artifacts: &[Artifact]) -> (Self, oneshot::Receiver<(u64, Duration)>) {
        let (tell, known) = oneshot::channel();
        let sizes = artifacts.iter().map(|artifact| (artifact.sha256, artifact.size)).collect();
        let coming = Coming { sizes, arrived: 0, begun: HashSet::new(), tell: Some(tell) };
        (Self { begun: Instant::now(), coming: Mutex::new(coming) }, known)
    }

    pub(super) fn note(&self, told: Told<'_>) {
        let mut coming = self.coming.lock();
        match told {
            Told::Begun(digest, _) => {
                coming.begun.insert(*digest);
                return;
            }
            // Others have brought it.
            Told::Arrived(digest) if !coming.begun.contains(digest) => {
                coming.sizes.remove(digest);
            }
            Told::Arrived(digest) => {
                coming.arrived += coming.sizes.get(digest).copied().unwrap_or(0);
            }
        }
        if coming.arrived * 2 >= coming.sizes.values().sum()
            && let Some(tell) = coming.tell.take()
        {
            // Nobody listens if the code is little.
            let _ = tell.send((coming.arrived, self.begun.elapsed()));
        }
    }
}
