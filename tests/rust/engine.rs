//! The engine through its public door: what is published is served, looked up, fetched,
//! made active, moved and read back. The other files take one idea each.

#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may, and makes its own folders"
)]

mod catalogue;
mod choosing;
#[cfg(unix)]
mod crowd;
mod engine_support;
mod prune;
#[cfg(unix)]
mod rules;
mod signatures;
#[cfg(unix)]
mod store;
mod upgrades;
#[cfg(unix)]
mod views;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use engine_support::{Client, ClientOptions, World};
use magic_module::error::Kind;
use magic_module::session::{Lookup, Silence, TopLevel};
use magic_module::store::generation::State;

const ALPHA: &[(&str, &str)] = &[("alpha.py", "__version__ = '1.0'\n"), ("alpha.csv", "a,b\n")];

#[test]
fn a_first_import_fetches_and_a_second_process_asks_nobody() {
    let world = World::new(ALPHA);
    let client = world.client();
    let located = client.find("alpha").unwrap().unwrap();
    assert!(located.root && located.unit.tree().is_none(), "the spec needs no download");
    assert_eq!(world.server.paths(), ["manifest.json"]);
    assert_eq!(client.text("alpha", "alpha.csv"), "a,b\n");
    let paths = world.server.paths();
    assert!(paths.len() == 1 && paths[0].starts_with("packs/"), "{paths:?}");
    assert_eq!(client.active(), ["alpha 1.0"]);

    world.server.down(true);
    let second = world.client();
    assert!(second.session.is_ready(&second.find("alpha").unwrap().unwrap().unit).unwrap());
    assert_eq!(second.text("alpha", "alpha.py"), "__version__ = '1.0'\n");
    assert_eq!(second.active(), ["alpha 1.0"]);
    assert_eq!(world.server.hits(), []);
}

#[test]
fn requirements_come_along_even_in_a_circle() {
    let world = World::new(&[
        ("alpha.py", "a = 1\n"),
        ("beta.py", "b = 1\n"),
        ("gamma.py", "c = 1\n"),
        ("delta.py", "d = 1\n"),
        (
            "magic-module.toml",
            "[alpha]\nrequires = ['beta']\n[beta]\nrequires = ['gamma']\n[gamma]\nrequires = ['alpha']\n",
        ),
    ]);
    let client = world.client();
    client.import("beta").unwrap();
    let names: Vec<String> =
        client.active().iter().map(|unit| unit.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(names, ["alpha", "beta", "gamma"]);
    assert_eq!(world.server.hits().len(), 4);
    world.server.down(true);
    assert_eq!(client.text("gamma", "gamma.py"), "c = 1\n");
}

#[test]
fn a_closure_that_fails_leaves_nothing_active() {
    let world = World::new(&[
        ("alpha.py", "a = 1\n"),
        ("beta.py", "b = 1\n"),
        ("magic-module.toml", "[alpha]\nrequires = ['beta']\n"),
    ]);
    let client = world.client();
    let beta = {
        let manifest = std::fs::read(world.manifest()).unwrap();
        let manifest = magic_module::manifest::Manifest::parse(&manifest).unwrap();
        let file = &manifest.modules().unwrap().0["beta"].files[0];
        world.site.join(file.url().unwrap().as_str())
    };
    std::fs::write(&beta, "b = 2\n").unwrap();
    let error = client.import("alpha").err().unwrap();
    assert_eq!(error.kind(), Kind::Integrity);
    assert_eq!(client.active(), Vec::<String>::new());
    // Wrong bytes are asked for once: nothing in the cache was to blame.
    let paths = world.server.paths();
    let wrong = paths.iter().filter(|path| world.site.join(path) == beta).count();
    assert_eq!(wrong, 1, "{paths:?}");
    assert_eq!(paths.iter().filter(|path| *path == "manifest.json").count(), 2, "{paths:?}");

    std::fs::write(&beta, "b = 1\n").unwrap();
    client.import("alpha").unwrap();
    assert_eq!(client.active().len(), 2);
}

#[test]
fn a_tree_stands_before_the_rest_of_its_closure_has_come() {
    let world = World::new(&[
        ("alpha.py", "a = 1\n"),
        ("beta.py", "b = 1\n"),
        ("magic-module.toml", "[alpha]\nrequires = ['beta']\n"),
    ]);
    let trees = world.cache().join("v1/trees");
    let standing = move || {
        let entries = std::fs::read_dir(&trees).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|it| it == "index")).count()
    };
    let (seen, asked) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let found = seen.clone();
    world.server.before(move |path| {
        // The second artifact is held back until the tree of the first stands.
        if path == "manifest.json" || asked.fetch_add(1, Ordering::SeqCst) == 0 {
            return;
        }
        let until = Instant::now() + Duration::from_secs(60);
        while standing() == 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        found.store(standing(), Ordering::SeqCst);
    });
    world.client().import("alpha").unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), 1);
}

