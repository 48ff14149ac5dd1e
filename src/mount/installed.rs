//! What is installed beside the view of a lock, and wins over the packages of the lock.
//!
//! ```text
//! sys.path   [… site-packages/six-1.15.dist-info …, <view>/…/site-packages]
//!               └─ hides six 1.16 of the lock, and may not be what others of it require
//! ```
//!
//! A package that only `magic_module` requires was installed for it, and not for the program: there
//! the lock's package wins.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Mount;
use crate::distribution::Metadata;
use crate::name::{DistributionName, UnitName};
use crate::store::wheels;

/// What our own wheel requires; the name of the distribution is that of its module.
pub const OWN_REQUIREMENTS: [&str; 1] = ["packaging"];

/// Of the units of a lock, those that are installed, too.
#[derive(Debug, Default)]
pub struct Installed {
    /// In another version than the lock's, or in none that can be seen, by their units.
    pub others: BTreeMap<UnitName, DistributionName>,
    /// Those that were installed for us alone, and the folders that they are in.
    pub ours: Vec<(DistributionName, PathBuf)>,
}

/// The longest `METADATA` that is read for the requirements in it.
const LIMIT: u64 = 4 << 20;

impl Mount {
    /// What is installed in `folders`, the search path before its view; looked for once in a
    /// process.
    pub fn installed(&self, folders: impl FnOnce() -> Vec<PathBuf>) -> &Installed {
        self.installed.get_or_init(|| {
            let Some(view) = self.supply.view().filter(|_| !self.request.first) else {
                return Installed::default();
            };
            let store = self.engine.store.root();
            let folders = folders().into_iter().filter(|folder| !folder.starts_with(store));
            let found: Vec<Found> = folders.flat_map(|folder| in_folder(&folder)).collect();
            let mut installed = Installed::default();
            let mut seen = BTreeSet::new();
            for it in &found {
                let Ok(unit) = UnitName::of_distribution(&it.name) else { continue };
                let Some(locked) = view.resolved.units.get(&unit) else { continue };
                // The first on the path is what is imported.
                if !seen.insert(unit.clone()) {
                    continue;
                }
                if OWN_REQUIREMENTS.contains(&it.name.as_str()) && is_only_ours(it, &found) {
                    installed.ours.push((it.name.clone(), it.folder.clone()));
                } else if it.version.as_deref() != Some(locked.version.as_str()) {
                    installed.others.insert(unit, it.name.clone());
                }
            }
            installed
        })
    }

    /// What a unit of a lock requires of some distributions, as its wheel says it.
    pub fn requirements_on(
        &self,
        unit: &UnitName,
        distributions: &[&DistributionName],
    ) -> Vec<String> {
        let known = self.supply.view().and_then(|view| view.resolved.units.get(unit));
        let contents = known.and_then(|it| wheels::read(&self.engine.store, &it.sha256).ok()?);
        let metadata =
            contents.and_then(|it| Metadata::parse_published(it.texts.get("METADATA")?).ok());
        let all = metadata.into_iter().flat_map(|it| it.requirements);
        all.filter(|it| distributions.contains(&it.name()) && !it.needs_extra())
            .map(|it| it.as_str().to_owned())
            .collect()
    }
}

/// A distribution that is installed.
struct Found {
    name: DistributionName,
    version: Option<String>,
    folder: PathBuf,
    info: PathBuf,
}

/// The distributions of one folder of a search path. What cannot be read has none.
fn in_folder(folder: &Path) -> Vec<Found> {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| found(folder, &entry.path())).collect()
}

fn found(folder: &Path, info: &Path) -> Option<Found> {
    let file = info.file_name()?.to_str()?;
    let stem = file.strip_suffix(".dist-info").or_else(|| file.strip_suffix(".egg-info"))?;
    let mut parts = stem.split('-');
    let name = DistributionName::new(parts.next()?).ok()?;
    let version = parts.next().map(str::to_owned);
    Some(Found { name, version, folder: folder.to_owned(), info: info.to_owned() })
}

/// True if nobody asked for a distribution, and nothing but our own wheel requires it.
fn is_only_ours(it: &Found, all: &[Found]) -> bool {
    let requires = |other: &Found| {
        let text = crate::store::disk::read(&other.info.join("METADATA"), LIMIT).ok()?;
        let metadata = Metadata::parse_published(&String::from_utf8_lossy(&text)).ok()?;
        let mut requirements = metadata.requirements.iter();
        Some(requirements.any(|required| *required.name() == it.name && !required.needs_extra()))
    };
    let others = all.iter().filter(|other| !other.name.is("magic-module") && other.name != it.name);
    let mut requiring = others.filter(|other| requires(other) == Some(true));
    !it.info.join("REQUESTED").exists() && requiring.next().is_none()
}
