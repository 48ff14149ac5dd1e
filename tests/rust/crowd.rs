//! What a cluster costs its server: workers are threads with a session, an engine and a fetcher each, a
//! node is a cache folder that eight of them share. Requests and bytes are asserted, never seconds.
//!
//! The site is one whose manifest is nearly as large as what is imported of it, as that of a team with half a
//! hundred packages is: 51 kB, and 60 kB for the unit. Were the manifest not shared, 1,000 workers would take
//! 1,000 manifests and 125 packs, which is 59 MB.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use magic_module::fetch::Freshness;

use crate::engine_support::server::Hit;
use crate::engine_support::{Client, ClientOptions, World};

const NODES: usize = 125;
const WORKERS: usize = 8;

/// So many nodes are at work at a time: a machine with two cores that runs a thousand threads at once
/// would let workers run out of patience that a cluster has.
const AT_ONCE: usize = 12;

/// Each answer of ten is 503.
const REFUSED: usize = 10;

const UNITS: usize = 55;
const NOTHING: [u16; 0] = [];
const HOUR: u64 = 3600;

/// Letters that compression makes a quarter smaller.
fn noise(size: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(
            b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
                [(state >> 58) as usize],
        )
    };
    (0..size).map(|_| next()).collect()
}

fn site() -> World {
    let world = World::empty("acme");
    for number in 0..UNITS {
        world.write(&format!("unit_{number:03}/__init__.py"), &format!("number = {number}\n"));
        world.write(&format!("unit_{number:03}/more.py"), &format!("more = {number}\n"));
    }
    world.write("model/__init__.py", "from .weights import WEIGHTS\n");
    world.write("model/weights.py", &format!("WEIGHTS = '{}'\n", noise(79_600)));
    world.publish();
    world
}

/// A node asks below a name of its own, which is another name of the site.
fn node(world: &World, number: usize) -> ClientOptions {
    let name = format!("node_{number:03}");
    std::os::unix::fs::symlink(".", world.site.join(&name)).unwrap();
    ClientOptions {
        manifest_url: world.server.url(&format!("{name}/manifest.json")),
        cache: world.folder(&name),
        ..world.options()
    }
}

/// What eight workers of a node do at the same time; true for each that has its module.
fn start(options: &ClientOptions) -> Vec<bool> {
    let together = Barrier::new(WORKERS);
    let work = || {
        let client = Client::new(options.clone());
        together.wait();
        let read = client.read("model");
        if let Err(error) = &read {
            eprintln!("{error}");
        }
        read.is_ok_and(|files| files["model/weights.py"].len() > 79_600)
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        running.into_iter().map(|worker| worker.join().unwrap()).collect()
    })
}

fn bytes(hits: &[Hit]) -> u64 {
    hits.iter().map(|hit| hit.bytes).sum()
}

#[test]
#[cfg_attr(feature = "python", ignore = "it takes seconds, and is the same without Python")]
fn a_thousand_workers_on_125_nodes_cost_one_manifest_and_one_pack_for_each_node() {
    let world = site();
    world.server.refuse_one_of(REFUSED);
    let nodes: Vec<ClientOptions> = (0..NODES).map(|number| node(&world, number)).collect();
    let next = AtomicUsize::new(0);
    let served = || {
        let mut here = Vec::new();
        while let Some(node) = nodes.get(next.fetch_add(1, Ordering::SeqCst)) {
            here.extend(start(node));
        }
        here
    };
    let imported: Vec<bool> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(served)).collect();
        running.into_iter().flat_map(|node| node.join().unwrap()).collect()
    });
    let hits = world.server.hits();
    assert_eq!(imported, vec![true; NODES * WORKERS]);

    // Each node has had one manifest and one pack; all else was refused.
    let mut had: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for hit in hits.iter().filter(|hit| hit.status == 200) {
        let (node, path) = hit.path.split_once('/').unwrap();
        had.entry(node).or_default().push(path.split('/').next().unwrap());
    }
    assert_eq!(had.len(), NODES);
    for (node, paths) in &had {
        assert_eq!(paths, &["manifest.json", "packs"], "{node}");
    }
    let refused = hits.iter().filter(|hit| hit.status == 503).count();
    assert_eq!(hits.len(), 2 * NODES + refused);
    assert!(refused >= 2 * NODES / REFUSED, "the server did refuse: {refused}");

    let (requests, sum) = (hits.len(), bytes(&hits));
    println!("1,000 workers on {NODES} nodes: {requests} requests, {sum} bytes, 0 failures");
    assert!(requests <= 280 && sum <= 14_000_000, "{requests} requests, {sum} bytes");

    let largest = |kind: &str| {
        let of_kind = hits.iter().filter(|hit| hit.path.contains(kind));
        of_kind.map(|hit| hit.bytes).max().unwrap()
    };
    let (manifest, pack) = (largest("manifest"), largest("packs"));
    let each = (NODES * WORKERS) as u64 * manifest + NODES as u64 * pack;
    println!("with a manifest of {manifest} bytes for each worker it would be {each} bytes");
    assert_eq!((each + 500_000) / 1_000_000, 59, "the site is what it was chosen to be");
}

