//! Views on disk: built whole or not at all, closed to everybody, made again when damaged.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::engine_support::{Client, World, files_below};
use magic_module::error::Kind;
use magic_module::name::{Digest, FilePath};
use magic_module::store::Store;
use magic_module::store::prune::prune;
use magic_module::store::view::{self, Entry, Plan};

const SIX: &str = "lib/python3.12/site-packages/six.py";
const METADATA: &str = "lib/python3.12/site-packages/six-1.dist-info/METADATA";

struct Place {
    _world: World,
    client: Client,
    identity: Digest,
    tree: Digest,
}

impl Place {
    /// A store in which one mount was used.
    fn new() -> Self {
        let world = World::new(&[("alpha.py", "__version__ = '1.0'\n")]);
        let client = world.client();
        client.import("alpha").unwrap();
        let identity = client.mount.identity;
        Self { _world: world, client, identity, tree: Digest::of(b"tree") }
    }

    fn store(&self) -> &Store {
        &self.client.session.engine.store
    }

    fn plan(&self, metadata: &str) -> Plan {
        let file = |text: &str, executable| Entry::File { bytes: text.into(), executable };
        let six = Entry::Tree { digest: self.tree, path: path(SIX) };
        let python = std::env::current_exe().unwrap();
        Plan(
            [
                (SIX, six),
                (METADATA, file(metadata, false)),
                ("bin/six", file("#!/bin/sh\nexit 7\n", true)),
                ("bin/python", Entry::Outside(python)),
                ("bin/python3", Entry::Beside(path("python"))),
                ("lib64", Entry::Beside(path("lib"))),
            ]
            .map(|(at, entry)| (path(at), entry))
            .into(),
        )
    }

    fn build(&self) -> PathBuf {
        view::build(self.store(), &self.identity, &self.plan("Name: six\n")).unwrap()
    }

    fn open(&self) -> Option<PathBuf> {
        view::open(self.store(), &self.identity).unwrap()
    }

    fn changed(&self) -> Vec<String> {
        view::changed(self.store(), &self.identity).unwrap()
    }
}

/// Nobody but root could remove what nobody may write to.
impl Drop for Place {
    fn drop(&mut self) {
        let views = self.store().views();
        folders_below(&views).iter().for_each(|folder| set_mode(folder, 0o755));
    }
}

fn path(text: &str) -> FilePath {
    FilePath::new(text).unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Every folder of the view can be written to for as long as `act` takes.
fn reopened<T>(folder: &Path, act: impl FnOnce() -> T) -> T {
    let folders: Vec<PathBuf> = folders_below(folder);
    folders.iter().for_each(|folder| set_mode(folder, 0o755));
    let done = act();
    folders.iter().filter(|folder| folder.is_dir()).for_each(|folder| set_mode(folder, 0o555));
    done
}

fn folders_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    let mut next = 0;
    while let Some(folder) = found.get(next).cloned() {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        found.extend(entries.filter(|e| e.file_type().unwrap().is_dir()).map(|e| e.path()));
        next += 1;
    }
    found
}

#[test]
fn links_lead_nowhere_until_their_tree_is_there() {
    let place = Place::new();
    assert_eq!(place.open(), None);
    let folder = place.build();
    assert_eq!(place.open().as_ref(), Some(&folder));
    assert_eq!(std::fs::read_to_string(folder.join(METADATA)).unwrap(), "Name: six\n");
    let six = folder.join(SIX);
    let target = six.read_link().unwrap();
    assert_eq!(target, Path::new("../../../../..").join(format!("trees/{}/{SIX}", place.tree)));
    assert!(!six.exists());

    let file = view_tree(&place).join(SIX);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "six = 6\n").unwrap();
    assert_eq!(std::fs::read_to_string(&six).unwrap(), "six = 6\n");
    assert_eq!(six.canonicalize().unwrap(), file.canonicalize().unwrap());

    assert!(folder.join("bin/python3").exists() && folder.join("lib64/python3.12").is_dir());
    assert_eq!(
        std::process::Command::new(folder.join("bin/six")).status().unwrap().code(),
        Some(7)
    );
}

fn view_tree(place: &Place) -> PathBuf {
    magic_module::store::tree::folder_of(place.store(), &place.tree)
}

#[test]
fn nobody_may_write_into_a_view() {
    let place = Place::new();
    let folder = place.build();
    for inside in folders_below(&folder) {
        assert_eq!(inside.metadata().unwrap().mode() & 0o222, 0, "{}", inside.display());
    }
    for file in [METADATA, "bin/six"] {
        let mode = folder.join(file).metadata().unwrap().mode();
        assert_eq!(mode & 0o222, 0, "{file}");
        assert_eq!(mode & 0o100 != 0, file == "bin/six");
    }
}

#[test]
fn a_view_that_stands_is_used_and_another_plan_makes_another() {
    let place = Place::new();
    let folder = place.build();
    let inode = |file: &str| folder.join(file).symlink_metadata().unwrap().ino();
    let before = (inode("bin"), inode(METADATA));
    assert_eq!(place.build(), folder);
    assert_eq!((inode("bin"), inode(METADATA)), before, "the same view");
    view::build(place.store(), &place.identity, &place.plan("Name: seven\n")).unwrap();
    assert_eq!(std::fs::read_to_string(folder.join(METADATA)).unwrap(), "Name: seven\n");
    assert_eq!(files_below(&place.store().tmp()), [""; 0].map(PathBuf::from));
}

