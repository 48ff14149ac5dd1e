//! What comes back out of a code pack, and what does not.

use super::*;

fn interpreter() -> Interpreter {
    Interpreter { cache_tag: "cpython-313".into(), magic: vec![1, 2], optimization: 0 }
}

fn open(root: &std::path::Path, tree: &[u8]) -> CodePack {
    CodePack::open(root, &Digest::of(b"mount"), &Digest::of(tree), &interpreter(), Trust::Published)
}

fn path_of(root: &std::path::Path) -> PathBuf {
    open(root, b"tree").path
}

#[test]
fn entries_come_back_and_are_bound_to_their_source() {
    let root = tempfile::tempdir().unwrap();
    let source = Digest::of(b"x = 1");
    for name in ["a.py", "b.py"] {
        open(root.path(), b"tree").add(name, &source, name.as_bytes());
    }
    let pack = open(root.path(), b"tree");
    assert_eq!(pack.get("a.py", &source).unwrap().as_ref(), b"a.py");
    assert_eq!(pack.get("b.py", &source).unwrap().as_ref(), b"b.py");
    assert!(pack.get("a.py", &Digest::of(b"x = 2")).is_none());
}

#[test]
fn every_flipped_bit_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let source = Digest::of(b"x = 1");
    open(root.path(), b"tree").add("a.py", &source, b"code of a");
    let good = fs_err::read(path_of(root.path())).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs_err::write(path_of(root.path()), &bad).unwrap();
        assert!(open(root.path(), b"tree").get("a.py", &source).is_none(), "byte {at}");
    }
}

#[test]
fn another_trees_pack_is_empty_and_a_torn_end_is_cut_off() {
    let root = tempfile::tempdir().unwrap();
    let source = Digest::of(b"x = 1");
    open(root.path(), b"tree").add("a.py", &source, b"code of a");
    let bytes = fs_err::read(path_of(root.path())).unwrap();
    let other = open(root.path(), b"other");
    fs_err::write(&other.path, &bytes).unwrap();
    assert!(open(root.path(), b"other").get("a.py", &source).is_none());

    fs_err::write(path_of(root.path()), [&bytes[..], b"torn"].concat()).unwrap();
    open(root.path(), b"tree").add("b.py", &source, b"code of b");
    let pack = open(root.path(), b"tree");
    assert_eq!(pack.get("a.py", &source).unwrap().as_ref(), b"code of a");
    assert_eq!(pack.get("b.py", &source).unwrap().as_ref(), b"code of b");
}

#[cfg(unix)]
#[test]
fn a_pack_that_others_may_write_to_or_that_is_a_link_is_begun_anew() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let (source, path) = (Digest::of(b"x = 1"), path_of(root.path()));
    open(root.path(), b"tree").add("a.py", &source, b"code of a");
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(open(root.path(), b"tree").get("a.py", &source).is_none());
    open(root.path(), b"tree").add("b.py", &source, b"code of b");
    let pack = open(root.path(), b"tree");
    assert!(pack.get("a.py", &source).is_none() && pack.get("b.py", &source).is_some());

    let elsewhere = root.path().join("elsewhere");
    fs_err::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert!(open(root.path(), b"tree").get("b.py", &source).is_none());
    open(root.path(), b"tree").add("c.py", &source, b"code of c");
    assert!(open(root.path(), b"tree").get("c.py", &source).is_some());
    assert!(fs_err::symlink_metadata(&path).unwrap().is_file());
}

#[test]
fn processes_that_take_turns_lose_nothing() {
    let root = tempfile::tempdir().unwrap();
    let source = Digest::of(b"x = 1");
    let (one, other) = (open(root.path(), b"tree"), open(root.path(), b"tree"));
    for round in 0..5 {
        one.add(&format!("one{round}.py"), &source, b"code");
        other.add(&format!("other{round}.py"), &source, b"longer code");
    }
    let pack = open(root.path(), b"tree");
    for round in 0..5 {
        assert!(pack.get(&format!("one{round}.py"), &source).is_some());
        assert!(pack.get(&format!("other{round}.py"), &source).is_some());
    }
}