#[test]
fn an_absent_name_costs_one_conditional_request_and_none_within_the_hour() {
    let world = World::new(ALPHA);
    world.client().import("alpha").unwrap();
    world.server.hits();

    let client = world.client();
    assert!(client.find("nothing").unwrap().is_none());
    let hits = world.server.hits();
    assert_eq!(hits.len(), 1);
    assert!(hits[0].conditional && hits[0].status == 304, "{hits:?}");
    for name in ["nothing", "other", "alpha.inside"] {
        assert!(client.find(name).unwrap().is_none(), "{name}");
    }
    assert_eq!(world.server.hits(), [], "once in a process");

    let later = world.client();
    assert!(later.find("nothing").unwrap().is_none());
    assert_eq!(world.server.hits(), [], "the disk remembers it");
    assert!(later.find("third").unwrap().is_none());
    assert_eq!(world.server.hits().len(), 1, "but not another name");

    // A new manifest is a new answer, also for a name that was absent.
    world.write("nothing.py", "n = 1\n");
    world.publish();
    assert!(world.client().find("nothing").unwrap().is_none(), "not asked within the hour");
    let asking = world.client();
    assert!(asking.find("yet_another").unwrap().is_none());
    assert!(world.client().find("nothing").unwrap().is_some());
}

#[test]
fn an_outage_is_an_error_where_nothing_is_known_and_an_absence_where_much_is() {
    let world = World::new(ALPHA);
    world.server.down(true);
    let error = world.client().find("alpha").err().unwrap();
    assert_eq!(error.kind(), Kind::Fetch);
    assert_eq!(error.details().name.as_deref(), Some("acme.alpha"));
    world.server.down(false);
    world.client().import("alpha").unwrap();
    world.server.down(true);
    assert!(world.client().find("nothing").unwrap().is_none());
}

#[test]
fn offline_says_what_is_missing_and_how_to_get_it() {
    let world = World::new(&[("alpha.py", "a = 1\n"), ("beta.py", "b = 1\n")]);
    let client = world.offline();
    assert_eq!(
        client.sentence(client.find("alpha")),
        "the manifest of acme is not in the cache, and MAGIC_MODULE_OFFLINE forbids asking SITE/manifest.json; \
         unset MAGIC_MODULE_OFFLINE once, or run `magic-module fetch` while online"
    );
    world.client().import("alpha").unwrap();
    world.server.hits();
    let client = world.offline();
    assert_eq!(client.text("alpha", "alpha.py"), "a = 1\n");
    assert!(client.find("nothing").unwrap().is_none());
    assert_eq!(
        client.sentence(client.upgrade(&["alpha"])),
        "only the server knows the newest manifest of acme, and MAGIC_MODULE_OFFLINE forbids asking SITE/manifest.json; \
         unset MAGIC_MODULE_OFFLINE once, or run `magic-module fetch` while online"
    );
    assert_eq!(
        client.sentence(client.import("beta")),
        "acme.beta is not in the cache, and MAGIC_MODULE_OFFLINE forbids asking SITE/manifest.json; \
         unset MAGIC_MODULE_OFFLINE once, or run `magic-module fetch` while online"
    );
    assert_eq!(world.server.hits(), []);
}

#[test]
fn the_manifests_namespace_is_the_mounts() {
    let world = World::new(ALPHA);
    let client = Client::new(ClientOptions { namespace: "other".into(), ..world.options() });
    assert_eq!(
        client.sentence(client.find("alpha")),
        "the manifest is for namespace \"acme\", not for \"other\"; \
         mount it as \"acme\", or publish it with --namespace \"other\""
    );
}

