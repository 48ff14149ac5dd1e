//! Mounts as text: `MAGIC_MODULE_MOUNTS`, and what a child inherits from its parent.
//!
//! ```json
//! [{"namespace": "acme", "manifest_url": "https://…/manifest.json", "public_key": ["RW…"]},
//!  {"lock": "/srv/app/pylock.toml", "extras": ["web"]}]
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use super::wrong;
use crate::error::Result;
use crate::name::{Namespace, UnitName, UrlText, Version};

/// One mount: the arguments of `mount()`, or of `mount_lock()`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Exported {
    /// Empty for top-level names, as those of a lock are.
    pub namespace: Namespace,
    /// Where the manifest is; a lock has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest_url: Option<UrlText>,
    /// One key, or several.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_several")]
    pub public_key: Vec<String>,
    /// Versions by unit.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pins: BTreeMap<UnitName, Version>,
    /// Plain HTTP beyond this machine.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_http: bool,
    /// `fail`, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
    /// Refuse what `magic.lock` does not list.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// A `pylock.toml`, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<PathBuf>,
    /// Of the lock's project.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extras: Vec<String>,
    /// Of the lock's project.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// What has no wheel is built.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub build: bool,
    /// Wheels without a digest, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unhashed: bool,
    /// What optional imports do, if not `fetch`: `present-only` or `deny`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<String>,
    /// Before what is installed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub first: bool,
}

/// Reads what `MAGIC_MODULE_MOUNTS` says.
pub fn parse(text: &str) -> Result<Vec<Exported>> {
    let bad = |why: &str| wrong("MAGIC_MODULE_MOUNTS", why);
    let mounts: Vec<Exported> = serde_json::from_str(text)
        .map_err(|error| bad("is not a list of mounts").caused_by(&error))?;
    for mount in &mounts {
        let known = ["fetch", "present-only", "deny"];
        if mount.optional.as_ref().is_some_and(|it| !known.contains(&it.as_str())) {
            return Err(bad("has an optional that is none of fetch, present-only and deny"));
        }
        match (&mount.manifest_url, &mount.lock) {
            (Some(_), None) => {}
            (None, Some(lock)) if lock.is_absolute() => {}
            (None, Some(_)) => return Err(bad("names a lock whose path is not absolute")),
            _ => return Err(bad("must have a manifest_url or a lock in each mount")),
        }
    }
    Ok(mounts)
}

/// The same as text.
pub fn text_of(mounts: &[Exported]) -> String {
    serde_json::to_string(mounts).unwrap_or_default()
}

fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Keys {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Keys::deserialize(deserializer)? {
        Keys::One(key) => vec![key],
        Keys::Several(keys) => keys,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_as_they_are_written() {
        let text = r#"[{"namespace":"acme","manifest_url":"https://h/m.json","public_key":["k"]},
                       {"namespace":"","lock":"/a/pylock.toml","extras":["web"],"first":true}]"#;
        let mounts = parse(text).unwrap();
        assert_eq!(text_of(&mounts).replace(' ', ""), text.replace([' ', '\n'], ""));
        let one = r#"[{"namespace":"acme","manifest_url":"https://h/m.json","public_key":"k"}]"#;
        assert_eq!(parse(one).unwrap(), mounts[..1]);
    }

    #[test]
    fn what_is_no_mount_names_the_variable() {
        for text in [
            "{}",
            "[{}]",
            r#"[{"lock":"pylock.toml"}]"#,
            r#"[{"lock":"/a","manifest_url":"https://h"}]"#,
            r#"[{"lock":"/a","colour":1}]"#,
            r#"[{"lock":"/a","optional":"never"}]"#,
            r#"[{"namespace":"a b","manifest_url":"https://h"}]"#,
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with("MAGIC_MODULE_MOUNTS "), "{error}");
        }
    }
}
