//! Mounts as text: `MAGIC_MODULE_MOUNTS`, and what a child inherits from its parent.
//!
//! ```json
//! [{"namespace": "acme", "manifest_url": "https://…/manifest.json", "public_key": ["RW…"]},
//!  {"lock": "/srv/app/pylock.toml", "extras": ["web"]}]
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::wrong;
use crate::error::{Error, Kind, Result};
use crate::name::{Namespace, SafeUrl, UnitName, UrlText, Version};

const VARIABLE: &str = "MAGIC_MODULE_MOUNTS";

/// One mount: the arguments of `mount()`, or of `mount_lock()`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a mount")]
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

/// A mount of the variable that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// What would be imported from it; empty where that cannot be told.
    pub namespace: Namespace,
    /// Names the variable, and the place in it.
    pub why: Error,
}

/// What the variable says, mount by mount: one that is wrong keeps no other away.
pub fn said(text: &str) -> (Vec<Exported>, Vec<Broken>) {
    let each = match each(text) {
        Ok(each) => each,
        Err(why) => return (Vec::new(), vec![Broken { namespace: Namespace::default(), why }]),
    };
    let (mut mounts, mut broken): (Vec<(usize, Exported)>, _) = (Vec::new(), Vec::new());
    for (at, read) in each.into_iter().enumerate() {
        let public = read.and_then(|mount| match of_everybody(at, &mount) {
            Ok(()) => Ok(mount),
            Err(why) => Err(Broken { namespace: mount.namespace, why }),
        });
        match public {
            Ok(mount) => mounts.push((at, mount)),
            Err(why) => broken.push(why),
        }
    }
    let all = mounts.clone();
    mounts.retain(|(at, mount)| {
        let namespace = &mount.namespace;
        let other = all.iter().find(|(_, it)| it.namespace == *namespace && it != mount);
        let Some((other, _)) = other.filter(|_| !namespace.is_empty()) else { return true };
        let why = format!("is {:?}, and so is [{other}].namespace", namespace.as_str());
        broken.push(Broken { namespace: namespace.clone(), why: bad(*at, ".namespace", &why) });
        false
    });
    (mounts.into_iter().map(|(_, mount)| mount).collect(), broken)
}

/// The same, of which nothing may be wrong.
pub fn parse(text: &str) -> Result<Vec<Exported>> {
    let all: Result<_, Broken> = each(text)?.into_iter().collect();
    all.map_err(|broken| broken.why)
}

fn each(text: &str) -> Result<Vec<Result<Exported, Broken>>> {
    let entries: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| {
        wrong(VARIABLE, "is not a list of mounts").caused_by(&cause(&plain(&error)))
    })?;
    Ok(entries.iter().enumerate().map(|(at, entry)| one(at, entry.get())).collect())
}

fn one(at: usize, text: &str) -> Result<Exported, Broken> {
    /// What may be known of a mount with which something else is wrong.
    #[derive(Deserialize)]
    struct Named {
        namespace: Namespace,
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let mount = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let place = match error.path().to_string() {
            whole if whole == "." => String::new(),
            place => format!(".{place}"),
        };
        let said = plain(error.inner());
        // Where in the text of this one mount that was, is of no use.
        let why = said.rsplit_once(" at line ").map_or(said.as_str(), |(why, _)| why);
        bad(at, &place, "is not valid").caused_by(&cause(why))
    });
    let mount = mount.and_then(|mount| check(at, &mount).map(|()| mount));
    mount.map_err(|why| {
        let named = serde_json::from_str::<Named>(text).map(|named| named.namespace);
        Broken { namespace: named.unwrap_or_default(), why }
    })
}

fn check(at: usize, mount: &Exported) -> Result<()> {
    let known = ["fetch", "present-only", "deny"];
    if mount.optional.as_ref().is_some_and(|it| !known.contains(&it.as_str())) {
        return Err(bad(at, ".optional", "is not one of fetch, present-only and deny"));
    }
    match (&mount.manifest_url, &mount.lock) {
        (Some(_), None) => Ok(()),
        (None, Some(lock)) if lock.is_absolute() => Ok(()),
        (None, Some(_)) => Err(bad(at, ".lock", "is not an absolute path")),
        _ => Err(bad(at, "", "must have a manifest_url or a lock")),
    }
}

/// What every process of a machine may see, and whoever starts one may have set.
fn of_everybody(at: usize, mount: &Exported) -> Result<()> {
    let Some(url) = &mount.manifest_url else { return Ok(()) };
    if SafeUrl::new(url.as_str()).is_ok_and(|url| url.has_login()) {
        return Err(bad(at, ".manifest_url", "has a login in it, which every process could read")
            .hint("put the login into ~/.netrc"));
    }
    Ok(())
}

fn cause(text: &str) -> Error {
    Error::new(Kind::Configuration, text)
}

fn bad(at: usize, place: &str, why: &str) -> Error {
    wrong(&format!("{VARIABLE}[{at}]{place}"), why).hint(format!("change {VARIABLE} or unset it"))
}

