//! What can be imported from a folder of the store, as search paths see it.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::error::Result;
use crate::files;
use crate::layout::{Found, Layout, joined};
use crate::manifest::Body;
use crate::mount::Mount;
use crate::name::{Digest, UnitName, prefixes};
use crate::resolved::Owner;
use crate::session::{Located, Serving, Session, Standing};
use crate::store::prune::mount_folders;
use crate::supply::View;
use crate::unit::Unit;

impl Session {
    /// An absolute path as the store writes it, if it lies there: search paths are also
    /// written through links, or with `..`.
    pub fn in_store(&self, path: &Path) -> Option<PathBuf> {
        let path = plain(path);
        let root = self.engine.store.root();
        if path.starts_with(root) {
            return Some(path);
        }
        if !path.components().any(|part| part.as_os_str() == "v1") {
            return None;
        }
        let roots =
            std::iter::once(root).chain(self.engine.store.behind().iter().map(PathBuf::as_path));
        let real: Vec<_> = roots.filter_map(|root| files::real(root).ok()).collect();
        let below = |path: &Path| {
            real.iter().find_map(|real| path.strip_prefix(real).ok()).map(|below| root.join(below))
        };
        below(&path).or_else(|| below(&files::real(&path).ok()?))
    }

    /// The unit whose tree `folder` lies in, and the folder relative to it. Where several
    /// mounts have that tree, the unit is meant that the module called `name` is a part of.
    fn unit_at(&self, folder: &Path, name: &str) -> Option<(Arc<Unit>, String)> {
        let below = folder.strip_prefix(self.engine.store.trees()).ok()?;
        let mut parts = below.components();
        let digest = Digest::new(parts.next()?.as_os_str().to_str()?).ok()?;
        let inside = parts.as_path().to_str()?.replace('\\', "/");
        let own = |unit: &Unit| prefixes(name).any(|above| above == unit.full_name);
        let found = self.units.of_tree(&digest, own);
        Some((found.or_else(|| self.active_unit_of(&digest))?, inside))
    }

    /// A tree that is on a search path of a process that has imported nothing of it yet.
    fn active_unit_of(&self, tree: &Digest) -> Option<Arc<Unit>> {
        self.mounts().iter().find_map(|mount| {
            mount.trust().ok()?;
            let bound = mount.bound()?;
            let (key, _) =
                bound.generation.active.iter().find(|(_, active)| active.tree == *tree)?;
            self.active_unit(mount, &bound, key.unit()).ok()?
        })
    }

    /// The unit that stands in the place of `unit` by now: what was put on a search path
    /// before an upgrade still names the old tree.
    fn present(&self, unit: Arc<Unit>) -> Result<Arc<Unit>> {
        let Ok(mount) = unit.mount() else { return Ok(unit) };
        let Some(bound) = mount.bound() else { return Ok(unit) };
        // Nearly always it stands there itself.
        let active = bound.generation.active.get(&unit.key);
        if active.is_some_and(|active| active.tree == unit.digest) {
            return Ok(unit);
        }
        Ok(self.active_unit(&mount, &bound, unit.name.as_str())?.unwrap_or(unit))
    }

    /// What the last part of `name` is in a folder of a tree or of a view.
    pub fn standing_in(&self, folder: &Path, name: &str) -> Result<Standing> {
        let tail = name.rsplit('.').next().unwrap_or(name);
        if let Some((mount, view, inside)) = self.view_at(folder) {
            return self.standing(&mount, &view, &joined(&inside, tail));
        }
        let Some((unit, inside)) = self.unit_at(folder, name) else { return Ok(Standing::Nothing) };
        let unit = self.present(unit)?;
        let stem = joined(&inside, tail);
        let root = stem == unit.name.to_path();
        let found = unit.layout.find_at(stem, &self.python.suffixes);
        let located = found.map(|found| Located { root, found, unit: unit.clone() });
        let located = located.filter(|located| !self.is_of_another(name, located));
        Ok(located.map_or(Standing::Nothing, Standing::Located))
    }

