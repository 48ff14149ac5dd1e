//! The JSON Schema of the manifest says what the parser does: good documents both
//! accept, and bad ones both refuse, where a schema can express what is wrong.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test may, and reads its own files"
)]

#[expect(dead_code, reason = "the tests of publish use more of it")]
mod publish_support;

use jsonschema::Validator;
use magic_module::manifest::Manifest;
use magic_module::name::API_NAMES;
use publish_support::Sandbox;
use serde_json::{Value, json};

fn schema() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/manifest.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn validator() -> Validator {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
    jsonschema::draft202012::new(&schema()).unwrap()
}

/// A document that uses every field.
fn full() -> Value {
    let digest = "5".repeat(64);
    let file = |path: &str| json!({"path": path, "url": path, "size": 1, "sha256": digest});
    let pack = |path: &str| json!({"format": "zip", "url": "p.zip", "size": 9, "sha256": digest, "paths": [path]});
    let code = json!({
        "format": "code", "tag": "cpython-313-f30d0d0a-0", "url": "c.zip", "size": 9, "sha256": digest, "paths": []
    });
    let mut lazy = file("alpha/größe.bin");
    lazy["lazy"] = json!(true);
    let mut tool = file("alpha/tool");
    tool["executable"] = json!(true);
    json!({
        "manifest": 1,
        "namespace": "acme.parts",
        "serial": 1_700_000_000_u64,
        "created": "2026-11-21T00:00:00Z",
        "max_age": 60,
        "needs": ["packs", "variants", "versions", "lazy"],
        "modules": {
            "alpha": {
                "version": "1!2.0.post1+local-x_y",
                "summary": "s",
                "requires_python": ">=3.10",
                "dependencies": ["numpy>=2"],
                "requires": ["alpha.deep", "größe"],
                "yanked": "broken",
                "published": 1,
                "files": [file("alpha/__init__.py"), lazy, tool, file("alpha-1.dist-info/METADATA")],
                "packs": [pack("alpha/__init__.py"), code],
                "variants": [{
                    "tag": "cp310.cp311-abi3-linux_x86_64",
                    "files": [file("alpha/_fast.so")],
                    "packs": [pack("alpha/_fast.so")]
                }],
                "versions": {"1.0": {"version": "1.0", "files": [file("alpha.py")]}}
            },
            "alpha.deep": {"version": "0", "files": []},
            "größe": {"version": "0", "files": [file("größe.py"), file("größe.a b.txt")]}
        }
    })
}

fn catalogue() -> Value {
    json!({
        "manifest": 1,
        "namespace": "acme",
        "needs": ["catalogue"],
        "catalogue": {
            "units": 1, "bits": [1, 12], "parts": "parts", "tables": [null, "0".repeat(64)]
        }
    })
}

/// `document` with the value at a JSON pointer replaced, added, or (null) removed.
fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Object(map) if value.is_null() => {
            assert!(map.remove(key).is_some(), "{pointer}");
        }
        Value::Object(map) => {
            map.insert(key.to_owned(), value);
        }
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        other => unreachable!("{pointer} is below {other}"),
    }
    document
}

fn parses(document: &Value) -> bool {
    Manifest::parse(&serde_json::to_vec(document).unwrap()).is_ok()
}

/// A document that has a lock.
fn locked() -> Value {
    let digest = "5".repeat(64);
    json!({"manifest": 1, "namespace": "", "modules": {}, "needs": ["lock"], "lock": {
        "url": "locks/x.toml", "size": 1, "sha256": digest, "documents": [{
            "interpreter": "cpython-312-x86_64-linux-gnu", "platform": "linux-x86_64",
            "system": {"name": "glibc", "major": 2, "minor": 17},
            "markers": {"python_full_version": "3.12.1"},
            "url": "locks/x.json.zst", "size": 1, "sha256": digest}]}})
}

