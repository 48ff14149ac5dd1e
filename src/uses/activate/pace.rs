//! How quick a link is, while something comes through it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::fetch::{Artifact, Told};
use crate::name::Digest;

/// Tells, once half of what is missing has come, how many bytes that were in which time.
pub(super) struct Pace {
    begun: Instant,
    coming: Mutex<Coming>,
}

struct Coming {
    /// Of what was asked for, in bytes.
    sizes: HashMap<Digest, u64>,
    /// Of that, what comes over the network.
    total: u64,
    arrived: u64,
    arriving: HashMap<Digest, Part>,
    tell: Option<oneshot::Sender<(u64, Duration)>>,
}

/// A file that grows, and how long it was at first.
struct Part {
    path: PathBuf,
    before: u64,
}

impl Pace {
    pub(super) fn of(artifacts: &[Artifact]) -> (Self, oneshot::Receiver<(u64, Duration)>) {
        let (tell, known) = oneshot::channel();
        let sizes: HashMap<_, _> = artifacts.iter().map(|it| (it.sha256, it.size)).collect();
        let (total, arriving) = (sizes.values().sum(), HashMap::new());
        let coming = Coming { sizes, total, arrived: 0, arriving, tell: Some(tell) };
        let pace = Self { begun: Instant::now(), coming: Mutex::new(coming) };
        pace.look(&mut pace.coming.lock());
        (pace, known)
    }

    pub(super) fn note(&self, told: Told<'_>) {
        let mut coming = self.coming.lock();
        if coming.tell.is_none() {
            return;
        }
        let size = |coming: &Coming, digest| coming.sizes.get(digest).copied().unwrap_or(0);
        match told {
            // Again, after a pause.
            Told::Begun(digest, _) if coming.arriving.contains_key(digest) => {}
            Told::Begun(digest, part) => {
                let before = length(part);
                coming.total = coming.total.saturating_sub(before);
                coming.arriving.insert(*digest, Part { path: part.to_owned(), before });
            }
            Told::Arrived(digest) => {
                match coming.arriving.remove(digest) {
                    Some(part) => {
                        coming.arrived += size(&coming, digest).saturating_sub(part.before)
                    }
                    // It was here, or somebody else has brought it.
                    None => coming.total = coming.total.saturating_sub(size(&coming, digest)),
                }
                self.look(&mut coming);
            }
        }
    }

    fn look(&self, coming: &mut Coming) {
        let parts = coming.arriving.values();
        let come = coming.arrived
            + parts.map(|part| length(&part.path).saturating_sub(part.before)).sum::<u64>();
        if come * 2 >= coming.total
            && let Some(tell) = coming.tell.take()
        {
            let _ = tell.send((come, self.begun.elapsed()));
        }
    }
}

/// 0 if there is none.
fn length(path: &Path) -> u64 {
    fs_err::symlink_metadata(path).map_or(0, |it| it.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::SafeUrl;

    #[test]
    fn it_is_known_when_half_of_what_comes_has_come() {
        let artifact = |name: &str, size| Artifact {
            label: name.to_owned(),
            url: SafeUrl::new(&format!("http://127.0.0.1/{name}")).unwrap(),
            size,
            sha256: Digest::of(name.as_bytes()),
        };
        let artifacts =
            [artifact("a", 100), artifact("b", 100), artifact("c", 100), artifact("d", 900)];
        let [a, b, c, here] = artifacts.each_ref().map(|it| it.sha256);
        let folder = tempfile::tempdir().unwrap();
        let part = |name: &str, length: usize| {
            let path = folder.path().join(name);
            fs_err::write(&path, vec![0; length]).unwrap();
            path
        };
        let (pace, mut known) = Pace::of(&artifacts);
        pace.note(Told::Begun(&a, &part("a", 0)));
        pace.note(Told::Begun(&b, &part("b", 0)));
        pace.note(Told::Begun(&c, &part("c", 60)));
        pace.note(Told::Arrived(&a));
        assert!(known.try_recv().is_err(), "100 of 1,140 have come");
        part("b", 19);
        pace.note(Told::Arrived(&here));
        assert!(known.try_recv().is_err(), "119 of 240 have come");
        part("b", 30);
        pace.note(Told::Arrived(&c));
        assert_eq!(known.try_recv().unwrap().0, 100 + 30 + 40);
    }

    #[test]
    fn it_is_known_at_once_if_nothing_comes() {
        let (_pace, mut known) = Pace::of(&[]);
        assert_eq!(known.try_recv().unwrap().0, 0);
    }
}
