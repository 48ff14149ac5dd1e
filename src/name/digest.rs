//! A sha256, which names bytes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BadName, Hasher, bad};

/// A sha256, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

impl Digest {
    /// Reads 64 lower-case hexadecimal digits; all else is an error.
    pub fn new(text: &str) -> Result<Self, BadName> {
        let mut bytes = [0; 32];
        let nibble = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        let parsed = text.len() == 64
            && bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)).all(|(byte, pair)| {
                let both = nibble(pair[0]).zip(nibble(pair[1]));
                both.inspect(|(high, low)| *byte = high << 4 | low).is_some()
            });
        if !parsed {
            return bad(format!("{text:?} is not a sha256 of 64 lower-case hexadecimal digits"));
        }
        Ok(Self(bytes))
    }

    /// The digest of `data`, held in memory.
    pub fn of(data: &[u8]) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(data);
        hasher.finish()
    }

    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Writes 64 lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl From<Digest> for String {
    fn from(value: Digest) -> String {
        value.to_hex()
    }
}

impl TryFrom<String> for Digest {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        Self::new(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_round_trip() {
        let digest = Digest::of(b"");
        assert_eq!(
            digest.to_hex(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(Digest::new(&digest.to_hex()).unwrap(), digest);
        assert!(Digest::new(&digest.to_hex().to_uppercase()).is_err());
        assert!(Digest::new("é").is_err());
    }
}