/// Without the value, which may be a secret in the wrong place.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let parts = text.strip_prefix("invalid type: ").and_then(|it| it.rsplit_once(", expected "));
    parts.map_or(text.clone(), |(got, expected)| {
        let kind = got.split(['"', '`']).next().unwrap_or_default().trim();
        let expected = expected.rsplit_once(" at line ").map_or(expected, |(expected, _)| expected);
        format!("expected {expected}, not {kind}")
    })
}

/// The same as text.
pub fn text_of(mounts: &[Exported]) -> String {
    serde_json::to_string(mounts).unwrap_or_default()
}

fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a key or a list of keys")]
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

    /// What is said of one that is wrong, and the namespaces that are known for it.
    fn told(text: &str) -> (Vec<String>, Vec<String>) {
        let (mounts, broken) = said(text);
        let sentences = broken.iter().map(|it| it.why.without_hint()).collect();
        let right = mounts.iter().map(|it| &it.namespace);
        (
            sentences,
            right.chain(broken.iter().map(|it| &it.namespace)).map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_keeps_no_other_away() {
        let right = r#"{"namespace":"right","manifest_url":"https://h"}"#;
        for (wrong, namespace, sentence) in [
            ("{}", "", "[1] must have a manifest_url or a lock"),
            ("3", "", "[1] is not valid: expected a mount, not integer"),
            (r#"{"lock":"pylock.toml"}"#, "", "[1].lock is not an absolute path"),
            (
                r#"{"namespace":"acme","lock":"/a","manifest_url":"https://h"}"#,
                "acme",
                "[1] must have a manifest_url or a lock",
            ),
            (
                r#"{"namespace":"acme","lock":"/a","optional":"never"}"#,
                "acme",
                "[1].optional is not one of fetch, present-only and deny",
            ),
            (
                r#"{"namespace":"acme","manifest_url":"https://h","first":"https://me:pw@h"}"#,
                "acme",
                "[1].first is not valid: expected a boolean, not string",
            ),
            (
                r#"{"namespace":"acme","manifest_url":"https://h","public_key":[["k"]]}"#,
                "acme",
                "[1].public_key is not valid: expected a key or a list of keys",
            ),
            (
                r#"{"namespace":"acme","manifest_url":"https://me:pw@h"}"#,
                "acme",
                "[1].manifest_url has a login in it, which every process could read",
            ),
        ] {
            let (sentences, namespaces) = told(&format!("[{right},{wrong}]"));
            assert_eq!(sentences, [format!("MAGIC_MODULE_MOUNTS{sentence}")]);
            assert_eq!(namespaces, ["right", namespace]);
        }
        let unknown = told(r#"[{"namespace":"acme","lock":"/a","colour":1}]"#).0;
        assert!(unknown[0].starts_with("MAGIC_MODULE_MOUNTS[0].colour "), "{unknown:?}");
        assert!(unknown[0].contains("unknown field `colour`"), "{unknown:?}");
        let name = told(r#"[{"namespace":"a b","manifest_url":"https://h"}]"#).0;
        assert!(name[0].starts_with("MAGIC_MODULE_MOUNTS[0].namespace "), "{name:?}");
    }

    #[test]
    fn two_mounts_of_one_namespace_are_both_refused() {
        let mount = |url: &str| format!(r#"{{"namespace":"acme","manifest_url":"https://{url}"}}"#);
        let (sentences, namespaces) = told(&format!("[{},{}]", mount("a"), mount("b")));
        let both = [(0, 1), (1, 0)].map(|(at, other)| {
            format!(
                "MAGIC_MODULE_MOUNTS[{at}].namespace is \"acme\", and so is [{other}].namespace"
            )
        });
        assert_eq!((sentences, namespaces), (both.to_vec(), vec!["acme".to_owned(); 2]));
        assert_eq!(told(&format!("[{},{}]", mount("a"), mount("a"))).0, Vec::<String>::new());
    }

    #[test]
    fn what_is_no_list_is_refused_whatever_its_size_and_depth() {
        for text in [
            "{}".to_owned(),
            "nothing".to_owned(),
            "[".repeat(100_000),
            format!("[{}", "{},".repeat(1000)),
            format!("\"{}\"", "x".repeat(10 << 20)),
        ] {
            let (sentences, namespaces) = told(&text);
            assert_eq!((sentences.len(), namespaces), (1, vec![String::new()]));
            let start = "MAGIC_MODULE_MOUNTS is not a list of mounts: ";
            assert!(
                sentences[0].starts_with(start) && sentences[0].len() < 200,
                "{}",
                sentences[0]
            );
        }
        let deep = format!(r#"[{{"namespace":"acme","pins":{}"#, "[".repeat(100_000));
        let deep = format!("{deep}{}}}]", "]".repeat(100_000));
        let place = "MAGIC_MODULE_MOUNTS[0].pins is not valid: expected a map, not sequence";
        assert_eq!(told(&deep), (vec![place.to_owned()], vec!["acme".to_owned()]));
    }
}
