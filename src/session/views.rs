//! What stands in a view: by the folders that its wheels own and share, not by names.
//!
//! ```text
//! google/                 shared by several wheels: a namespace, or a package of one of them
//! google/cloud/storage/   one wheel's: what its own layout says
//! six.py                  one wheel's
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Located, Session};
use crate::error::{Error, Kind, Result};
use crate::layout::{Found, Suffixes, joined};
use crate::mount::Mount;
use crate::name::{UnitName, closest, is_identifier};
use crate::resolved::{Optional, Owner};
use crate::supply::{Answer, View};
use crate::unit::Unit;

/// What a path of a view is, as a module.
pub enum Standing {
    /// A module, a package, or a folder of one wheel.
    Located(Located),
    /// A folder of several wheels, without code of its own.
    Shared,
    /// No module.
    Nothing,
}

impl Session {
    /// What the module is whose file or folder is called `stem`, relative to the view, without
    /// a suffix. The order is that of `FileFinder`.
    pub fn standing(&self, mount: &Arc<Mount>, view: &View, stem: &str) -> Result<Standing> {
        let owner = view.resolved.owners.owner(stem);
        let located = |unit, found| Standing::Located(Located { unit, found, root: false });
        let mut folder = Standing::Nothing;
        match owner {
            // Nearly always: what lies below a wheel's own folder.
            Some(Owner::Unit(name)) => {
                let unit = self.unit_in_view(mount, view, name)?;
                match unit.layout.find_at(stem.to_owned(), &self.python.suffixes) {
                    Some(found @ Found::Namespace { .. }) => folder = located(unit, found),
                    Some(found) => return Ok(located(unit, found)),
                    None => {}
                }
            }
            Some(Owner::Shared) => {
                let init = joined(stem, "__init__");
                if let Some((unit, path, extension)) = self.with_suffix(mount, view, &init)? {
                    let found = Found::Package { path, folder: stem.to_owned(), extension };
                    return Ok(located(unit, found));
                }
                folder = Standing::Shared;
            }
            Some(Owner::Disputed(_)) | None => {}
        }
        Ok(match self.with_suffix(mount, view, stem)? {
            Some((unit, path, extension)) => located(unit, Found::Module { path, extension }),
            None => folder,
        })
    }

    /// The first file that a module may be, whose unit it is, and whether it is an extension.
    fn with_suffix(
        &self,
        mount: &Arc<Mount>,
        view: &View,
        stem: &str,
    ) -> Result<Option<(Arc<Unit>, String, bool)>> {
        for (suffix, extension) in self.python.suffixes.all() {
            let path = [stem, suffix].concat();
            match view.resolved.owners.owner(&path) {
                Some(Owner::Unit(name)) => {
                    let unit = self.unit_in_view(mount, view, name)?;
                    // What lies below a wheel's own folder need not be there.
                    if unit.layout.has_file(&path) {
                        return Ok(Some((unit, path, extension)));
                    }
                }
                Some(Owner::Disputed(units)) => return Err(disputed(view, &path, units)),
                Some(Owner::Shared) | None => {}
            }
        }
        Ok(None)
    }

