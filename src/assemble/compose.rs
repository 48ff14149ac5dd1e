//! Knots: one folder with the files of several trees, for wheels that cannot live apart.
//!
//! ```text
//! trees/<one>/…   ─┐ clones, other names of the same files, else copies
//! trees/<other>/… ─┴▶ tmp/<knot>.knot/ ─ rename ─▶ knots/<knot>/ ─ index
//! ```
//!
//! A knot is a tree by its form: its name is the digest of all its lines, and so follows from the
//! set of its trees. It is made of these alone, and made again where it is damaged.

use std::collections::BTreeSet;

use super::copies::clone_blocks;
use super::{cannot_build, heal, make_executable, make_folder, name, remove, stamp_of};
use crate::error::{Error, Kind, Result};
use crate::name::{Digest, FilePath};
use crate::store::lock::Exclusive;
use crate::store::tree::{Scrutiny, Tree, TreeFile, knot_of};
use crate::store::{Reuse, Store, aside, disk};

/// Composes trees. Of a path that several have, `owns` tells whether the one at a position has it.
/// `None`: one of them is not here, or cannot be mended.
pub fn compose(
    store: &Store,
    trees: &[Digest],
    owns: &dyn Fn(&FilePath, usize) -> bool,
    reuse: Reuse,
) -> Result<Option<Tree>> {
    store.create()?;
    let mut parts = Vec::new();
    for digest in trees {
        match whole(store, digest)? {
            Some(tree) => parts.push(tree),
            None => return Ok(None),
        }
    }
    let mut seen: BTreeSet<&FilePath> = BTreeSet::new();
    let mut files: Vec<(usize, usize)> = Vec::new();
    for (at, tree) in parts.iter().enumerate() {
        for (position, file) in tree.files.iter().enumerate() {
            if !file.lazy && owns(&file.path, at) && seen.insert(&file.path) {
                files.push((at, position));
            }
        }
    }
    let digest = Tree::digest_of(files.iter().map(|(at, position)| &parts[*at].files[*position]));
    if reuse == Reuse::WhatIsHere {
        // Perhaps it is in a cache behind; then it is here from now on.
        store.find_knot(&digest)?;
    }
    let _lock = Exclusive::wait(&store.locks().join(format!("{digest}.knot")))?;
    if reuse == Reuse::WhatIsHere
        && let Some(mut tree) = Tree::open_knot(store, &digest)?
        && tree.check(store, Scrutiny::Stamps).damaged.is_empty()
    {
        return Ok(Some(tree));
    }
    let aside = aside(&store.tmp(), digest, "knot");
    let built = fill(&aside, &mut parts, &files).and_then(|files| {
        name(store, &aside, Tree::new(digest, knot_of(store, &digest), files), reuse)
    });
    // Named, or of no use.
    let _ = remove(&aside);
    // Another name of a file has changed its times.
    for tree in &parts {
        let _ = tree.write_index(store);
    }
    built.map(Some)
}

/// A tree with nothing damaged in it.
fn whole(store: &Store, digest: &Digest) -> Result<Option<Tree>> {
    let Some(mut tree) = Tree::open(store, digest)? else { return Ok(None) };
    let damaged = tree.check(store, Scrutiny::Stamps).damaged;
    let is_whole = damaged.is_empty() || heal(store, &mut tree, &damaged)?.is_empty();
    Ok(is_whole.then_some(tree))
}

fn fill(
    aside: &std::path::Path,
    parts: &mut [Tree],
    files: &[(usize, usize)],
) -> Result<Vec<TreeFile>> {
    let folders: BTreeSet<String> = files
        .iter()
        .map(|(at, position)| parts[*at].files[*position].path.parent().to_owned())
        .collect();
    make_folder(aside)?;
    for folder in &folders {
        make_folder(&aside.join(folder))?;
    }
    let mut clones = cfg!(target_os = "linux");
    let mut made = Vec::with_capacity(files.len());
    for (at, position) in files {
        let tree = &mut parts[*at];
        let mut file = tree.files[*position].clone();
        let (from, target) =
            (tree.place().join(file.path.as_str()), aside.join(file.path.as_str()));
        clones = clones && clone_blocks(&from, &target).is_ok();
        if clones {
            if file.executable {
                make_executable(&target).map_err(|error| cannot_build(&target, &error))?;
            }
        } else if tree.behind.is_none() && fs_err::hard_link(&from, &target).is_ok() {
            // What is linked has the tree's mode, which nobody may write to.
            tree.files[*position].stamp = stamp_of(&from)?;
        } else {
            copy(&from, &target, &file)?;
        }
        file.stamp = stamp_of(&target)?;
        made.push(file);
    }
    Ok(made)
}

fn copy(from: &std::path::Path, target: &std::path::Path, file: &TreeFile) -> Result<()> {
    let failed = |error| cannot_build(target, &error);
    let got = super::copies::copy(from, target, file.size).map_err(failed)?;
    if got != file.sha256 {
        let _ = disk::remove(target);
        let what = format!("{} was damaged while it was read", from.display());
        return Err(Error::new(Kind::Integrity, what).hint("run `magic-module verify`"));
    }
    if file.executable { make_executable(target).map_err(failed) } else { Ok(()) }
}
