//! What can be imported from a folder of the store, as search paths see it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::manifest::Body;
use crate::mount::Mount;
use crate::name::Digest;
use crate::session::{Located, Session};
use crate::unit::Unit;

impl Session {
    /// The unit whose tree `folder` lies in, and the folder relative to it.
    fn unit_at(&self, folder: &Path) -> Option<(Arc<Unit>, String)> {
        let below = folder.strip_prefix(self.store.trees()).ok()?;
        let digest = Digest::new(below.components().next()?.as_os_str().to_str()?).ok()?;
        let inside = below.components().skip(1).collect::<PathBuf>();
        let unit = self.mounts().iter().find_map(|mount| mount.unit_of_tree(&digest))?;
        Some((unit, inside.to_str()?.replace('\\', "/")))
    }

    /// What `tail` is in a folder of a tree.
    pub fn located_in(&self, folder: &Path, tail: &str) -> Option<Located> {
        let (unit, inside) = self.unit_at(folder)?;
        let relative = if inside.is_empty() {
            tail.to_owned()
        } else {
            format!("{}.{tail}", inside.replace('/', "."))
        };
        let found = unit.find(&relative, &self.python.suffixes)?;
        Some(Located { root: relative == unit.name.as_str(), found, unit })
    }

    /// `(name, is package)` for each module in a folder of a tree.
    pub fn modules_in_tree(&self, folder: &Path) -> Vec<(String, bool)> {
        let Some((unit, inside)) = self.unit_at(folder) else { return Vec::new() };
        unit.layout.modules_in(&inside, &self.python.suffixes)
    }

    /// Lazy files below a folder of a tree, relative to it.
    pub fn lazy_files(&self, folder: &Path) -> Vec<String> {
        let Some((unit, inside)) = self.unit_at(folder) else { return Vec::new() };
        let Some(tree) = unit.tree() else { return Vec::new() };
        let above = if inside.is_empty() { inside } else { format!("{inside}/") };
        let lazy = tree.files.iter().filter(|file| file.lazy);
        lazy.filter_map(|file| file.path.as_str().strip_prefix(&above).map(str::to_owned)).collect()
    }

    /// The unit that a path in the store belongs to, and the path relative to its tree.
    pub fn unit_of_file(&self, path: &Path) -> Option<(Arc<Unit>, String)> {
        let (unit, folder) = self.unit_at(path.parent()?)?;
        let name = path.file_name()?.to_str()?;
        Some((unit, if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }))
    }

    /// The mount of an entry in a namespace's `__path__`, and the name that the entry adds.
    pub fn mount_of_entry(&self, entry: &Path) -> Option<(Arc<Mount>, String)> {
        self.mounts().into_iter().find_map(|mount| {
            let below =
                entry.strip_prefix(mount.folder.entry()).ok()?.to_str()?.replace(['/', '\\'], ".");
            Some((mount, below))
        })
    }

    /// `(name, is package)` for each unit directly below `below`. `None`: no manifest is known.
    pub fn modules_of_mount(&self, mount: &Arc<Mount>, below: &str) -> Option<Vec<(String, bool)>> {
        let bound = mount.bound()?;
        let document = mount.manifest(&self.store, &bound.manifest?).ok()?;
        let mut found = BTreeMap::new();
        let mut add = |unit: &str, package: bool| {
            let inside = if below.is_empty() {
                Some(unit)
            } else {
                unit.strip_prefix(below).and_then(|rest| rest.strip_prefix('.'))
            };
            let Some(inside) = inside else { return };
            let (name, deeper) =
                inside.split_once('.').map_or((inside, false), |(name, _)| (name, true));
            let entry = found.entry(name.to_owned()).or_insert(false);
            *entry |= deeper || package;
        };
        match &document.body {
            Body::Modules(modules) => {
                for (name, record) in &modules.0 {
                    let inside = format!("{}/", name.to_path());
                    let files = record
                        .files
                        .iter()
                        .chain(record.variants.iter().flat_map(|variant| &variant.files));
                    add(
                        name.as_str(),
                        files.into_iter().any(|file| file.path.as_str().starts_with(&inside)),
                    );
                }
            }
            // A million names are not listed; what is here is.
            Body::Catalogue(_) => {
                for key in bound.generation.active.keys() {
                    add(key.split(['@', '=']).next().unwrap_or(key), false);
                }
            }
        }
        Some(found.into_iter().collect())
    }
}