#[test]
fn what_is_there_is_not_appended_again() {
    let root = tempfile::tempdir().unwrap();
    let (source, other_source) = (Digest::of(b"x = 1"), Digest::of(b"x = 2"));
    let length = || fs_err::metadata(path_of(root.path())).unwrap().len();
    // Both start cold, and have the same to add.
    let (one, other) = (open(root.path(), b"tree"), open(root.path(), b"tree"));
    for name in ["a.py", "b.py"] {
        one.add(name, &source, b"code");
    }
    let once = length();
    for name in ["a.py", "b.py", "b.py"] {
        one.add(name, &source, b"code");
        other.add(name, &source, b"code");
    }
    assert_eq!(length(), once);
    other.add("a.py", &other_source, b"code of another source");
    let pack = open(root.path(), b"tree");
    assert!(length() > once && pack.get("a.py", &other_source).is_some());

    // What is damaged is added once more, and what was cut off, too.
    let mut bytes = fs_err::read(path_of(root.path())).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs_err::write(path_of(root.path()), &bytes).unwrap();
    let pack = open(root.path(), b"tree");
    assert!(pack.get("a.py", &other_source).is_none());
    pack.add("a.py", &other_source, b"code of another source");
    assert!(open(root.path(), b"tree").get("a.py", &other_source).is_some());
    fs_err::write(path_of(root.path()), &bytes[..HEADER]).unwrap();
    pack.add("a.py", &other_source, b"code of another source");
    assert!(open(root.path(), b"tree").get("a.py", &other_source).is_some());
}

#[test]
fn what_a_killed_process_left_half_is_cut_off_by_one_that_is_still_writing() {
    let root = tempfile::tempdir().unwrap();
    let source = Digest::of(b"x = 1");
    let pack = open(root.path(), b"tree");
    pack.add("a.py", &source, b"code of a");
    let mut torn = fs_err::read(path_of(root.path())).unwrap();
    torn.extend_from_slice(b"half an entry");
    fs_err::write(path_of(root.path()), &torn).unwrap();
    pack.add("b.py", &source, b"code of b");
    fs_err::write(path_of(root.path()), b"").unwrap();
    pack.add("c.py", &source, b"code of c");
    pack.add("d.py", &source, b"code of d");
    let pack = open(root.path(), b"tree");
    assert!(pack.get("c.py", &source).is_some() && pack.get("d.py", &source).is_some());
}

#[cfg(unix)]
#[test]
fn a_pack_that_is_removed_meanwhile_is_begun_anew() {
    let root = tempfile::tempdir().unwrap();
    let source = Digest::of(b"x = 1");
    let pack = open(root.path(), b"tree");
    pack.add("a.py", &source, b"code of a");
    fs_err::remove_file(path_of(root.path())).unwrap();
    pack.add("b.py", &source, b"code of b");
    assert!(open(root.path(), b"tree").get("b.py", &source).is_some());
}

#[test]
fn published_code_is_taken_only_where_it_is_trusted_and_replaces_nothing() {
    let root = tempfile::tempdir().unwrap();
    let source = Digest::of(b"x = 1");
    open(root.path(), b"tree").add("own.py", &source, b"own");
    let entries = [("own.py", source, b"other".to_vec()), ("new.py", source, b"new".to_vec())];
    open(root.path(), b"tree").add_published(entries.into_iter());
    let pack = open(root.path(), b"tree");
    assert_eq!(pack.get("own.py", &source).unwrap().as_ref(), b"own");
    assert_eq!(pack.get("new.py", &source).unwrap().as_ref(), b"new");
    assert!(pack.get("new.py", &Digest::of(b"x = 2")).is_none());

    let untrusting = || {
        let (mount, tree) = (Digest::of(b"mount"), Digest::of(b"tree"));
        CodePack::open(root.path(), &mount, &tree, &interpreter(), Trust::Compiled)
    };
    assert!(untrusting().get("new.py", &source).is_none());
    untrusting().add("new.py", &source, b"compiled here");
    assert_eq!(untrusting().get("new.py", &source).unwrap().as_ref(), b"compiled here");
    assert_eq!(
        open(root.path(), b"tree").get("new.py", &source).unwrap().as_ref(),
        b"compiled here"
    );
}
