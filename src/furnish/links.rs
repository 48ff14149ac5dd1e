//! The links of a view, beside what is real in it.
//!
//! ```text
//! share/x owned by a, share/x/kernel.json real:  share/x/logo.png ─▶ a's tree
//!                                                share/x/deep     ─▶ a's tree
//! ```
//!
//! Where something real stands below an owned folder, the folder is real, and the rest of what
//! its owner has there becomes links.

use std::collections::{BTreeMap, HashSet};

use crate::name::{Digest, FilePath, UnitName, folders, parents};
use crate::resolved::{FileEntry, Resolved, runs_at_start};
use crate::store::view::Entry;

/// Adds the links of all owned paths to what is real. `laid` has the files of each unit.
pub(super) fn beside(
    real: BTreeMap<FilePath, Entry>,
    resolved: &Resolved,
    laid: &BTreeMap<&UnitName, Vec<FileEntry>>,
) -> BTreeMap<FilePath, Entry> {
    let above: HashSet<&str> = folders(real.keys());
    let mut links = Vec::new();
    for (path, unit) in &resolved.owners.paths {
        let Some(distribution) = resolved.units.get(unit) else { continue };
        let is_covered = |path: &str| real.contains_key(path);
        let in_real = is_covered(path.as_str()) || parents(path.as_str()).any(is_covered);
        if in_real || runs_at_start(path, &resolved.scheme.site) {
            continue;
        }
        if !above.contains(path.as_str()) {
            links.push((path.clone(), link(distribution.tree, path)));
            continue;
        }
        let below = |file: &&FileEntry| parents(file.path.as_str()).any(|it| it == path.as_str());
        for file in laid.get(unit).into_iter().flatten().filter(below) {
            let whole = std::iter::once(file.path.as_str()).chain(parents(file.path.as_str()));
            let top = whole.take_while(|part| !above.contains(part)).last();
            if let Some(Ok(top)) = top.filter(|top| !is_covered(top)).map(FilePath::new) {
                links.push((top.clone(), link(distribution.tree, &top)));
            }
        }
    }
    let mut all = real;
    all.extend(links);
    all
}

fn link(digest: Digest, path: &FilePath) -> Entry {
    Entry::Tree { digest, path: path.clone() }
}
