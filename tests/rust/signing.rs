//! Signatures that the minisign tool made are accepted, and ours by it.
//!
//! `tests/fixtures/minisign` holds what the tool (0.11) wrote: two secret keys, one of them with the password
//! `secret`, and a signature. `ours.minisig` is ours, and the tool accepted it. Where the tool is installed, it is asked again.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::path::{Path, PathBuf};
use std::process::Command;

use magic_module::error::Kind;
use magic_module::sign::Keys;
use magic_module::sign::secret::{Signer, generate, needs_password};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/minisign").join(name)
}

fn text(name: &str) -> String {
    fs_err::read_to_string(fixture(name)).unwrap()
}

/// What the installed tool says; `None` without it.
fn tool_accepts(public: &Path, message: &Path, signature: &Path) -> Option<bool> {
    let mut command = Command::new("minisign");
    command.args(["-V", "-q", "-p"]).arg(public).arg("-x").arg(signature).arg("-m").arg(message);
    command.output().ok().map(|output| output.status.success())
}

#[test]
fn a_signature_of_the_tool_is_accepted_and_of_nothing_else() {
    let keys = Keys::parse([text("plain.pub").as_str()]).unwrap();
    let (message, signature) = (text("message.json"), text("message.json.minisig"));
    assert!(keys.accept(message.as_bytes(), signature.as_bytes()));
    let other = message.replace("acme", "acne");
    assert!(!keys.accept(other.as_bytes(), signature.as_bytes()));
    let forged = signature.replace("made by the minisign tool", "made by somebody else");
    assert!(!keys.accept(message.as_bytes(), forged.as_bytes()), "the comment is signed, too");
    let foreign = Keys::parse([text("locked.pub").as_str()]).unwrap();
    assert!(!foreign.accept(message.as_bytes(), signature.as_bytes()));
}

#[test]
fn our_signature_was_accepted_by_the_tool() {
    let keys = Keys::parse([text("plain.pub").as_str()]).unwrap();
    assert!(keys.accept(text("message.json").as_bytes(), text("ours.minisig").as_bytes()));
    let accepted =
        tool_accepts(&fixture("plain.pub"), &fixture("message.json"), &fixture("ours.minisig"));
    assert_ne!(accepted, Some(false));
}

#[test]
fn secret_keys_of_the_tool_sign() {
    let folder = tempfile::tempdir().unwrap();
    let message = text("message.json");
    assert!(!needs_password(&fixture("plain.key")).unwrap());
    assert!(needs_password(&fixture("locked.key")).unwrap());
    for (key, password) in [("plain", None), ("locked", Some("secret"))] {
        let signer = Signer::read(&fixture(&format!("{key}.key")), password).unwrap();
        let public = text(&format!("{key}.pub"));
        assert!(public.contains(&signer.id()) && public.contains(signer.public_key()));
        let signature = signer.sign(message.as_bytes(), "a comment").unwrap();
        assert!(signer.made(message.as_bytes(), &signature));
        assert!(Keys::parse([public.as_str()]).unwrap().accept(message.as_bytes(), &signature));
        let path = folder.path().join("signature");
        fs_err::write(&path, &signature).unwrap();
        let public = fixture(&format!("{key}.pub"));
        assert_ne!(tool_accepts(&public, &fixture("message.json"), &path), Some(false));
    }
}

#[test]
fn keygen_writes_a_pair_once() {
    let folder = tempfile::tempdir().unwrap();
    for (name, public, password) in
        [("a.key", "a.pub", None), ("b", "b.pub", Some("correct horse"))]
    {
        let path = folder.path().join(name);
        let made = generate(&path, password).unwrap();
        assert_eq!(made.public, folder.path().join(public));
        let signer = Signer::read(&path, password).unwrap();
        assert_eq!((signer.id(), signer.public_key()), (made.id, made.public_key.as_str()));
        assert!(fs_err::read_to_string(&made.public).unwrap().contains(&made.public_key));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let before = fs_err::read(&path).unwrap();
        let error = generate(&path, password).unwrap_err();
        assert!(error.to_string().contains("that file already exists"), "{error}");
        assert_eq!(fs_err::read(&path).unwrap(), before);
    }
    fs_err::write(folder.path().join("c.pub"), "somebody's").unwrap();
    generate(&folder.path().join("c.key"), None).unwrap_err();
    assert!(!folder.path().join("c.key").exists());
}

#[test]
fn what_is_no_key_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged.key");
    let letters = text("plain.key").replacen("AAAA", "AAAB", 2).replace('s', "t");
    fs_err::write(&damaged, letters).unwrap();
    let wrong = Signer::read(&fixture("locked.key"), Some("wrong")).unwrap_err();
    assert!(wrong.to_string().ends_with("check the password"), "{wrong}");
    let silent = Signer::read(&fixture("locked.key"), None).unwrap_err();
    assert!(silent.to_string().contains("MAGIC_MODULE_KEY_PASSWORD"), "{silent}");
    for path in [fixture("plain.pub"), fixture("message.json"), fixture("nothing"), damaged] {
        let error = Signer::read(&path, Some("x")).unwrap_err();
        assert_eq!(error.kind(), Kind::Configuration);
        assert!(error.details().hint.is_some(), "{error}");
    }
}
