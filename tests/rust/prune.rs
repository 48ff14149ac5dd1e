//! Making room: what is in use, was in use just now, or is about to be, stays.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::engine_support::{World, files_below};
use magic_module::error::Kind;
use magic_module::name::Digest;
use magic_module::store::Reuse;
use magic_module::store::Store;
use magic_module::store::prune::{Pruned, prune, prune_within};
use magic_module::store::tree::Tree;
use magic_module::store::wheels;
use magic_module::wheel::Contents;

fn world() -> World {
    World::new(&[
        ("alpha.py", "__version__ = '1.0'\n"),
        ("beta.py", "# beta\n__version__ = '1.0'\n"),
    ])
}

fn release(world: &World, version: &str) {
    world.write("alpha.py", &format!("__version__ = '{version}'\n"));
    world.publish();
}

fn trees(store: &Store) -> usize {
    std::fs::read_dir(store.trees()).unwrap().count() / 2
}

#[test]
fn the_current_the_previous_and_the_bound_generation_stay() {
    let world = world();
    let oldest = world.client();
    oldest.import("alpha").unwrap();
    let client = world.client();
    for version in ["2.0", "3.0", "4.0"] {
        release(&world, version);
        client.upgrade(&["alpha"]).unwrap();
    }
    let store = &client.session.engine.store;
    assert_eq!(trees(store), 4);
    let pruned = prune(store, None).unwrap();
    assert!(pruned.bytes > 0, "{pruned:?}");
    assert_eq!(trees(store), 3, "2.0 is nobody's");
    world.server.down(true);
    assert_eq!(oldest.text("alpha", "alpha.py"), "__version__ = '1.0'\n");

    drop(oldest);
    prune(store, None).unwrap();
    assert_eq!(trees(store), 2);
    assert_eq!(client.rollback("alpha").unwrap(), ["alpha: 4.0 -> 3.0"]);
    assert_eq!(world.client().text("alpha", "alpha.py"), "__version__ = '3.0'\n");
    let nothing = Pruned { removed: Vec::new(), bytes: 0 };
    prune(store, None).unwrap();
    assert_eq!(prune(store, None).unwrap(), nothing, "a second time there is nothing to do");
}

#[test]
fn a_limit_costs_what_previous_trees_are_made_from_but_never_a_rollback() {
    let world = world();
    let client = world.client();
    let before = client.import("alpha").unwrap();
    release(&world, "2.0");
    client.upgrade(&["alpha"]).unwrap();
    let after = client.import("alpha").unwrap();
    let store = client.session.engine.store.clone();
    let blob = |unit: &magic_module::unit::Unit| {
        let tree = Tree::open(&store, &unit.digest).unwrap().unwrap();
        store.blobs().path(tree.blobs().first().unwrap()).exists()
    };
    prune(&store, Some(u64::MAX)).unwrap();
    assert!(blob(&before) && blob(&after));
    prune(&store, Some(0)).unwrap();
    assert!(!blob(&before) && blob(&after));
    world.server.down(true);
    assert_eq!(world.client().text("alpha", "alpha.py"), "__version__ = '2.0'\n");
    drop(client);
    let client = world.client();
    prune(&store, Some(0)).unwrap();
    assert_eq!(client.rollback("alpha").unwrap(), ["alpha: 2.0 -> 1.0"]);
    assert_eq!(world.client().text("alpha", "alpha.py"), "__version__ = '1.0'\n");
}

#[test]
fn nothing_is_pruned_from_under_a_running_download() {
    let world = world();
    let (client, store) = (world.client(), world.client().session.engine.store.clone());
    client.find("alpha").unwrap();
    let refused = Arc::new(AtomicUsize::new(0));
    let (count, other) = (refused.clone(), store.clone());
    world.server.before(move |path| {
        if path.starts_with("files/") {
            let error = prune_within(&other, None, Duration::ZERO).unwrap_err();
            assert_eq!(error.kind(), Kind::Store);
            assert_eq!(
                error.to_string(),
                "cannot prune the cache while something is downloaded into it; \
                 try again when the download has ended"
            );
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    client.import("alpha").unwrap();
    assert_eq!(refused.load(Ordering::SeqCst), 1);
    // An upgrade that is prepared and not committed is as much under way.
    release(&world, "2.0");
    let names = ["alpha".to_owned()];
    let prepared = client
        .wait(client.session.prepare_upgrade(&client.mount, &names, Reuse::WhatIsHere))
        .unwrap();
    assert!(prune_within(&store, None, Duration::ZERO).is_err());
    client.session.commit(&prepared).unwrap();
    drop(prepared);
    prune_within(&store, None, Duration::ZERO).unwrap();
    world.server.down(true);
    assert_eq!(client.text("alpha", "alpha.py"), "__version__ = '2.0'\n");
}

#[test]
fn what_a_dead_process_left_half_goes_and_what_a_living_one_writes_stays() {
    let world = world();
    let client = world.client();
    client.import("alpha").unwrap();
    let store = &client.session.engine.store;
    let digest = magic_module::name::Digest::of(b"something");
    let left = [format!("{digest}.part"), format!("{digest}.tree")];
    std::fs::write(store.tmp().join(&left[0]), "half").unwrap();
    std::fs::create_dir(store.tmp().join(&left[1])).unwrap();
    std::fs::write(store.tmp().join(&left[1]).join("half.py"), "half").unwrap();
    let writing = magic_module::name::Digest::of(b"else");
    let begun = store.blobs().begin(&writing, 4, Reuse::WhatIsHere).unwrap();
    prune(store, None).unwrap();
    let names: Vec<String> = files_below(&store.tmp())
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names, [format!("{writing}.part")]);
    drop(begun);
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_pruning_it() {
    let world = world();
    let client = world.client();
    assert_eq!(prune(&client.session.engine.store, None).unwrap(), Pruned::default());
    assert!(!world.cache().exists());
}

#[test]
fn lazy_files_stay_with_their_unit() {
    let world = World::new(&[
        ("big/__init__.py", "b = 1\n"),
        ("big/data.bin", "lots of data"),
        ("magic-module.toml", "[big]\nlazy = ['data.bin']\n"),
    ]);
    let client = world.client();
    let unit = client.import("big").unwrap();
    let path = client.wait(client.session.data_path(&client.mount, &unit, "data.bin")).unwrap();
    prune(&client.session.engine.store, None).unwrap();
    assert_eq!(std::fs::read_to_string(path).unwrap(), "lots of data");
}

#[test]
fn what_is_known_of_a_wheel_stays_while_a_lock_in_use_names_it() {
    let world = world();
    let [named, forgotten] = [b"one", b"two"].map(|bytes| Digest::of(bytes));
    let text = std::fs::read_to_string(world.manifest()).unwrap();
    let resolved = format!(r#"{{"resolved": {{"units": {{"x": {{"sha256": "{named}"}}}}}},"#);
    std::fs::write(world.manifest(), text.replacen('{', &resolved, 1)).unwrap();
    let client = world.client();
    client.import("alpha").unwrap();
    let store = &client.session.engine.store;
    for sha256 in [named, forgotten] {
        let (dist_info, files, texts) = (String::new(), Vec::new(), BTreeMap::new());
        let known = Contents { sha256, size: 1, dist_info, files, texts };
        wheels::keep(store, &known).unwrap();
        assert_eq!(wheels::read(store, &sha256).unwrap(), Some(known));
    }
    prune(store, None).unwrap();
    assert_eq!(wheels::all(store).unwrap(), [named].into());
}
