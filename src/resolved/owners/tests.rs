//! Who owns what, and how it is looked up.

use super::*;

fn scheme() -> Scheme {
    Scheme {
        site: "lib/python3.12/site-packages".to_owned(),
        scripts: "bin".to_owned(),
        headers: "include/site/python3.12".to_owned(),
    }
}

/// Each unit with its files, `site/` short for the scheme's; what follows a `=` are the bytes.
fn owners(units: &[(&str, &[&str])]) -> Owners {
    let file = |text: &&str| {
        let (path, bytes) = text.split_once('=').unwrap_or((text, text));
        let path = FilePath::new(&long(path)).unwrap();
        FileEntry { path, sha256: Digest::of(bytes.as_bytes()) }
    };
    let units: Vec<(UnitName, Vec<FileEntry>)> = units
        .iter()
        .map(|(unit, files)| (UnitName::new(unit).unwrap(), files.iter().map(file).collect()))
        .collect();
    Owners::of(&scheme(), &units)
}

fn long(path: &str) -> String {
    match path.strip_prefix("site/") {
        Some(rest) => format!("lib/python3.12/site-packages/{rest}"),
        None => path.to_owned(),
    }
}

fn short(path: &FilePath) -> String {
    path.as_str().replace("lib/python3.12/site-packages/", "site/")
}

fn paths(owners: &Owners) -> Vec<String> {
    owners.paths.iter().map(|(path, unit)| format!("{} {unit}", short(path))).collect()
}

fn disputed(owners: &Owners) -> Vec<String> {
    let names =
        |units: &[UnitName]| -> Vec<String> { units.iter().map(|u| u.to_string()).collect() };
    let line = |(path, units): (&FilePath, &Vec<UnitName>)| {
        format!("{} {}", short(path), names(units).join(" "))
    };
    owners.disputed.iter().map(line).collect()
}

#[test]
fn a_folder_that_one_unit_fills_is_one_path() {
    let owners = owners(&[
        ("alpha", &["site/alpha/__init__.py", "site/alpha/deep/er/x.txt", "site/alpha.libs/a.so"]),
        ("six", &["site/six.py", "site/_six.abi3.so"]),
    ]);
    assert_eq!(
        paths(&owners),
        ["site/_six.abi3.so six", "site/alpha alpha", "site/alpha.libs alpha", "site/six.py six"]
    );
    assert_eq!(disputed(&owners), [""; 0]);
}

#[test]
fn a_namespace_of_three_is_shared_and_their_parts_are_owned() {
    let owners = owners(&[
        ("a", &["site/google/api/x.py"]),
        ("b", &["site/google/cloud/b/x.py"]),
        ("c", &["site/google/cloud/c.py", "site/google/note.txt"]),
    ]);
    assert_eq!(
        paths(&owners),
        [
            "site/google/api a",
            "site/google/cloud/b b",
            "site/google/cloud/c.py c",
            "site/google/note.txt c"
        ]
    );
}

#[test]
fn a_regular_package_may_be_split_over_two_units() {
    let owners = owners(&[
        ("qt", &["site/PyQt/__init__.py", "site/PyQt/core.so", "site/PyQt/tools/x.py"]),
        ("qt_libs", &["site/PyQt/Qt/lib/x.so", "site/PyQt/Qt/plugins/y.so"]),
    ]);
    assert_eq!(
        paths(&owners),
        [
            "site/PyQt/Qt qt_libs",
            "site/PyQt/__init__.py qt",
            "site/PyQt/core.so qt",
            "site/PyQt/tools qt"
        ]
    );
}

#[test]
fn data_lies_where_the_scheme_puts_it_and_its_folders_are_shared() {
    let owners = owners(&[(
        "lab",
        &[
            "bin/lab",
            "share/jupyter/kernels/x/kernel.json",
            "etc/jupyter/lab.json",
            "include/site/python3.12/lab/lab.h",
            "doc/lab.txt",
            "pyvenv.cfg",
            "lib/python3.12",
        ],
    )]);
    assert_eq!(
        paths(&owners),
        ["doc lab", "etc/jupyter lab", "include/site/python3.12/lab lab", "share/jupyter lab"]
    );
}

#[test]
fn metadata_is_nobodys_but_for_what_comes_with_it() {
    let owners = owners(&[(
        "a",
        &[
            "site/a.py",
            "site/a-1.dist-info/METADATA",
            "site/a-1.dist-info/RECORD",
            "site/a-1.dist-info/licenses/LICENSE",
            "site/a-1.dist-info/zip-safe",
            "site/v/_vendor/b-1.dist-info/METADATA",
        ],
    )]);
    assert_eq!(
        paths(&owners),
        [
            "site/a-1.dist-info/licenses a",
            "site/a-1.dist-info/zip-safe a",
            "site/a.py a",
            "site/v a"
        ]
    );
}

