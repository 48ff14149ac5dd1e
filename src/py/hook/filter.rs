//! Which names our finders look at. Every import of a program asks this, and most names are not
//! ours.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use pyo3::prelude::*;

use crate::mount::{Mount, OWN_REQUIREMENTS};
use crate::session::{OWN, Session};

/// One of our two places on `sys.meta_path`.
#[pyclass(frozen, module = "magic_module", name = "_Finder")]
pub struct Finder {
    pub place: Place,
}

/// Where one of our finders stands on `sys.meta_path`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Front,
    Behind,
}

/// Whether a name may be ours.
pub enum Ours {
    Perhaps,
    /// If one of the folders that it is looked for in is a unit's. Who looks holds no lock of
    /// ours: a path may run Python.
    BelowUnit,
    Never,
}

/// What lets the finders pass over foreign names without looking at the session.
#[derive(Default)]
struct Filter {
    /// The first part of every mounted namespace.
    tops: Vec<String>,
    first: bool,
    behind: bool,
    /// A mount could not be made: who looks for what is in it is told.
    broken: bool,
}

static CHANGES: AtomicU64 = AtomicU64::new(0);

static FILTER: RwLock<Filter> =
    RwLock::new(Filter { tops: Vec::new(), first: false, behind: false, broken: false });

/// Before there is a session, one namespace is known.
pub fn serve_own_namespace() {
    FILTER.write().tops = vec![OWN.to_owned()];
}

/// Brings the filter up to date with the mounts.
pub fn refresh_filter(session: &Session) {
    // Held all the time: of two threads that mount, the later one knows both mounts.
    let mut kept = FILTER.write();
    let broken = kept.broken;
    let mut filter = Filter { tops: vec![OWN.to_owned()], broken, ..Filter::default() };
    for mount in session.mounts() {
        match mount.namespace.as_str() {
            // A view stands on `sys.path`: only what lies below its folders comes by here.
            "" if mount.request.first && mount.supply.view().is_none() => filter.first = true,
            "" => {
                filter.behind = true;
                filter.tops.extend(own_requirements(&mount));
            }
            named => filter.tops.push(named.split('.').next().unwrap_or(named).to_owned()),
        }
    }
    *kept = filter;
    CHANGES.fetch_add(1, Ordering::Relaxed);
}

/// From now on what nobody knows may be what a mount was to serve.
pub fn serve_broken() {
    FILTER.write().broken = true;
}

/// How often mounts came or went: what was found out about a missing name holds until then.
pub fn changes() -> u64 {
    CHANGES.load(Ordering::Relaxed)
}

/// The names that we require ourselves, and a view has, too: perhaps it comes first with them.
fn own_requirements(mount: &Mount) -> Vec<String> {
    let Some(view) = mount.supply.view() else { return Vec::new() };
    let is_there =
        |name: &&str| view.resolved.owners.owner(&Session::stem_in(view, name)).is_some();
    OWN_REQUIREMENTS.into_iter().filter(is_there).map(str::to_owned).collect()
}

/// True if there are mounts of top-level names that come last.
pub fn serves_behind() -> bool {
    FILTER.read().behind
}

impl Finder {
    /// Whether a name that is looked for in `path` may be this finder's.
    pub fn is_ours(&self, name: &str, path: Option<&Bound<'_, PyAny>>) -> Ours {
        let filter = FILTER.read();
        let everything = match self.place {
            Place::Behind => filter.behind || filter.broken || path.is_none(),
            Place::Front => filter.first,
        };
        let top = name.as_bytes().split(|byte| *byte == b'.').next().unwrap_or_default();
        if everything || filter.tops.iter().any(|known| known.as_bytes() == top) {
            Ours::Perhaps
        } else if filter.behind && self.place == Place::Front {
            Ours::BelowUnit
        } else {
            Ours::Never
        }
    }
}
