//! TOML, read; and the same as JSON.
//!
//! ```text
//! bytes ─ UTF-8 ─ TOML ─▶ a table ─▶ JSON, with dates as texts
//! ```
//!
//! What is wrong is said with its place, as people count: `it is not TOML in line 2, column 3: …`.

use serde_json::Value;

/// Reads a document, or tells why not.
pub fn read(bytes: &[u8]) -> Result<toml::Table, String> {
    // Some editors begin a file with a mark that says nothing of UTF-8.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("it is not UTF-8 in {}", place(bytes, error.valid_up_to())))?;
    text.parse().map_err(|error: toml::de::Error| {
        let at = place(bytes, error.span().map_or(bytes.len(), |span| span.start));
        format!("it is not TOML in {at}: {}", error.message())
    })
}

/// The same as JSON; dates as ISO 8601 writes them. The parser has bounded how deep this goes.
pub fn json(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(truth) => truth.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.into_iter().map(json).collect(),
        toml::Value::Table(table) => {
            Value::Object(table.into_iter().map(|(key, value)| (key, json(value))).collect())
        }
    }
}

/// Where a byte stands, for people.
fn place(bytes: &[u8], at: usize) -> String {
    let before = bytes.get(..at).unwrap_or(bytes);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    format!("line {line}, column {column}")
}
