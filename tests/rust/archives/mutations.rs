//! Thousands of damaged archives: refused, or read exactly as an independent reader reads them.

use magic_module::error::Kind;

use super::dice::{Dice, mutate};
use super::{independent, sound, strict};

const ROUNDS: u64 = 10_000;

#[test]
fn a_damaged_archive_is_refused_or_read_as_others_read_it() {
    let (mut refused, mut read) = (0_u64, 0_u64);
    for (name, archive) in sound::archives() {
        let whole = archive.bytes();
        for seed in 0..ROUNDS {
            let mut dice = Dice(seed);
            let mut bytes = whole.clone();
            for _ in 0..=dice.below(3) {
                mutate(&mut dice, &mut bytes);
            }
            match strict(&bytes) {
                Ok(tree) => {
                    read += 1;
                    let other = independent(&bytes);
                    assert!(
                        other.as_ref() == Some(&tree),
                        "{name}, seed {seed}: {}",
                        bytes.escape_ascii()
                    );
                }
                Err(error) => {
                    refused += 1;
                    assert_eq!(error.kind(), Kind::Integrity, "{name}, seed {seed}: {error}");
                }
            }
        }
    }
    println!("{refused} damaged archives refused, {read} read alike");
    assert!(refused > 100_000 && read > 4000, "{refused} refused, {read} read");
}

#[test]
fn every_flipped_bit_is_refused_or_changes_nothing() {
    for (name, archive) in sound::archives() {
        let whole = archive.bytes();
        let tree = strict(&whole).unwrap();
        for at in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            if let Ok(read) = strict(&bytes) {
                // A name is all that a flipped bit may change unnoticed, and only in both headers.
                assert_eq!(read, tree, "{name}, bit {at}");
            }
        }
    }
}