#[test]
fn an_older_serial_and_another_manifest_of_the_same_are_refused() {
    let world = World::new(ALPHA);
    let first = std::fs::read(world.manifest()).unwrap();
    world.write("alpha.csv", "c,d\n");
    world.publish();
    let client = world.client();
    client.import("alpha").unwrap();
    let newest = std::fs::read_to_string(world.manifest()).unwrap();

    std::fs::write(world.manifest(), &first).unwrap();
    let error = client.upgrade(&["alpha"]).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert!(error.to_string().contains("is older than one seen before"), "{error}");
    std::fs::write(world.manifest(), newest.replace("\"manifest\": 1", "\"manifest\":1")).unwrap();
    let error = client.upgrade(&["alpha"]).unwrap_err().to_string();
    assert!(error.contains("has the serial of another one seen before"), "{error}");
    let serial = u64::MAX.to_string();
    std::fs::write(world.manifest(), newest.replace("1700000002", &serial)).unwrap();
    let error = client.upgrade(&["alpha"]).unwrap_err().to_string();
    assert!(error.contains("more than a day ahead of this machine's clock"), "{error}");
    let without = newest.replace("1700000002", "null");
    assert_ne!(without, newest);
    std::fs::write(world.manifest(), without).unwrap();
    let error = client.upgrade(&["alpha"]).unwrap_err().to_string();
    assert!(error.contains("has no serial, but one seen before had"), "{error}");

    // What is damaged in the cache does not make an attacker's life easier, nor the user's harder.
    std::fs::write(world.manifest(), &newest).unwrap();
    client.upgrade(&["alpha"]).unwrap();
    let state = client.mount.folder.path.join("state");
    let manifest = client.mount.bound().unwrap().manifest.unwrap();
    std::fs::remove_file(client.session.engine.store.blobs().path(&manifest)).unwrap();
    world.client().upgrade(&["alpha"]).unwrap();
    std::fs::write(&state, "damaged").unwrap();
    std::fs::write(world.manifest(), &first).unwrap();
    let error = world.client().upgrade(&["alpha"]).unwrap_err().to_string();
    assert!(error.contains("is older than one seen before"), "{error}");
}

#[test]
fn a_pin_takes_the_older_record_and_nothing_else() {
    let world = World::new(ALPHA);
    world.write("alpha.py", "__version__ = '2.0'\n");
    world.publish();
    let pinned = |version| ClientOptions { pins: vec![("alpha", version)], ..world.options() };
    let old = Client::new(pinned("1.0"));
    assert_eq!(old.text("alpha", "alpha.py"), "__version__ = '1.0'\n");
    let new = world.client();
    assert_eq!(new.text("alpha", "alpha.py"), "__version__ = '2.0'\n");
    assert_eq!(new.active(), ["alpha 2.0", "alpha==1.0 1.0"]);
    assert_eq!(old.upgrade(&["alpha"]).unwrap(), Vec::<String>::new());
    assert_eq!(Client::new(pinned("1.0")).text("alpha", "alpha.py"), "__version__ = '1.0'\n");

    let wrong = Client::new(pinned("1.5"));
    assert_eq!(
        wrong.sentence(wrong.find("alpha")),
        "acme.alpha is pinned to 1.5, which the manifest does not have; pin one of 2.0, 1.0"
    );
}

#[test]
fn two_interpreters_share_a_cache_but_no_variant() {
    let variants = "variants = [{ tag = 'cp313-cp313-test', folder = 'variants/a' }, \
                    { tag = 'cp312-cp312-test', folder = 'variants/b' }]";
    let world = World::new(&[
        ("fast/__init__.py", "__version__ = '1.0'\n"),
        ("variants/a/fast/core.cpython-313.so", "thirteen"),
        ("variants/b/fast/core.cpython-312.so", "twelve"),
        ("slow.py", "s = 1\n"),
        ("magic-module.toml", &format!("[fast]\n{variants}\n[slow]\nrequires = ['fast']\n")),
    ]);
    let twelve = ClientOptions {
        python: (".cpython-312.so", &["cp312-cp312-test", "py3-none-any"]),
        ..world.options()
    };
    let (new, old) = (world.client(), Client::new(twelve.clone()));
    assert_eq!(new.text("fast", "fast/core.cpython-313.so"), "thirteen");
    assert_eq!(old.text("fast", "fast/core.cpython-312.so"), "twelve");
    assert!(!old.read("fast").unwrap().contains_key("fast/core.cpython-313.so"));
    old.import("slow").unwrap();

    // What one interpreter uses does not concern the upgrade of the other.
    world.write("fast/__init__.py", "__version__ = '2.0'\n");
    world.publish();
    let again = world.client();
    assert_eq!(again.upgrade(&["fast"]).unwrap(), ["fast@.cpython-313.so: 1.0 -> 2.0"]);
    let again = Client::new(twelve);
    let verified = again.wait(again.session.verify(&[])).unwrap();
    assert_eq!((verified.problems, verified.broken), (Vec::new(), false));

    let unknown =
        ClientOptions { python: (".cpython-310.so", &["cp310-cp310-x"]), ..world.options() };
    let unknown = Client::new(ClientOptions { cache: world.folder("unknown"), ..unknown });
    // The common files alone are importable, so the unit is: its author decides.
    assert!(unknown.import("fast").is_ok());
}