#[test]
fn the_same_bytes_are_the_firsts() {
    let owners = owners(&[
        ("a", &["site/n/__init__.py=", "site/n/a.py", "site/same/x.py=1"]),
        ("b", &["site/n/__init__.py=", "site/n/b.py", "site/same/x.py=1"]),
    ]);
    assert_eq!(
        paths(&owners),
        ["site/n/__init__.py a", "site/n/a.py a", "site/n/b.py b", "site/same a"]
    );
    assert_eq!(disputed(&owners), [""; 0]);
}

#[test]
fn code_in_different_bytes_is_disputed_and_of_data_the_last_is_served() {
    let owners = owners(&[
        ("z", &["site/n/x.py=1", "site/n/e.abi3.so=1", "site/n/d.txt=1", "site/n/z.py"]),
        ("a", &["site/n/x.py=2", "site/n/e.abi3.so=2", "site/n/d.txt=2"]),
    ]);
    assert_eq!(paths(&owners), ["site/n/d.txt a", "site/n/z.py z"]);
    assert_eq!(disputed(&owners), ["site/n/e.abi3.so z a", "site/n/x.py z a"]);
}

#[test]
fn a_file_in_the_place_of_a_folder_is_disputed_with_all_below() {
    let owners = owners(&[
        ("a", &["site/n/x", "site/n/a.py"]),
        ("b", &["site/n/x/deep/y.py", "site/n/x/deep=3"]),
        ("c", &["site/n/x/z.txt"]),
    ]);
    assert_eq!(paths(&owners), ["site/n/a.py a"]);
    assert_eq!(disputed(&owners), ["site/n/x a b c"]);
    let units: Vec<UnitName> = ["a", "b", "c"].map(|name| UnitName::new(name).unwrap()).to_vec();
    for path in ["site/n/x", "site/n/x/deep/y.py"] {
        assert_eq!(owners.owner(&long(path)), Some(Owner::Disputed(&units)), "{path}");
    }
}

#[test]
fn a_path_has_the_owner_of_what_it_lies_below() {
    let owners = owners(&[
        ("a", &["site/n/a/x.py", "site/m.py", "site/n-x.py"]),
        ("b", &["site/n/b.py", "site/n/d.py=1"]),
        ("c", &["site/n/d.py=2"]),
    ]);
    let (a, b) = (UnitName::new("a").unwrap(), UnitName::new("b").unwrap());
    for (path, expected) in [
        ("site/n/a", Some(Owner::Unit(&a))),
        ("site/n/a/anything/below", Some(Owner::Unit(&a))),
        ("site/n/b.py", Some(Owner::Unit(&b))),
        ("site/n", Some(Owner::Shared)),
        ("lib", Some(Owner::Shared)),
        ("", Some(Owner::Shared)),
        ("site/n/c", None),
        ("site/n/b", None),
        ("site/other", None),
        ("share", None),
    ] {
        assert_eq!(owners.owner(&long(path)), expected, "{path}");
    }
    assert_eq!(Owners::default().owner(""), None);
}

#[test]
fn a_shared_folder_lists_its_names_and_no_other_does() {
    let owners = owners(&[
        ("a", &["site/n/a/x.py", "site/m.py", "site/n-x.py", "site/n0/y.py", "site/n/d.py=1"]),
        ("b", &["site/n/b.py", "site/n/d.py=2", "site/p/e.py=1"]),
        ("c", &["site/p/e.py=2"]),
    ]);
    let list = |folder: &str| -> Vec<String> {
        let children = owners.children(long(folder).trim_end_matches('/'));
        children.iter().map(|(name, owner)| format!("{name} {owner:?}")).collect()
    };
    assert_eq!(
        list("site/"),
        [
            r#"m.py Unit("a")"#,
            r#"n Shared"#,
            r#"n-x.py Unit("a")"#,
            r#"n0 Unit("a")"#,
            r#"p Shared"#
        ]
    );
    assert_eq!(
        list("site/n"),
        [r#"a Unit("a")"#, r#"b.py Unit("b")"#, r#"d.py Disputed(["a", "b"])"#]
    );
    assert_eq!(list("site/p"), [r#"e.py Disputed(["b", "c"])"#]);
    assert_eq!(list(""), ["lib Shared"]);
    assert_eq!(list("site/n/a"), [""; 0]);
    assert_eq!(list("nowhere"), [""; 0]);
}

#[test]
fn owners_are_read_as_they_were_written() {
    let owners = owners(&[("a", &["site/a.py=1", "site/b.py"]), ("b", &["site/a.py=2"])]);
    let text = serde_json::to_string(&owners).unwrap();
    assert_eq!(serde_json::from_str::<Owners>(&text).unwrap(), owners);
}
