//! The `x-1.dist-info` of a view, as an installer would have written it.
//!
//! ```text
//! METADATA, WHEEL, entry_points.txt …   the wheel's own
//! INSTALLER                             magic-module
//! REQUESTED                             nothing; that it is there says that somebody asked for it
//! RECORD                                ../../../bin/x,sha256=…,214
//!                                       x/__init__.py,sha256=…,1024
//! ```
//!
//! <https://packaging.python.org/en/latest/specifications/recording-installed-packages/>

use std::collections::BTreeMap;

use crate::name::{BadName, Digest, FilePath, bad};
use crate::resolved::FileEntry;
use crate::store::view::Entry;
use crate::wheel::{Contents, Scheme};

const INSTALLER: &str = "magic-module\n";

/// How a distribution is recorded.
pub(super) struct Recorded<'a> {
    pub scheme: &'a Scheme,
    /// Somebody asked for it, and not only something that requires it.
    pub requested: bool,
    /// A path as seen from the folder of what is imported.
    pub seen: &'a dyn Fn(&FilePath) -> String,
}

/// All files of a distribution's metadata that are real. `files` is where the wheel's are put,
/// `scripts` what is written for it.
pub(super) fn of(
    contents: &Contents,
    files: &[FileEntry],
    scripts: &BTreeMap<FilePath, Entry>,
    how: &Recorded<'_>,
) -> Result<Vec<(FilePath, Entry)>, BadName> {
    let Recorded { scheme, requested, seen } = how;
    let Contents { dist_info, texts, .. } = contents;
    if dist_info.contains('/') || !dist_info.ends_with(".dist-info") {
        return bad(format!("{dist_info:?} is not a folder of metadata"));
    }
    let folder = format!("{}/{dist_info}", scheme.site);
    let at = |name: &str| FilePath::new(&format!("{folder}/{name}"));
    let (installer, record) = (at("INSTALLER")?, at("RECORD")?);
    let mut written: BTreeMap<FilePath, &str> = BTreeMap::new();
    for (name, text) in texts {
        written.insert(at(name)?, text);
    }
    written.insert(installer, INSTALLER);
    if *requested {
        written.insert(at("REQUESTED")?, "");
    }
    written.remove(&record);

    // What is written here is recorded as it is written, all else as the wheel has it.
    let mut rows: BTreeMap<&FilePath, (Digest, u64)> = BTreeMap::new();
    for (file, from) in files.iter().zip(&contents.files) {
        rows.insert(&file.path, (file.sha256, from.size));
    }
    let scripts = scripts.iter().filter_map(|(path, entry)| match entry {
        Entry::File { bytes, .. } => Some((path, bytes.as_slice())),
        _ => None,
    });
    for (path, bytes) in written.iter().map(|(path, text)| (path, text.as_bytes())).chain(scripts) {
        rows.insert(path, (Digest::of(bytes), bytes.len() as u64));
    }
    rows.remove(&record);
    let rows = rows.into_iter().filter(|(path, _)| !path.as_str().ends_with(".pyc"));
    let mut rows: Vec<(String, String)> = rows
        .map(|(path, (sha256, size))| {
            (seen(path), format!("sha256={},{size}", base64(sha256.as_bytes())))
        })
        .collect();
    rows.push((seen(&record), ",".to_owned()));
    rows.sort_unstable();
    let lines: Vec<String> = rows
        .iter()
        .map(|(path, rest)| match path.contains(',') {
            true => format!("\"{path}\",{rest}\n"),
            false => format!("{path},{rest}\n"),
        })
        .collect();

    let mut all: Vec<(FilePath, Entry)> = written
        .into_iter()
        .map(|(path, text)| (path, super::file(text.as_bytes().to_vec())))
        .collect();
    all.push((record, super::file(lines.concat().into_bytes())));
    Ok(all)
}

/// A path of an environment as seen from the folder of what is imported.
pub(super) fn seen(path: &FilePath, scheme: &Scheme) -> String {
    let below = path.as_str().strip_prefix(scheme.site.as_str());
    match below.and_then(|below| below.strip_prefix('/')) {
        Some(below) => below.to_owned(),
        None => format!("{}{path}", "../".repeat(scheme.site.split('/').count())),
    }
}

/// With `-` and `_`, and without `=` at the end, as a `RECORD` has it.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .enumerate()
            .fold(0_u32, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        for at in 0..=group.len() {
            text.push(char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_written_as_a_record_has_them() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"\xfb\xff\xfe", "-__-"),
        ] {
            assert_eq!(base64(bytes), text);
        }
    }
}
