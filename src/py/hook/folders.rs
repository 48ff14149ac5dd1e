//! Submodules, as `FileFinder` finds them: by the parent's `__path__` and the last part of
//! the name, folder by folder.
//!
//! ```text
//! __path__   [folder of a tree, any other folder …, entry of a mount]
//!              └─ what stands there, first come, first served    └─ once nobody else knows it
//! ```
//!
//! Where the mount of a namespace stands in its `__path__` makes no difference: what is
//! installed wins.

use std::path::Path;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::elsewhere::{Wanted, in_folders, is_real, known_to_finders};
use super::filter::Place;
use super::resolve::{Outcome, Scope, resolve};
use super::spec::{in_trees, spec_of};
use super::standing::located;
use super::whole::found;
use crate::layout::Found;
use crate::py::bridge::errors::OrRaise;
use crate::py::bridge::placeholder::is_placeholder;
use crate::py::bridge::state::{existing, session};
use crate::session::{Located, OWN, Serving, Session, TopLevel};

/// The one folder of a parent that is a package of a unit, as nearly all of them are.
pub fn only_folder<'py>(
    session: &Session,
    path: &Bound<'py, PyAny>,
) -> Option<Bound<'py, PyString>> {
    let path = path.cast::<PyList>().ok()?;
    if path.len() != 1 {
        return None;
    }
    let entry = path.get_item(0).ok()?.cast_into::<PyString>().ok()?;
    in_trees(session, entry.to_str().ok()?).then_some(entry)
}

/// True if one of the folders is a tree's: the parent is a unit's.
pub fn any_in_trees(session: &Session, path: &Bound<'_, PyAny>) -> bool {
    let Ok(entries) = path.try_iter() else { return false };
    entries
        .flatten()
        .any(|entry| entry.extract::<&str>().is_ok_and(|entry| in_trees(session, entry)))
}

/// A parent's `__path__`, taken apart.
struct Folders<'py> {
    all: Vec<Bound<'py, PyAny>>,
    trees: Vec<String>,
    mounts: Vec<String>,
    foreign: Bound<'py, PyList>,
    placeholder: bool,
}

impl<'py> Folders<'py> {
    fn of(path: &Bound<'py, PyAny>) -> PyResult<Self> {
        let mut folders = Self {
            all: Vec::new(),
            trees: Vec::new(),
            mounts: Vec::new(),
            foreign: PyList::empty(path.py()),
            placeholder: false,
        };
        let session = existing();
        let mounts = session.map(|session| session.engine.store.mounts());
        for entry in path.try_iter()? {
            let entry = entry?;
            match (entry.extract::<&str>(), session, &mounts) {
                (Ok(text), _, _) if is_placeholder(text) => folders.placeholder = true,
                (Ok(text), Some(session), _) if in_trees(session, text) => {
                    folders.trees.push(text.to_owned());
                }
                (Ok(text), _, Some(mounts)) if Path::new(text).starts_with(mounts) => {
                    folders.mounts.push(text.to_owned());
                }
                _ => folders.foreign.append(&entry)?,
            }
            folders.all.push(entry);
        }
        Ok(folders)
    }
}

/// What stands in the folders without asking anybody.
#[derive(Default)]
struct Stands<'py> {
    module: Option<Bound<'py, PyAny>>,
    /// Folders of that name without code.
    of_unit: Vec<Located>,
    of_others: Option<Bound<'py, PyAny>>,
}

/// A submodule of whatever has this `__path__`. `mounted` looks whether it is a namespace.
pub fn submodule<'py>(
    wanted: Wanted<'_, 'py>,
    path: &Bound<'py, PyAny>,
    mounted: impl FnOnce(&'static Arc<Session>) -> PyResult<Option<Bound<'py, PyAny>>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let (py, name) = (wanted.py(), wanted.name);
    let (parent, tail) = name.rsplit_once('.').unwrap_or(("", name));
    let folders = Folders::of(path)?;
    let below_own = name.strip_prefix(OWN).is_some_and(|rest| rest.starts_with('.'));
    let mut stands = Stands::default();
    // What our own package ships needs no session.
    let early = below_own && folders.trees.is_empty();
    if early {
        stands.ask_installed(wanted, &folders)?;
        if let Some(module) = stands.module {
            return Ok(Some(module));
        }
    }
    let session = session(py)?;
    if let Some(namespace) = mounted(session)? {
        return Ok(Some(namespace));
    }
    let serving = serving(session, wanted, &folders, parent, tail)?;
    if !folders.trees.is_empty() {
        stands.walk(session, wanted, &folders)?;
    } else if !early && (!serving.is_empty() || session.mount_around(name).is_some()) {
        stands.ask_installed(wanted, &folders)?;
    }
    if let Some(module) = stands.module {
        return Ok(Some(module));
    }
    let named;
    let scope = if serving.is_empty() && folders.trees.is_empty() && !folders.all.is_empty() {
        // The parent is installed: a unit below it may still be called so.
        named = session.serving(name, TopLevel::First).or_raise(py)?;
        Scope { serving: &named, roots: true }
    } else {
        Scope { serving: &serving, roots: false }
    };
    let outcome = resolve(session, wanted, &scope, || known_to_finders(wanted, Place::Front))?;
    let portions = stands.of_unit.len()
        + usize::from(stands.of_others.is_some())
        + usize::from(matches!(outcome, Outcome::Folder { .. }));
    match (outcome, stands.of_unit.pop()) {
        (Outcome::Spec(spec), _) => Ok(Some(spec)),
        // All folders of that name are one namespace package.
        (Outcome::Folder { place, .. }, _) if portions > 1 => {
            joined(wanted, Some(path), Some(&place))
        }
        (Outcome::Absent, Some(_)) if portions > 1 => joined(wanted, Some(path), None),
        (Outcome::Folder { place, located: None }, _) => virtual_namespace(wanted, &place),
        (Outcome::Folder { located: Some(located), .. }, _) | (_, Some(located)) => {
            spec_of(py, wanted.fullname, &located).map(Some)
        }
        (Outcome::Absent, None) => Ok(None),
    }
}

