//! What the parser accepts and refuses, and the words of its errors.

use super::*;
use crate::name::Version;

const ALPHA: &str = r#"{"manifest":1,"namespace":"magic_module","modules":{"alpha":{"version":"1.2.0","files":[
    {"path":"alpha.py","url":"files/alpha.py","size":812,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {"path":"alpha.csv","url":"files/alpha.csv","size":45012,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}}}"#;

fn error_of(text: &str) -> String {
    Manifest::parse(text.as_bytes()).unwrap_err().to_string()
}

/// ALPHA with one part of its text changed.
fn with(from: &str, to: &str) -> String {
    assert!(ALPHA.contains(from), "{from}");
    ALPHA.replacen(from, to, 1)
}

#[test]
fn ten_lines_by_hand_are_a_manifest() {
    let manifest = Manifest::parse(ALPHA.as_bytes()).unwrap();
    let record = &manifest.modules().unwrap().0["alpha"];
    assert_eq!(record.version, Version::new("1.2.0").unwrap());
    assert_eq!(record.size(), 45_824);
}

#[test]
fn a_written_manifest_reads_back() {
    let manifest = Manifest::parse(ALPHA.as_bytes()).unwrap();
    let text = serde_json::to_vec(&manifest).unwrap();
    assert_eq!(Manifest::parse(&text).unwrap(), manifest);
}

#[test]
fn errors_name_the_place_in_the_document() {
    let bad_hash = ALPHA.replace("52b855\"}]", "52b8\"}]");
    let place = |text: &str| error_of(text).split(": ").next().unwrap().to_owned();
    for (text, at) in [
        (bad_hash, "modules.alpha.files[1].sha256"),
        (with("alpha.csv", "../etc/passwd"), "modules.alpha.files[1].path"),
        (with("alpha.csv", "alpha.py"), "modules.alpha.files[1].path"),
        (with("\"size\":45012,", ""), "modules.alpha.files[1]"),
        (with("\"alpha\":{", "\"class\":{"), "modules.class"),
        (with("\"alpha\":{", "\"mount\":{"), "modules.mount"),
        (with("\"manifest\":1", "\"manifest\":2"), "manifest"),
        (with("\"version\":", "\"requires\":[\"beta\"],\"version\":"), "modules.alpha.requires"),
    ] {
        assert_eq!(place(&text), format!("the manifest is wrong at {at}"));
    }
}

#[test]
fn a_later_format_names_the_remedy() {
    let text = error_of(&with("\"manifest\":1", "\"manifest\":1,\"needs\":[\"teleport\"]"));
    assert!(text.contains("teleport") && text.contains("pip install -U"), "{text}");
}

#[test]
fn unknown_fields_are_ignored_and_html_is_named() {
    assert!(
        Manifest::parse(with("\"version\":", "\"colour\":[{}],\"version\":").as_bytes()).is_ok()
    );
    assert!(error_of("\n <html>").contains("HTML"));
    assert!(error_of(&ALPHA[..80]).contains("not valid JSON"));
    assert!(error_of(&"[".repeat(100_000)).contains("manifest"));
}

#[test]
fn a_path_has_one_owner() {
    let record = |path: &str| {
        format!(
            r#"{{"version":"1","files":[{{"path":"{path}","url":"u","size":1,"sha256":"{}"}}]}}"#,
            "0".repeat(64)
        )
    };
    let two = |a: &str, pa: &str, b: &str, pb: &str| {
        Manifest::parse(
            format!(
                r#"{{"manifest":1,"namespace":"","modules":{{"{a}":{},"{b}":{}}}}}"#,
                record(pa),
                record(pb)
            )
            .as_bytes(),
        )
    };
    assert!(two("a", "a/__init__.py", "a.b", "a/b.py").is_ok());
    let error = two("a", "a/b.py", "a.b", "a/b/__init__.py").unwrap_err().to_string();
    assert!(error.contains("of a belongs to a.b"), "{error}");
    assert!(two("a", "a.py", "A", "A.py").unwrap_err().to_string().contains("only in case"));
    assert!(two("a", "b.py", "c", "c.py").unwrap_err().to_string().contains("cannot belong to a"));
}

