//! Upgrade, rollback, trying out, and what other processes see of it.

use crate::engine_support::{Client, ClientOptions, World};
use magic_module::error::Kind;
use magic_module::store::Reuse;

fn world() -> World {
    World::new(&[
        ("alpha.py", "__version__ = '1.0'\n"),
        ("beta.py", "# beta\n__version__ = '1.0'\n"),
        ("gamma.py", "# gamma\n__version__ = '1.0'\n"),
        ("magic-module.toml", "[alpha]\nrequires = ['beta']\n"),
    ])
}

fn release(world: &World, unit: &str, version: &str) {
    let comment = if unit == "alpha" { String::new() } else { format!("# {unit}\n") };
    world.write(&format!("{unit}.py"), &format!("{comment}__version__ = '{version}'\n"));
    world.publish();
}

const NOTHING: Vec<String> = Vec::new();

#[test]
fn an_upgrade_moves_the_closure_and_other_processes_stay() {
    let world = world();
    let (client, other) = (world.client(), world.client());
    client.import("alpha").unwrap();
    other.import("alpha").unwrap();
    assert_eq!(client.upgrade(&["alpha"]).unwrap(), NOTHING);
    release(&world, "alpha", "2.0");
    release(&world, "beta", "2.0");
    world.server.hits();
    assert_eq!(client.upgrade(&["alpha"]).unwrap(), ["alpha: 1.0 -> 2.0", "beta: 1.0 -> 2.0"]);
    assert_eq!(world.server.hits().len(), 3);
    assert_eq!(client.text("alpha", "alpha.py"), "__version__ = '2.0'\n");
    assert_eq!(other.active(), ["alpha 1.0", "beta 1.0"]);
    assert_eq!(other.text("beta", "beta.py"), "# beta\n__version__ = '1.0'\n");
    assert_eq!(world.client().text("beta", "beta.py"), "# beta\n__version__ = '2.0'\n");

    world.server.down(true);
    assert_eq!(client.rollback("beta").unwrap(), ["alpha: 2.0 -> 1.0", "beta: 2.0 -> 1.0"]);
    assert_eq!(world.client().active(), ["alpha 1.0", "beta 1.0"]);
    assert_eq!(client.text("alpha", "alpha.py"), "__version__ = '1.0'\n");
    assert_eq!(client.rollback("alpha").unwrap(), NOTHING);
}

#[test]
fn what_requires_a_moved_unit_moves_too() {
    let world = world();
    let client = world.client();
    client.import("alpha").unwrap();
    client.import("gamma").unwrap();
    release(&world, "alpha", "2.0");
    release(&world, "beta", "2.0");
    release(&world, "gamma", "2.0");
    // The dependent has the same bytes in both manifests; what it requires has not.
    assert_eq!(client.upgrade(&["beta"]).unwrap(), ["beta: 1.0 -> 2.0", "alpha: 1.0 -> 2.0"]);
    assert_eq!(client.active(), ["alpha 2.0", "beta 2.0", "gamma 1.0"]);
}

#[test]
fn a_unit_that_stays_takes_its_requirements_from_the_newest_manifest() {
    let world = world();
    let client = world.client();
    client.import("alpha").unwrap();
    release(&world, "beta", "2.0");
    assert_eq!(client.upgrade(&["alpha"]).unwrap(), ["beta: 1.0 -> 2.0"]);
}

#[test]
fn a_version_without_a_changed_byte_is_a_move_in_every_process() {
    let world = world();
    let client = world.client();
    client.import("gamma").unwrap();
    let first = client.import("gamma").unwrap().digest;
    world.write("magic-module.toml", "[alpha]\nrequires = ['beta']\n[gamma]\nversion = '1.0.1'\n");
    world.publish();
    assert_eq!(client.upgrade(&["gamma"]).unwrap(), ["gamma: 1.0 -> 1.0.1"]);
    assert_eq!(client.active(), ["gamma 1.0.1"]);
    assert_eq!(client.import("gamma").unwrap().digest, first);
    assert_eq!(client.upgrade(&["gamma"]).unwrap(), NOTHING);
}

