//! What a name is, as far as it can be told without waiting.
//!
//! ```text
//! name ─ mount ─ bound generation ─ active unit ─ layout ─▶ Located
//!                     └─ newest manifest ─ record ─ layout ─▶ Located, not downloaded yet
//!                     └─ nothing known ──────────────────────▶ Ask
//! ```

use std::ops::Bound;
use std::sync::Arc;

use super::{Doubt, OWN, Session, Standing};
use crate::error::{Error, Kind, Result};
use crate::layout::Found;
use crate::manifest::Body;
use crate::mount::Mount;
use crate::name::UnitName;
use crate::supply::{Answer, View};
use crate::unit::Unit;

/// What it means for a name if nobody can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Nothing is known without the answer.
    IsAnError,
    /// It was a guess that somebody may have it.
    MeansAbsent,
}

/// What a name is.
pub enum Lookup {
    /// No mount serves it.
    Foreign,
    /// A unit, or a part of one; it may have to be downloaded yet.
    Located(Located),
    /// A namespace that the mount provides, or a folder that only has units below it.
    Namespace(Arc<Mount>, String),
    /// Everything is known, and it is not there.
    Absent,
    /// A request decides.
    Ask {
        /// Whom to ask.
        mount: Arc<Mount>,
        /// What to ask for, below the mount's namespace.
        relative: String,
        /// What it means if nobody answers.
        silence: Silence,
    },
    /// What the manifest has is refused. Perhaps its author has mended it.
    Refused {
        /// Whose manifest it is.
        mount: Arc<Mount>,
        /// What was looked for, below the mount's namespace.
        relative: String,
        /// What to raise if it was not mended.
        error: Error,
    },
}

/// Where a name leads.
#[derive(Clone)]
pub struct Located {
    /// What has to be made usable first.
    pub unit: Arc<Unit>,
    /// What the name is in the unit's tree.
    pub found: Found,
    /// The name is the unit's own.
    pub root: bool,
}

/// A mount, and the name that it is asked for, relative to its namespace.
pub type Serving = (Arc<Mount>, String);

/// Which finder asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopLevel {
    /// The one before every other: named namespaces, and mounts of top-level names that come first.
    First,
    /// As `First`, but the mounts of top-level names that come last.
    Last,
    /// The one behind every other: top-level names only.
    Behind,
}

impl Session {
    /// The mounts that may serve `full`: the longest namespace, or the empty ones.
    pub fn serving(&self, full: &str, top_level: TopLevel) -> Result<Vec<Serving>> {
        let below = full.strip_prefix(OWN).is_some_and(|rest| rest.starts_with('.'));
        if below && top_level != TopLevel::Behind {
            self.own_mount()?;
        }
        if let Some(mount) = self.mount_around(full) {
            let relative = mount.namespace.strip(full).map(str::to_owned);
            let behind = top_level == TopLevel::Behind;
            return Ok(relative.filter(|_| !behind).map(|it| (mount, it)).into_iter().collect());
        }
        let mounts = self.mounts.lock();
        // Those that have a view stand on `sys.path` with it: an import finds them there.
        let serves = |mount: &Mount| match (mount.supply.view(), top_level) {
            (Some(_), place) => place == TopLevel::Last,
            (None, TopLevel::First) => mount.request.first,
            (None, _) => !mount.request.first,
        };
        let mounts = mounts.iter().filter(|it| it.namespace.is_empty() && serves(it));
        Ok(mounts.map(|mount| (mount.clone(), full.to_owned())).collect())
    }

    /// What `full` is, as far as it can be told without waiting.
    pub fn lookup(&self, full: &str, top_level: TopLevel) -> Result<Lookup> {
        self.first_of(&self.serving(full, top_level)?)
    }

    /// What the first of these mounts has that has anything.
    pub fn first_of(&self, serving: &[Serving]) -> Result<Lookup> {
        let mut outcome = Lookup::Foreign;
        for (mount, relative) in serving {
            match self.lookup_in(mount, relative) {
                Ok(Lookup::Absent) => outcome = Lookup::Absent,
                Err(error) if may_be_mended(mount, relative, &error) => {
                    let (mount, relative) = (mount.clone(), relative.clone());
                    return Ok(Lookup::Refused { mount, relative, error });
                }
                other => return other,
            }
        }
        Ok(outcome)
    }

