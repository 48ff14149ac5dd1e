//! Locks: refused as such, or JSON that says the same, and never a path that goes unnoticed.

use std::path::Path;

use magic_module::error::Kind;
use magic_module::pylock::{Pylock, has_paths};
use serde_json::Value;

pub fn check(data: &[u8]) {
    match Pylock::parse(Path::new("/a/pylock.toml"), data) {
        Ok(lock) => {
            let document = lock.document();
            assert!(document["lock-version"].as_str().unwrap().starts_with('1'));
            assert!(document["packages"].is_array());
            let written = serde_json::to_vec(document).unwrap();
            assert_eq!(&serde_json::from_slice::<Value>(&written).unwrap(), document);
            assert!(has_paths(data) || !has_path(document));
        }
        Err(error) => {
            assert_eq!(error.kind(), Kind::Manifest, "{error}");
            assert!(!error.to_string().contains(char::is_control), "{error}");
        }
    }
}

fn has_path(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_path),
        Value::Object(fields) => {
            fields.get("path").is_some_and(Value::is_string) || fields.values().any(has_path)
        }
        _ => false,
    }
}
