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
use crate::layout::{Found, joined};
use crate::mount::Mount;
use crate::name::UnitName;
use crate::resolved::Owner;
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
        let suffixes = &self.python.suffixes;
        let located = |name: &UnitName| -> Result<Option<Located>> {
            let unit = self.unit_in_view(mount, name)?;
            let found = unit.layout.find_at(stem.to_owned(), suffixes);
            Ok(found.map(|found| Located { unit, found, root: false }))
        };
        let mut folder = None;
        match view.resolved.owners.owner(stem) {
            Some(Owner::Unit(name)) => folder = located(name)?,
            Some(Owner::Shared) => {
                for suffix in suffixes.0.iter().map(String::as_str).chain([".py"]) {
                    let path = [stem, "/__init__", suffix].concat();
                    match view.resolved.owners.owner(&path) {
                        Some(Owner::Unit(name)) => {
                            let unit = self.unit_in_view(mount, name)?;
                            let extension = suffix != ".py";
                            let folder = stem.to_owned();
                            let found = Found::Package { path, folder, extension };
                            return Ok(Standing::Located(Located { unit, found, root: false }));
                        }
                        Some(Owner::Disputed(units)) => return Err(disputed(view, &path, units)),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        if let Some(found) = folder.take_if(|it| !matches!(it.found, Found::Namespace { .. })) {
            return Ok(Standing::Located(found));
        }
        for suffix in suffixes.0.iter().map(String::as_str).chain([".py"]) {
            let path = [stem, suffix].concat();
            match view.resolved.owners.owner(&path) {
                Some(Owner::Unit(name)) => {
                    let unit = self.unit_in_view(mount, name)?;
                    // What lies below a wheel's own folder need not be there.
                    if unit.layout.has_file(&path) {
                        let found = Found::Module { path, extension: suffix != ".py" };
                        return Ok(Standing::Located(Located { unit, found, root: false }));
                    }
                }
                Some(Owner::Disputed(units)) => return Err(disputed(view, &path, units)),
                _ => {}
            }
        }
        Ok(match (folder, view.resolved.owners.owner(stem)) {
            (Some(folder), _) => Standing::Located(folder),
            (None, Some(Owner::Shared)) => Standing::Shared,
            _ => Standing::Nothing,
        })
    }

    /// `(name, is package)` for each module in a folder of a view, as `pkgutil` lists them.
    pub fn modules_in_view(
        &self,
        mount: &Arc<Mount>,
        view: &View,
        folder: &str,
    ) -> Vec<(String, bool)> {
        let owners = &view.resolved.owners;
        if let Some(Owner::Unit(name)) = owners.owner(folder) {
            let unit = self.unit_in_view(mount, name);
            return unit.map_or_else(
                |_| Vec::new(),
                |unit| unit.layout.modules_in(folder, &self.python.suffixes),
            );
        }
        let suffixes = || self.python.suffixes.0.iter().map(String::as_str).chain([".py"]);
        let stems: BTreeSet<&str> = owners
            .children(folder)
            .into_keys()
            .map(|name| suffixes().find_map(|it| name.strip_suffix(it)).unwrap_or(name))
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

    /// The path that the module `name` would have in a view, without a suffix.
    pub fn stem_in(view: &View, name: &str) -> String {
        joined(&view.resolved.scheme.site, &name.replace('.', "/"))
    }

    /// A unit of a view, as its tree on disk or what is known of its wheel tells.
    pub fn unit_in_view(&self, mount: &Arc<Mount>, name: &UnitName) -> Result<Arc<Unit>> {
        let known = |bound: &crate::mount::Bound| self.active_unit(mount, bound, name.as_str());
        let bound = mount.bind()?;
        if let Some(unit) = bound.as_deref().map(known).transpose()?.flatten() {
            return Ok(unit);
        }
        let document = bound.and_then(|bound| bound.manifest);
        let record = document.map(|document| mount.record(&document, name.as_str()));
        match (record.transpose()?, document) {
            (Some(Answer::Record(record)), Some(document)) => {
                let key = mount.key_of(name.as_str());
                let unit = Unit::of_record(mount, name, key, document, &record);
                Ok(self.units.add(unit))
            }
            _ => {
                let title = mount.supply.title(name);
                let what = format!("what is known of the wheel of {title} is gone from the cache");
                Err(Error::new(Kind::Store, what)
                    .name(title)
                    .hint(format!("fetch it again: magic-module fetch {name}")))
            }
        }
    }
}

fn disputed(view: &View, path: &str, units: &[UnitName]) -> Error {
    let titles: Vec<&str> = units
        .iter()
        .filter_map(|name| view.resolved.units.get(name).map(|it| it.name.as_str()))
        .collect();
    let inside = path.strip_prefix(&view.resolved.scheme.site).unwrap_or(path);
    let inside = inside.trim_start_matches('/');
    let what = format!("{} each bring another {inside}", titles.join(" and "));
    Error::new(Kind::Integrity, what)
        .path(path)
        .hint("leave one of them out of the lock, or ask their authors which belongs there")
}
