//! Wheels of a lock that cannot live apart, tied when their trees are here.
//!
//! ```text
//! lists of files (resolved/knots.rs) ─┐
//! NEEDED and RUNPATH, once unpacked ──┴▶ groups ─ trees that are here ─ composed ─▶ knot
//!                                                 links of the view ─ renamed ──▶ into it
//! ```
//!
//! A knot has the trees that are here; when another member comes, a new one takes its place. Who
//! has loaded something of the one before keeps that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::LockSupply;
use super::compile::beside;
use crate::assemble::compose;
use crate::engine::Engine;
use crate::error::Result;
use crate::forking::Lock;
use crate::inspect::elf::Libraries;
use crate::name::{Digest, FilePath, UnitName};
use crate::resolved::{Groups, Owner, Resolved, is_library, joined};
use crate::store::generation::{MountFolder, State};
use crate::store::tree::Tree;
use crate::store::{Reuse, Store, disk, view};
use crate::supply::{Knot, View};

/// The knots of a lock as a process knows them.
#[derive(Default)]
pub(super) struct Knots {
    /// In use, by unit.
    of: BTreeMap<UnitName, Arc<Knot>>,
    /// All that there were.
    seen: BTreeSet<Digest>,
}

/// What is tied, and what is missing for it.
struct Tied {
    knots: BTreeMap<Digest, BTreeSet<UnitName>>,
    missing: BTreeSet<UnitName>,
}

impl LockSupply {
    /// The knots that other processes made.
    pub(super) fn learn_knots(&self, state: &State, resolved: &Resolved) {
        let mut known = self.knots.lock();
        for (digest, units) in &state.knots {
            known.add(*digest, units, resolved);
        }
    }

    pub(super) fn known_knot(&self, unit: &UnitName) -> Option<Arc<Knot>> {
        self.knots.lock().of.get(unit).cloned()
    }

    pub(super) fn has_known_knot(&self, digest: &Digest) -> bool {
        self.knots.lock().seen.contains(digest)
    }

    pub(super) async fn tie_units(&self, units: &[UnitName]) -> Result<Vec<UnitName>> {
        let Some(view) = self.compiled.get().map(|compiled| compiled.view.clone()) else {
            return Ok(Vec::new());
        };
        let (engine, folder, identity) = (self.engine.clone(), self.folder.clone(), self.identity);
        let (units, seen) = (units.to_vec(), view.clone());
        let tied = beside(move || tie(&engine, &folder, &identity, &seen, &units)).await?;
        let mut known = self.knots.lock();
        for (digest, units) in &tied.knots {
            known.add(*digest, units, &view.resolved);
        }
        Ok(tied.missing.into_iter().collect())
    }
}

impl Knots {
    fn add(&mut self, digest: Digest, units: &BTreeSet<UnitName>, resolved: &Resolved) {
        self.seen.insert(digest);
        let is_known =
            |unit| self.of.get(unit).is_some_and(|knot: &Arc<Knot>| knot.digest == digest);
        if units.iter().all(is_known) {
            return;
        }
        let members = units
            .iter()
            .filter_map(|unit| resolved.units.get(unit).map(|it| (unit.clone(), it.tree)));
        let knot = Knot { digest, members: members.collect(), tree: Lock::default() };
        let knot = Arc::new(knot);
        self.of.extend(units.iter().map(|unit| (unit.clone(), knot.clone())));
    }
}

impl Knot {
    /// Composes it of the trees that are here. `None`: one of them is not.
    pub fn compose(
        &self,
        store: &Store,
        resolved: &Resolved,
        reuse: Reuse,
    ) -> Result<Option<Tree>> {
        composed(store, &self.members, resolved, reuse)
    }
}

fn composed(
    store: &Store,
    members: &[(UnitName, Digest)],
    resolved: &Resolved,
    reuse: Reuse,
) -> Result<Option<Tree>> {
    let trees: Vec<Digest> = members.iter().map(|(_, tree)| *tree).collect();
    let owns = |path: &FilePath, at: usize| match resolved.owners.owner(path.as_str()) {
        Some(Owner::Unit(unit)) => *unit == members[at].0,
        // What an environment writes itself.
        Some(Owner::Shared) | None => true,
        Some(Owner::Disputed(_)) => false,
    };
    compose(store, &trees, &owns, reuse)
}

