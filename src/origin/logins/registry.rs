//! The indexes and the wheels that a registry names, with their logins.
//!
//! ```text
//! modules.toml:  [modules.corp-lib]  index = "https://${CORP_TOKEN}@corp.example/simple"
//! ```
//!
//! Only the file that the user named counts: one that lies beside a lock could send a variable of the
//! environment anywhere.

use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use toml::Value;

use super::{Found, file, variable};

/// Adds what a registry names.
pub fn read(path: &Path, found: &mut Found) {
    let text = file::text(path).unwrap_or_default();
    let Ok(table) = text.parse::<toml::Table>() else { return };
    for key in ["modules", "imports", "links"] {
        let entries = table.get(key).and_then(Value::as_table);
        for entry in entries.into_iter().flatten().filter_map(|(_, entry)| entry.as_table()) {
            let texts = ["index", "source", "requirement", "pip_name"].map(|key| entry.get(key));
            let words = texts.into_iter().flatten().filter_map(Value::as_str);
            words.flat_map(|text| text.split([' ', '='])).filter_map(expanded).for_each(|url| {
                found.add(&url);
            });
        }
    }
}

/// A URL with what the environment has for its variables; of one without any, nothing.
fn expanded(word: &str) -> Option<String> {
    let mut rest = word;
    let mut url = String::new();
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}')?;
        url.push_str(before);
        url.push_str(&percent_encode(variable(name)?.as_bytes(), NON_ALPHANUMERIC).to_string());
        rest = after;
    }
    (!url.is_empty()).then(|| url + rest)
}
