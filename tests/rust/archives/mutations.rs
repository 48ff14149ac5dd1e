//! Thousands of damaged archives: refused, or read exactly as an independent reader reads them.

use magic_module::error::Kind;

use super::{independent, sound, strict};

const ROUNDS: u64 = 10_000;

/// Numbers that break length checks.
const NASTY: [u32; 12] =
    [0, 1, 2, 7, 8, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_fffe, u32::MAX];

/// splitmix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.roll() % end.max(1) as u64) as usize
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        start..(start + 1 + self.below(48)).min(length)
    }
}

fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return bytes.push(dice.roll() as u8);
    }
    let at = dice.below(bytes.len());
    match dice.below(9) {
        0 | 1 => bytes[at] ^= 1 << dice.below(8),
        2 => bytes[at] = dice.roll() as u8,
        3 | 4 => {
            let number = NASTY[dice.below(NASTY.len())].to_le_bytes();
            let width = [1, 2, 4][dice.below(3)].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
        5 => {
            let range = dice.range(bytes.len());
            bytes.drain(range);
        }
        6 => {
            let piece = bytes[dice.range(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        7 => {
            let piece = bytes[dice.range(bytes.len())].to_vec();
            let end = (at + piece.len()).min(bytes.len());
            bytes.splice(at..end, piece);
        }
        _ => bytes.truncate(at),
    }
}

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
    println!("{refused} refused, {read} read alike");
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
