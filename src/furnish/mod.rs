//! What is to stand in the view of a lock: an environment, before any wheel of it is here.
//!
//! ```text
//! owners ───────────────▶ links into trees                     links.rs
//! METADATA, RECORD … ───▶ lib/…/site-packages/x-1.dist-info/   metadata.rs
//! entry points ─────────▶ bin/x                                scripts.rs
//! interpreter ──────────▶ bin/python, pyvenv.cfg, lib64
//! our own package ──────▶ lib/…/site-packages/magic_module, magic_module.pth
//! ```
//!
//! What a wheel says of itself is a hint until the wheel was hashed, so nothing of it is run from
//! here. Scripts are written by us, and a script that a wheel brings gets a launcher. A view has no
//! `.pth` files, because `site` would run their lines: our own start line does what they say.

mod links;
mod metadata;
mod plain;
mod scripts;

use std::collections::BTreeMap;
use std::path::PathBuf;

use metadata::Recorded;
pub use plain::{Copied, Plain, Written, plain};

use crate::error::{Error, Kind, Result};
use crate::name::{BadName, FilePath, UnitName};
use crate::resolved::{FileEntry, Resolved};
use crate::store::view::{Entry, Plan};
use crate::wheel::Contents;

/// Run by every interpreter that starts in a view.
const START: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/python/magic_module.pth"));

/// What a view is furnished for.
#[derive(Debug, Clone)]
pub struct Home {
    /// Where the view will stand; absolute.
    pub view: PathBuf,
    /// The interpreter that runs in it, itself in no environment; absolute.
    pub interpreter: PathBuf,
    /// Of that interpreter: `3.12.1`.
    pub version: String,
    /// Our own package, as it is installed; absolute.
    pub own_package: Option<PathBuf>,
}

/// Lays out all of a lock. `contents` has what is in the wheel of each unit, and what would be in
/// those of projects that are imported as they lie. What `small` has the
/// bytes of, by its path below the prefix, stands there from the start.
pub fn plan(
    resolved: &Resolved,
    contents: &BTreeMap<UnitName, Contents>,
    home: &Home,
    small: &BTreeMap<FilePath, Vec<u8>>,
) -> Result<Plan> {
    let scheme = &resolved.scheme;
    let mut real: BTreeMap<FilePath, Entry> = BTreeMap::new();
    let mut laid: BTreeMap<&UnitName, Vec<FileEntry>> = BTreeMap::new();
    real.extend(small.iter().map(|(path, bytes)| (path.clone(), file(bytes.clone()))));
    if let Some(unit) = resolved.units.keys().find(|unit| !contents.contains_key(*unit)) {
        let what = format!("cannot lay out {unit}: the content of its wheel is not known");
        return Err(Error::new(Kind::Store, what).name(unit.to_string()));
    }
    for (unit, contents) in contents {
        let mut lay = || {
            let mut files = FileEntry::of(contents, scheme)?;
            // The first part of a wheel tells of both.
            if !unit.is_rest() {
                let scripts = scripts::of(unit, contents, &files, scheme, home);
                let seen = |path: &FilePath| metadata::seen(path, scheme);
                let how = Recorded { scheme, requested: true, seen: &seen };
                real.extend(metadata::of(contents, &files, &scripts, &how)?);
                real.extend(scripts);
            }
            if let Some(paths) = resolved.paths_of(unit) {
                files.retain(|file| paths.contains(&file.path));
            }
            laid.insert(unit, files);
            Ok(())
        };
        lay().map_err(|error| lying(contents, &error))?;
    }
    real.extend(own(resolved, home).map_err(|error| {
        Error::new(Kind::Store, "cannot lay out the view of a lock").caused_by(&error)
    })?);
    Ok(Plan(links::beside(real, resolved, &laid)))
}

/// What belongs to no wheel.
fn own(resolved: &Resolved, home: &Home) -> Result<Vec<(FilePath, Entry)>, BadName> {
    let (site, bin) = (&resolved.scheme.site, &resolved.scheme.scripts);
    let mut own = vec![
        (FilePath::new(&format!("{bin}/python"))?, Entry::Outside(home.interpreter.clone())),
        (FilePath::new("pyvenv.cfg")?, file(settings(home).into_bytes())),
    ];
    for name in ["python3".to_owned(), format!("python{}", home.minor())] {
        let python = Entry::Beside(FilePath::new("python")?);
        own.push((FilePath::new(&format!("{bin}/{name}"))?, python));
    }
    own.extend(scripts::of_pip(&resolved.scheme, home)?);
    if let Some(package) = &home.own_package {
        let at = FilePath::new(&format!("{site}/magic_module"))?;
        own.push((at, Entry::Outside(package.clone())));
        own.push((FilePath::new(&format!("{site}/magic_module.pth"))?, file(START.into())));
    }
    // As the standard library's `venv` does.
    let has_lib64 = cfg!(all(target_pointer_width = "64", not(target_os = "macos")));
    if has_lib64 && resolved.owners.owner("lib64").is_none() {
        own.push((FilePath::new("lib64")?, Entry::Beside(FilePath::new("lib")?)));
    }
    Ok(own)
}

/// `pyvenv.cfg`, by which an interpreter knows that it is in an environment.
fn settings(home: &Home) -> String {
    let folder = home.interpreter.parent().unwrap_or(&home.interpreter);
    format!(
        "home = {}\ninclude-system-site-packages = false\nversion = {}\n",
        folder.display(),
        home.version
    )
}

impl Home {
    /// `3.12`.
    fn minor(&self) -> &str {
        let dots = self.version.match_indices('.');
        dots.map(|(at, _)| &self.version[..at]).nth(1).unwrap_or(&self.version)
    }
}

fn file(bytes: Vec<u8>) -> Entry {
    Entry::File { bytes, executable: false }
}

fn lying(contents: &Contents, error: &BadName) -> Error {
    let stem = contents.dist_info.trim_end_matches(".dist-info");
    let (name, version) = stem.split_once('-').unwrap_or((stem, ""));
    Error::new(Kind::Integrity, format!("cannot lay out the wheel of {name} {version}"))
        .name(name)
        .caused_by(error)
        .hint(format!("ask its author for another wheel, or lock another version of {name}"))
}

#[cfg(test)]
mod tests;
