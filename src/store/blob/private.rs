//! Blobs whose bytes came with a login: who may use them without asking their server.
//!
//! ```text
//! private/<sha256>    who SP from LF …    a line for each space that a server let in: `who` stands for
//!                                         the space, and is empty without one, `from` for the URL
//! ```
//!
//! Spaces share bytes, not logins. What stands here is written before the blob can be seen.

use std::path::{Path, PathBuf};

use super::BlobStore;
use crate::error::{Error, Result};
use crate::name::{Digest, SafeUrl};
use crate::store::{disk, make_folders};

/// The largest list, in bytes; a larger one says nothing.
const LIMIT: u64 = 16 << 20;

/// What somebody has to do before they use a blob that is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Nothing: it came without a login, or their own was accepted.
    Open,
    /// To ask the server that it came from.
    Ask,
    /// To fetch it from elsewhere: that another server answers proves nothing.
    Fetch,
}

impl BlobStore {
    /// The same for the space whose mark this is.
    #[must_use]
    pub fn of_space(self, mark: &[u8]) -> Self {
        let who = if mark.is_empty() { String::new() } else { Digest::of(mark).to_hex() };
        Self { who, ..self }
    }

    /// True if nothing that is here came with a login.
    pub fn are_all_open(&self) -> bool {
        let is_empty = |root: &PathBuf| {
            disk::list(&root.join("private")).is_ok_and(|listed| listed.is_empty())
        };
        self.roots().all(is_empty)
    }

    /// What has to be done before a blob is used that is to be found behind `url`. What stands in
    /// further caches was accepted for others.
    pub fn admission(&self, digest: &Digest, url: Option<&SafeUrl>) -> Admission {
        let url = url.map(name_of);
        let mut admission = Admission::Open;
        for root in self.roots() {
            let Some(list) = read(root, digest) else { continue };
            if *root == self.root && list.iter().any(|(who, _)| *who == self.who) {
                return Admission::Open;
            }
            if list.iter().any(|(_, from)| Some(from) == url.as_ref()) {
                admission = Admission::Ask;
            } else if admission == Admission::Open {
                admission = Admission::Fetch;
            }
        }
        admission
    }

    /// Notes that this space may use a blob: what its server was sent was accepted, or it asked for
    /// nothing.
    pub fn admit(&self, digest: &Digest, url: &SafeUrl) -> Result<()> {
        let known = read(&self.root, digest).unwrap_or_default();
        if known.iter().any(|(who, _)| *who == self.who) {
            return Ok(());
        }
        let path = place(&self.root, digest);
        let line = format!("{} {}\n", self.who, name_of(url));
        let append = || {
            path.parent().map_or(Ok(()), make_folders)?;
            disk::append(&path, line.as_bytes()).map(drop)
        };
        append().map_err(|error| Error::store("cannot write to the cache", &path, &error))
    }

    fn roots(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.root).chain(&self.behind)
    }
}

fn place(root: &Path, digest: &Digest) -> PathBuf {
    root.join("private").join(digest.to_hex())
}

/// What stands for a URL: it may have secrets elsewhere than where a login is.
fn name_of(url: &SafeUrl) -> String {
    Digest::of(url.without_credentials().as_str().as_bytes()).to_hex()
}

/// `None`: it came without a login. What cannot be read was written for a reason.
fn read(root: &Path, digest: &Digest) -> Option<Vec<(String, String)>> {
    let bytes = match disk::read_private(&place(root, digest), LIMIT) {
        Err(error) if disk::is_absent(&error) => return None,
        bytes => bytes.unwrap_or_default(),
    };
    let text = String::from_utf8(bytes).unwrap_or_default();
    let pair = |line: &str| line.split_once(' ').map(|(who, from)| (who.into(), from.into()));
    Some(text.lines().filter_map(pair).collect())
}
