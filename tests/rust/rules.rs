//! The rules for what lies on this machine, those that no other file breaks on purpose.
//! `docs/concepts/rules.md` names the test of every rule.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use crate::engine_support::client::python;
use crate::engine_support::{World, files_below};
use magic_module::error::Kind;
use magic_module::name::Digest;
use magic_module::store::Reuse;
use magic_module::store::code::{CodePack, Interpreter, Trust};
use magic_module::store::prune::prune;
use magic_module::store::tree::{Scrutiny, Tree, index_of};

const LARGE: usize = (1 << 20) + 16;

/// A file that is too large for a pack, and small ones.
fn world() -> World {
    World::new(&[
        ("alpha/__init__.py", "__version__ = '1.0'\n"),
        ("alpha/inner.py", "x = 1\n"),
        ("alpha/data.txt", "1,2\n"),
        ("alpha/large.txt", &"0123456789abcdef".repeat(LARGE / 16)),
    ])
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Other bytes of the same length under the old time, as someone hides what was done.
fn swap_bytes(path: &Path, bytes: &[u8]) {
    let before = path.metadata().unwrap();
    set_mode(path, 0o644);
    std::fs::write(path, bytes).unwrap();
    let file = fs_err::File::options().write(true).open(path).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    set_mode(path, before.mode());
}

#[test]
fn every_folder_that_is_read_from_is_closed_to_others() {
    let world = world();
    let client = world.client();
    let unit = client.import("alpha").unwrap();
    let (root, mount) = (client.session.engine.store.root().to_path_buf(), &client.mount.folder);
    let own = [mount.generations(), mount.code(), unit.folder.clone()];
    for folder in [root.join("blobs")].into_iter().chain(own) {
        for mode in [0o775, 0o757] {
            set_mode(&folder, mode);
            let error = world.client().import("alpha").err().unwrap();
            assert_eq!(error.kind(), Kind::Store, "{}", folder.display());
            assert!(error.to_string().contains("others may write to it"), "{error}");
        }
        set_mode(&folder, 0o755);
        world.client().import("alpha").unwrap();
    }
}

#[test]
fn a_file_of_the_store_that_others_may_write_to_is_believed_by_nobody() {
    let world = world();
    let client = world.client();
    let unit = client.import("alpha").unwrap();
    let (store, folder) = (&client.session.engine.store, &client.mount.folder);
    let index = index_of(store, &unit.digest);
    set_mode(&index, 0o664);
    assert!(Tree::open(store, &unit.digest).unwrap().is_none());
    assert_eq!(world.client().text("alpha", "alpha/inner.py"), "x = 1\n");
    assert_eq!(index.metadata().unwrap().mode() & 0o777, 0o644, "written again");

    let generation = folder.generations().join("1");
    set_mode(&generation, 0o646);
    assert!(folder.read(1).unwrap().is_none());
    set_mode(&generation, 0o644);
    assert!(folder.read(1).unwrap().is_some());
    let state = folder.path.join("state");
    set_mode(&state, 0o666);
    assert_eq!(folder.state().unwrap().manifest, None);
    let elsewhere = world.folder("elsewhere");
    std::fs::rename(&state, &elsewhere).unwrap();
    set_mode(&elsewhere, 0o644);
    std::os::unix::fs::symlink(&elsewhere, &state).unwrap();
    assert_eq!(folder.state().unwrap().manifest, None, "a link leads to somebody else's");
    assert_eq!(world.client().text("alpha", "alpha/inner.py"), "x = 1\n");
}

#[test]
fn what_nobody_reads_is_compared_with_its_stamp_when_the_root_is_loaded() {
    let world = world();
    let unit = world.client().import("alpha").unwrap();
    let path = unit.folder.join("alpha/data.txt");
    let good = std::fs::read(&path).unwrap();
    swap_bytes(&path, &vec![b'x'; good.len()]);
    world.server.down(true);
    world.client().import("alpha").unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), good, "neither size nor time told, the stamp did");
}

#[test]
fn what_is_damaged_is_mended_by_a_rename() {
    let world = world();
    let unit = world.client().import("alpha").unwrap();
    let path = unit.folder.join("alpha/inner.py");
    swap_bytes(&path, b"x = 2\n");
    let before = fs_err::File::open(&path).unwrap();
    assert_eq!(world.client().text("alpha", "alpha/inner.py"), "x = 1\n");
    assert_eq!(std::io::read_to_string(before).unwrap(), "x = 2\n", "who has it open keeps it");
}

