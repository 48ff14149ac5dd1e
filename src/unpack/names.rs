//! Names that are sound each by itself, and still cannot stand side by side.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::archive::{Refusal, rule};
use super::header::EntryKind;
use crate::name::{FilePath, folded, parents};

/// What is known of a place in the tree: how it was spelled, and what it is.
struct Place {
    path: String,
    kind: EntryKind,
    /// It has an entry of its own; otherwise it is only the parent of one.
    listed: bool,
}

#[derive(Default)]
pub(super) struct Names(HashMap<String, Place>);

impl Names {
    pub fn add(&mut self, path: &FilePath, kind: EntryKind) -> Result<(), Refusal> {
        self.place(Place { path: path.to_string(), kind, listed: true })?;
        let folder =
            |path: &str| Place { path: path.to_owned(), kind: EntryKind::Folder, listed: false };
        parents(path.as_str()).try_for_each(|parent| self.place(folder(parent)))
    }

    fn place(&mut self, place: Place) -> Result<(), Refusal> {
        let known = match self.0.entry(folded(&place.path)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => {
                free.insert(place);
                return Ok(());
            }
        };
        let Place { path, kind, listed } = place;
        if known.path != path {
            let other = &known.path;
            return rule(format!(
                "holds {path:?} and {other:?}, which some file systems take for one"
            ));
        }
        if known.kind != kind {
            return rule(format!("holds {path:?} as a file and as a folder"));
        }
        if known.listed && listed {
            return rule(format!("holds {path:?} twice"));
        }
        known.listed |= listed;
        Ok(())
    }
}
