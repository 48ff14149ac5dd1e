//! `x.dist-info`: what a distribution says of the units of SRC.
//!
//! `RECORD` names its files, where that is missing `top_level.txt` its modules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use unicode_normalization::UnicodeNormalization as _;

use super::source::{Source, SourceFile};
use super::{LeftOut, refused, unreadable, walk};
use crate::distribution::{Metadata, recorded};
use crate::error::Result;
use crate::name::UnitName;

#[derive(Debug)]
pub(super) struct Distribution {
    pub metadata: Metadata,
    /// Units of SRC that hold its files.
    pub units: BTreeSet<UnitName>,
    /// The unit that the metadata is served with; the others require it.
    pub home: UnitName,
    pub files: Vec<SourceFile>,
}

/// The distributions of SRC that have at least one unit there. Others only carry
/// scripts or requirements, and nothing of theirs could ever be imported.
pub(super) fn read_all(source: &mut Source) -> Result<Vec<Distribution>> {
    let mut owners: BTreeMap<String, &UnitName> = BTreeMap::new();
    for (name, unit) in &source.units {
        owners.extend(unit.files.iter().map(|file| (file.path.as_str().nfc().collect(), name)));
    }
    let (mut distributions, mut left_out) = (Vec::new(), Vec::new());
    for (folder, files) in &source.distributions {
        let found = read(folder, files, source, &owners)?;
        if found.is_none() {
            let reason = "it describes no unit of the source folder";
            left_out.push(LeftOut::folder(folder.clone(), reason));
        } else if let Some(private) = files.iter().find(|file| is_private(file)) {
            let reason = "it tells where the publisher installed the distribution from";
            left_out.push(LeftOut::file(private.path.to_string(), reason));
        }
        distributions.extend(found);
    }
    source.left_out.extend(left_out);
    Ok(distributions)
}

fn read(
    folder: &str,
    files: &[SourceFile],
    source: &Source,
    owners: &BTreeMap<String, &UnitName>,
) -> Result<Option<Distribution>> {
    let text = |name: &str| {
        let Some(file) = files.iter().find(|it| it.path.as_str() == format!("{folder}/{name}"))
        else {
            return Ok(None);
        };
        let bytes = fs_err::read(&file.disk).map_err(|error| unreadable(&file.path, &error))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    };
    let place = format!("{folder}/METADATA");
    let remedy = "install the distribution again, or move its .dist-info out of the source folder";
    let Some(metadata) = text("METADATA")? else {
        return Err(refused(place, "the file is missing", remedy));
    };
    let metadata = Metadata::parse(&metadata).map_err(|why| refused(&place, why, remedy))?;
    let units: BTreeSet<UnitName> = match (text("RECORD")?, text("top_level.txt")?) {
        (Some(record), _) => {
            let owner = |path: String| owners.get(&path).map(|name| (*name).clone());
            composed(&record).filter_map(owner).collect()
        }
        (None, Some(names)) => {
            let tops: BTreeSet<String> =
                names.lines().map(|line| line.trim().nfc().collect()).collect();
            source.units.keys().filter(|unit| tops.contains(unit.top())).cloned().collect()
        }
        (None, None) => {
            let why = "neither RECORD nor top_level.txt tells which modules it describes";
            return Err(refused(format!("{folder}/"), why, remedy));
        }
    };
    let namesake = units.iter().find(|unit| metadata.name.is(unit.as_str()));
    let Some(home) = namesake.or_else(|| units.first()).cloned() else {
        return Ok(None);
    };
    let files = files.iter().filter(|file| !is_private(file)).cloned().collect();
    Ok(Some(Distribution { metadata, units, home, files }))
}

/// Where the publisher installed it from is nobody's business.
fn is_private(file: &SourceFile) -> bool {
    file.path.file_name() == "direct_url.json"
}

/// Files with a dotted name, or in a folder with one, that a `RECORD` directly below `folder`
/// lists, and those folders: they belong to what was installed, as `.dylibs` of a wheel does.
pub(super) fn dotted(folder: &Path) -> Result<BTreeSet<String>> {
    let mut dotted = BTreeSet::new();
    let failed = |error: std::io::Error| unreadable(walk::shown(folder, folder), &error);
    for entry in fs_err::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name.ends_with(".dist-info")) {
            continue;
        }
        // What is missing or cannot be read is told where the distribution is read.
        let Ok(record) = fs_err::read(entry.path().join("RECORD")) else { continue };
        for path in composed(&String::from_utf8_lossy(&record)) {
            for end in path.match_indices('/').map(|(at, _)| at).chain([path.len()]) {
                let above = &path[..end];
                if above.rsplit('/').next().is_some_and(|name| name.starts_with('.')) {
                    dotted.insert(above.to_owned());
                }
            }
        }
    }
    Ok(dotted)
}

/// The paths of a `RECORD` in normal form C, as paths on disk are compared with it.
fn composed(record: &str) -> impl Iterator<Item = String> + '_ {
    recorded(record).map(|path| path.nfc().collect())
}
