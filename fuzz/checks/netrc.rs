//! Files of credentials: whatever follows, an entry stays what it is, and nobody gets a
//! login that stands under no machine's name.

use magic_module::origin::netrc::Netrc;

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let before = Netrc::parse(&format!(
        "machine first.example login me password \"a b\" machine second.example {text}"
    ));
    let first = before.find("first.example", "").unwrap();
    assert_eq!((first.login.as_str(), first.password.as_str()), ("me", "a b"));

    let alone = Netrc::parse(&text);
    // A word may be written with quotes and backslashes.
    let plain = text.replace(['"', '\\'], "");
    if !plain.contains("machine") {
        for word in plain.split_whitespace().chain([""]) {
            assert!(alone.find(word, "").is_none(), "{word:?}");
        }
    }
    for word in text.split_whitespace() {
        let Some(entry) = alone.find(word, "") else { continue };
        // The entry is found by its login, too, and holds nothing but what stands there.
        assert!(alone.find(&word.to_ascii_uppercase(), &entry.login).is_some());
        assert!(entry.login.chars().chain(entry.password.chars()).all(|one| text.contains(one)));
    }
}