type Change = (&'static str, fn(&Path), &'static [&'static str]);

const SITE: &str = "lib/python3.12/site-packages";

const CHANGES: &[Change] = &[
    (
        "added",
        |view| {
            std::fs::create_dir(view.join(SITE).join("new")).unwrap();
            std::fs::write(view.join(SITE).join("new/x.py"), "").unwrap();
        },
        &["lib/python3.12/site-packages/new"],
    ),
    ("overwritten", |view| overwrite(&view.join(METADATA)), &[METADATA]),
    ("removed", |view| std::fs::remove_file(view.join("bin/six")).unwrap(), &["bin/six"]),
    ("not to be executed", |view| set_mode(&view.join("bin/six"), 0o444), &["bin/six"]),
    ("open to others", |view| set_mode(&view.join(METADATA), 0o666), &[METADATA]),
    (
        "a link that leads elsewhere",
        |view| {
            std::fs::remove_file(view.join(SIX)).unwrap();
            std::os::unix::fs::symlink("/elsewhere", view.join(SIX)).unwrap();
        },
        &[SIX],
    ),
    (
        "a link in the place of a folder",
        |view| {
            std::fs::rename(view.join("bin"), view.join("nib")).unwrap();
            std::os::unix::fs::symlink("nib", view.join("bin")).unwrap();
        },
        &["bin", "bin/python", "bin/python3", "bin/six", "nib"],
    ),
];

fn overwrite(file: &Path) {
    set_mode(file, 0o644);
    std::fs::write(file, "Name: sox\n").unwrap();
    set_mode(file, 0o444);
}

#[test]
fn what_was_changed_is_named_and_the_view_is_made_anew() {
    let place = Place::new();
    let folder = place.build();
    assert_eq!(place.changed(), [""; 0]);
    for (what, change, expected) in CHANGES {
        reopened(&folder, || change(&folder));
        assert_eq!(place.changed(), *expected, "{what}");
        place.build();
        assert_eq!(place.changed(), [""; 0], "{what}");
    }
    std::fs::write(view::index_of(place.store(), &place.identity), "damaged").unwrap();
    assert_eq!(place.open(), None);
    place.build();
    assert_eq!(place.open(), Some(folder));
}

#[test]
fn after_another_boot_all_is_compared_once() {
    let place = Place::new();
    let folder = place.build();
    let index = view::index_of(place.store(), &place.identity);
    let text = std::fs::read_to_string(&index).unwrap();
    let body = text.splitn(3, '\n').nth(2).unwrap();
    let body = format!("another boot\n{}", body.split_once('\n').unwrap().1);
    let checksum = Digest::of(body.as_bytes());
    let other = format!("{}\n{checksum}\n{body}", text.split_once('\n').unwrap().0);

    std::fs::write(&index, &other).unwrap();
    assert_eq!(place.open().as_ref(), Some(&folder));
    assert_eq!(std::fs::read_to_string(&index).unwrap(), text, "compared");

    overwrite(&folder.join(METADATA));
    assert_eq!(place.open().as_ref(), Some(&folder), "this boot saw all of it");
    std::fs::write(&index, &other).unwrap();
    assert_eq!(place.open(), None);
}

#[test]
fn of_builders_at_once_all_get_one_view() {
    let place = Place::new();
    let (store, identity, plan) = (place.store(), &place.identity, place.plan("Name: six\n"));
    let inodes: Vec<u64> = std::thread::scope(|scope| {
        let build = || {
            let folder = view::build(store, identity, &plan).unwrap();
            folder.join("bin").metadata().unwrap().ino()
        };
        let builders: Vec<_> = (0..8).map(|_| scope.spawn(build)).collect();
        builders.into_iter().map(|builder| builder.join().unwrap()).collect()
    });
    assert!(inodes.iter().all(|inode| *inode == inodes[0]), "{inodes:?}");
    assert_eq!(place.changed(), [""; 0]);
    assert!(place.store().tmp().read_dir().unwrap().next().is_none());
}

#[test]
fn a_view_goes_with_its_mount() {
    let place = Place::new();
    let folder = place.build();
    prune(place.store(), None).unwrap();
    assert_eq!(place.open().as_ref(), Some(&folder));

    let other = Digest::of(b"another mount");
    let gone = view::build(place.store(), &other, &place.plan("")).unwrap();
    let half = place.store().tmp().join(format!("{other}.1.0.view"));
    std::fs::create_dir_all(half.join("bin")).unwrap();
    set_mode(&half.join("bin"), 0o555);
    prune(place.store(), None).unwrap();
    assert!(!gone.exists() && !view::index_of(place.store(), &other).exists());
    assert!(!half.exists() && folder.exists());
    let locks = place.store().root().join("locks");
    assert!(!locks.join(format!("{other}.view")).exists());
    assert!(locks.join(format!("{}.view", place.identity)).exists());
}

#[test]
fn a_view_that_others_may_write_to_is_refused() {
    let place = Place::new();
    let folder = place.build();
    set_mode(&folder, 0o757);
    let error = view::open(place.store(), &place.identity).unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    assert!(error.to_string().contains("others may write to it"), "{error}");
    place.build();
    assert_eq!(place.open().as_ref(), Some(&folder));
}

#[test]
fn a_plan_that_contradicts_itself_is_refused() {
    let place = Place::new();
    let mut plan = place.plan("");
    plan.0.insert(path("bin"), Entry::Beside(path("lib")));
    let error = view::build(place.store(), &place.identity, &plan).unwrap_err().to_string();
    assert!(error.contains("bin would be both a folder and a file"), "{error}");
    let mut plan = place.plan("");
    plan.0.insert(path("x"), Entry::Outside(PathBuf::from("/a\nb")));
    let error = view::build(place.store(), &place.identity, &plan).unwrap_err().to_string();
    assert!(error.contains("the target of x is not text"), "{error}");
    assert_eq!(place.open(), None);
}
