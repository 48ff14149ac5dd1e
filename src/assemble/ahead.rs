//! Files of a tree that are unpacked out of packs that are here, while other packs are on their way.
//!
//! ```text
//! pack, whole and verified ─ its files, each with the digest that the record has ─▶ tmp/<tree>.early/
//!     └─ the last pack ─▶ the tree is built there: what is missing
//! ```
//!
//! If a pack cannot be unpacked, all that was unpacked so far is dropped: the build makes it again,
//! and reports the error. Of two processes that build the same tree, one unpacks ahead; if the
//! other one builds it first, that work was in vain.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::packs::{Declared, Packs};
use super::{Placed, Source, fill, make_folder};
use crate::error::Result;
use crate::manifest::Record;
use crate::name::{Digest, FilePath};
use crate::store::Store;

/// Unpacks what the tree takes from `pack`; `placed` is what was unpacked of it before. `None` if
/// somebody else unpacks it.
pub fn unpack_ahead(
    store: &Store,
    tree: &Digest,
    record: &Record,
    sources: &BTreeMap<FilePath, Source>,
    pack: &Digest,
    placed: Option<Placed>,
) -> Result<Option<Placed>> {
    let placed = match placed {
        None => Placed::ahead(store, tree)?,
        placed => placed,
    };
    let Some(mut placed) = placed else { return Ok(None) };
    let is_in = |path: &FilePath| {
        sources.get(path).is_some_and(|it| it.packed().is_some_and(|(from, _)| from == pack))
    };
    let files = record.files.iter().filter(|file| !file.lazy && is_in(&file.path));
    let jobs: Vec<_> = files.filter_map(|file| Some((file, sources.get(&file.path)?))).collect();
    let declared = Declared::of(record);
    let mut packs = Packs::new(store, &declared);
    for folder in jobs.iter().map(|(file, _)| file.path.parent()).collect::<BTreeSet<_>>() {
        make_folder(&placed.aside.join(folder))?;
    }
    let made = fill::place_all(&mut packs, &placed.aside, &jobs)?;
    placed.files.extend(made.into_iter().map(|file| (file.path.clone(), file)));
    placed.sound.insert(*pack);
    Ok(Some(placed))
}

/// The packs of which two can be unpacked at a time: there is room for both in memory.
pub fn small_packs(record: &Record) -> HashSet<Digest> {
    let declared = Declared::of(record);
    let is_small = |pack: &Digest| declared.memory(pack) <= fill::ROOM / 2;
    record.packs.iter().map(|pack| pack.sha256).filter(is_small).collect()
}