    pub(crate) fn lookup_in(&self, mount: &Arc<Mount>, relative: &str) -> Result<Lookup> {
        mount.trust()?;
        // A lock that cannot be read is never taken for none.
        self.project.lock()?;
        if let Some(view) = mount.supply.view().cloned() {
            return self.lookup_in_view(mount, &view, relative);
        }
        let ask =
            |silence| Lookup::Ask { mount: mount.clone(), relative: relative.to_owned(), silence };
        let located = |name, unit: Arc<Unit>| {
            let found = unit.find(relative, &self.python.suffixes)?;
            Some(Lookup::Located(Located { root: name == relative, unit, found }))
        };
        let Some(bound) = mount.bind()? else { return Ok(ask(Silence::IsAnError)) };
        let mut active = Vec::new();
        for name in mount.supply.units_for(relative) {
            if let Some(unit) = self.active_unit(mount, &bound, name)? {
                if let Some(located) = located(name, unit) {
                    return Ok(located);
                }
                active.push(name);
            }
        }
        let Some(manifest) = bound.manifest else { return Ok(ask(Silence::IsAnError)) };
        let Ok(document) = mount.supply.document(&manifest) else {
            return Ok(ask(Silence::IsAnError));
        };
        let mut owned = !active.is_empty();
        // What an active unit does not have, another version of it does not provide.
        for name in mount.supply.units_for(relative).filter(|name| !active.contains(name)) {
            if UnitName::new(name).is_err() {
                return Ok(Lookup::Absent);
            }
            match mount.record(&manifest, name)? {
                Answer::NotHere => return Ok(ask(Silence::IsAnError)),
                Answer::Absent => {}
                // Something new is not decided by a manifest that is too old.
                Answer::Record(_)
                    if !mount.supply.policy().is_offline()
                        && mount.supply.should_ask_first(&manifest) =>
                {
                    return Ok(ask(Silence::IsAnError));
                }
                Answer::Record(record) if !self.knows_tags_for(&record) => {
                    return Ok(ask(Silence::IsAnError));
                }
                Answer::Record(record) => {
                    owned = true;
                    let key = mount.key_of(name);
                    let (unit, _) = self.unit_for_tags(mount, name, key, manifest, &record)?;
                    let unit = self.units.add(unit);
                    if let Some(located) = located(name, unit) {
                        return Ok(located);
                    }
                }
            }
        }
        if let Body::Modules(modules) = &document.body {
            let inside = format!("{relative}.");
            let from = (Bound::Included(inside.as_str()), Bound::Unbounded);
            let mut next = modules.0.range::<str, _>(from);
            if next.next().is_some_and(|(name, _)| name.as_str().starts_with(&inside)) {
                return Ok(Lookup::Namespace(mount.clone(), relative.to_owned()));
            }
        }
        if owned {
            return Ok(Lookup::Absent);
        }
        if mount.supply.may_ask_for(relative) {
            return Ok(ask(Silence::MeansAbsent));
        }
        mount.remember_absent(relative);
        Ok(Lookup::Absent)
    }

    fn lookup_in_view(&self, mount: &Arc<Mount>, view: &View, relative: &str) -> Result<Lookup> {
        Ok(match self.standing(mount, view, &Self::stem_in(view, relative))? {
            Standing::Located(located) => Lookup::Located(located),
            Standing::Shared => Lookup::Namespace(mount.clone(), relative.to_owned()),
            Standing::Nothing => Lookup::Absent,
        })
    }

    /// A unit whose name is that of no module: one of metadata alone, as distributions have
    /// that only require others. It can be fetched, not imported.
    pub async fn unit_without_module(
        &self,
        mount: &Arc<Mount>,
        name: &str,
    ) -> Result<Option<Arc<Unit>>> {
        let Some(bound) = mount.bind()? else { return Ok(None) };
        let Some(unit) = mount.supply.unit_called(name) else { return Ok(None) };
        let name = unit.as_str();
        if let Some(unit) = self.active_unit(mount, &bound, name)? {
            return Ok(Some(unit));
        }
        let Some(manifest) = bound.manifest else { return Ok(None) };
        match mount.record(&manifest, name)? {
            Answer::Record(record) => {
                let found =
                    self.unit_of(mount, name, mount.key_of(name), manifest, &record).await?;
                Ok(Some(self.units.add(found.0)))
            }
            _ => Ok(None),
        }
    }

    fn has_unit(&self, mount: &Mount, name: &str) -> bool {
        let Some(bound) = mount.bound() else { return false };
        let Some(unit) = mount.supply.unit_called(name) else { return false };
        let name = unit.as_str();
        let has_record = |manifest| matches!(mount.record(&manifest, name), Ok(Answer::Record(_)));
        self.active_entry(mount, &bound, name).is_some() || bound.manifest.is_some_and(has_record)
    }

    /// The unit that an API name (`magic_module.alpha`) means.
    pub fn mount_of(&self, full: &str) -> Result<(Arc<Mount>, String)> {
        let unknown = || {
            Error::new(Kind::UnitNotFound, format!("no mounted namespace holds {full}"))
                .name(full)
                .hint("mount its namespace first, and write the name as it follows `import`")
        };
        let mut serving = self.serving(full, TopLevel::First)?;
        serving.extend(self.serving(full, TopLevel::Last)?);
        let first = serving.first().cloned().ok_or_else(unknown)?;
        let knows = |(mount, relative): &Serving| {
            !matches!(self.lookup_in(mount, relative), Ok(Lookup::Absent))
                || self.has_unit(mount, relative)
        };
        Ok(serving.into_iter().find(knows).unwrap_or(first))
    }

    /// What the newest manifest has in the place of a unit that is not in use yet.
    pub fn successor_of(&self, unit: &Unit) -> Option<Located> {
        let mount = unit.mount().ok()?;
        if mount.bound()?.generation.active.contains_key(&unit.key) {
            return None;
        }
        match self.lookup_in(&mount, unit.name.as_str()) {
            Ok(Lookup::Located(found)) if found.unit.digest != unit.digest => Some(found),
            _ => None,
        }
    }
}

/// True if a newer manifest may allow what is refused now; what the project's own lock refuses,
/// none can.
pub fn may_be_mended(mount: &Mount, relative: &str, error: &Error) -> bool {
    Doubt::of(error.kind()) == Some(Doubt::Refused)
        && mount.supply.units_for(relative).all(|name| mount.locked(name).is_ok())
}