fn tie(
    engine: &Engine,
    folder: &MountFolder,
    identity: &Digest,
    view: &View,
    units: &[UnitName],
) -> Result<Tied> {
    let (store, resolved) = (&engine.store, &view.resolved);
    let mut missing = BTreeSet::new();
    let mut ties: Groups = Vec::new();
    for unit in units {
        let Some(tree) = resolved.units.get(unit) else { continue };
        let Some(tree) = Tree::open(store, &tree.tree)? else { continue };
        let (tied, needed) = neighbours(&tree, unit, resolved);
        missing.extend(needed.into_iter().filter(|it| !view.is_here(store, it)));
        if !tied.is_empty() {
            ties.push(tied.into_iter().chain([unit.clone()]).collect());
        }
    }
    let known: Groups = resolved.knots.iter().chain(&folder.state()?.ties).cloned().collect();
    if ties.is_empty() && known.is_empty() {
        return Ok(Tied { knots: BTreeMap::new(), missing });
    }
    // Others may tie other members of the same group at the same time: one after the other, each
    // takes all that is here.
    folder.create()?;
    let _lock = folder.lock()?;
    let mut state = folder.state()?;
    let before = state.clone();
    state.ties = joined(state.ties.iter().cloned().chain(ties));
    let groups = joined(resolved.knots.iter().chain(&state.ties).cloned());
    let mut knots = BTreeMap::new();
    for group in groups.iter().filter(|group| units.iter().any(|unit| group.contains(unit))) {
        let here = group.iter().filter(|unit| view.is_here(store, unit));
        let members: Vec<(UnitName, Digest)> =
            here.filter_map(|unit| Some((unit.clone(), resolved.units.get(unit)?.tree))).collect();
        if members.len() < 2 {
            continue;
        }
        let Some(knot) = composed(store, &members, resolved, Reuse::WhatIsHere)? else { continue };
        let members: BTreeSet<UnitName> = members.into_iter().map(|(unit, _)| unit).collect();
        state.knots.retain(|_, others| others.is_disjoint(&members));
        state.knots.insert(knot.digest, members.clone());
        knots.insert(knot.digest, members);
    }
    // Whoever is killed in between leaves no link to what nobody names.
    let mut both = state.clone();
    both.knots.extend(before.knots.clone());
    if both != before {
        folder.write_state(&both)?;
    }
    view::tie(store, identity, |path| knot_at(&state.knots, resolved, path))?;
    if state != both {
        folder.write_state(&state)?;
    }
    Ok(Tied { knots, missing })
}

/// The knot that a path of the view belongs to.
pub(super) fn knot_at(
    knots: &BTreeMap<Digest, BTreeSet<UnitName>>,
    resolved: &Resolved,
    path: &str,
) -> Option<Digest> {
    let Some(Owner::Unit(unit)) = resolved.owners.owner(path) else { return None };
    knots.iter().find(|(_, units)| units.contains(unit)).map(|(knot, _)| *knot)
}

/// The units whose folders the libraries of a tree look into, and those of which they need one.
fn neighbours(
    tree: &Tree,
    own: &UnitName,
    resolved: &Resolved,
) -> (BTreeSet<UnitName>, BTreeSet<UnitName>) {
    let (mut tied, mut needed) = (BTreeSet::new(), BTreeSet::new());
    let mut looked: BTreeSet<String> = BTreeSet::new();
    for file in tree.files.iter().filter(|file| is_library(file.path.as_str())) {
        let opened = disk::open(&tree.folder.join(file.path.as_str())).ok();
        let Some(libraries) = opened.and_then(|(mut it, _)| Libraries::read(&mut it)) else {
            continue;
        };
        for place in libraries.search.iter().filter_map(|it| folder_at(file.path.parent(), it)) {
            for name in &libraries.needed {
                let path = format!("{place}/{name}");
                if tree.position(&path).is_none()
                    && let Some(Owner::Unit(unit)) = resolved.owners.owner(&path)
                    && unit != own
                {
                    needed.insert(unit.clone());
                }
            }
            if looked.insert(place.clone()) {
                tied.extend(those_in(&place, resolved).into_iter().filter(|unit| unit != own));
            }
        }
    }
    tied.extend(needed.iter().cloned());
    (tied, needed)
}

/// Who has libraries in a folder, as far as the owned paths tell.
fn those_in(place: &str, resolved: &Resolved) -> Vec<UnitName> {
    match resolved.owners.owner(place) {
        Some(Owner::Unit(unit)) => vec![unit.clone()],
        Some(Owner::Shared) => {
            let children = resolved.owners.children(place).into_iter();
            let libraries = children.filter(|(name, _)| is_library(name));
            let units = libraries.filter_map(|(_, owner)| match owner {
                Owner::Unit(unit) => Some(unit.clone()),
                Owner::Shared | Owner::Disputed(_) => None,
            });
            units.collect()
        }
        Some(Owner::Disputed(_)) | None => Vec::new(),
    }
}

/// The folder below the prefix that an entry of RUNPATH means for a library in `folder`.
fn folder_at(folder: &str, entry: &str) -> Option<String> {
    let below = entry.strip_prefix("$ORIGIN").or_else(|| entry.strip_prefix("${ORIGIN}"))?;
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in below.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_path_is_followed_below_the_prefix() {
        let at = |entry| folder_at("lib/site/x", entry);
        assert_eq!(at("$ORIGIN/../y.libs").as_deref(), Some("lib/site/y.libs"));
        assert_eq!(at("${ORIGIN}/../../.././lib").as_deref(), Some("lib"));
        assert_eq!(at("$ORIGIN/../../../..").as_deref(), None);
        assert_eq!(at("/usr/lib").as_deref(), None);
    }
}
