//! What is in a sealed cache: one line for each file and link, in the order of their paths.
//!
//! ```text
//! magic_module seal 1               the format
//! <sha256 of all that follows>      the digest of the seal
//! path NUL file NUL size NUL sha256 LF
//! path NUL link NUL target LF       in views and knots
//! ```
//!
//! Paths are below `v1`, so that a copy elsewhere is the same. Folders follow from them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::NAME;
use crate::name::Digest;
use crate::status::Status;
use crate::store::{Store, disk, open_to_others};
use crate::threads::together;

const FORMAT: &str = "magic_module seal 1\n";

/// The length of the first two lines, in bytes.
pub(super) const HEAD: usize = FORMAT.len() + 64 + 1;

/// So many files are looked at, at a time: each look may be a journey to a server.
const AT_A_TIME: usize = 8;

/// For fewer files no thread is started.
const FEW: usize = 256;

/// What stands at one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    File { size: u64, sha256: Digest },
    Link { target: String },
}

/// All that is in a sealed cache, by its path below `v1`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing(pub BTreeMap<String, Entry>);

impl Listing {
    pub fn text(&self) -> String {
        let lines = self.0.iter().map(|(path, entry)| match entry {
            Entry::File { size, sha256 } => format!("{path}\0file\0{size}\0{sha256}\n"),
            Entry::Link { target } => format!("{path}\0link\0{target}\n"),
        });
        let body: String = lines.collect();
        format!("{FORMAT}{}\n{body}", Digest::of(body.as_bytes()))
    }

    /// `None`: it is not what somebody sealed.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, body) = bytes.split_at_checked(HEAD)?;
        let check = head.strip_prefix(FORMAT.as_bytes())?.strip_suffix(b"\n")?;
        if Digest::of(body).to_hex().as_bytes() != check {
            return None;
        }
        let mut entries = BTreeMap::new();
        for line in std::str::from_utf8(body).ok()?.split_terminator('\n') {
            let mut fields = line.split('\0');
            let (path, kind, value) = (fields.next()?, fields.next()?, fields.next()?);
            let entry = match kind {
                "file" => Entry::File {
                    size: value.parse().ok()?,
                    sha256: Digest::new(fields.next()?).ok()?,
                },
                "link" => Entry::Link { target: value.to_owned() },
                _ => return None,
            };
            entries.insert(path.to_owned(), entry);
        }
        Some(Self(entries))
    }

    /// The first thing in which the folders differ; no file is read.
    pub fn difference(&self, store: &Store, root: &Path) -> io::Result<Option<String>> {
        let Found { files, folders } = Found::in_folder(root)?;
        let shown = |path: &str| root.join(path).display().to_string();
        if let Some(path) = files.iter().find(|path| !self.0.contains_key(*path)) {
            return Ok(Some(format!("{} was not sealed", shown(path))));
        }
        if let Some(path) = self.0.keys().find(|path| !files.contains(*path)) {
            return Ok(Some(format!("{} is gone", shown(path))));
        }
        for folder in &folders {
            let metadata = fs_err::symlink_metadata(root.join(folder))?;
            if !store.is_own_folder(&metadata) {
                return Ok(Some(format!("{} is not only its owner's", shown(folder))));
            }
        }
        let entries: Vec<_> = self.0.iter().collect();
        let differs = |(path, entry): &(&String, &Entry)| entry.difference(store, &root.join(path));
        let found = in_turns(&entries, differs)?;
        Ok(found.into_iter().flatten().next())
    }
}

impl Entry {
    fn difference(&self, store: &Store, path: &Path) -> io::Result<Option<String>> {
        let shown = path.display();
        let metadata = match fs_err::symlink_metadata(path) {
            Err(error) if disk::is_absent(&error) => return Ok(Some(format!("{shown} is gone"))),
            found => found?,
        };
        Ok(match self {
            Self::Link { target } => {
                let leads = metadata.is_symlink().then(|| fs_err::read_link(path)).transpose()?;
                let is_same = leads.is_some_and(|leads| leads == Path::new(target));
                (!is_same).then(|| format!("{shown} does not lead to {target}"))
            }
            Self::File { .. } if !metadata.is_file() => Some(format!("{shown} is not a file")),
            Self::File { size, .. } if metadata.len() != *size => {
                Some(format!("{shown} has {} bytes, and {size} were sealed", metadata.len()))
            }
            Self::File { .. } if open_to_others(&metadata) => {
                Some(format!("others may write to {shown}"))
            }
            Self::File { .. } if !store.trusts(Status::of(&metadata).owner) => {
                let owner = Status::of(&metadata).owner;
                Some(format!("{shown} belongs to user {owner}"))
            }
            Self::File { .. } => None,
        })
    }
}

/// The names below a folder.
#[derive(Default)]
pub(super) struct Found {
    pub files: BTreeSet<String>,
    pub folders: BTreeSet<String>,
}

impl Found {
    /// All names below `v1` but the listing's own; none is looked at.
    pub fn in_folder(root: &Path) -> io::Result<Self> {
        let mut found = Self::default();
        found.look_into(root, "")?;
        found.files.remove(NAME);
        Ok(found)
    }

    fn look_into(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().filter(|name| !name.contains(['\n', '\0']));
            let path = name.map(|name| format!("{prefix}{name}")).ok_or_else(|| {
                let what = format!("{} cannot be listed", entry.path().display());
                io::Error::new(io::ErrorKind::InvalidData, what)
            })?;
            if entry.file_type()?.is_dir() {
                self.look_into(&entry.path(), &format!("{path}/"))?;
                self.folders.insert(path);
            } else {
                self.files.insert(path);
            }
        }
        Ok(())
    }
}

/// What `look` finds at each of them, several at a time.
pub(super) fn in_turns<I: Sync, T: Send>(
    all: &[I],
    look: impl Fn(&I) -> io::Result<T> + Sync,
) -> io::Result<Vec<T>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> io::Result<()> {
        let mut own = Vec::new();
        while let Some((at, item)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, all.get(at)?)))
        {
            own.push((at, look(item)?));
        }
        done.lock().extend(own);
        Ok(())
    };
    let threads = if all.len() < FEW { 1 } else { AT_A_TIME };
    for outcome in together(threads, work) {
        outcome.unwrap_or_else(|| Err(io::Error::other("a thread ended unexpectedly")))?;
    }
    let mut done: Vec<(usize, T)> = done.into_inner();
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, found)| found).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> Listing {
        let file = Entry::File { size: 3, sha256: Digest::of(b"abc") };
        let link = Entry::Link { target: "../trees/x".to_owned() };
        Listing([("blobs/ab/abc".to_owned(), file), ("views/x/y".to_owned(), link)].into())
    }

    #[test]
    fn a_listing_is_read_as_it_was_written_and_not_if_a_byte_differs() {
        let text = listing().text();
        assert_eq!(Listing::parse(text.as_bytes()), Some(listing()));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(Listing::parse(&bytes), None, "byte {at}");
            assert_eq!(Listing::parse(&bytes[..at]), None, "cut at {at}");
        }
        assert_eq!(Listing::parse(&[text.as_bytes(), b"x"].concat()), None);
    }

    #[test]
    fn many_are_looked_at_in_order_and_a_failure_is_one() {
        let all: Vec<usize> = (0..1000).collect();
        assert_eq!(in_turns(&all, |at| Ok(*at)).unwrap(), all);
        let fails = |at: &usize| if *at == 900 { Err(io::Error::other("no")) } else { Ok(()) };
        assert!(in_turns(&all, fails).is_err());
    }
}