    /// The view that `folder` lies in, its mount, and the folder relative to it. A folder of a knot
    /// is that of a view which leads there.
    pub(in crate::uses) fn view_at(
        &self,
        folder: &Path,
    ) -> Option<(Arc<Mount>, Arc<View>, String)> {
        let store = &self.engine.store;
        let knot = folder.strip_prefix(store.knots()).ok();
        let below = knot.or_else(|| folder.strip_prefix(store.views()).ok())?;
        let mut parts = below.components();
        let digest = Digest::new(parts.next()?.as_os_str().to_str()?).ok()?;
        let inside = parts.as_path().to_str()?.replace('\\', "/");
        let mount = self.find_mount(|mount| match knot {
            Some(_) => mount.supply.has_knot(&digest),
            None => mount.identity == digest,
        })?;
        let view = mount.supply.view()?.clone();
        Some((mount, view, inside))
    }

    /// The unit whose file or folder a path in a view is, and its mount.
    pub fn owner_of(&self, path: &Path) -> Option<(Arc<Mount>, UnitName)> {
        let (mount, view, inside) = self.view_at(path)?;
        let Some(Owner::Unit(unit)) = view.resolved.owners.owner(&inside) else { return None };
        Some((mount, unit.clone()))
    }

    /// True for a path in the view of a mount.
    pub fn is_in_view(&self, path: &Path) -> bool {
        self.in_store(path).is_some_and(|path| self.view_at(&path).is_some())
    }

    /// The mount in whose view a folder lies.
    pub fn mount_of_view(&self, folder: &Path) -> Option<Arc<Mount>> {
        self.view_at(folder).map(|(mount, ..)| mount)
    }

    /// True for a folder in the view of a mount, whether it is there yet or not.
    pub fn is_folder_of_view(&self, path: &Path) -> bool {
        let Some((mount, view, inside)) = self.view_at(path) else { return false };
        match view.resolved.owners.owner(&inside) {
            Some(Owner::Shared) => true,
            Some(Owner::Unit(name)) => self.unit_in_view(&mount, &view, name).is_ok_and(|unit| {
                let mut parts = Path::new(&inside).ancestors().filter_map(Path::to_str);
                !parts.any(|part| unit.layout.has_file(part))
            }),
            Some(Owner::Disputed(_)) => false,
            None => path.is_dir(),
        }
    }

    /// True if a folder lies in the view of a mount whose names come after what is installed.
    pub fn gives_way(&self, folder: &Path) -> bool {
        self.view_at(folder).is_some_and(|(mount, ..)| !mount.request.first)
    }

    /// The mount that may have the last part of `name` as a unit of its own, in a folder of
    /// a tree that does not have it.
    pub fn beside(&self, folder: &Path, name: &str) -> Option<Serving> {
        let (unit, inside) = self.unit_at(folder, name)?;
        let mount = unit.mount().ok()?;
        (!inside.is_empty()).then(|| (mount, dotted(&inside, name)))
    }

    /// True if `located` lies in what another mount serves than the one that `name` belongs
    /// to: a folder there is no part of a namespace that is mounted by itself. A unit that is
    /// the namespace's own package is like an installed one: what it ships is its own.
    fn is_of_another(&self, name: &str, located: &Located) -> bool {
        if self.mount_named(name).is_some() {
            return matches!(located.found, Found::Namespace { .. });
        }
        let Some(mount) = self.mount_around(name) else { return false };
        if located.unit.mount.upgrade().is_some_and(|own| own.namespace == mount.namespace) {
            return false;
        }
        let below = mount.namespace.strip(name).unwrap_or_default();
        // The folder of the namespace itself, as the unit has it.
        let folder = Path::new(located.found.place()).ancestors().nth(below.split('.').count());
        let package = folder.and_then(Path::to_str).map(str::to_owned);
        let suffixes = &self.python.suffixes;
        let found = package.and_then(|stem| located.unit.layout.find_at(stem, suffixes));
        !matches!(found, Some(Found::Package { .. }))
    }

