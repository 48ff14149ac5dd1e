//! A wheel that comes in pieces, and what was made of it by then.

use std::io::Write as _;
use std::time::Instant;

use super::*;
use crate::assemble::Source;
use crate::error::Kind;
use crate::manifest::{Manifest, Place};
use crate::name::Digest;
use crate::settings::Settings;
use crate::store::Reuse;

const FILES: [&str; 3] = ["a/first.py", "a/second.py", "a/third.py"];

struct Desk {
    store: Store,
    record: Record,
    wheel: Vec<u8>,
    root: tempfile::TempDir,
}

/// A wheel of three files, as large as those that are unpacked early.
fn desk() -> Desk {
    let root = tempfile::tempdir().unwrap();
    let settings =
        Settings { cache_dir: root.path().join("cache"), ..Settings::from_env().unwrap() };
    let store = Store::new(&settings);
    store.create().unwrap();
    let mut wheel = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut files = Vec::new();
    for (at, path) in FILES.iter().enumerate() {
        let bytes = vec![b'a' + at as u8; 400 << 10];
        wheel.start_file(*path, options).unwrap();
        wheel.write_all(&bytes).unwrap();
        let (size, sha) = (bytes.len(), Digest::of(&bytes));
        files.push(format!(r#"{{"path":"{path}","url":"u","size":{size},"sha256":"{sha}"}}"#));
    }
    let wheel = wheel.finish().unwrap().into_inner();
    let text = format!(
        r#"{{"manifest":1,"namespace":"","modules":{{"a":{{"version":"1","files":[{}],
        "packs":[{{"format":"zip","url":"p","size":{},"sha256":"{}","paths":{}}}]}}}}}}"#,
        files.join(","),
        wheel.len(),
        Digest::of(&wheel),
        serde_json::to_string(&FILES).unwrap(),
    );
    let mut record = *Manifest::parse(text.as_bytes()).unwrap().modules().unwrap().0["a"].clone();
    record.packs[0].format = PackFormat::Wheel;
    for file in &mut record.files {
        file.place = Place::InPack { entry: file.path.clone() };
    }
    Desk { store, record, wheel, root }
}

impl Desk {
    fn part(&self) -> PathBuf {
        self.root.path().join("part")
    }

    fn start(&self) -> Early {
        Early::start(&self.store, &self.record, &self.part()).unwrap()
    }

    fn build(&self, early: Early) -> crate::error::Result<crate::store::tree::Tree> {
        let pack = self.record.packs[0].sha256;
        let source = |file: &crate::manifest::File| {
            let kept = Kept::InPack { pack, entry: file.entry().clone() };
            (file.path.clone(), Source { kept, file: None, fresh: true })
        };
        let sources = self.record.files.iter().map(source).collect();
        let (record, tree) = (&self.record, self.record.tree_digest());
        crate::assemble::build(
            &self.store,
            &tree,
            record,
            &sources,
            Reuse::WhatIsHere,
            early.finish(),
        )
    }

    /// Waits until so many files are there, whose bytes are whole.
    fn wait(&self, count: usize) {
        let until = Instant::now() + Duration::from_secs(60);
        let found = || {
            let folders = disk::list(&self.store.tmp()).unwrap();
            let folders = folders.iter().map(|folder| folder.join("a"));
            let files = folders.filter_map(|folder| disk::list(&folder).ok()).flatten();
            let whole =
                |path: &PathBuf| fs_err::metadata(path).is_ok_and(|it| it.len() == 400 << 10);
            files.filter(whole).count()
        };
        while found() < count {
            assert!(Instant::now() < until, "nothing was unpacked");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn is_clean(&self) -> bool {
        disk::list(&self.store.tmp()).unwrap().is_empty()
    }
}

fn enough_cores() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
}

#[test]
fn files_are_unpacked_before_the_rest_of_their_wheel_has_come() {
    if !enough_cores() {
        return;
    }
    let desk = desk();
    let (front, rest) = desk.wheel.split_at(900 << 10);
    fs_err::write(desk.part(), front).unwrap();
    let early = desk.start();
    desk.wait(2);
    let mut part = fs_err::OpenOptions::new().append(true).open(desk.part()).unwrap();
    part.write_all(rest).unwrap();
    desk.store.blobs().insert(&desk.wheel).unwrap();
    let tree = desk.build(early).unwrap();
    assert_eq!(tree.files.len(), 3);
    for file in &tree.files {
        tree.read(file).unwrap();
    }
    assert!(desk.is_clean());
}

#[test]
fn what_a_process_left_that_was_killed_goes_when_the_next_one_begins() {
    if !enough_cores() {
        return;
    }
    let desk = desk();
    let (wheel, tree) = (desk.record.packs[0].sha256, desk.record.tree_digest());
    let left = [format!("{wheel}.7.1.early"), format!("{tree}.7.2.tree")];
    for name in &left {
        fs_err::create_dir_all(desk.store.tmp().join(name).join("a")).unwrap();
    }
    fs_err::write(desk.part(), &desk.wheel).unwrap();
    let early = desk.start();
    // Whoever is at it keeps others from it.
    assert!(Early::start(&desk.store, &desk.record, &desk.part()).is_none());
    desk.store.blobs().insert(&desk.wheel).unwrap();
    desk.build(early).unwrap();
    assert!(desk.is_clean());
}

#[test]
fn what_is_no_file_of_the_tree_is_not_kept_and_an_unsound_wheel_makes_no_tree() {
    if !enough_cores() {
        return;
    }
    let mut desk = desk();
    // The second file is another one, in the same size.
    let second = desk.wheel.windows(3).position(|bytes| bytes == b"bbb").unwrap();
    desk.wheel[second + 5] = b'x';
    fs_err::write(desk.part(), &desk.wheel).unwrap();
    let early = desk.start();
    desk.wait(1);
    let placed = early.finish().unwrap();
    assert!(placed.files.len() <= 1, "{:?}", placed.files.keys());
    drop(placed);

    // All files are right, and something follows that no archive may have.
    let mut desk = self::desk();
    desk.wheel.push(b'!');
    fs_err::write(desk.part(), &desk.wheel).unwrap();
    desk.record.packs[0].size += 1;
    desk.record.packs[0].sha256 = Digest::of(&desk.wheel);
    let early = desk.start();
    desk.wait(3);
    desk.store.blobs().insert(&desk.wheel).unwrap();
    assert_eq!(desk.build(early).unwrap_err().kind(), Kind::Integrity);
    assert!(desk.is_clean());

    // Nobody wants it any more.
    drop(desk.start());
    let until = Instant::now() + Duration::from_secs(60);
    while !desk.is_clean() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(desk.is_clean());
}