#[test]
fn code_is_bound_to_mount_tree_interpreter_and_format() {
    let folder = tempfile::tempdir().unwrap();
    let (mount, tree, source) = (Digest::of(b"mount"), Digest::of(b"tree"), Digest::of(b"source"));
    let interpreter =
        Interpreter { cache_tag: "cpython-313".into(), magic: vec![1, 2], optimization: 0 };
    let open = |mount: &Digest, tree: &Digest, interpreter: &Interpreter| {
        CodePack::open(folder.path(), mount, tree, interpreter, Trust::Published)
    };
    open(&mount, &tree, &interpreter).add("a.py", &source, b"code");
    let good = only_file(folder.path());
    let bytes = std::fs::read(&good).unwrap();
    let other = Digest::of(b"other");
    let with = |change: fn(&mut Interpreter)| {
        let mut changed = interpreter.clone();
        change(&mut changed);
        changed
    };
    let others = [
        (other, tree, interpreter.clone()),
        (mount, other, interpreter.clone()),
        (mount, tree, with(|it| it.cache_tag = "cpython-312".into())),
        (mount, tree, with(|it| it.magic = vec![1, 3])),
        (mount, tree, with(|it| it.optimization = 2)),
    ];
    for (mount, tree, interpreter) in others {
        std::fs::remove_file(&good).unwrap();
        open(&mount, &tree, &interpreter).add("b.py", &source, b"other code");
        let path = only_file(folder.path());
        let head = std::fs::read(&path).unwrap();
        // The whole pack in the other's place, then its entries under the other's own head.
        let header = "magic_module code 1\n".len() + 32;
        for stranger in [bytes.clone(), [&head[..header], &bytes[header..]].concat()] {
            std::fs::write(&path, stranger).unwrap();
            let got = open(&mount, &tree, &interpreter).get("a.py", &source);
            assert!(got.is_none(), "{interpreter:?}");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&good, &bytes).unwrap();
    }
    let got = open(&mount, &tree, &interpreter).get("a.py", &source);
    assert_eq!(got.unwrap().as_ref(), b"code");
    let later = String::from_utf8_lossy(&bytes[..20]).replace('1', "2");
    std::fs::write(&good, [later.as_bytes(), &bytes[20..]].concat()).unwrap();
    assert!(open(&mount, &tree, &interpreter).get("a.py", &source).is_none(), "another format");
}

fn only_file(folder: &Path) -> PathBuf {
    let files = files_below(folder);
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn two_mounts_of_one_tree_share_its_files_and_not_its_code() {
    let world = world();
    let mut options = world.options();
    let one = world.client();
    // The same site under another address is another mount.
    options.manifest_url = options.manifest_url.replace("127.0.0.1", "localhost");
    let two = crate::engine_support::Client::new(options);
    let (first, second) = (one.import("alpha").unwrap(), two.import("alpha").unwrap());
    assert_eq!(first.folder, second.folder);
    let (python, source) = (python(&world.options()), Digest::of(b"source"));
    first.code(&python).unwrap().add("alpha/inner.py", &source, b"code");
    assert!(second.code(&python).unwrap().get("alpha/inner.py", &source).is_none());
    assert_eq!(files_below(&two.mount.folder.code()), [] as [PathBuf; 0]);
    assert_eq!(files_below(&one.mount.folder.code()).len(), 1);
}

#[test]
fn only_files_that_nobody_writes_to_share_an_inode() {
    let world = world();
    let client = world.client();
    let unit = client.import("alpha").unwrap();
    for file in files_below(&client.session.engine.store.trees()) {
        let metadata = file.metadata().unwrap();
        let mode = metadata.mode() & 0o7777;
        assert!(metadata.nlink() == 1 || mode == 0o444, "{} {mode:o}", file.display());
    }
    let tree = unit.tree().unwrap();
    let at = tree.position("alpha/large.txt").unwrap();
    let large = unit.folder.join("alpha/large.txt");
    let blob = client.session.engine.store.blobs().path(&tree.files[at].sha256);
    assert!(blob.exists(), "a large file comes as a file of its own");
    set_mode(&blob, 0o644);
    std::fs::remove_dir_all(&unit.folder).unwrap();
    std::fs::remove_file(index_of(&client.session.engine.store, &unit.digest)).unwrap();
    world.client().import("alpha").unwrap();
    assert_eq!(large.metadata().unwrap().nlink(), 1, "its blob may be written to");
    assert_eq!(large.metadata().unwrap().len() as usize, LARGE);
}

#[test]
fn a_temporary_file_without_a_lock_lives_for_a_day() {
    let world = world();
    let client = world.client();
    client.import("alpha").unwrap();
    let store = &client.session.engine.store;
    let hours = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3600);
    // The number of a process that lives keeps nothing alive, and one that is gone ends nothing.
    for (name, time) in [
        (format!("old.{}.0.new", std::process::id()), hours(25)),
        ("young.4194303.0.new".to_owned(), hours(23)),
    ] {
        let file = fs_err::File::create(store.tmp().join(name)).unwrap();
        file.set_modified(time).unwrap();
    }
    let living = format!("{}.{}.0.part", Digest::of(b"dead"), std::process::id());
    std::fs::write(store.tmp().join(living), "half").unwrap();
    prune(store, None).unwrap();
    let left = files_below(&store.tmp());
    assert_eq!(left, [store.tmp().join("young.4194303.0.new")]);
}