    /// `(name, is package)` for each module in a folder of a tree or of a view.
    pub fn modules_in_tree(&self, folder: &Path) -> Vec<(String, bool)> {
        if let Some((mount, view, inside)) = self.view_at(folder) {
            return self.modules_in_view(&mount, &view, &inside);
        }
        let Some((unit, inside)) = self.unit_at(folder, "") else { return Vec::new() };
        let unit = self.present(unit.clone()).unwrap_or(unit);
        unit.layout.modules_in(&inside, &self.python.suffixes)
    }

    /// Lazy files below a folder of a tree, relative to it.
    pub fn lazy_files(&self, folder: &Path) -> Vec<String> {
        let Some((unit, inside)) = self.unit_at(folder, "") else { return Vec::new() };
        let Some(tree) = unit.tree() else { return Vec::new() };
        let above = if inside.is_empty() { inside } else { format!("{inside}/") };
        let lazy = tree.files.iter().filter(|file| file.lazy);
        lazy.filter_map(|file| file.path.as_str().strip_prefix(&above).map(str::to_owned)).collect()
    }

    /// The unit that a path in the store belongs to, and the path relative to its tree.
    pub fn unit_of_file(&self, path: &Path) -> Option<(Arc<Unit>, String)> {
        if let Some((mount, view, inside)) = self.view_at(path) {
            let Some(Owner::Unit(name)) = view.resolved.owners.owner(&inside) else { return None };
            return Some((self.unit_in_view(&mount, &view, name).ok()?, inside));
        }
        let (unit, folder) = self.unit_at(path.parent()?, "")?;
        let name = path.file_name()?.to_str()?;
        Some((unit, if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }))
    }

    /// The namespace of a mount that has a tree in use, or had, also if this process does not mount it.
    pub fn namespace_of(&self, tree: &Digest) -> Result<Option<String>> {
        for folder in mount_folders(&self.engine.store)? {
            for number in folder.numbers()?.into_iter().rev() {
                let Some(generation) = folder.read(number)? else { continue };
                if generation.active.values().any(|active| active.tree == *tree) {
                    return Ok(folder.described()?["namespace"].as_str().map(str::to_owned));
                }
            }
        }
        Ok(None)
    }

    /// True for a file of a tree, and for what a search path names inside of it: an
    /// archive that a unit brings along is for whoever reads archives.
    pub fn is_in_file_of_tree(&self, path: &Path) -> bool {
        let Some((unit, inside)) = self.unit_at(path, "") else { return false };
        Path::new(&inside)
            .ancestors()
            .filter_map(Path::to_str)
            .any(|part| unit.layout.has_file(part) && unit.folder.join(part).is_file())
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
        let document = mount.supply.document(&bound.manifest?).ok()?;
        let mut found = BTreeMap::new();
        // As `pkgutil` lists an installed package: a folder without `__init__` is left out.
        let mut add = |unit: &str, layout: &Layout| {
            let inside = if below.is_empty() {
                Some(unit)
            } else {
                unit.strip_prefix(below).and_then(|rest| rest.strip_prefix('.'))
            };
            let Some(name) = inside.filter(|name| !name.contains('.')) else { return };
            match layout.find(unit, &self.python.suffixes) {
                Some(Found::Package { .. }) => found.insert(name.to_owned(), true),
                Some(Found::Module { .. }) => found.insert(name.to_owned(), false),
                Some(Found::Namespace { .. }) | None => None,
            };
        };
        match &document.body {
            Body::Modules(modules) => {
                for (name, record) in &modules.0 {
                    let paths = record.all_files().map(|file| file.path.as_str());
                    add(name.as_str(), &Layout::new(paths));
                }
            }
            // A million names are not listed; what is here is.
            Body::Catalogue(_) => {
                for key in bound.generation.active.keys() {
                    let name = key.unit();
                    if let Ok(Some(unit)) = self.active_unit(mount, &bound, name) {
                        add(name, &unit.layout);
                    }
                }
            }
        }
        Some(found.into_iter().collect())
    }
}

/// The last part of a module's name below a folder of a tree, as a name relative to the tree.
fn dotted(folder: &str, name: &str) -> String {
    let tail = name.rsplit('.').next().unwrap_or(name);
    if folder.is_empty() { tail.to_owned() } else { format!("{}.{tail}", folder.replace('/', ".")) }
}

/// A path without `..`. No folder of a tree is a link.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}
