//! Wheels written entry by entry.

use std::fmt::Write as _;

use magic_module::name::Digest;

use crate::builder::{Part, archive};

pub const DIST_INFO: &str = "alpha-1.dist-info";

/// A line of a `RECORD` that tells the truth.
pub fn row(path: &str, data: &[u8]) -> String {
    format!("{path},sha256={},{}\n", base64(&Digest::of(data)), data.len())
}

/// As a `RECORD` spells a digest.
fn base64(digest: &Digest) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let hex = digest.to_hex();
    let bytes = (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap());
    let mut bits: Vec<u8> =
        bytes.flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    bits.resize(258, 0);
    let letter = |six: &[u8]| LETTERS[six.iter().fold(0, |sum, bit| sum << 1 | usize::from(*bit))];
    bits.chunks(6).map(|six| char::from(letter(six))).collect()
}

/// What a wheel is made of: paths and bytes, in this order.
#[derive(Clone)]
pub struct Written {
    pub files: Vec<(String, Vec<u8>)>,
    /// Written instead of the truth.
    pub record: Option<String>,
    pub has_record: bool,
    /// Folders that have an entry of their own.
    pub folders: Vec<String>,
}

impl Written {
    /// A small module.
    pub fn small() -> Self {
        let files = [
            ("alpha/__init__.py", "x = 1\n".to_owned()),
            ("alpha/empty.py", String::new()),
            ("alpha-1.data/scripts/tool", "#!python\n".to_owned()),
            (
                "alpha-1.dist-info/METADATA",
                "Metadata-Version: 2.1\nName: alpha\nVersion: 1\n".to_owned(),
            ),
            ("alpha-1.dist-info/WHEEL", "Wheel-Version: 1.0\n".to_owned()),
            (
                "alpha-1.dist-info/entry_points.txt",
                "[console_scripts]\nalpha = alpha:x\n".to_owned(),
            ),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.into_bytes())).to_vec();
        Self { files, record: None, has_record: true, folders: Vec::new() }
    }

    /// One whose directory alone is longer than what is asked for first.
    pub fn large() -> Self {
        let mut wheel = Self::small();
        for number in 0..800 {
            let data = noise(number, 300);
            wheel.files.insert(0, (format!("alpha/module_{number:04}.py"), data));
        }
        wheel
    }

    pub fn with(mut self, path: &str, data: &[u8]) -> Self {
        self.files.push((path.to_owned(), data.to_vec()));
        self
    }

    /// The `RECORD` as an honest tool writes it.
    pub fn truth(&self) -> String {
        let mut text: String = self.files.iter().map(|(path, data)| row(path, data)).collect();
        writeln!(text, "{DIST_INFO}/RECORD,,").unwrap();
        text
    }

    pub fn record(self, record: impl Into<String>) -> Self {
        Self { record: Some(record.into()), ..self }
    }

    /// The `RECORD` with one text replaced.
    pub fn record_with(self, old: &str, new: &str) -> Self {
        let truth = self.truth();
        assert!(truth.contains(old));
        self.record(truth.replace(old, new))
    }

    pub fn parts(&self) -> Vec<Part> {
        let mut parts: Vec<Part> = self.folders.iter().map(|path| Part::folder(path)).collect();
        for (path, data) in &self.files {
            // To deflate many takes long without optimisation.
            let is_one_of_many = path.contains("/module_");
            let part = if is_one_of_many { Part::stored } else { Part::deflated }(path, data);
            let is_script = path.contains(".data/scripts/");
            parts.push(if is_script { part.attributes(0o100_755 << 16) } else { part });
        }
        if self.has_record {
            let record = self.record.clone().unwrap_or_else(|| self.truth());
            parts.push(Part::deflated(&format!("{DIST_INFO}/RECORD"), record.as_bytes()));
        }
        parts
    }

    pub fn bytes(&self) -> Vec<u8> {
        archive(self.parts()).bytes()
    }
}

/// Bytes that do not compress, other ones for each number.
pub fn noise(number: u64, size: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(|_| next()).collect()
}
