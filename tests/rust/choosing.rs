//! What is made of the answers of the helper that chooses wheels, whatever it says. The
//! helper's own program is tested from Python.

use std::collections::BTreeMap;
use std::path::Path;

use magic_module::error::{Error, Kind};
use magic_module::name::{Digest, UnitName};
use magic_module::pylock::Pylock;
use magic_module::supply::lock::choose::{Chooser, Launch, Request, Requirements};

const LOCK: &str = "lock-version = '1.0'\npackages = []\n";

fn chooser(program: &'static str) -> Chooser {
    let launch = Launch { executable: "python3".into(), program, folders: vec!["/a b".into()] };
    Chooser::start(&launch).unwrap()
}

fn chosen(
    chooser: &mut Chooser,
) -> magic_module::error::Result<magic_module::supply::lock::choose::Chosen> {
    let lock = Pylock::parse(Path::new("/a/pylock.toml"), LOCK.as_bytes()).unwrap();
    let (extras, groups) = (["web".to_owned()], ["dev".to_owned()]);
    chooser.choose(&Request {
        lock: &lock,
        file: Path::new("/a/pylock.toml"),
        extras: &extras,
        groups: &groups,
        unhashed: true,
        build: false,
    })
}

fn refused(program: &'static str) -> Error {
    chosen(&mut chooser(program)).unwrap_err()
}

#[test]
fn one_helper_answers_both_questions() {
    let mut chooser = chooser(
        r#"
import json, os, sys
print("a warning", file=sys.stderr)
request = json.loads(sys.stdin.readline())
ours = [name for name in os.environ if name.startswith("MAGIC_MODULE_")]
python = json.dumps([request, sys.argv[1:], ours])
wheel = {"kind": "wheel", "name": "My.Pkg", "version": None, "index": None, "size": None, "url": "https://h/x.whl"}
packages = [wheel | {"sha256": "0" * 64, "size": 7, "version": "1.0", "index": "https://h/simple"},
            {"kind": "directory", "name": "mine", "version": None, "path": "/a/mine"}, wheel | {"sha256": None}]
print(json.dumps({"scheme": {"site": "s", "scripts": "b", "headers": "h"}, "python": python, "packages": packages}), flush=True)
request = json.loads(sys.stdin.readline())
assert request == {"do": "require", "distributions": {"a": {"name": "A", "requires_dist": ["b"]}}, "beside": ["mine"]}, request
print(json.dumps({"requires": {"a": ["b"]}, "missing": {"b": ["c"]}, "unread": {"a": ["?"]}}), flush=True)
"#,
    );
    let chosen = chosen(&mut chooser).unwrap();
    let said: serde_json::Value = serde_json::from_str(&chosen.python).unwrap();
    let request = serde_json::json!({
        "do": "choose", "lock": {"lock-version": "1.0", "packages": []}, "file": "/a/pylock.toml",
        "extras": ["web"], "groups": ["dev"], "unhashed": true, "build": false});
    assert_eq!(said, serde_json::json!([request, ["/a b"], []]));
    assert_eq!(
        (&chosen.scheme.site[..], &chosen.scheme.scripts[..], &chosen.scheme.headers[..]),
        ("s", "b", "h")
    );
    let [full, bare] = &chosen.packages[..] else { panic!("{:?}", chosen.packages) };
    assert_eq!(full.name.as_str(), "my-pkg");
    assert_eq!(full.version.as_ref().unwrap().as_str(), "1.0");
    assert_eq!(full.index.as_ref().unwrap().as_str(), "https://h/simple");
    assert_eq!(full.wheel.url.as_str(), "https://h/x.whl");
    assert_eq!(full.wheel.sha256, Some(Digest::new(&"0".repeat(64)).unwrap()));
    assert_eq!((full.wheel.size, bare.wheel.size, bare.wheel.sha256), (Some(7), None, None));
    assert_eq!(chosen.editable.len(), 1);
    assert_eq!(chosen.editable[0].path, Path::new("/a/mine"));

    let unit = |name: &str| UnitName::new(name).unwrap();
    let a = Requirements { name: "A".to_owned(), requires_dist: vec!["b".to_owned()] };
    let required = chooser.require(&BTreeMap::from([(unit("a"), a)])).unwrap();
    assert_eq!(required.requires, BTreeMap::from([(unit("a"), [unit("b")].into())]));
    assert_eq!(required.missing, BTreeMap::from([(unit("b"), vec!["c".to_owned()])]));
    assert_eq!(required.unread, BTreeMap::from([(unit("a"), vec!["?".to_owned()])]));
}

#[test]
fn a_refusal_becomes_an_error() {
    let error = refused(
        r#"import sys; sys.stdin.readline()
print('{"error": {"kind": "policy", "message": "cannot", "hint": "do", "path": "packages[1]"}}', flush=True)
sys.stdin.read()"#,
    );
    assert_eq!(error.to_string(), "cannot; do");
    assert_eq!(
        (error.kind(), error.details().path.as_deref()),
        (Kind::Policy, Some("packages[1]"))
    );
}

#[test]
fn a_helper_that_fails_says_why_and_is_asked_no_more() {
    for (program, cause) in [
        ("raise SystemExit('no luck')", "no luck"),
        ("raise ValueError('wrong')", "ValueError: wrong"),
        ("import sys; sys.stdin.readline(); print('{', flush=True)", "EOF while parsing"),
        ("import sys; sys.stdin.readline(); print('{}', flush=True)", "missing field `scheme`"),
    ] {
        let error = refused(program);
        assert_eq!(error.kind(), Kind::Configuration);
        assert!(error.details().message.contains("python3"), "{error}");
        assert!(error.details().causes.join("; ").contains(cause), "{program}: {error:?}");
        assert!(error.details().hint.is_some());
    }
    let mut gone = chooser("pass");
    for _ in 0..2 {
        assert_eq!(chosen(&mut gone).unwrap_err().kind(), Kind::Configuration);
    }
    let nowhere = Launch { executable: "/nowhere/python".into(), program: "", folders: Vec::new() };
    let error = Chooser::start(&nowhere).unwrap_err();
    assert!(error.to_string().starts_with("cannot start /nowhere/python to choose wheels"));
}
