//! Keys and signatures: refused with the remedy, and nothing is accepted but what was signed.

use std::path::Path;

use magic_module::error::Kind;
use magic_module::sign::Keys;
use magic_module::sign::secret::{Signer, needs_password};

const KEY: &str = include_str!("../../tests/fixtures/minisign/plain.pub");
const MESSAGE: &str = include_str!("../../tests/fixtures/minisign/message.json");
const SIGNATURE: &str = include_str!("../../tests/fixtures/minisign/message.json.minisig");

pub fn check(data: &[u8]) {
    let keys = Keys::parse([KEY]).unwrap();
    assert!(!keys.accept(b"something else", data));
    assert!(!keys.accept(data, SIGNATURE.as_bytes()) || data == MESSAGE.as_bytes());
    if keys.accept(MESSAGE.as_bytes(), data) {
        // The first comment is signed by nobody, and what follows the fourth line is not read.
        let signed =
            |text: &str| text.lines().skip(1).take(3).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(signed(std::str::from_utf8(data).unwrap()), signed(SIGNATURE));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        public_key(text);
    }
    secret_key(data);
}

fn public_key(text: &str) {
    match Keys::parse([text]) {
        Ok(keys) => {
            let texts: Vec<&str> = keys.texts().collect();
            let ids: Vec<String> = keys.ids().collect();
            assert!(ids.iter().all(|id| id.len() == 16), "{ids:?}");
            assert_eq!(Keys::parse(texts.iter().copied()).unwrap().ids().collect::<Vec<_>>(), ids);
        }
        Err(error) => refused(&error, "starts with RW"),
    }
}

/// Without a password: deriving a key from one takes seconds, whatever the file says.
fn secret_key(data: &[u8]) {
    let path = super::folder().join("secret.key");
    fs_err::write(&path, data).unwrap();
    match Signer::read(&path, None) {
        Ok(signer) => {
            let signature = signer.sign(b"bytes", "comment").unwrap();
            assert!(signer.made(b"bytes", &signature) && !signer.made(b"other", &signature));
        }
        Err(error) => refused(&error, ""),
    }
    let _ = needs_password(Path::new(&path)).map_err(|error| refused(&error, "keygen"));
}

fn refused(error: &magic_module::error::Error, remedy: &str) {
    assert_eq!(error.kind(), Kind::Configuration, "{error}");
    assert!(error.details().hint.as_deref().is_some_and(|hint| hint.contains(remedy)), "{error}");
    assert!(!error.to_string().contains(char::is_control), "{error}");
}
