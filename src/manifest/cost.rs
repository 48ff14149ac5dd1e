//! What a document costs in memory once it is parsed, known before it is.
//!
//! A few bytes of JSON can become hundreds in memory: an empty record is a name, a node of a
//! map and a struct. The bytes are looked over once, without a copy, and what each of them may
//! become at most is added up. Small documents are not looked over.

use super::wrong;
use crate::error::{Error, Kind, MORE_MEMORY, Result};

/// Documents of fewer bytes cannot cost much.
const SMALL: usize = 1 << 20;

/// The most that what is parsed may take.
const LIMIT: u64 = 112 << 20;

/// A record and its place in a map that is half full, or a small map.
const RECORD: u64 = 512;
/// A file, a pack or a variant, and what is remembered of it while it is checked.
const ITEM: u64 = 320;
/// Any other place in a list, which may have grown to twice its length.
const PLACE: u64 = 66;
/// What is remembered of a folder while paths are checked.
const FOLDER: u64 = 64;
/// A place in a map, the first node of one, and that of a set.
const ENTRY: u64 = 48;
const MAP: u64 = 560;
const SET: u64 = 288;
/// A version that was taken back is in a map of its own, and that in copies: in the state of
/// the mount, as it was and as it will be, and in its text.
const YANKED: u64 = 4000;
const COPIES: u64 = 8;
/// A key is part of the sentence if something below it is wrong, in more than one form.
const LONG_KEY: u64 = 1000;

/// Fields of what is read, which are not kept as text.
const FIELDS: [&[u8]; 25] = [
    b"version",
    b"files",
    b"path",
    b"url",
    b"size",
    b"sha256",
    b"lazy",
    b"executable",
    b"packs",
    b"format",
    b"tag",
    b"paths",
    b"variants",
    b"versions",
    b"published",
    b"summary",
    b"requires_python",
    b"dependencies",
    b"requires",
    b"yanked",
    b"manifest",
    b"namespace",
    b"needs",
    b"modules",
    b"catalogue",
];

/// Refuses a document that would take too much, and one that there is no room for now.
pub(super) fn check(bytes: &[u8]) -> Result<()> {
    if bytes.len() < SMALL {
        return Ok(());
    }
    let cost = Scan::of(bytes);
    if cost > LIMIT {
        let why = format!("it holds more than fits into {} MiB of memory", LIMIT >> 20);
        return Err(wrong("the document", why).hint("ask its author to publish fewer units in it, or with `magic-module publish`, which writes large manifests in parts"));
    }
    // An allocation that fails in the middle of parsing would end the process.
    let mut room: Vec<u8> = Vec::new();
    let cost = usize::try_from(cost).unwrap_or(usize::MAX);
    room.try_reserve_exact(cost).map_err(|_| {
        let what = format!("cannot read the manifest: {cost} bytes of memory are not available");
        Error::new(Kind::Store, what).hint(MORE_MEMORY)
    })
}

#[derive(Clone, Copy)]
enum Container {
    Object,
    List,
}

/// A level of lists and objects is one bit of each number; what is deeper is not read.
#[derive(Default)]
struct Scan {
    cost: u64,
    depth: u32,
    lists: u128,
    begun: u128,
    /// How deep the reasons for versions that were taken back stand, within them, and whether
    /// one is what follows.
    reasons: Option<u32>,
    is_reason: bool,
    /// What follows is a digest, which is not kept as text.
    is_digest: bool,
}

impl Scan {
    fn of(bytes: &[u8]) -> u64 {
        let mut scan = Self::default();
        let mut rest = bytes;
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'"' => {
                    let length = length_of_string(rest);
                    let (text, after) = rest.split_at(length);
                    rest = after.get(1..).unwrap_or_default();
                    let value = rest.trim_ascii_start().strip_prefix(b":");
                    scan.text(text, value.map(<[u8]>::trim_ascii_start));
                }
                b'{' => scan.open(Container::Object),
                b'[' => scan.open(Container::List),
                b'}' | b']' => scan.close(),
                b',' if scan.in_list() => scan.cost += PLACE,
                _ => {}
            }
        }
        scan.cost
    }

    fn bit(&self) -> u128 {
        1_u128.checked_shl(self.depth).unwrap_or(0)
    }

    fn in_list(&self) -> bool {
        self.lists & self.bit() != 0
    }

    fn open(&mut self, container: Container) {
        self.cost += match (container, self.in_list()) {
            (Container::Object, true) => ITEM,
            (Container::Object, false) => RECORD,
            (Container::List, true) => PLACE,
            (Container::List, false) => 0,
        };
        self.depth = self.depth.saturating_add(1);
        let bit = self.bit();
        self.begun &= !bit;
        self.lists = match container {
            Container::List => self.lists | bit,
            Container::Object => self.lists & !bit,
        };
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.reasons = self.reasons.filter(|depth| *depth <= self.depth);
    }

    /// `value` begins with what belongs to `text`, if that is a key.
    fn text(&mut self, text: &[u8], value: Option<&[u8]>) {
        let is_key = value.is_some();
        let is_yanked = is_key && text == b"yanked";
        if is_key && (is_yanked || self.reasons.is_some()) {
            self.cost += YANKED;
        }
        let is_reason = std::mem::replace(&mut self.is_reason, is_yanked);
        if self.reasons.is_some() || is_reason {
            self.cost += COPIES * text.len() as u64;
        }
        if is_yanked && value.is_some_and(|value| value.starts_with(b"{")) {
            self.reasons.get_or_insert(self.depth + 1);
        }
        let is_digest = std::mem::replace(&mut self.is_digest, is_key && text == b"sha256");
        if is_digest || (is_key && FIELDS.contains(&text)) {
            return;
        }
        let length = text.len() as u64;
        // The first is that of an address, or counted with the file.
        let folders = (text.iter().filter(|byte| **byte == b'/').count() as u64).saturating_sub(1);
        self.cost += length.saturating_add(23).max(32) + folders * FOLDER;
        if is_key {
            self.cost += ENTRY;
            if length > LONG_KEY {
                self.cost += COPIES * length;
            }
        }
        if (is_key || self.in_list()) && self.begun & self.bit() == 0 {
            self.begun |= self.bit();
            self.cost += if is_key { MAP } else { SET };
        }
    }
}

/// How many bytes come before the quote that ends the string which `rest` begins with.
fn length_of_string(rest: &[u8]) -> usize {
    let mut at = 0;
    loop {
        match rest.get(at) {
            None => return rest.len(),
            Some(b'"') => return at,
            Some(b'\\') => at += 2,
            Some(_) => at += 1,
        }
    }
}
