//! The bytes of a source as text: what a mark at its head or its first two lines say (PEP 263), else UTF-8.

use std::borrow::Cow;

/// How far a file is looked at for bytes that no text has.
const HEAD: usize = 8192;

/// The text, or why it is none.
///
/// Names in imports are nearly always ASCII, so of an encoding that is not known here the bytes
/// above are taken for Latin letters.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("it is UTF-16, which Python does not read".to_owned());
    }
    if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        return utf8(rest);
    }
    if bytes.get(..HEAD.min(bytes.len())).is_some_and(|head| head.contains(&0)) {
        return Err("it is binary".to_owned());
    }
    match declared(bytes).as_deref() {
        None | Some("utf-8" | "utf8" | "u8" | "utf-8-sig" | "ascii" | "us-ascii") => utf8(bytes),
        Some(name) if name.starts_with("utf-16") || name.starts_with("utf-32") => {
            Err(format!("it says that it is {name}, but its first lines are not"))
        }
        Some(_) if bytes.is_ascii() => utf8(bytes),
        Some(_) => Ok(bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into()),
    }
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, String> {
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
        let line =
            bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8")
    })
}

/// What `# -*- coding: latin-1 -*-` says in one of the first two lines.
fn declared(bytes: &[u8]) -> Option<String> {
    let lines = bytes.split(|byte| *byte == b'\n' || *byte == b'\r').take(2);
    for line in lines {
        let line = std::str::from_utf8(line.trim_ascii()).ok()?;
        let Some(comment) = line.strip_prefix('#') else {
            if line.is_empty() { continue } else { return None }
        };
        let Some((_, rest)) = comment.split_once("coding") else { continue };
        let Some(rest) = rest.strip_prefix([':', '=']) else { continue };
        let rest = rest.trim_start_matches([' ', '\t']);
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let end = rest.find(|letter| !is_name(letter)).unwrap_or(rest.len());
        if end > 0 {
            return Some(rest[..end].to_ascii_lowercase().replace('_', "-"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_those_that_the_text_declares() {
        assert_eq!(
            decode(b"# -*- coding: latin-1 -*-\n# \xe9").unwrap(),
            "# -*- coding: latin-1 -*-\n# é"
        );
        assert_eq!(
            decode(b"#!/x\n# vim: set fileencoding=cp1252 :\n# \xe9").unwrap().chars().last(),
            Some('é')
        );
        assert_eq!(decode(b"\xef\xbb\xbfimport a").unwrap(), "import a");
        assert_eq!(decode(b"\n\n# coding: latin-1\n\xe9").unwrap_err(), "line 4 is not UTF-8");
        assert_eq!(decode(b"MZ\x00\x01").unwrap_err(), "it is binary");
        assert!(decode(b"\xff\xfei\0").unwrap_err().contains("UTF-16"));
    }
}
