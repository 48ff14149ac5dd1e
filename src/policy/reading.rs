//! `[policy]`, from the file to [`Rules`]: a wrong key or value is an error, never passed over,
//! for it was meant to forbid something.

use std::path::Path;

use serde_json::{Map, Value};

use super::rules::{Audit, Otherwise, Place, Rule, Rules};
use crate::error::{Error, Kind, Result};
use crate::name::{DistributionName, Specifiers, closest};
use crate::notation;
use crate::settings::parse_size;

const KEYS: [&str; 8] =
    ["default", "allow", "deny", "sources", "max_size", "max_total", "offline", "audit"];

const KEYS_OF_A_RULE: [&str; 3] = ["name", "version", "source"];

/// The rules of a file; `None` if it has none.
pub(super) fn read(file: &Path) -> Result<Option<Rules>> {
    let document = document_of(file)?;
    let wrong = |why| wrong(file, why);
    match document.get("policy") {
        None => Ok(None),
        Some(Value::Object(table)) => rules(file, table).map(Some).map_err(wrong),
        Some(_) => Err(wrong("policy must be a table".to_owned())),
    }
}

/// The error of a file that cannot be meant so.
pub(super) fn wrong(file: &Path, why: String) -> Error {
    let what = format!("cannot read the policy of {}", file.display());
    let hint = "correct that file, or set MAGIC_MODULE_REGISTRY to another";
    Error::new(Kind::Configuration, what)
        .caused_by(&std::io::Error::other(why))
        .path(file.display().to_string())
        .hint(hint)
}

/// All that a file says.
pub(super) fn document_of(file: &Path) -> Result<Value> {
    let text = fs_err::read_to_string(file).map_err(|error| wrong(file, error.to_string()))?;
    document(file, &text).map_err(|why| wrong(file, why))
}

/// A registry is written in TOML, or in JSON.
fn document(file: &Path, text: &str) -> Result<Value, String> {
    if file.extension().is_some_and(|it| it == "json") {
        return serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"));
    }
    Ok(notation::json(notation::read(text.as_bytes())?.into()))
}

fn rules(file: &Path, table: &Map<String, Value>) -> Result<Rules, String> {
    known("policy", table, &KEYS)?;
    let allow = list(table, "allow")?;
    let default = match table.get("default") {
        // Who lists what is allowed means that the rest is not.
        None if table.contains_key("allow") => Otherwise::Deny,
        None => Otherwise::Allow,
        Some(value) => match value.as_str() {
            Some("allow") => Otherwise::Allow,
            Some("ask") => Otherwise::Ask,
            Some("deny") => Otherwise::Deny,
            _ => return Err("policy.default must be \"allow\", \"ask\" or \"deny\"".to_owned()),
        },
    };
    let audit = match table.get("audit").map(Value::as_str) {
        None | Some(Some("best")) => Audit::Best,
        Some(Some("required")) => Audit::Required,
        Some(_) => return Err("policy.audit must be \"best\" or \"required\"".to_owned()),
    };
    let offline = match table.get("offline") {
        None => false,
        Some(Value::Bool(offline)) => *offline,
        Some(_) => return Err("policy.offline must be true or false".to_owned()),
    };
    let sources = match table.get("sources") {
        None => None,
        Some(value) => {
            let items = value.as_array().ok_or("policy.sources must be a list")?;
            let place = |(at, item)| place(item, &format!("policy.sources[{at}]"));
            Some(items.iter().enumerate().map(place).collect::<Result<_, String>>()?)
        }
    };
    Ok(Rules {
        file: file.to_owned(),
        default,
        allow,
        deny: list(table, "deny")?,
        sources,
        max_size: size(table, "max_size")?,
        max_total: size(table, "max_total")?,
        offline,
        audit,
    })
}

pub(super) fn known(place: &str, table: &Map<String, Value>, keys: &[&str]) -> Result<(), String> {
    let Some(strange) = table.keys().find(|key| !keys.contains(&key.as_str())) else {
        return Ok(());
    };
    Err(match closest(strange, keys.iter().copied()) {
        Some(near) => format!("{place} has no key {strange}: did you mean {near}?"),
        None => format!("{place} has no key {strange}; it knows {}", keys.join(", ")),
    })
}

fn list(table: &Map<String, Value>, key: &str) -> Result<Vec<Rule>, String> {
    let Some(value) = table.get(key) else { return Ok(Vec::new()) };
    let items = value.as_array().ok_or(format!("policy.{key} must be a list"))?;
    items.iter().enumerate().map(|(at, item)| rule(item, format!("policy.{key}[{at}]"))).collect()
}

/// `"numpy>=1.26,<3"`, or a table with a name.
fn rule(value: &Value, at: String) -> Result<Rule, String> {
    let empty = Map::new();
    let (text, table) = match value {
        Value::String(text) => (text.as_str(), &empty),
        Value::Object(table) => {
            known(&at, table, &KEYS_OF_A_RULE)?;
            let name = table.get("name").and_then(Value::as_str);
            (name.ok_or(format!("{at} needs a name"))?, table)
        }
        _ => return Err(format!("{at} must be a string such as \"numpy>=1.26,<3\", or a table")),
    };
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let end = text.find(|c: char| !is_of_a_name(c)).unwrap_or(text.len());
    let (name, mut versions) = (text[..end].trim(), text[end..].trim());
    if let Some(version) = table.get("version") {
        if !versions.is_empty() {
            return Err(format!("{at} names its versions twice"));
        }
        versions = version.as_str().ok_or(format!("{at}.version must be a string"))?;
    }
    let source = table.get("source").map(|it| place(it, &format!("{at}.source"))).transpose()?;
    Ok(Rule {
        name: DistributionName::new(name).map_err(|why| format!("{at}: {why}"))?,
        versions: Specifiers::new(versions).map_err(|why| format!("{at}: {why}"))?,
        source,
        requirement: format!("{name}{versions}"),
        text: value.to_string(),
        at,
    })
}

fn place(value: &Value, at: &str) -> Result<Place, String> {
    let why = || format!("{at} must be a host such as \"files.example.com\", or a URL");
    value.as_str().and_then(Place::new).ok_or_else(why)
}

fn size(table: &Map<String, Value>, key: &str) -> Result<Option<u64>, String> {
    let size = |value: &Value| match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => parse_size(text),
        _ => None,
    };
    let why = || format!("policy.{key} must be a size such as \"500M\" or \"2G\"");
    table.get(key).map(|value| size(value).ok_or_else(why)).transpose()
}