#[test]
fn a_unit_without_a_fitting_variant_says_what_it_has() {
    let world = World::new(&[
        ("variants/a/fast.cpython-313.so", "thirteen"),
        ("other.py", ""),
        (
            "magic-module.toml",
            "[fast]\nversion = '1.0'\nvariants = [{ tag = 'cp313-cp313-test', folder = 'variants/a' }]\n",
        ),
    ]);
    assert!(world.client().import("fast").is_ok());
    let old = ClientOptions { python: (".cpython-310.so", &["cp310-cp310-x"]), ..world.options() };
    let old = Client::new(old);
    assert_eq!(
        old.sentence(old.find("fast")),
        "acme.fast has no variant for this interpreter and platform; \
         use a platform that its author publishes for, or ask for a variant"
    );
}

#[test]
fn a_version_that_is_fetched_by_name_belongs_to_this_interpreter() {
    let world = World::new(&[
        ("fast/__init__.py", ""),
        ("variants/a/fast/core.cpython-313.so", "thirteen"),
        ("variants/b/fast/core.cpython-312.so", "twelve"),
        (
            "magic-module.toml",
            "[fast]\nversion = '1.0'\nvariants = [{ tag = 'cp313-cp313-test', folder = 'variants/a' }, { tag = 'cp312-cp312-test', folder = 'variants/b' }]\n",
        ),
    ]);
    let client = world.client();
    let members = client.wait(client.session.wanted(&client.mount, "fast", Some("1.0"))).unwrap();
    client.wait(client.session.fetch(&client.mount, &members, "acme.fast")).unwrap();
    let verified = client.wait(client.session.verify(&[])).unwrap();
    assert_eq!((verified.units, verified.problems), (1, Vec::new()));
    let pinned = Client::new(ClientOptions {
        python: (".cpython-312.so", &["cp312-cp312-test"]),
        pins: vec![("fast", "1.0")],
        ..world.options()
    });
    assert_eq!(pinned.text("fast", "fast/core.cpython-312.so"), "twelve");
}

#[test]
fn top_level_names_never_cause_a_request_once_a_manifest_is_known() {
    let world = World::of("", ALPHA);
    let client = world.client();
    assert!(matches!(
        client.session.lookup("unheard_of", TopLevel::Last).unwrap(),
        Lookup::Ask { silence: Silence::IsAnError, .. }
    ));
    assert!(client.find("unheard_of").unwrap().is_none());
    assert_eq!(client.text("alpha", "alpha.csv"), "a,b\n");
    world.server.hits();
    let second = world.client();
    assert!(second.find("unheard_of").unwrap().is_none());
    assert!(client.find("another").unwrap().is_none());
    assert_eq!(world.server.hits(), []);
}

#[cfg(unix)]
#[test]
fn lazy_files_come_when_they_are_asked_for_and_survive_damage() {
    let world = World::new(&[
        ("big/__init__.py", "b = 1\n"),
        ("big/data.bin", "lots of data"),
        ("magic-module.toml", "[big]\nlazy = ['data.bin']\n"),
    ]);
    let client = world.client();
    let unit = client.import("big").unwrap();
    assert!(!unit.folder.join("big/data.bin").exists());
    let requests = world.server.hits().len();
    let path = |client: &Client| {
        let unit = client.wait(client.session.unit(&client.mount, "big"))?;
        client.wait(client.session.data_path(&client.mount, &unit, "data.bin"))
    };
    let place = path(&client).unwrap();
    assert_eq!((requests, world.server.hits().len()), (2, 1));
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "lots of data");
    assert_eq!(place.file_name().unwrap(), "data.bin");
    assert_eq!(path(&world.offline()).unwrap(), place);
    assert_eq!(world.server.hits(), []);

    // In place: the blob may be the same file.
    let mut permissions = place.metadata().unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    std::fs::set_permissions(&place, permissions).unwrap();
    std::fs::write(&place, "lots of lies").unwrap();
    let offline = world.offline();
    let sentence = offline.sentence(path(&offline));
    assert!(sentence.starts_with("big/data.bin of acme.big is not in the cache"), "{sentence}");
    assert_eq!(std::fs::read_to_string(path(&world.client()).unwrap()).unwrap(), "lots of data");
    assert!(client.session.engine.store.tmp().read_dir().unwrap().next().is_none());
}

