//! The fields that zip records are made of: little-endian numbers at fixed places,
//! and extra fields after them
//! (<https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>, 4.3 and 4.5).

use super::archive::Refusal;

/// "The value is in the zip64 field."
pub(super) const ALL_16: u64 = 0xffff;
pub(super) const ALL_32: u64 = 0xffff_ffff;

/// Bytes that start an end record. In a place that anyone may fill, they are there to
/// be found by somebody who looks for the directory from the end.
const END_SIGNATURES: [&[u8]; 3] = [b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"];

const ZIP64: u16 = 0x0001;
/// Extra fields that give an entry another meaning to some readers than to others.
const TREACHEROUS: [(u16, &str); 4] = [
    (0x7075, "a second name"),
    (0x6375, "a second comment"),
    (0x9901, "its own encryption"),
    (0x0017, "its own encryption"),
];

/// A record whose length was checked.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    fn number(&self, at: usize, bytes: usize) -> u64 {
        let field = self.0.get(at..at + bytes).unwrap_or_default();
        field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    pub fn u16(&self, at: usize) -> u64 {
        self.number(at, 2)
    }

    pub fn u32(&self, at: usize) -> u64 {
        self.number(at, 4)
    }

    pub fn u64(&self, at: usize) -> u64 {
        self.number(at, 8)
    }
}

/// Walks the extra fields of `name`; gives the zip64 field, if there is one.
pub(super) fn zip64_of<'a>(extra: &'a [u8], name: &str) -> Result<Option<&'a [u8]>, Refusal> {
    let refuse = |why: &str| Err(Refusal::Rule(format!("holds {name:?} {why}")));
    if END_SIGNATURES.iter().any(|signature| contains(extra, signature)) {
        return refuse("with an end record hidden in its extra fields");
    }
    let mut zip64 = None;
    let mut rest = extra;
    while !rest.is_empty() {
        let Some((head, after)) = rest.split_at_checked(4) else {
            return refuse("with damaged extra fields");
        };
        let kind = Fields(head).u16(0) as u16;
        let Some((body, after)) = after.split_at_checked(Fields(head).u16(2) as usize) else {
            return refuse("with damaged extra fields");
        };
        if let Some((_, what)) = TREACHEROUS.iter().find(|(known, _)| *known == kind) {
            return refuse(&format!("with {what} in its extra fields"));
        }
        if kind == ZIP64 && zip64.replace(body).is_some() {
            return refuse("with two zip64 fields");
        }
        rest = after;
    }
    Ok(zip64)
}

fn contains(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.windows(pattern.len()).any(|window| window == pattern)
}
