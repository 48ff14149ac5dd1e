//! Which modules of a tree a module is likely to import, from the names in its code.
//!
//! The names are those of its top level, in the order of their first use: modules,
//! submodules and everything else alike. What is no module of the tree is passed over,
//! and a wrong guess costs an idle core some work.

use crate::store::tree::Tree;

/// Paths in the order in which they are likely to be imported, with their packages first.
pub(super) fn imports(path: &str, names: &[String], tree: &Tree) -> Vec<String> {
    let here = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut found = Vec::new();
    // `from .a import b`: b may be a module of the package a.
    let mut last: Option<String> = None;
    for name in names.iter().filter(|name| !name.is_empty()) {
        let inner = name.replace('.', "/");
        let below = last.as_ref().and_then(|last| module(tree, last, &inner));
        let resolved =
            below.or_else(|| above(here).find_map(|folder| module(tree, folder, &inner)));
        let Some((stem, file)) = resolved else { continue };
        packages(tree, &stem, &mut found);
        if !found.contains(&file) && file != path {
            found.push(file);
        }
        if name.contains('.') || last.is_none() || below_is_package(tree, &stem) {
            last = Some(stem);
        }
    }
    found
}

/// A folder and those above it, up to the root of the tree.
fn above(folder: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(folder), |folder| {
        (!folder.is_empty()).then(|| folder.rsplit_once('/').map_or("", |(above, _)| above))
    })
}

/// The path without suffix, and the file, of a module or package.
fn module(tree: &Tree, folder: &str, inner: &str) -> Option<(String, String)> {
    let stem = if folder.is_empty() { inner.to_owned() } else { format!("{folder}/{inner}") };
    let files = [format!("{stem}.py"), format!("{stem}/__init__.py")];
    let file = files.into_iter().find(|file| tree.position(file).is_some())?;
    Some((stem, file))
}

fn below_is_package(tree: &Tree, stem: &str) -> bool {
    tree.position(&format!("{stem}/__init__.py")).is_some()
}

/// The packages that `stem` lies in are imported before it.
fn packages(tree: &Tree, stem: &str, found: &mut Vec<String>) {
    let above: Vec<&str> = above(stem).skip(1).filter(|folder| !folder.is_empty()).collect();
    for folder in above.into_iter().rev() {
        let file = format!("{folder}/__init__.py");
        if tree.position(&file).is_some() && !found.contains(&file) {
            found.push(file);
        }
    }
}
