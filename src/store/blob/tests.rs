//! What the blob store promises, through its public door.

use super::*;

fn store() -> (tempfile::TempDir, BlobStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::new(folder.path());
    (folder, store)
}

fn parts(store: &BlobStore) -> usize {
    fs_err::read_dir(store.tmp()).map_or(0, Iterator::count)
}

fn begin(store: &BlobStore, digest: &Digest) -> Begin {
    store.begin(digest, 5, Reuse::WhatIsHere).unwrap()
}

fn writer(store: &BlobStore, digest: &Digest) -> BlobWriter {
    match begin(store, digest) {
        Begin::Writer(writer) => writer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_writes_others_see_how_far() {
    let (_folder, store) = store();
    let digest = Digest::of(b"hello");
    let mut writer = writer(&store, &digest);
    writer.write(b"hel").unwrap();
    assert!(matches!(begin(&store, &digest), Begin::Busy { bytes: 3 }));
    assert!(!store.has(&digest, 5));
    writer.write(b"lo").unwrap();
    writer.commit(Sync::Now).unwrap();
    assert!(matches!(begin(&store, &digest), Begin::Ready));
    assert_eq!(store.read_verified(&digest, 5).unwrap(), b"hello");
    assert_eq!(parts(&store), 0);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs_err::metadata(store.path(&digest)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o444);
    }
}

#[test]
fn a_writer_that_ends_early_leaves_nothing() {
    let (_folder, store) = store();
    let digest = Digest::of(b"hello");
    let mut first = writer(&store, &digest);
    first.write(b"wrong").unwrap();
    drop(first);
    assert_eq!(parts(&store), 0);
    drop(writer(&store, &digest));
}

#[test]
fn the_rest_of_a_dead_writer_is_written_over() {
    let (_folder, store) = store();
    let digest = Digest::of(b"hello");
    drop(writer(&store, &digest));
    fs_err::write(store.tmp().join(format!("{digest}.part")), "longer than the blob").unwrap();
    let mut second = writer(&store, &digest);
    second.write(b"hello").unwrap();
    second.commit(Sync::Later).unwrap();
    assert_eq!(store.read_verified(&digest, 5).unwrap(), b"hello");
}

#[test]
fn sweep_takes_the_dead_only() {
    let (_folder, store) = store();
    let (alive, dead) = (Digest::of(b"alive"), Digest::of(b"dead"));
    let writer = writer(&store, &alive);
    fs_err::write(store.tmp().join(format!("{dead}.part")), "12345678").unwrap();
    assert_eq!(store.sweep().unwrap(), 8);
    assert_eq!(parts(&store), 1);
    drop(writer);
}

#[test]
fn damage_is_seen() {
    let (_folder, store) = store();
    let digest = store.insert(b"hello").unwrap();
    assert!(store.is_whole(&digest, 5).unwrap());
    let path = store.path(&digest);
    fs_err::remove_file(&path).unwrap();
    fs_err::write(&path, "hellO").unwrap();
    assert!(!store.is_whole(&digest, 5).unwrap());
    let error = store.read_verified(&digest, 5).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert_eq!(error.details().expected.as_deref(), Some(digest.to_hex().as_str()));
    assert_eq!(error.details().got, Some(Digest::of(b"hellO").to_hex()));
    let Begin::Writer(mut writer) = store.begin(&digest, 5, Reuse::Nothing).unwrap() else {
        panic!()
    };
    let before = store.stamp(&digest);
    writer.write(b"hello").unwrap();
    writer.commit(Sync::Later).unwrap();
    assert_ne!(store.stamp(&digest), before);
    assert_eq!(store.read_verified(&digest, 5).unwrap(), b"hello");
    assert!(store.read_verified(&digest, 4).is_err());
}

#[cfg(unix)]
#[test]
fn a_store_that_cannot_be_written_names_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs_err::write(&file, "").unwrap();
    let error = BlobStore::new(&file).insert(b"x").unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
}