#[test]
fn another_interpreters_dependent_does_not_hold_up_an_upgrade() {
    let variants = "[{ tag = 'cp313-cp313-test', folder = 'variants/a' }, { tag = 'cp312-cp312-test', folder = 'variants/b' }]";
    let world = World::new(&[
        ("fast/__init__.py", ""),
        ("variants/a/fast/core.cpython-313.so", "thirteen"),
        ("variants/b/fast/core.cpython-312.so", "twelve"),
        ("base.py", "__version__ = '1.0'\n"),
        (
            "magic-module.toml",
            &format!("[fast]\nversion = '1.0'\nrequires = ['base']\nvariants = {variants}\n"),
        ),
    ]);
    let twelve = Client::new(ClientOptions {
        python: (".cpython-312.so", &["cp312-cp312-test"]),
        ..world.options()
    });
    twelve.import("fast").unwrap();
    release(&world, "base", "2.0");
    let client = world.client();
    assert_eq!(client.upgrade(&["base"]).unwrap(), ["base: 1.0 -> 2.0"]);
    // Variants that a unit loses or gains do not leave its old form in the way.
    world.write("magic-module.toml", "[fast]\nversion = '2.0'\nrequires = ['base']\n");
    std::fs::remove_dir_all(world.source.join("variants")).unwrap();
    world.publish();
    let twelve = Client::new(ClientOptions {
        python: (".cpython-312.so", &["cp312-cp312-test"]),
        ..world.options()
    });
    twelve.upgrade(&["fast"]).unwrap();
    let files: Vec<String> = twelve.read("fast").unwrap().into_keys().collect();
    assert_eq!(files, ["fast/__init__.py"]);
    twelve.rollback("fast").unwrap();
    let files: Vec<String> = twelve.read("fast").unwrap().into_keys().collect();
    assert_eq!(files, ["fast/__init__.py", "fast/core.cpython-312.so"]);
}

#[test]
fn a_failed_upgrade_changes_nothing() {
    let world = world();
    let client = world.client();
    client.import("alpha").unwrap();
    release(&world, "alpha", "2.0");
    let before = std::fs::read(client.mount.folder.path.join("current")).unwrap();
    let manifest = std::fs::read(world.manifest()).unwrap();
    let manifest = magic_module::manifest::Manifest::parse(&manifest).unwrap();
    let file = &manifest.modules().unwrap().0["alpha"].files[0];
    std::fs::write(world.site.join(file.url().unwrap().as_str()), "x").unwrap();
    assert_eq!(client.upgrade(&["alpha"]).unwrap_err().kind(), Kind::Integrity);
    assert_eq!(std::fs::read(client.mount.folder.path.join("current")).unwrap(), before);
    assert_eq!(client.text("alpha", "alpha.py"), "__version__ = '1.0'\n");
    assert_eq!(world.client().active(), ["alpha 1.0", "beta 1.0"]);
    assert_eq!(
        client.sentence(client.upgrade(&["alpah"])),
        "acme.alpah is not in the manifest SITE/manifest.json; did you mean acme.alpha?"
    );
}

#[test]
fn what_is_imported_while_an_upgrade_is_tried_out_stays_and_the_try_does_not() {
    let world = world();
    let client = world.client();
    client.import("alpha").unwrap();
    release(&world, "alpha", "2.0");
    let names = ["alpha".to_owned()];
    let prepared = client
        .wait(client.session.prepare_upgrade(&client.mount, &names, Reuse::WhatIsHere))
        .unwrap();
    let before = client.session.preview(&prepared).unwrap().unwrap();
    assert_eq!(client.active(), ["alpha 2.0", "beta 1.0"]);
    client.import("gamma").unwrap();
    assert_eq!(world.client().active(), ["alpha 1.0", "beta 1.0", "gamma 1.0"]);
    // It failed.
    client.mount.rebind(before);
    drop(prepared);
    assert_eq!(client.active()[0], "alpha 1.0");
    assert_eq!(world.client().active(), ["alpha 1.0", "beta 1.0", "gamma 1.0"]);
    // And now it does not.
    let prepared = client
        .wait(client.session.prepare_upgrade(&client.mount, &names, Reuse::WhatIsHere))
        .unwrap();
    client.session.preview(&prepared).unwrap();
    client.session.commit(&prepared).unwrap();
    assert_eq!(world.client().active(), ["alpha 2.0", "beta 1.0", "gamma 1.0"]);
}