#[test]
fn good_documents_are_accepted_by_both() {
    let minimal = json!({"manifest": 1, "namespace": "", "modules": {}});
    let base = || full();
    let file = "/modules/alpha/files/0";
    let mut good = vec![
        minimal.clone(),
        with(minimal, "/namespace", json!("magic_module")),
        base(),
        catalogue(),
        with(catalogue(), "/catalogue/bits/1", json!(0)),
        with(catalogue(), "/catalogue/yanked", json!({"alpha": {"1.0": "wrong sums"}})),
        locked(),
        with(locked(), "/lock/documents", json!([])),
        with(locked(), "/lock/documents/0/system", null()),
        with(base(), "/colour", json!([{}])),
        with(base(), "/modules/alpha/files/0/colour", json!(1)),
        with(base(), "/serial", json!(u64::MAX)),
        with(base(), "/serial", json!(0)),
        with(base(), "/modules/alpha/packs/0/format", json!("tar.zst")),
        with(base(), "/modules/alpha/packs/1/paths", json!([])),
        with(base(), "/modules/alpha/packs/0/format", json!("zip+zstd")),
        with(base(), "/modules/alpha/versions/1.0/versions", json!({})),
        with(base(), &format!("{file}/url"), json!("https://host/x?y#z")),
        with(base(), &format!("{file}/size"), json!(0)),
    ];
    for path in [".hidden", "con_/x", "a b.txt", "x.con", "données/é.txt", "a/b/c", "日本.txt"]
    {
        let path = format!("alpha/{path}");
        let document = with(base(), &format!("{file}/path"), json!(path));
        good.push(with(document, "/modules/alpha/packs", null()));
    }
    for name in ["match", "_x", "x1", "Con_", "mount", "日本"] {
        let record = json!({"version": "0", "files": []});
        good.push(with(base(), &format!("/modules/{name}"), record));
    }
    for field in ["summary", "yanked", "published", "packs", "variants", "versions", "requires"] {
        good.push(with(base(), &format!("/modules/alpha/{field}"), null()));
    }
    let schema = validator();
    for document in good {
        let errors: Vec<String> = schema
            .iter_errors(&document)
            .map(|it| format!("{}: {it}", it.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:?} in {document}");
        let error = Manifest::parse(&serde_json::to_vec(&document).unwrap()).err();
        assert_eq!(error, None, "{document}");
    }
}

fn null() -> Value {
    Value::Null
}

#[test]
fn bad_documents_are_refused_by_both() {
    let mut bad: Vec<(String, Value)> = Vec::new();
    let mut wrong = |pointer: &str, value: Value| {
        bad.push((format!("{pointer} = {value}"), with(full(), pointer, value)));
    };
    for pointer in ["/manifest", "/namespace", "/modules", "/modules/alpha/version"] {
        wrong(pointer, null());
    }
    for field in ["path", "url", "size", "sha256"] {
        wrong(&format!("/modules/alpha/files/1/{field}"), null());
    }
    wrong("/modules/alpha/packs/0/format", json!("code"));
    wrong("/modules/alpha/packs/1/tag", null());
    for field in ["format", "url", "size", "sha256", "paths"] {
        wrong(&format!("/modules/alpha/packs/0/{field}"), null());
    }
    for field in ["tag", "files"] {
        wrong(&format!("/modules/alpha/variants/0/{field}"), null());
    }
    wrong("/modules/alpha/files", null());
    for number in [json!(2), json!("1"), json!(0)] {
        wrong("/manifest", number);
    }
    for pointer in
        ["/serial", "/max_age", "/modules/alpha/published", "/modules/alpha/files/0/size"]
    {
        for value in [json!(-1), json!("1"), json!(1.5), json!(1e30)] {
            wrong(pointer, value);
        }
    }
    for name in
        ["1a", "class", "a-b", "a..b", ".a", "a.", "", "con", "a.Aux", "a b", "a/b", "x.def"]
    {
        if !name.is_empty() {
            wrong("/namespace", json!(name));
        }
        wrong("/modules/alpha/requires/0", json!(name));
        let key = name.replace('/', "~1");
        if !key.contains('~') {
            wrong(&format!("/modules/{key}"), json!({"version": "0", "files": []}));
        }
    }
    for path in [
        "",
        "/etc/passwd",
        "../x",
        "alpha/../b",
        "alpha//b",
        "alpha/",
        "./a",
        "C:/x",
        "alpha\\b",
        "nul",
        "alpha/CON.txt",
        "alpha/com¹",
        "alpha/LPT9 .txt",
        "alpha/a.",
        "alpha/a ",
        "alpha/a\u{202e}b",
        "alpha/a\nb",
        "alpha/a\u{0}",
        "alpha/x:stream",
        "alpha/a?",
        "alpha/a*",
    ] {
        wrong("/modules/alpha/files/1/path", json!(path));
        wrong("/modules/alpha/packs/0/paths/0", json!(path));
    }
    wrong("/modules/alpha/files/1/path", json!("alpha/".to_owned() + &"x".repeat(256)));
    for digest in ["", "5", &"A".repeat(64), &"5".repeat(65), &"g".repeat(64)] {
        wrong("/modules/alpha/files/0/sha256", json!(digest));
        wrong("/modules/alpha/packs/0/sha256", json!(digest));
    }
    for version in ["", "1 0", "1/2", "é", &"1".repeat(101)] {
        wrong("/modules/alpha/version", json!(version));
    }
    for tag in ["", "py3-none", "py3-none-any-more"] {
        wrong("/modules/alpha/variants/0/tag", json!(tag));
    }
    wrong("/needs", json!(["teleport"]));
    wrong("/needs", json!("packs"));
    wrong("/created", json!(1));
    wrong("/modules", json!([]));
    wrong("/modules/alpha/files", json!({}));
    wrong("/modules/alpha/files/0", json!("alpha.py"));
    wrong("/modules/alpha/files/0/url", json!(""));
    wrong("/modules/alpha/files/0/lazy", json!("yes"));
    wrong("/modules/alpha/files/0/executable", json!("yes"));
    wrong("/modules/alpha/summary", json!(1));
    wrong("/modules/alpha/dependencies", json!("numpy"));
    wrong("/modules/alpha/yanked", json!(true));
    wrong("/modules/alpha/versions/1.0/versions", json!({"0.9": {"version": "0.9", "files": []}}));
    wrong("/modules/alpha/versions/1 0", json!({"version": "1 0", "files": []}));
    wrong("/catalogue", catalogue()["catalogue"].clone());

    let mut part = |pointer: &str, value: Value| {
        bad.push((format!("{pointer} = {value}"), with(catalogue(), pointer, value)));
    };
    part("/namespace", json!(""));
    part("/catalogue/bits", json!([1]));
    part("/catalogue/bits", json!([1, 2, 3]));
    part("/catalogue/bits/1", json!(13));
    part("/catalogue/yanked", json!([]));
    part("/catalogue/yanked", json!({"alpha": "wrong sums"}));
    part("/catalogue/yanked", json!({"not-a-unit": {"1.0": "wrong sums"}}));
    part("/catalogue/bits/1", json!(-1));
    part("/catalogue/tables/1", json!("x"));
    for field in ["units", "bits", "parts", "tables"] {
        part(&format!("/catalogue/{field}"), null());
    }

    let mut lock = |pointer: &str, value: Value| {
        bad.push((format!("{pointer} = {value}"), with(locked(), pointer, value)));
    };
    lock("/namespace", json!("acme"));
    lock("/modules/alpha", json!({"version": "0", "files": []}));
    for field in ["url", "size", "sha256", "documents"] {
        lock(&format!("/lock/{field}"), null());
    }
    for field in ["interpreter", "platform", "url", "size", "sha256"] {
        lock(&format!("/lock/documents/0/{field}"), null());
    }
    lock("/lock", json!([]));
    lock("/lock/url", json!(""));
    lock("/lock/documents", json!({}));
    lock("/lock/documents/0", json!("x"));
    lock("/lock/documents/0/url", json!(""));
    lock("/lock/documents/0/system", json!("glibc 2.17"));
    lock("/lock/documents/0/system/minor", null());
    lock("/lock/documents/0/markers", json!({"python_full_version": 3}));

    let own = with(json!({"manifest": 1, "modules": {}}), "/namespace", json!("magic_module"));
    for name in API_NAMES.iter().copied().chain(["_x", "mount.deep"]) {
        let record = json!({"version": "0", "files": []});
        bad.push((name.to_owned(), with(own.clone(), &format!("/modules/{name}"), record)));
    }
    bad.extend([json!([]), json!("x"), json!(1), json!({})].map(|it| (it.to_string(), it)));

    let schema = validator();
    for (what, document) in &bad {
        assert!(!parses(document), "the parser accepts {what}");
        assert!(!schema.is_valid(document), "the schema accepts {what}");
    }
}

/// The page that describes the format names these as what only the parser checks.
#[test]
fn what_a_schema_cannot_express_is_left_to_the_parser() {
    let schema = validator();
    for (pointer, value) in [
        ("/modules/alpha/files/1/path", json!("alpha/__init__.py")),
        ("/modules/alpha/files/1/path", json!("alpha/__INIT__.py")),
        ("/modules/alpha/files/1/path", json!("beta.py")),
        ("/modules/alpha/files/1/path", json!("alpha/e\u{301}")),
        ("/modules/alpha/files/1/path", json!("alpha/deep/__init__.py")),
        ("/modules/alpha/requires/0", json!("beta")),
        ("/modules/alpha/packs/0/paths/0", json!("alpha/missing.py")),
        ("/modules/alpha/versions/1.0/version", json!("1.1")),
        ("/modules/ALPHA", json!({"version": "0", "files": []})),
        ("/modules/\u{fb01}", json!({"version": "0", "files": []})),
    ] {
        let document = with(full(), pointer, value);
        assert!(schema.is_valid(&document), "{pointer}");
        assert!(!parses(&document), "{pointer}");
    }
    let document = with(catalogue(), "/catalogue/bits/0", json!(2));
    assert!(schema.is_valid(&document) && !parses(&document));
}

#[test]
fn what_publish_writes_fits_the_schema() {
    let sandbox = Sandbox::new(&[
        ("alpha/__init__.py", "__version__ = '1'"),
        ("alpha/x.txt", ""),
        ("linux/alpha/_fast.so", ""),
        (
            "magic-module.toml",
            "max_age = 1\n[alpha]\nlazy = ['x.txt']\nvariants = [{tag = 'a-b-c', folder = 'linux'}]",
        ),
    ]);
    sandbox.publish().unwrap();
    sandbox.write("alpha/__init__.py", "__version__ = '2'");
    sandbox.publish().unwrap();
    let read = |path: &str| -> Value {
        serde_json::from_slice(&std::fs::read(sandbox.output.join(path)).unwrap()).unwrap()
    };
    let document = read("manifest.json");
    assert!(document.pointer("/modules/alpha/versions/1/files/0").is_some());
    assert_eq!(validator().validate(&document).map_err(|it| it.to_string()), Ok(()));

    for number in 0..1_001 {
        sandbox.write(&format!("unit_{number}.py"), "");
    }
    sandbox.publish().unwrap();
    let document = read("manifest.json");
    assert!(document.get("catalogue").is_some());
    assert_eq!(validator().validate(&document).map_err(|it| it.to_string()), Ok(()));
    let part = |definition: &str| {
        let mut schema = schema();
        let whole = schema.as_object_mut().unwrap();
        whole.retain(|key, _| key.starts_with('$'));
        whole.insert("$ref".to_owned(), json!(format!("#/$defs/{definition}")));
        jsonschema::draft202012::new(&schema).unwrap()
    };
    let (table, leaf) = (part("digests"), part("leaf"));
    let mut seen = [0, 0];
    for entry in std::fs::read_dir(sandbox.output.join("parts")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let document = read(&format!("parts/{name}"));
        let kind = usize::from(document.is_object());
        assert!([&table, &leaf][kind].is_valid(&document), "{name}");
        seen[kind] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}