impl<'py> Stands<'py> {
    fn note(&mut self, spec: Option<Bound<'py, PyAny>>) -> PyResult<()> {
        if let Some(spec) = spec {
            if is_real(&spec)? {
                self.module = Some(spec);
            } else if self.of_others.is_none() {
                self.of_others = Some(spec);
            }
        }
        Ok(())
    }

    /// All folders that are not the store's, at once.
    fn ask_installed(&mut self, wanted: Wanted<'_, 'py>, folders: &Folders<'py>) -> PyResult<()> {
        if folders.foreign.is_empty() {
            return Ok(());
        }
        self.note(in_folders(wanted, Some(folders.foreign.as_any()))?)
    }

    /// Every folder but those of mounts, in its turn.
    fn walk(
        &mut self,
        session: &'static Arc<Session>,
        wanted: Wanted<'_, 'py>,
        folders: &Folders<'py>,
    ) -> PyResult<()> {
        let py = wanted.py();
        for entry in &folders.all {
            let text = entry.extract::<&str>().ok();
            if let Some(folder) = text.filter(|text| folders.trees.iter().any(|tree| tree == text))
            {
                match located(py, session, Path::new(folder), wanted.name)? {
                    Some(located) if matches!(located.found, Found::Namespace { .. }) => {
                        self.of_unit.push(located);
                    }
                    Some(located) => self.module = Some(found(session, wanted, &located)?),
                    None => {}
                }
            } else if !text.is_some_and(|text| {
                is_placeholder(text) || folders.mounts.iter().any(|mount| mount == text)
            }) {
                let alone = PyList::new(py, [entry])?;
                self.note(in_folders(wanted, Some(alone.as_any()))?)?;
            }
            if self.module.is_some() {
                break;
            }
        }
        Ok(())
    }
}

/// The mounts that stand in the `__path__`, or belong there.
fn serving(
    session: &'static Arc<Session>,
    wanted: Wanted<'_, '_>,
    folders: &Folders<'_>,
    parent: &str,
    tail: &str,
) -> PyResult<Vec<Serving>> {
    let mut serving: Vec<Serving> = Vec::new();
    for entry in &folders.mounts {
        if let Some((mount, below)) = session.mount_of_entry(Path::new(entry)) {
            let relative =
                if below.is_empty() { tail.to_owned() } else { format!("{below}.{tail}") };
            serving.push((mount, relative));
        }
    }
    // A namespace has its units, whatever became of its `__path__`.
    let own = if parent == OWN {
        Some(session.own_mount().or_raise(wanted.py())?)
    } else {
        session.mount_named(parent)
    };
    if let Some(own) = own
        && !serving.iter().any(|(mount, _)| Arc::ptr_eq(mount, &own))
    {
        serving.push((own, tail.to_owned()));
    }
    // A module may be a unit of its own although its parent is one.
    let beside = folders.trees.iter();
    serving.extend(beside.filter_map(|tree| session.beside(Path::new(tree), wanted.name)));
    // The longest namespace serves; the others have no part in it.
    if let Some(longest) = session.mount_around(wanted.name) {
        serving.retain(|(mount, _)| Arc::ptr_eq(mount, &longest));
    }
    Ok(serving)
}

/// One namespace package of all folders of that name, those of mounts included.
pub fn joined<'py>(
    wanted: Wanted<'_, 'py>,
    path: Option<&Bound<'py, PyAny>>,
    place: Option<&str>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = wanted.py();
    let spec = py
        .import("magic_module._py.loader")?
        .call_method1("joined_namespace", (wanted.fullname, path, place))?;
    Ok((!spec.is_none()).then_some(spec))
}

pub fn virtual_namespace<'py>(
    wanted: Wanted<'_, 'py>,
    place: &str,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    wanted
        .py()
        .import("magic_module._py.loader")?
        .call_method1("virtual_namespace", (wanted.fullname, place))
        .map(Some)
}