#[test]
fn two_processes_that_make_the_same_move_make_one_step() {
    let world = world();
    let (one, two) = (world.client(), world.client());
    one.import("gamma").unwrap();
    two.import("gamma").unwrap();
    release(&world, "gamma", "2.0");
    one.upgrade(&["gamma"]).unwrap();
    assert_eq!(two.upgrade(&["gamma"]).unwrap(), ["gamma: 1.0 -> 2.0"]);
    assert_eq!(two.rollback("gamma").unwrap(), ["gamma: 2.0 -> 1.0"]);
    assert_eq!(world.client().active(), ["gamma 1.0"]);
}

#[test]
fn a_process_that_stayed_behind_does_not_take_others_back() {
    let world = world();
    let (one, two) = (world.client(), world.client());
    one.import("gamma").unwrap();
    two.import("gamma").unwrap();
    release(&world, "gamma", "2.0");
    release(&world, "beta", "2.0");
    one.upgrade(&["gamma"]).unwrap();
    two.import("alpha").unwrap();
    assert_eq!(two.active(), ["alpha 1.0", "beta 1.0", "gamma 1.0"]);
    assert_eq!(world.client().active(), ["gamma 2.0"]);
}

#[test]
fn force_fetches_every_byte_again() {
    let world = world();
    let client = world.client();
    client.import("alpha").unwrap();
    world.server.hits();
    assert_eq!(client.upgrade_with(&["alpha"], Reuse::Nothing).unwrap(), NOTHING);
    assert_eq!(world.server.hits().len(), 3, "the manifest, alpha and beta");
    assert_eq!(client.text("alpha", "alpha.py"), "__version__ = '1.0'\n");
    assert_eq!(world.server.hits(), []);
}

#[test]
fn a_rollback_of_what_is_gone_from_cache_and_site_says_so() {
    let world = world();
    let client = world.client();
    client.import("gamma").unwrap();
    release(&world, "gamma", "2.0");
    client.upgrade(&["gamma"]).unwrap();
    std::fs::remove_dir_all(client.session.engine.store.trees()).unwrap();
    std::fs::remove_dir_all(client.session.engine.store.root().join("blobs")).unwrap();
    // The site still has it.
    let later = world.client();
    assert_eq!(later.rollback("gamma").unwrap(), ["gamma: 2.0 -> 1.0"]);
    assert_eq!(later.text("gamma", "gamma.py"), "# gamma\n__version__ = '1.0'\n");
}

#[test]
fn a_unit_that_its_author_removed_does_not_hold_up_the_others() {
    let world = world();
    let client = world.client();
    client.import("alpha").unwrap();
    client.import("gamma").unwrap();
    std::fs::remove_file(world.source.join("gamma.py")).unwrap();
    release(&world, "beta", "2.0");
    let movable = client.wait(client.session.upgradable(&client.mount)).unwrap();
    assert_eq!(movable, ["alpha", "beta"]);
    assert_eq!(client.upgrade(&["alpha", "beta"]).unwrap(), ["beta: 1.0 -> 2.0"]);
    assert_eq!(client.text("gamma", "gamma.py"), "# gamma\n__version__ = '1.0'\n");
}

#[test]
fn a_tree_that_is_lost_comes_back_with_its_own_bytes() {
    let world = world();
    world.client().import("gamma").unwrap();
    // The same version with other bytes: what is active stays what it was.
    world.write("gamma.py", "# changed\n__version__ = '1.0'\n");
    world.publish();
    let client = world.client();
    std::fs::remove_dir_all(client.session.engine.store.trees()).unwrap();
    client.wait(client.session.available_now(&client.mount)).unwrap();
    assert_eq!(client.text("gamma", "gamma.py"), "# gamma\n__version__ = '1.0'\n");
    assert_eq!(client.upgrade(&["gamma"]).unwrap(), ["gamma: 1.0 -> 1.0"]);
    assert_eq!(client.text("gamma", "gamma.py"), "# changed\n__version__ = '1.0'\n");
}