#[test]
fn what_can_be_seen_is_whole() {
    let world = World::empty("acme");
    for number in 0..4_u8 {
        let text = char::from(b'a' + number).to_string().repeat(1 << 20);
        world.write(&format!("unit_{number}/__init__.py"), "");
        world.write(&format!("unit_{number}/data.txt"), &text);
    }
    world.publish();
    let client = world.client();
    client.find("unit_0").unwrap();
    let store = client.session.engine.store.clone();
    let ended = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut seen = 0;
            while !ended.load(Ordering::SeqCst) {
                for blob in files_below(&store.root().join("blobs")) {
                    let name = blob.file_name().unwrap().to_str().unwrap().to_owned();
                    assert_eq!(Digest::of(&std::fs::read(&blob).unwrap()).to_hex(), name);
                    assert_eq!(blob.metadata().unwrap().mode() & 0o777, 0o444);
                    seen += 1;
                }
                for index in std::fs::read_dir(store.trees()).unwrap() {
                    let index = index.unwrap().path();
                    if index.extension().is_some_and(|suffix| suffix == "index") {
                        let digest = Digest::new(index.file_stem().unwrap().to_str().unwrap());
                        let mut tree = Tree::open(&store, &digest.unwrap()).unwrap().unwrap();
                        assert!(
                            tree.check(&store, Scrutiny::Bytes).damaged.is_empty(),
                            "{}",
                            index.display()
                        );
                    }
                }
            }
            seen
        });
        for number in 0..4 {
            client.import(&format!("unit_{number}")).unwrap();
        }
        ended.store(true, Ordering::SeqCst);
        watching.join().unwrap()
    });
    assert!(seen > 4, "{seen}");
}

#[test]
fn a_path_of_a_tree_never_holds_anything_else() {
    let world = World::new(&[("alpha.py", "__version__ = '1.0'\n")]);
    let mut known: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    let trees = world.client().session.engine.store.trees();
    let mut look = || {
        for file in files_below(&trees).into_iter().filter(|file| file.ends_with("alpha.py")) {
            let bytes = std::fs::read(&file).unwrap();
            let before = known.entry(file.clone()).or_insert_with(|| bytes.clone());
            assert_eq!(*before, bytes, "{}", file.display());
        }
        known.len()
    };
    let client = world.client();
    client.import("alpha").unwrap();
    assert_eq!(look(), 1);
    for version in ["2.0", "3.0"] {
        world.write("alpha.py", &format!("__version__ = '{version}'\n"));
        world.publish();
        client.upgrade(&["alpha"]).unwrap();
        look();
        client.upgrade_with(&["alpha"], Reuse::Nothing).unwrap();
        look();
    }
    client.rollback("alpha").unwrap();
    prune(&client.session.engine.store, None).unwrap();
    client.upgrade(&["alpha"]).unwrap();
    assert_eq!(look(), 3, "each version had a path of its own");
}
