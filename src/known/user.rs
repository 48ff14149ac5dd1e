//! The user's own table: `[names]` in the file that `MAGIC_MODULE_REGISTRY` names.
//!
//! ```toml
//! [names]                       # import name = "distribution"
//! internal_tools = "acme-internal-tools"
//! "acme.reports" = "acme-reports"
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::notation;

/// Import names with their distributions; none where the file has no such table.
pub fn names(file: &Path) -> Result<BTreeMap<String, String>> {
    let shown = file.display();
    let wrong = |why: &str, key: &str| {
        Error::new(Kind::Configuration, format!("cannot read the names of {shown}: {why}"))
            .path(key)
            .hint("write them as in [names] internal_tools = \"acme-internal-tools\"")
    };
    let bytes = fs_err::read(file).map_err(|error| {
        Error::new(Kind::Configuration, format!("cannot read {shown}"))
            .path(shown.to_string())
            .caused_by(&error)
            .hint("set MAGIC_MODULE_REGISTRY to another file, or unset it")
    })?;
    // Registries of JSON have no such table.
    if file.extension().is_none_or(|suffix| suffix != "toml") {
        return Ok(BTreeMap::new());
    }
    let document = notation::read(&bytes).map_err(|why| wrong(&why, &shown.to_string()))?;
    let Some(names) = document.get("names") else { return Ok(BTreeMap::new()) };
    let toml::Value::Table(names) = names else {
        return Err(wrong("names is not a table", "names"));
    };
    names
        .iter()
        .map(|(import, distribution)| match distribution.as_str() {
            Some(name) if import.split('.').all(super::is_identifier) && !name.is_empty() => {
                Ok((import.clone(), name.to_owned()))
            }
            Some(_) => Err(wrong(
                &format!("names.{import} is not a name of an import with a distribution"),
                &format!("names.{import}"),
            )),
            None => {
                Err(wrong(&format!("names.{import} is not a string"), &format!("names.{import}")))
            }
        })
        .collect()
}
