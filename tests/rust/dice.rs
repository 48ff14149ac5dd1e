//! Damage that is random and the same everywhere: for a seed, always the same bytes.

/// Numbers that break length checks.
const NASTY: [u32; 12] =
    [0, 1, 2, 7, 8, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_fffe, u32::MAX];

/// splitmix64: small, and the same everywhere.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() % end.max(1) as u64) as usize
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        start..(start + 1 + self.below(48)).min(length)
    }
}

/// One small piece of damage.
pub fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
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