#[test]
fn workers_that_share_nothing_cost_two_requests_each() {
    const ALONE: usize = 20;
    let world = site();
    for number in 0..ALONE {
        Client::new(node(&world, number)).import("model").unwrap();
    }
    let hits = world.server.hits();
    assert_eq!(hits.len(), 2 * ALONE);
    let times = (NODES * WORKERS / ALONE) as u64;
    println!(
        "1,000 workers with a cache each: {} requests, {} bytes; {ALONE} were run",
        hits.len() as u64 * times,
        bytes(&hits) * times
    );
}

#[test]
fn who_knew_nothing_takes_what_another_process_brought_meanwhile() {
    let world = World::new(&[("alpha.py", "a = 1\n")]);
    let (late, looked) = (world.client(), world.client());
    assert!(late.mount.bind().unwrap().is_none(), "it has looked, and there was nothing");
    looked.import("alpha").unwrap();
    assert_eq!(world.server.hits().len(), 2);
    late.wait(late.mount.refresh_unknown()).unwrap();
    late.import("alpha").unwrap();
    assert_eq!(world.server.hits(), []);
    // Who asks for something newer does ask.
    late.wait(late.mount.refresh(Freshness::AsCached)).unwrap();
    assert_eq!(world.server.hits().len(), 1);
}

#[test]
fn upgrades_of_a_node_that_find_nothing_cost_one_request_in_a_period() {
    const MANY: usize = 32;
    let world = World::new(&[("alpha.py", "a = 1\n")]);
    let options = ClientOptions { fresh: HOUR, ..world.options() };
    let clients: Vec<Client> = (0..MANY).map(|_| Client::new(options.clone())).collect();
    for client in &clients {
        client.import("alpha").unwrap();
    }
    assert_eq!(world.server.hits().len(), 2);
    let upgrade_all = || {
        let together = Barrier::new(MANY);
        std::thread::scope(|scope| {
            for client in &clients {
                scope.spawn(|| {
                    together.wait();
                    assert_eq!(client.upgrade(&["alpha"]).unwrap(), Vec::<String>::new());
                });
            }
        });
        world.server.hits().iter().map(|hit| hit.status).collect::<Vec<_>>()
    };
    assert_eq!(upgrade_all(), NOTHING, "the import has asked just now");
    for _ in 0..2 {
        let_hours_pass(&clients[0]);
        assert_eq!(upgrade_all(), [304]);
        assert_eq!(upgrade_all(), NOTHING);
    }
}

/// As the cache has it written down.
fn let_hours_pass(client: &Client) {
    let folder = &client.mount.folder;
    let _lock = folder.lock().unwrap();
    let mut state = folder.state().unwrap();
    state.asked = state.asked.map(|asked| asked - 2 * HOUR * 1_000_000);
    folder.write_state(&state).unwrap();
}
