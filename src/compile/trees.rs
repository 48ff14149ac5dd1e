//! The trees whose modules are compiled, and which of these find each other.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::guess::{At, Modules};
use crate::name::Digest;
use crate::store::tree::Tree;

#[derive(Debug, Default)]
pub(super) struct Trees {
    known: Vec<Known>,
    numbers: HashMap<Digest, usize>,
    groups: HashMap<PathBuf, Modules>,
}

#[derive(Debug)]
struct Known {
    tree: Arc<Tree>,
    group: PathBuf,
}

impl Trees {
    /// Adds a tree, once. Its modules find those of the trees in the same `group`; those of which
    /// code is kept need not be found.
    pub fn add(&mut self, tree: &Arc<Tree>, group: &Path, is_kept: impl Fn(&str, &Digest) -> bool) {
        let number = self.known.len();
        if *self.numbers.entry(tree.digest).or_insert(number) != number {
            return;
        }
        let modules = self.groups.entry(group.to_owned()).or_default();
        for (at, file) in tree.files.iter().enumerate().filter(|(_, file)| !file.lazy) {
            if !is_kept(file.path.as_str(), &file.sha256) {
                modules.add(file.path.as_str(), At { tree: number, file: at });
            }
        }
        self.known.push(Known { tree: tree.clone(), group: group.to_owned() });
    }

    /// Where a source is.
    pub fn at(&self, tree: &Digest, path: &str) -> Option<At> {
        let number = *self.numbers.get(tree)?;
        let file = self.known.get(number)?.tree.position(path)?;
        Some(At { tree: number, file })
    }

    /// The tree of a source.
    pub fn get(&self, at: At) -> Option<Arc<Tree>> {
        self.known.get(at.tree).map(|known| known.tree.clone())
    }

    /// The size of a source.
    pub fn size(&self, at: At) -> u64 {
        let file = self.known.get(at.tree).and_then(|known| known.tree.files.get(at.file));
        file.map_or(0, |file| file.size)
    }

    /// What a module is likely to import.
    pub fn imports(&self, at: At, names: &[String]) -> Vec<At> {
        let Some(known) = self.known.get(at.tree) else { return Vec::new() };
        let path = known.tree.files.get(at.file).map_or("", |file| file.path.as_str());
        self.groups.get(&known.group).map_or_else(Vec::new, |it| it.imports(path, at, names))
    }

    /// The modules and packages that lie in the folder `site` of a tree.
    pub fn tops(&self, tree: &Digest, site: &str) -> Vec<At> {
        let Some(number) = self.numbers.get(tree).copied() else { return Vec::new() };
        let Some(known) = self.known.get(number) else { return Vec::new() };
        let is_top = |path: &str| {
            let inner = path.strip_prefix(site).map(|inner| inner.trim_start_matches('/'));
            let stem = inner.and_then(|inner| inner.strip_suffix(".py"));
            stem.is_some_and(|stem| !stem.strip_suffix("/__init__").unwrap_or(stem).contains('/'))
        };
        let files = known.tree.files.iter().enumerate();
        let tops = files.filter(|(_, file)| !file.lazy && is_top(file.path.as_str()));
        tops.map(|(file, _)| At { tree: number, file }).collect()
    }
}
