//! Names that are sound each by itself, and still cannot stand side by side.

use std::collections::HashMap;

use super::archive::{Refusal, rule};
use crate::name::{FilePath, folded, parents};

/// What is known of a place in the tree: how it was spelled, and what it is.
struct Place {
    path: String,
    is_folder: bool,
    /// It has an entry of its own; otherwise it is only the parent of one.
    listed: bool,
}

#[derive(Default)]
pub(super) struct Names(HashMap<String, Place>);

impl Names {
    pub fn add(&mut self, path: &FilePath, is_folder: bool) -> Result<(), Refusal> {
        self.place(path.as_str(), is_folder, true)?;
        parents(path.as_str()).try_for_each(|parent| self.place(parent, true, false))
    }

    fn place(&mut self, path: &str, is_folder: bool, listed: bool) -> Result<(), Refusal> {
        let Some(known) = self.0.get_mut(&folded(path)) else {
            self.0.insert(folded(path), Place { path: path.to_owned(), is_folder, listed });
            return Ok(());
        };
        if known.path != path {
            let other = &known.path;
            return rule(format!(
                "holds {path:?} and {other:?}, which some file systems take for one"
            ));
        }
        if known.is_folder != is_folder {
            return rule(format!("holds {path:?} as a file and as a folder"));
        }
        if known.listed && listed {
            return rule(format!("holds {path:?} twice"));
        }
        known.listed |= listed;
        Ok(())
    }
}
