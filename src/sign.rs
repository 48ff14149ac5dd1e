//! Signatures of manifests: minisign, over the exact bytes
//! (<https://jedisct1.github.io/minisign/#signature-format>). What makes them is in [`secret`].

pub mod secret;

use minisign_verify::{PublicKey, Signature};

use crate::error::{Error, Kind, Result};

/// Keys of which any one suffices.
#[derive(Debug, Clone, Default)]
pub struct Keys(Vec<(String, PublicKey)>);

impl Keys {
    /// Each text is a minisign public key in base64, or the two lines of its file.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let parse = |text: &'a str| {
            let lines = without_mark(text).lines();
            let line = lines.map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
            PublicKey::from_base64(line).map(|key| (line.to_owned(), key)).map_err(|error| {
                Error::new(Kind::Configuration, format!("{line:?} is not a minisign public key"))
                    .caused_by(&error)
                    .hint("give the last line of the .pub file, which starts with RW")
            })
        };
        let mut keys = texts.into_iter().map(parse).collect::<Result<Vec<_>>>()?;
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        keys.dedup_by(|a, b| a.0 == b.0);
        Ok(Self(keys))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys as text, sorted: part of a mount's identity.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(text, _)| text.as_str())
    }

    /// True if one of the keys signed exactly these bytes.
    pub fn accept(&self, bytes: &[u8], signature: &[u8]) -> bool {
        decoded(signature).is_some_and(|signature| {
            self.0.iter().any(|(_, key)| key.verify(bytes, &signature, false).is_ok())
        })
    }

    /// The ids of the keys as `minisign` prints them, which name the immutable signatures.
    pub fn ids(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(text, _)| key_id(text))
    }
}

/// True for what minisign may have written, whoever signed with it whatever.
pub fn is_signature(bytes: &[u8]) -> bool {
    decoded(bytes).is_some()
}

fn decoded(signature: &[u8]) -> Option<Signature> {
    Signature::decode(without_mark(std::str::from_utf8(signature).ok()?)).ok()
}

/// Some editors begin a file with a mark that says nothing of UTF-8.
fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Bytes 2 to 10 of the key, the last first, in hexadecimal.
fn key_id(text: &str) -> String {
    let bytes = from_base64(text);
    bytes.get(2..10).unwrap_or_default().iter().rev().map(|byte| format!("{byte:02X}")).collect()
}

/// The bytes up to the first character that is not of the alphabet.
fn from_base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for character in text.bytes() {
        let Some(value) = ALPHABET.iter().position(|known| *known == character) else { break };
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and signature that minisign's own documentation shows for the word `test`.
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";

    #[test]
    fn a_key_has_the_id_that_minisign_prints() {
        let keys = Keys::parse([KEY]).unwrap();
        assert_eq!(keys.ids().collect::<Vec<_>>(), ["E7620F1842B4E81F"]);
        assert!(!keys.accept(b"test", b"not a signature"));
    }

    #[test]
    fn a_wrong_key_names_the_remedy() {
        let error = Keys::parse(["nonsense"]).unwrap_err().to_string();
        assert!(error.contains("starts with RW"), "{error}");
    }
}
