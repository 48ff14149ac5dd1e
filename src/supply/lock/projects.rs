//! The projects of a lock that are worked on: imported as they lie, and visible as if an
//! installer had linked to them.
//!
//! ```text
//! folder ─ pyproject.toml ─▶ folders for the path
//!                         └▶ .dist-info, scripts: those of a view
//! ```
//!
//! Nothing of a project is copied. What it says of itself is in the view, which is made again when
//! its `pyproject.toml` has changed.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::choose::Editable;
use crate::error::{Error, Kind, Result};
use crate::name::{Digest, UnitName, Version};
use crate::project::Project;
use crate::resolved::Resolved;
use crate::store::disk;
use crate::wheel::Contents;

/// The longest `pyproject.toml`, in bytes.
const LIMIT: u64 = 4 << 20;

/// What a project is to a view.
pub(super) struct Found {
    /// Absolute; they are put on the path.
    pub roots: Vec<String>,
    /// Of its `pyproject.toml`.
    pub description: Digest,
    pub unit: UnitName,
    /// Of a wheel without files.
    pub contents: Contents,
}

/// Looks into the folder of a project. `lock` is named where that is not there.
pub(super) fn find(lock: &Path, editable: &Editable) -> Result<Found> {
    let Editable { name, path, version } = editable;
    let shown = path.display();
    if !path.is_dir() {
        let what = format!(
            "cannot use the lock {}: the project {name} lies in {shown}, which is not a folder",
            lock.display()
        );
        return Err(Error::new(Kind::Requirement, what)
            .path(shown.to_string())
            .hint("bring it back, or make a lock without it (`uv export --no-emit-project`)"));
    }
    let file = path.join("pyproject.toml");
    let bytes = described(path)?;
    let wrong = |why: &str| {
        Error::new(Kind::Manifest, format!("cannot read {}: {why}", file.display()))
            .path(file.display().to_string())
            .hint("correct it: it says what is imported from the project")
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is not UTF-8"))?;
    let project = Project::parse(text).map_err(|why| wrong(&format!("it is not TOML: {why}")))?;
    let unwritten = || Version::new("0").map_err(|why| wrong(&why.to_string()));
    let version = project.version().or_else(|| version.clone()).map_or_else(unwritten, Ok)?;
    let roots = project.roots(name, |inside| path.join(inside).exists());
    let url = url::Url::from_directory_path(path).map_err(|()| wrong("its path is not a URL"))?;
    let origin = serde_json::json!({
        "url": url.as_str().trim_end_matches('/'),
        "dir_info": { "editable": true },
    });
    let texts = [
        ("METADATA", project.metadata(name, &version)),
        ("entry_points.txt", project.entry_points()),
        ("direct_url.json", origin.to_string()),
    ];
    let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
    Ok(Found {
        roots: roots.iter().map(|root| below(path, root)).collect(),
        description: Digest::of(&bytes),
        unit: UnitName::of_distribution(name).map_err(|why| wrong(&why.to_string()))?,
        contents: Contents {
            sha256: Digest::of(b""),
            size: 0,
            dist_info: format!("{}-{version}.dist-info", name.as_str().replace('-', "_")),
            files: Vec::new(),
            texts: texts.map(|(name, text)| (name.to_owned(), text)).collect(),
        },
    })
}

/// True if every project still says what it said.
pub(super) fn are_unchanged(resolved: &Resolved) -> bool {
    resolved.projects.iter().all(|(folder, known)| {
        let folder = Path::new(folder);
        folder.is_dir() && described(folder).is_ok_and(|bytes| Digest::of(&bytes) == *known)
    })
}

/// Folders for the path, and what [`are_unchanged`] compares.
pub(super) fn listed(
    editable: &[Editable],
    found: &[Found],
) -> (Vec<String>, BTreeMap<String, Digest>) {
    let roots = found.iter().flat_map(|it| it.roots.clone()).collect();
    let folders = editable.iter().map(|it| it.path.to_string_lossy().into_owned());
    (roots, folders.zip(found.iter().map(|it| it.description)).collect())
}

/// The text of `pyproject.toml`; nothing where there is none.
fn described(folder: &Path) -> Result<Vec<u8>> {
    let file = folder.join("pyproject.toml");
    match disk::read(&file, LIMIT) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::store(format!("cannot read {}", file.display()), &file, &error)
            .hint("check that it is a file that you may read")),
    }
}

fn below(folder: &Path, root: &str) -> String {
    let place = root.split('/').filter(|part| !part.is_empty());
    place.fold(folder.to_owned(), |path, part| path.join(part)).to_string_lossy().into_owned()
}
