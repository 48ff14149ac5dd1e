//! Which modules a module is likely to import, from the names in its code.
//!
//! The names are those of its top level, in the order of their first use: modules,
//! submodules and everything else alike. What is not a module that is known is passed over,
//! and a wrong guess costs an idle core some work.

use std::collections::{HashMap, HashSet};

/// A source: the number of its tree, and its position there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct At {
    pub tree: usize,
    pub file: usize,
}

/// Modules that find each other: those of one tree, or of all that one view links to.
#[derive(Debug, Default)]
pub(super) struct Modules {
    /// By the path without suffix, a package by that of its folder.
    stems: HashMap<String, Known>,
    /// The last parts of the stems: of most names one look tells that they are not modules.
    last: HashSet<String>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    at: At,
    is_package: bool,
}

impl Modules {
    /// Adds a file; what is not a source is left out.
    pub fn add(&mut self, path: &str, at: At) {
        let Some(stem) = path.strip_suffix(".py") else { return };
        let package = stem.strip_suffix("/__init__");
        let stem = package.unwrap_or(stem);
        let known = Known { at, is_package: package.is_some() };
        // A package comes before a module of the same name.
        if known.is_package || !self.stems.contains_key(stem) {
            self.stems.insert(stem.to_owned(), known);
        }
        self.last.insert(part(stem, '/').to_owned());
    }

    /// In the order in which they are likely to be imported by `path`, with their packages first.
    pub fn imports(&self, path: &str, own: At, names: &[String]) -> Vec<At> {
        let here = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut found = Found { own, order: Vec::new(), seen: HashSet::new() };
        // `from .a import b`: b may be a module of the package a.
        let mut last: Option<String> = None;
        for name in names.iter().filter(|name| self.last.contains(part(name, '.'))) {
            let inner = name.replace('.', "/");
            let below = last.as_ref().and_then(|last| self.module(last, &inner));
            let resolved =
                below.or_else(|| above(here).find_map(|folder| self.module(folder, &inner)));
            let Some((stem, known)) = resolved else { continue };
            self.packages(&stem, &mut found);
            found.add(known.at);
            if name.contains('.') || last.is_none() || known.is_package {
                last = Some(stem);
            }
        }
        found.order
    }

    fn module(&self, folder: &str, inner: &str) -> Option<(String, Known)> {
        let stem = if folder.is_empty() { inner.to_owned() } else { format!("{folder}/{inner}") };
        self.stems.get(&stem).map(|known| (stem, *known))
    }

    /// The packages that `stem` lies in are imported before it.
    fn packages(&self, stem: &str, found: &mut Found) {
        let packages = above(stem).skip(1).filter_map(|folder| self.stems.get(folder));
        let packages: Vec<At> =
            packages.filter(|known| known.is_package).map(|known| known.at).collect();
        packages.into_iter().rev().for_each(|at| found.add(at));
    }
}

struct Found {
    own: At,
    order: Vec<At>,
    seen: HashSet<At>,
}

impl Found {
    fn add(&mut self, at: At) {
        if at != self.own && self.seen.insert(at) {
            self.order.push(at);
        }
    }
}

/// A folder and those above it, up to the root of the tree.
fn above(folder: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(folder), |folder| {
        (!folder.is_empty()).then(|| folder.rsplit_once('/').map_or("", |(above, _)| above))
    })
}

fn part(text: &str, separator: char) -> &str {
    text.rsplit(separator).next().unwrap_or(text)
}
