//! The fuzzing targets without a fuzzer: each over its corpus, and over thousands of
//! damaged copies of it. `make fuzz` looks further.

#![expect(clippy::unwrap_used, reason = "a test may")]

#[path = "../../fuzz/checks/mod.rs"]
mod checks;
mod dice;

use std::path::Path;

use dice::{Dice, mutate};

/// Damaged copies of the whole corpus of each target, at least.
const ROUNDS: u64 = 1000;

fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut seeds: Vec<Vec<u8>> = fs_err::read_dir(folder)
        .unwrap()
        .map(|entry| fs_err::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(seeds.len() >= 3, "{target} has {} seeds", seeds.len());
    seeds.sort();
    seeds.iter().for_each(|seed| check(seed));
    for round in 0..ROUNDS {
        let mut dice = Dice(round);
        let mut bytes = seeds[dice.below(seeds.len())].clone();
        for _ in 0..=dice.below(4) {
            mutate(&mut dice, &mut bytes);
        }
        let checked = std::panic::catch_unwind(|| check(&bytes));
        assert!(checked.is_ok(), "{target}, round {round}: {}", bytes.escape_ascii());
    }
}

#[test]
fn manifests() {
    run("manifest", checks::manifest::check);
}

#[test]
fn parts_of_catalogues() {
    run("catalogue", checks::catalogue::check);
}

#[test]
fn indexes_of_trees() {
    run("tree_index", checks::tree_index::check);
}

#[test]
fn code_packs() {
    run("code_pack", checks::code_pack::check);
}

#[test]
fn generations_and_states() {
    run("generation", checks::generation::check);
}

#[test]
fn archives() {
    run("archive", checks::archive::check);
}

#[test]
fn credentials() {
    run("netrc", checks::netrc::check);
}

#[test]
fn locks() {
    run("pylock", checks::pylock::check);
}

#[test]
fn keys_and_signatures() {
    run("minisign", checks::minisign::check);
}