#[test]
fn folders_that_differ_only_in_case_are_refused() {
    let text = EXAMPLE_OF_TWO.replace("ONE", "alpha/Data/a").replace("TWO", "alpha/data/b");
    let error = Manifest::parse(text.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("alpha.files[1].path: its folder alpha/data is that of"), "{error}");
    let text = EXAMPLE_OF_TWO.replace("ONE", "alpha/data/a").replace("TWO", "alpha/data/b");
    assert!(Manifest::parse(text.as_bytes()).is_ok());
}

const EXAMPLE_OF_TWO: &str = concat!(
    r#"{"manifest":1,"namespace":"","modules":{"alpha":{"version":"1","files":["#,
    r#"{"path":"ONE","url":"x","size":0,"sha256":"#,
    r#""e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},"#,
    r#"{"path":"TWO","url":"x","size":0,"sha256":"#,
    r#""e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}}}"#
);

#[test]
fn a_pack_of_a_file_that_a_variant_replaces_is_left_out() {
    let digest = "1".repeat(64);
    let pack = |path: &str| {
        format!(r#"{{"format":"zip","url":"p","size":1,"sha256":"{digest}","paths":["{path}"]}}"#)
    };
    let variant = format!(
        r#"{{"tag":"py3-none-any","files":[{{"path":"alpha/a","url":"y","size":1,"sha256":"{digest}"}}]}}"#
    );
    let text = EXAMPLE_OF_TWO.replace("ONE", "alpha/a").replace("TWO", "alpha/b").replace(
        r#""version":"1","#,
        &format!(
            r#""version":"1","packs":[{},{}],"variants":[{variant}],"#,
            pack("alpha/a"),
            pack("alpha/b")
        ),
    );
    let manifest = Manifest::parse(text.as_bytes()).unwrap();
    let record = &manifest.modules().unwrap().0["alpha"];
    let chosen = record.select(&["py3-none-any".to_owned()]).0;
    assert_eq!(chosen.packs, record.packs[1..]);
    assert_eq!(record.select(&[]).0.packs, record.packs);
}

#[test]
fn a_variant_adds_and_replaces() {
    let digest = "1".repeat(64);
    let text = with(
        "\"version\":",
        &format!(
            r#""variants":[{{"tag":"cp39.cp310-abi3-linux_x86_64","files":[{{"path":"alpha.abi3.so","url":"x","size":1,"sha256":"{digest}"}}]}}],"version":"#
        ),
    );
    let manifest = Manifest::parse(text.as_bytes()).unwrap();
    let record = &manifest.modules().unwrap().0["alpha"];
    let (chosen, tag) = record.select(&["cp310-abi3-linux_x86_64".to_owned()]);
    assert_eq!(tag.as_deref(), Some("cp39.cp310-abi3-linux_x86_64"));
    assert_eq!(chosen.files.len(), 3);
    assert_eq!(record.select(&["cp38-abi3-linux_x86_64".to_owned()]).1, None);
}

#[test]
fn a_catalogue_finds_its_leaf() {
    let catalogue = Catalogue {
        units: 3,
        bits: [8, 8],
        parts: "parts".into(),
        tables: vec![None; 256],
        yanked: Default::default(),
    };
    let digest = crate::name::Digest::of(b"alpha");
    assert_eq!(catalogue.slot("alpha"), (digest.as_bytes()[0].into(), digest.as_bytes()[1].into()));
    let flat = Catalogue { bits: [0, 0], ..catalogue };
    assert_eq!(flat.slot("alpha"), (0, 0));
}

#[test]
fn a_mark_before_the_document_says_nothing() {
    let text = r#"{"manifest": 1, "namespace": "acme", "modules": {}}"#;
    Manifest::parse(&[b"\xef\xbb\xbf", text.as_bytes()].concat()).unwrap();
    for (bytes, encoding) in [
        (&b"{\0\"\0"[..], "UTF-16LE"),
        (b"\0{\0\"", "UTF-16BE"),
        (b"\xff\xfe{\0", "UTF-16LE"),
        (b"\xfe\xff\0{", "UTF-16BE"),
        (b"{\0\0\0", "UTF-32LE"),
        (b"\0\0\0{", "UTF-32BE"),
    ] {
        let error = Manifest::parse(bytes).unwrap_err();
        assert_eq!(error.details().got.as_deref(), Some(encoding), "{error}");
    }
}
