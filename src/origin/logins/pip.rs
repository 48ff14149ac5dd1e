//! The indexes of pip's settings: the environment, then its files.
//!
//! ```text
//! [global]
//! index-url = https://me:secret@corp.example/simple
//! extra-index-url =
//!     https://one.example/simple
//!     https://two.example/simple
//! ```
//!
//! <https://pip.pypa.io/en/stable/topics/configuration/>

use std::path::{Path, PathBuf};

use super::{Found, Place, file, user_folders, variable};

const NAME: &str = if cfg!(windows) { "pip.ini" } else { "pip.conf" };

/// Adds what pip's settings name.
pub fn read(places: &[Place], found: &mut Found) {
    for name in ["PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"] {
        variable(name).unwrap_or_default().split_whitespace().for_each(|url| found.add(url));
    }
    found.set_keyring(&variable("PIP_KEYRING_PROVIDER").unwrap_or_default());
    for path in files(places) {
        for (key, value) in file::text(&path).as_deref().map(entries).unwrap_or_default() {
            match key.as_str() {
                "index-url" | "extra-index-url" => {
                    value.split_whitespace().for_each(|url| found.add(url));
                }
                "keyring-provider" => found.set_keyring(value.trim()),
                _ => {}
            }
        }
    }
}

/// What counts most comes first.
fn files(places: &[Place]) -> Vec<PathBuf> {
    let named = variable("PIP_CONFIG_FILE").map(PathBuf::from);
    let nothing = Path::new(if cfg!(windows) { "nul" } else { "/dev/null" });
    if named.as_deref() == Some(nothing) {
        return Vec::new();
    }
    let mut files: Vec<PathBuf> = named.into_iter().collect();
    let prefixes = places.iter().map(|place| &place.prefix);
    files.extend(prefixes.filter(|it| it.is_absolute()).map(|it| it.join(NAME)));
    files.extend(user_folders("pip").into_iter().map(|folder| folder.join(NAME)));
    if let Some(base) = directories::BaseDirs::new() {
        let old = if cfg!(windows) { "pip" } else { ".pip" };
        files.push(base.home_dir().join(old).join(NAME));
    }
    files.extend(["/etc/xdg/pip/pip.conf", "/etc/pip.conf"].map(PathBuf::from));
    files
}

/// Keys and values of all sections; a value goes on in the lines that are indented.
fn entries(text: &str) -> Vec<(String, String)> {
    let mut entries: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = entries.last_mut() {
                *value = format!("{value}\n{bare}");
            }
        } else if bare.starts_with('[') {
            // What is indented below it belongs to nothing.
            entries.push((String::new(), String::new()));
        } else if let Some((key, value)) = bare.split_once(['=', ':']) {
            let key = key.trim().to_lowercase().replace('_', "-");
            entries.push((key, value.trim().to_owned()));
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_in_every_notation() {
        let text = "# url = no\n[global]\n  odd\nindex-url = https://a/?x=1\nExtra_Index_URL:\n\
                    \thttps://b\n  # https://no\n\n  https://c\n[install]\n; x = y\nquiet\nno = 1\n";
        let entries = entries(text);
        let value = |key: &str| entries.iter().find(|(it, _)| it == key).map(|(_, it)| it.as_str());
        assert_eq!(value("index-url"), Some("https://a/?x=1"));
        assert_eq!(value("extra-index-url"), Some("\nhttps://b\nhttps://c"));
        assert_eq!((value("no"), value("quiet")), (Some("1"), None));
    }
}
