//! The pieces of work: what every import does, once.

use std::hint::black_box;

use magic_module::manifest::Manifest;
use magic_module::name::Digest;
use magic_module::plan::{Packs, Reusable, plan};
use magic_module::session::TopLevel;
use magic_module::store::Reuse;
use magic_module::store::code::{CodePack, Trust};
use magic_module::store::disk;
use magic_module::store::tree::{Scrutiny, Tree};
use magic_module::supply::Answer;
use magic_module::uses::publish::CATALOGUE_ABOVE;

use crate::engine_support::World;

const MODULES: usize = 200;
const MODULE: &str = "bulk.module_100";
const PATH: &str = "bulk/module_100.py";

type Count<'a> = &'a dyn Fn(&mut dyn FnMut());

/// Prepares, and gives to `Count` what is to be counted.
type Work = fn(Count<'_>);

pub const WORK: &[(&str, Work)] = &[
    ("parse a manifest of 150 units", parse_manifest),
    ("the first name of a process", first_name),
    ("the next name", next_name),
    ("read the index of a tree of 200 files", open_tree),
    ("compare 200 files with their stamps", check_tree),
    ("open a code pack of 200 modules", open_pack),
    ("take 3 KB of code out of it, verified", take_code),
    ("sha256 of a file of 1 MiB", hash),
    ("plan what to fetch for 200 files", plan_files),
];

/// One unit of 200 modules, fetched, with its code compiled.
fn world() -> World {
    let world = World::empty("acme");
    world.write("bulk/__init__.py", "");
    for number in 0..MODULES {
        world.write(&format!("bulk/module_{number:03}.py"), &format!("NUMBER = {number}\n"));
    }
    world.publish();
    let client = world.client();
    let unit = client.import("bulk").unwrap();
    let pack = unit.code(&client.session.python).unwrap();
    for file in &unit.tree().unwrap().files {
        pack.add(file.path.as_str(), &file.sha256, &[7; 3000]);
    }
    world
}

fn parse_manifest(count: Count<'_>) {
    let world = World::empty("acme");
    for number in 0..CATALOGUE_ABOVE {
        world.write(&format!("unit_{number:03}.py"), &format!("NUMBER = {number}\n"));
    }
    world.publish();
    let bytes = fs_err::read(world.manifest()).unwrap();
    count(&mut || drop(black_box(Manifest::parse(&bytes).unwrap())));
}

fn first_name(count: Count<'_>) {
    let world = world();
    let client = world.client();
    let name = client.full(MODULE);
    count(&mut || drop(black_box(client.session.lookup(&name, TopLevel::First).unwrap())));
}

fn next_name(count: Count<'_>) {
    let world = world();
    let client = world.client();
    let name = client.full(MODULE);
    client.find("bulk").unwrap();
    count(&mut || drop(black_box(client.session.lookup(&name, TopLevel::First).unwrap())));
}

fn open_tree(count: Count<'_>) {
    let world = world();
    let client = world.client();
    let digest = client.import("bulk").unwrap().digest;
    count(&mut || drop(black_box(Tree::open(&client.session.engine.store, &digest).unwrap())));
}

fn check_tree(count: Count<'_>) {
    let world = world();
    let client = world.client();
    let digest = client.import("bulk").unwrap().digest;
    let mut tree = Tree::open(&client.session.engine.store, &digest).unwrap().unwrap();
    count(&mut || drop(black_box(tree.check(&client.session.engine.store, Scrutiny::Stamps))));
}

fn open_pack(count: Count<'_>) {
    let world = world();
    let client = world.client();
    let (mount, digest) = (&client.mount, client.import("bulk").unwrap().digest);
    let (folder, interpreter) = (mount.folder.code(), &client.session.python.code);
    count(&mut || {
        drop(black_box(CodePack::open(
            &folder,
            &mount.identity,
            &digest,
            interpreter,
            Trust::Compiled,
        )));
    });
}

fn take_code(count: Count<'_>) {
    let world = world();
    let client = world.client();
    let unit = client.import("bulk").unwrap();
    let source = unit.digest_of(PATH).unwrap();
    let pack = unit.code(&client.session.python).unwrap();
    count(&mut || drop(black_box(pack.get(PATH, &source).unwrap())));
}

fn hash(count: Count<'_>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs_err::write(&path, vec![7; 1 << 20]).unwrap();
    let expected = Digest::of(&vec![7; 1 << 20]);
    count(&mut || assert_eq!(disk::digest(&path, 1 << 20).unwrap(), expected));
}

fn plan_files(count: Count<'_>) {
    let world = world();
    let client = world.client();
    client.find("bulk").unwrap();
    let manifest = client.mount.bound().and_then(|bound| bound.manifest).unwrap();
    let record = match client.mount.record(&manifest, "bulk").unwrap() {
        Answer::Record(record) => record,
        _ => unreachable!("it was published"),
    };
    let blobs = client.session.engine.store.blobs();
    let reusable = Reusable::default();
    count(&mut || drop(black_box(plan(&record, blobs, &reusable, Reuse::Nothing, Packs::Fetched))));
}
