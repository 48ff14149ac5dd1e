//! Caches behind the first: looked into in order, never written, never locked.
//!
//! ```text
//! blobs, wheels, lazy     used where they lie
//! trees/<digest>  ─────▶  <a cache behind>/v1/trees/<digest>     one link in the first, as for knots;
//! trees/<digest>.index    is the first's own: stamps can be taken again
//! mounts/<identity>/code  read where it lies; what is compiled besides goes to the first
//! ```
//!
//! So every path that is given away is one of the first cache, and a view's links stay inside it. A
//! link is followed only to the same name in a cache that the settings name; once they do not, it
//! is as if the tree were not there. What is damaged is made again in the first.

use std::path::{Path, PathBuf};

use super::lock::Exclusive;
use super::tree::{Scrutiny, Tree};
use super::{Store, aside, disk, sealed};
use crate::error::Result;
use crate::name::Digest;

/// A folder of the store that a cache behind is looked into for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What a unit is.
    Tree,
    /// Several of them together.
    Knot,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Tree => "trees",
            Self::Knot => "knots",
        }
    }

    fn open(self, store: &Store, digest: &Digest) -> Result<Option<Tree>> {
        match self {
            Self::Tree => Tree::open(store, digest),
            Self::Knot => Tree::open_knot(store, digest),
        }
    }
}

impl Store {
    /// The folders `<cache>/v1` behind the first.
    pub fn behind(&self) -> &[PathBuf] {
        &self.behind
    }

    /// The tree, as it is here; else as it is in a cache behind, which the first has a link to then.
    pub fn find_tree(&self, digest: &Digest) -> Result<Option<Tree>> {
        self.find(Kind::Tree, digest)
    }

    /// The same for a knot.
    pub fn find_knot(&self, digest: &Digest) -> Result<Option<Tree>> {
        self.find(Kind::Knot, digest)
    }

    /// True if a tree is here or in a cache behind; nothing of it is looked at.
    pub fn lists_tree(&self, digest: &Digest) -> bool {
        let index = format!("{digest}.index");
        let lists = |folder: &PathBuf| folder.join(&index).exists();
        lists(&self.trees()) || self.folders_behind(Path::new("trees")).iter().any(lists)
    }

    fn find(&self, kind: Kind, digest: &Digest) -> Result<Option<Tree>> {
        match kind.open(self, digest)? {
            None if !self.behind.is_empty() => Ok(self.adopt(kind, digest)),
            found => Ok(found),
        }
    }

    /// Whoever fails here builds the tree, out of blobs that lie behind, too.
    fn adopt(&self, kind: Kind, digest: &Digest) -> Option<Tree> {
        let place = Path::new(kind.folder()).join(digest.to_hex());
        let mut found = self.behind.iter().find_map(|root| {
            let mut tree = Tree::open_at(self, root.join(&place), digest).ok()??;
            let is_whole = tree.check(self, Scrutiny::Stamps).damaged.is_empty();
            is_whole.then_some(tree)
        })?;
        self.create().ok()?;
        let lock = self.locks().join(format!("{digest}.{}", &kind.folder()[..4]));
        let _lock = Exclusive::wait(&lock).ok()?;
        // Somebody may have been quicker.
        if let Some(tree) = kind.open(self, digest).ok()? {
            return Some(tree);
        }
        let (folder, aside) = (self.root.join(&place), aside(&self.tmp(), digest, "link"));
        let named = link(&found.folder, &aside).and_then(|()| {
            super::make_way(&self.tmp(), &folder)?;
            fs_err::rename(&aside, &folder)
        });
        if named.is_err() {
            let _ = disk::remove(&aside);
            return None;
        }
        found.behind = Some(std::mem::replace(&mut found.folder, folder));
        found.write_index(self).ok()?;
        Some(found)
    }

    /// Where a link in the place of a tree leads, if it leads to the same in a cache behind.
    pub(super) fn adopted(&self, folder: &Path) -> Option<PathBuf> {
        let target = fs_err::read_link(folder).ok()?;
        let place = folder.strip_prefix(&self.root).ok()?;
        let is_named = self.behind.iter().any(|root| root.join(place) == target);
        (is_named && matches!(self.check_settled(&target), Ok(true))).then_some(target)
    }

    /// True for a link that was one, for other settings.
    pub(super) fn was_adopted(&self, folder: &Path) -> bool {
        let place = folder.strip_prefix(&self.root).ok().map(|place| Path::new("v1").join(place));
        fs_err::read_link(folder)
            .is_ok_and(|target| place.is_some_and(|place| target.ends_with(place)))
    }

    /// True for a file of the first cache: one of a cache behind never gets another name.
    pub fn owns(&self, path: &Path) -> bool {
        path.starts_with(&self.root)
    }

    /// Looks at who owns a cache behind, and who may write to it. False: there is none, and one may
    /// come later.
    pub fn check_behind(&self, root: &Path) -> Result<bool> {
        let cache = root.parent().unwrap_or(root);
        match fs_err::metadata(cache) {
            Ok(metadata) => self.check_metadata(cache, &metadata)?,
            Err(error) if disk::is_absent(&error) => return Ok(false),
            Err(error) => return Err(super::cannot_look(cache, &error)),
        }
        if !self.check_root(root)? {
            return Ok(false);
        }
        if sealed::settles(root) {
            return Ok(true);
        }
        for folder in ["blobs", "private", "trees", "knots", "lazy", "wheels", "mounts"] {
            self.check_folder(&root.join(folder))?;
        }
        Ok(true)
    }

    /// The folders that `below` is in the caches behind, where it and those above it up to the
    /// store are to be trusted.
    pub fn folders_behind(&self, below: &Path) -> Vec<PathBuf> {
        let is_trusted = |root: &&PathBuf| {
            if sealed::settles(root) {
                return true;
            }
            let mut folder = (*root).clone();
            below.components().all(|part| {
                folder.push(part);
                matches!(self.check_folder(&folder), Ok(true))
            })
        };
        self.behind.iter().filter(is_trusted).map(|root| root.join(below)).collect()
    }
}

#[cfg(unix)]
fn link(target: &Path, place: &Path) -> std::io::Result<()> {
    fs_err::os::unix::fs::symlink(target, place)
}

/// There the tree is built.
#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
