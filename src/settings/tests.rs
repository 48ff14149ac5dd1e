//! Settings, read from pairs of names and values.

use super::*;

fn read(pairs: &[(&str, &str)]) -> Result<Settings> {
    Settings::read(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
}

#[test]
fn defaults_and_values() {
    let settings = read(&[
        ("MAGIC_MODULE_CACHE_DIR", "/tmp/x"),
        ("MAGIC_MODULE_PINS", "alpha==1.1.0, beta==2"),
        ("MAGIC_MODULE_CACHE_LIMIT", "2G"),
        ("MAGIC_MODULE_OFFLINE", ""),
    ])
    .unwrap();
    assert_eq!(settings.cache_dir, PathBuf::from("/tmp/x"));
    assert_eq!(settings.pins.len(), 2);
    assert_eq!(settings.cache_limit, Some(2 << 30));
    assert!(!settings.offline && settings.manifest_url.is_none());
    assert_eq!(settings.concurrency, DEFAULT_CONCURRENCY);
}

#[test]
fn spaces_and_capitals_are_no_other_value() {
    let settings = read(&[
        ("MAGIC_MODULE_CACHE_DIR", "/x"),
        ("MAGIC_MODULE_OFFLINE", " True "),
        ("MAGIC_MODULE_ALLOW_HTTP", "OFF"),
        ("MAGIC_MODULE_CONCURRENCY", " 8\n"),
        ("MAGIC_MODULE_PROGRESS", "JSON"),
        ("MAGIC_MODULE_VERIFY", "Full"),
        ("MAGIC_MODULE_MANIFEST_URL", "  "),
        ("MAGIC_MODULE_KEY_PASSWORD", " secret "),
    ])
    .unwrap();
    assert!(settings.offline && !settings.allow_http && settings.verify_full);
    assert_eq!((settings.concurrency, settings.progress), (8, Show::Json));
    assert_eq!(settings.manifest_url, None);
    assert_eq!(settings.key_password.unwrap().reveal(), " secret ");
}

#[test]
fn sizes() {
    for (text, size) in [
        ("0", Some(0)),
        ("1048576", Some(1 << 20)),
        ("7B", Some(7)),
        ("500M", Some(500 << 20)),
        ("500MB", Some(500 << 20)),
        (" 500 mib ", Some(500 << 20)),
        ("2t", Some(2 << 40)),
        ("", None),
        ("M", None),
        ("-1", None),
        ("+1", None),
        ("1.5G", None),
        ("5BB", None),
        ("5i", None),
        ("\u{661}", None),
        ("99999999999T", None),
        ("99999999999999999999999", None),
    ] {
        assert_eq!(parse_size(text), size, "{text}");
    }
}

#[test]
fn a_wrong_value_names_its_variable() {
    for (name, value) in [
        ("MAGIC_MODULE_OFFLINE", "maybe"),
        ("MAGIC_MODULE_PINS", "alpha=1"),
        ("MAGIC_MODULE_CACHE_LIMIT", "lots"),
        ("MAGIC_MODULE_CONCURRENCY", "0"),
        ("MAGIC_MODULE_CONCURRENCY", "-1"),
        ("MAGIC_MODULE_CONCURRENCY", "99999999999999999999"),
        ("MAGIC_MODULE_CONCURRENCY", "8 lanes"),
        ("MAGIC_MODULE_FRESH", "-1"),
        ("MAGIC_MODULE_FRESH", "1h"),
        ("MAGIC_MODULE_PROGRESS", "loud"),
        ("MAGIC_MODULE_VERIFY", "off"),
        ("MAGIC_MODULE_TRUSTED_OWNERS", "root"),
    ] {
        let error =
            read(&[("MAGIC_MODULE_CACHE_DIR", "/x"), (name, value)]).unwrap_err().to_string();
        assert!(
            error.starts_with(name) && error.ends_with(&format!("change {name} or unset it")),
            "{error}"
        );
    }
}