    /// `(name, is package)` for each module in a folder of a view, as `pkgutil` lists them.
    pub fn modules_in_view<'a>(
        &self,
        mount: &Arc<Mount>,
        view: &'a View,
        folder: &str,
    ) -> Vec<(String, bool)> {
        let owners = &view.resolved.owners;
        if let Some(Owner::Unit(name)) = owners.owner(folder) {
            let unit = self.unit_in_view(mount, view, name);
            return unit.map_or_else(
                |_| Vec::new(),
                |unit| unit.layout.modules_in(folder, &self.python.suffixes),
            );
        }
        let suffixes = &self.python.suffixes;
        let stem = |name: &'a str| suffixes.all().find_map(|(it, _)| name.strip_suffix(it));
        let stems: BTreeSet<&str> = owners
            .children(folder)
            .into_keys()
            .map(|name| stem(name).unwrap_or(name))
            .filter(|stem| *stem != "__init__" && !stem.contains('.'))
            .collect();
        let is = |stem: &str| match self.standing(mount, view, &joined(folder, stem)) {
            Ok(Standing::Located(located)) => match located.found {
                Found::Package { .. } => Some(true),
                Found::Module { .. } => Some(false),
                Found::Namespace { .. } => None,
            },
            _ => None,
        };
        stems.into_iter().filter_map(|stem| Some((stem.to_owned(), is(stem)?))).collect()
    }

    /// True if a mount has a view.
    pub fn has_view(&self) -> bool {
        self.find_mount(|mount| mount.supply.view().is_some()).is_some()
    }

    /// What to say of a top-level name that no package of a lock provides.
    pub fn missing(&self, name: &str) -> Option<String> {
        let mut nothing = None;
        let suffixes = &self.python.suffixes;
        for mount in self.mounts() {
            let (Some(view), Some(lock)) = (mount.supply.view(), mount.request.source.as_lock())
            else {
                continue;
            };
            let (lock, resolved) = (lock.path.display(), &view.resolved);
            let children = resolved.owners.children(&resolved.scheme.site);
            let stem = Self::stem_in(view, name);
            let source = format!("{stem}.py");
            let mut owners = [&stem, &source].into_iter().map(|it| resolved.owners.owner(it));
            if let Some(Some(Owner::Unit(unit))) = owners.find(Option::is_some)
                && mount.supply.optional(unit) != Optional::Fetch
            {
                let title = mount.supply.title(unit);
                let what = "withheld from imports that a package could do without";
                let place =
                    "optional= of mount_lock(), or [tool.magic-module.optional] of the lock";
                return Some(format!("{title} of the lock {lock} is {what}: {place}"));
            }
            let unit = mount.supply.unit_called(name);
            if let Some(it) = unit.as_ref().and_then(|unit| resolved.units.get(unit)) {
                let own = |owner: &Owner<'_>| matches!(owner, Owner::Unit(it) if Some(*it) == unit.as_ref());
                let own = children.iter().filter(|(_, owner)| own(owner));
                let own: BTreeSet<&str> =
                    own.filter_map(|(file, _)| module_of(suffixes, file)).collect();
                if !own.is_empty() {
                    let own = Vec::from_iter(own).join(", ");
                    return Some(format!("{} of the lock {lock} is imported as {own}", it.name));
                }
            }
            let add = "to add a package, lock again with it (`magic-module lock`)";
            match closest(name, children.keys().filter_map(|file| module_of(suffixes, file))) {
                Some(near) => {
                    return Some(format!("{near} comes closest in the lock {lock}; {add}"));
                }
                None => {
                    nothing
                        .get_or_insert_with(|| format!("the lock {lock} does not have it; {add}"));
                }
            }
        }
        nothing
    }

    /// The path that the module `name` would have in a view, without a suffix.
    pub fn stem_in(view: &View, name: &str) -> String {
        joined(&view.resolved.scheme.site, &name.replace('.', "/"))
    }

    /// A unit of a view, as its tree on disk or what is known of its wheel tells.
    pub fn unit_in_view(
        &self,
        mount: &Arc<Mount>,
        view: &View,
        name: &UnitName,
    ) -> Result<Arc<Unit>> {
        let known = view.resolved.units.get(name).map(|it| &it.tree);
        if let Some(unit) = known.and_then(|tree| self.units.get(mount, name, tree)) {
            return Ok(unit);
        }
        let bound = mount.bind()?.unwrap_or_default();
        if let Some(unit) = self.active_unit(mount, &bound, name.as_str())? {
            return Ok(unit);
        }
        if let Some(document) = bound.manifest
            && let Answer::Record(record) = mount.record(&document, name.as_str())?
        {
            let key = mount.key_of(name.as_str());
            return Ok(self.units.add(Unit::of_record(mount, name, key, document, &record)));
        }
        let title = mount.supply.title(name);
        let what = format!("what the cache knew about the wheel of {title} is gone");
        let hint = format!("fetch it again: magic-module fetch {title}");
        Err(Error::new(Kind::Store, what).name(title).hint(hint))
    }
}

/// The module that a file or a folder is.
fn module_of<'a>(suffixes: &Suffixes, file: &'a str) -> Option<&'a str> {
    let mut suffixes = suffixes.0.iter().map(String::as_str).chain([".py"]);
    let stem = suffixes.find_map(|it| file.strip_suffix(it)).unwrap_or(file);
    (is_identifier(stem) && !stem.starts_with('_')).then_some(stem)
}

fn disputed(view: &View, path: &str, units: &[UnitName]) -> Error {
    let inside = path.strip_prefix(&view.resolved.scheme.site).unwrap_or(path);
    let inside = inside.trim_start_matches('/');
    let what = format!("{} each bring another {inside}", view.titles(units));
    Error::new(Kind::Integrity, what)
        .path(path)
        .hint("leave one of them out of the lock, or ask their authors which belongs there")
}
