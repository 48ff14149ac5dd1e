//! The indexes of uv's settings: the environment, then the project's file, then the user's.
//!
//! ```text
//! UV_INDEX="corp=https://me@corp.example/simple https://…"
//! uv.toml: [[index]] name = "corp", url = "https://corp.example/simple"
//! pyproject.toml: the same below tool.uv
//! ```
//!
//! <https://docs.astral.sh/uv/concepts/configuration-files/>

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::{Found, Place, file, user_folders, variable};
use crate::lockfile;

/// Adds what uv's settings name.
pub fn read(places: &[Place], found: &mut Found) {
    for name in ["UV_INDEX", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"] {
        for word in variable(name).unwrap_or_default().split_whitespace() {
            match word.split_once('=') {
                Some((name, url)) if !name.contains([':', '/']) => {
                    found.indexes.push((Some(name.to_owned()), url.to_owned()));
                }
                _ => found.add(word),
            }
        }
    }
    found.set_keyring(&variable("UV_KEYRING_PROVIDER").unwrap_or_default());
    if let Some(path) = variable("UV_CONFIG_FILE") {
        return table(Path::new(&path)).iter().for_each(|table| add(table, found));
    }
    if !matches!(variable("UV_NO_CONFIG").as_deref(), None | Some("0" | "false")) {
        return;
    }
    places.iter().filter_map(|place| of_project(&place.folder)).for_each(|it| add(&it, found));
    let machine = PathBuf::from("/etc/uv");
    for folder in user_folders("uv").into_iter().chain([machine]) {
        table(&folder.join("uv.toml")).iter().for_each(|table| add(table, found));
    }
}

/// What the nearest project says that says something.
fn of_project(folder: &Path) -> Option<Table> {
    lockfile::trusted(folder).find_map(|folder| {
        table(&folder.join("uv.toml")).or_else(|| {
            let project = table(&folder.join("pyproject.toml"))?;
            project.get("tool")?.get("uv")?.as_table().cloned()
        })
    })
}

fn table(path: &Path) -> Option<Table> {
    file::text(path)?.parse().ok()
}

fn add(table: &Table, found: &mut Found) {
    let text = |value: &Value, key: &str| value.get(key)?.as_str().map(str::to_owned);
    for index in table.get("index").and_then(Value::as_array).into_iter().flatten() {
        if let Some(url) = text(index, "url") {
            found.indexes.push((text(index, "name"), url));
        }
    }
    for table in [Some(table), table.get("pip").and_then(Value::as_table)].into_iter().flatten() {
        for value in ["index-url", "extra-index-url"].into_iter().filter_map(|it| table.get(it)) {
            let urls = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            urls.iter().filter_map(Value::as_str).for_each(|url| found.add(url));
        }
        found.set_keyring(table.get("keyring-provider").and_then(Value::as_str).unwrap_or(""));
    }
}