#[test]
fn a_file_that_is_gone_from_the_site_is_looked_for_in_the_newest_manifest() {
    let world = World::new(&[("alpha.py", "__version__ = '1.0'\n"), ("data.py", "d = 1\n")]);
    let client = world.client();
    client.find("alpha").unwrap();
    world.client().find("data").unwrap();
    // The same tree under other URLs.
    let text = std::fs::read_to_string(world.manifest()).unwrap();
    std::fs::rename(world.site.join("files"), world.site.join("moved")).unwrap();
    let text = text.replace("files/", "moved/").replace("1700000001", "1700000002");
    std::fs::write(world.manifest(), text).unwrap();
    assert_eq!(client.text("alpha", "alpha.py"), "__version__ = '1.0'\n");
    // Another process has taken the new manifest already.
    let other = world.client();
    other.find("data").unwrap();
    assert_eq!(other.text("data", "data.py"), "d = 1\n");
}

#[test]
fn two_processes_at_once_take_the_newest_manifest() {
    let world = World::new(ALPHA);
    let older = std::fs::read(world.manifest()).unwrap();
    world.write("alpha.csv", "c,d\n");
    world.publish();
    let newer = std::fs::read(world.manifest()).unwrap();
    std::fs::write(world.manifest(), &older).unwrap();
    // While the slow one has the older manifest in hand, another takes the newer.
    let slow = world.client();
    let (store, folder) = (&slow.session.engine.store, &slow.mount.folder);
    store.create().unwrap();
    folder.create().unwrap();
    let lock = folder.lock().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| slow.find("alpha").unwrap().is_some());
        while !world.server.paths().contains(&"manifest.json".to_owned()) {
            std::thread::yield_now();
        }
        let manifest = Some(store.blobs().insert(&newer).unwrap());
        let highest_serial = Some(1_700_000_002);
        folder.write_state(&State { manifest, highest_serial, ..State::default() }).unwrap();
        drop(lock);
        assert!(waiting.join().unwrap());
    });
    std::fs::write(world.manifest(), &newer).unwrap();
    // Whoever came last, the newest is known and nothing is refused.
    assert_eq!(slow.text("alpha", "alpha.csv"), "c,d\n");
    world.client().upgrade(&["alpha"]).unwrap();
    assert_eq!(world.client().text("alpha", "alpha.csv"), "c,d\n");
}

#[test]
fn a_manifest_of_this_machine_reads_below_its_own_folder_only() {
    let world = World::new(ALPHA);
    let manifest_url = format!("file://{}", world.manifest().display());
    let options = |cache: &str| ClientOptions {
        manifest_url: manifest_url.clone(),
        cache: world.folder(cache),
        ..world.options()
    };
    assert_eq!(Client::new(options("good")).text("alpha", "alpha.csv"), "a,b\n");
    std::fs::write(world.folder("secret"), "a,b\n").unwrap();
    let good = std::fs::read_to_string(world.manifest()).unwrap();
    let start = good.find("files/").unwrap();
    let url = &good[start..start + good[start..].find('"').unwrap()];
    let outside =
        ["../secret", "..%2fsecret", "x/..%2F..%2fsecret", "/etc/hostname", "http://127.0.0.1/x"];
    for (number, outside) in outside.into_iter().enumerate() {
        std::fs::write(world.manifest(), good.replace(url, outside)).unwrap();
        let client = Client::new(options(&format!("cache {number}")));
        let error = client.import("alpha").err().unwrap();
        assert_eq!(error.kind(), Kind::Manifest, "{outside}: {error}");
    }
}
