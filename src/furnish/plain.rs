//! What an installer makes of a wheel in a plain environment, where every file is real.
//!
//! ```text
//! pkg/…                    ─▶ copied
//! pkg-1.data/scripts/x     ─▶ bin/x, begins with the interpreter
//! [console_scripts]        ─▶ bin/y, written
//! pkg-1.dist-info/…        ─▶ INSTALLER, RECORD, and REQUESTED for what somebody asked for
//! ```

use std::collections::BTreeMap;

use super::metadata::{self, Recorded};
use super::scripts::{first_line, of_entry_points};
use crate::error::Result;
use crate::name::FilePath;
use crate::resolved::FileEntry;
use crate::store::view::Entry;
use crate::wheel::{Contents, Scheme};

/// One distribution, laid out.
#[derive(Debug)]
pub struct Plain {
    /// What is copied as it is.
    pub copied: Vec<Copied>,
    /// What is written.
    pub written: Vec<(FilePath, Written)>,
}

/// A file of the wheel.
#[derive(Debug, PartialEq, Eq)]
pub struct Copied {
    /// Below the prefix of an environment.
    pub path: FilePath,
    /// In bytes.
    pub size: u64,
    /// It can be run.
    pub executable: bool,
}

/// A file that is not the wheel's.
#[derive(Debug, PartialEq, Eq)]
pub struct Written {
    /// All of it.
    pub bytes: Vec<u8>,
    /// It can be run.
    pub executable: bool,
}

/// Lays out a wheel for the interpreter `python`. `read` gives the bytes of one of its files, and
/// `seen` a path as the `RECORD` has it.
pub fn plain(
    contents: &Contents,
    scheme: &Scheme,
    python: &str,
    requested: bool,
    read: impl Fn(&FilePath) -> Result<Vec<u8>>,
    seen: &dyn Fn(&FilePath) -> String,
) -> Result<Plain> {
    let lying = |error| super::lying(contents, &error);
    let files = FileEntry::of(contents, scheme).map_err(lying)?;
    let folder = format!("{}/", scheme.scripts);
    let mut scripts = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.as_str().starts_with(&folder)) {
        let bytes = started_by(python, read(&file.path)?);
        scripts.insert(file.path.clone(), Entry::File { bytes, executable: true });
    }
    scripts.extend(of_entry_points(contents, scheme, python));
    let how = Recorded { scheme, requested, seen };
    let metadata = metadata::of(contents, &files, &scripts, &how).map_err(lying)?;
    let written: BTreeMap<FilePath, Written> = metadata
        .into_iter()
        .chain(scripts)
        .filter_map(|(path, entry)| match entry {
            Entry::File { bytes, executable } => Some((path, Written { bytes, executable })),
            _ => None,
        })
        .collect();
    let copied = files.into_iter().zip(&contents.files);
    let copied = copied.filter(|(file, _)| !written.contains_key(&file.path));
    let copied = copied.map(|(file, from)| Copied {
        path: file.path,
        size: from.size,
        executable: from.executable,
    });
    Ok(Plain { copied: copied.collect(), written: written.into_iter().collect() })
}

/// A script that says `#!python` is for whoever installs it to complete.
fn started_by(python: &str, script: Vec<u8>) -> Vec<u8> {
    let end = script.iter().position(|byte| *byte == b'\n').map_or(script.len(), |at| at + 1);
    let (first, rest) = script.split_at(end);
    if !matches!(first.trim_ascii_end(), b"#!python" | b"#!pythonw") {
        return script;
    }
    [first_line(python).as_bytes(), rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_begins_with_the_interpreter() {
        for (script, expected) in [
            ("#!python\nx\n", "#!/p/bin/python\nx\n"),
            ("#!python\r\nx\n", "#!/p/bin/python\nx\n"),
            ("#!pythonw", "#!/p/bin/python\n"),
            ("#!/bin/sh\nx\n", "#!/bin/sh\nx\n"),
            ("", ""),
        ] {
            let started = started_by("/p/bin/python", script.as_bytes().to_vec());
            assert_eq!(String::from_utf8(started).unwrap(), expected);
        }
    }
}
