//! Trees: what a unit's files are once they are on disk.
//!
//! ```text
//! trees/<digest>/alpha.py …            the files, mode 0444, or 0555 where they can be run
//! trees/<digest>.index                 written last: a tree without it does not exist
//!
//!   magic_module tree 1                the format
//!   <sha256 of all that follows>       damage to the index itself
//!   <boot id>                          the boot in which the stamps were taken
//!   <sha256> …                         blobs that the tree can be rebuilt from
//!   <length>                           of the next block, in bytes
//!   path NUL size NUL sha256 LF …      hashes to <digest>, so it cannot be another tree's;
//!                                      a line may end in NUL lazy, NUL executable
//!   mtime ctime inode blob entry LF    a stamp per file, in the same order
//! ```
//!
//! A file whose size, times and inode are those of its stamp is taken as it is;
//! any other is hashed, and looked at for its executable bits. After another boot every
//! file is hashed once.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::boot::{boot, is_this_boot};
use super::{Store, Sync, disk, open_to_others, sealed, write_aside};
use crate::error::{Error, Kind, Result};
use crate::manifest::{File, listed};
use crate::name::{Digest, FilePath, folders};
use crate::status::Status;

const FORMAT: &str = "magic_module tree 1";

/// The largest index, in bytes: a million files.
const INDEX_LIMIT: u64 = 256 << 20;

/// A tree whose index could be read. Its files have not been looked at yet.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Of the listing; names the tree.
    pub digest: Digest,
    /// Where its files are.
    pub folder: PathBuf,
    /// Where a link at `folder` leads: the tree lies in a further cache, and is only read.
    pub behind: Option<PathBuf>,
    /// Sorted by path, as the listing is that the digest covers.
    pub files: Vec<TreeFile>,
    same_boot: bool,
}

/// One line of the listing, and what is known of the file itself.
#[derive(Debug, Clone, PartialEq)]
pub struct TreeFile {
    /// In the tree.
    pub path: FilePath,
    /// In bytes.
    pub size: u64,
    /// Of its bytes.
    pub sha256: Digest,
    /// Lies outside the tree, if it is there at all.
    pub lazy: bool,
    /// Has the executable bits.
    pub executable: bool,
    /// As it was when the index was written.
    pub stamp: Stamp,
    /// What its bytes can be made from again; nothing, for one outside the tree.
    pub kept: Option<Kept>,
}

/// What the blobs hold of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// A blob of its own.
    Alone,
    /// An entry of a pack.
    InPack {
        /// The pack's blob.
        pack: Digest,
        /// What it calls the file.
        entry: FilePath,
    },
}

impl TreeFile {
    /// A file that is not on disk yet.
    pub fn new(file: &File) -> Self {
        Self {
            path: file.path.clone(),
            size: file.size,
            sha256: file.sha256,
            lazy: file.lazy,
            executable: file.executable,
            stamp: Stamp::default(),
            kept: None,
        }
    }

    /// The blob that its bytes can be made from again.
    pub fn blob(&self) -> Option<&Digest> {
        self.kept.as_ref().map(|kept| match kept {
            Kept::Alone => &self.sha256,
            Kept::InPack { pack, .. } => pack,
        })
    }

    fn compare(&self, path: &Path, got: &Digest) -> Result<()> {
        if *got == self.sha256 {
            return Ok(());
        }
        Err(Error::new(Kind::Integrity, format!("{} is damaged", path.display()))
            .path(path.display().to_string())
            .expected(self.sha256.to_hex())
            .got(got.to_hex())
            .hint(match sealed::is_sealed(path) {
                true => sealed::PUT_A_COPY,
                false => "run `magic-module verify`, which fetches it again",
            }))
    }

    fn line(&self) -> String {
        listed(&self.path, self.size, &self.sha256, self.lazy, self.executable)
    }
}

/// What `lstat` says of a file that nobody touched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    pub(crate) mtime: i128,
    pub(crate) ctime: i128,
    pub(crate) inode: u64,
}

impl Stamp {
    /// Takes times in nanoseconds; without inodes, 0.
    pub fn of(metadata: &std::fs::Metadata) -> Self {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let nanoseconds =
                |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
            Self {
                mtime: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
                ctime: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
                inode: metadata.ino(),
            }
        }
        #[cfg(not(unix))]
        {
            let since = |time: std::io::Result<std::time::SystemTime>| {
                time.ok()
                    .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
                    .map_or(0, |past| past.as_nanos() as i128)
            };
            Self { mtime: since(metadata.modified()), ctime: since(metadata.created()), inode: 0 }
        }
    }
}

/// Where the tree with this digest is, or would be.
pub fn folder_of(store: &Store, digest: &Digest) -> PathBuf {
    store.trees().join(digest.to_hex())
}

/// Where the knot with this digest is, or would be.
pub fn knot_of(store: &Store, digest: &Digest) -> PathBuf {
    store.knots().join(digest.to_hex())
}

/// Where its index is, or would be.
pub fn index_of(store: &Store, digest: &Digest) -> PathBuf {
    store.trees().join(format!("{digest}.index"))
}

impl Tree {
    /// Reads the index. `None`: there is no such tree, or its index is damaged,
    /// which comes to the same: it will be built again.
    pub fn open(store: &Store, digest: &Digest) -> Result<Option<Self>> {
        Self::open_at(store, folder_of(store, digest), digest)
    }

    /// The same for a knot, which has the form of a tree.
    pub fn open_knot(store: &Store, digest: &Digest) -> Result<Option<Self>> {
        Self::open_at(store, knot_of(store, digest), digest)
    }

    /// The tree that lies in `folder`, in whichever cache.
    pub(super) fn open_at(store: &Store, folder: PathBuf, digest: &Digest) -> Result<Option<Self>> {
        let path = folder.with_extension("index");
        let bytes = match disk::read_private(&path, INDEX_LIMIT) {
            Ok(bytes) => bytes,
            Err(error) if disk::is_damage(&error) => return Ok(None),
            Err(error) => return Err(Error::store("cannot read a tree's index", &path, &error)),
        };
        let behind = match store.check_settled(&folder) {
            Ok(true) => None,
            Ok(false) => return Ok(None),
            // Perhaps it is a link of ours.
            Err(error) => match store.adopted(&folder) {
                None if store.was_adopted(&folder) => return Ok(None),
                None => return Err(error),
                behind => behind,
            },
        };
        Ok(Self::parse(digest, folder, &bytes).map(|tree| Self { behind, ..tree }))
    }

    /// True if there is an index, whatever it says: one that was pruned meanwhile is gone.
    pub fn is_visible(store: &Store, digest: &Digest) -> bool {
        let index = index_of(store, digest);
        sealed::is_sealed(&index) || index.exists()
    }

    /// A tree that was built just now, whose stamps are those of its files.
    pub fn new(digest: Digest, folder: PathBuf, mut files: Vec<TreeFile>) -> Self {
        files.sort_unstable_by(|one, other| one.path.as_str().cmp(other.path.as_str()));
        Self { digest, folder, behind: None, files, same_boot: true }
    }

    /// What a tree of these files is called.
    pub fn digest_of<'a>(files: impl Iterator<Item = &'a TreeFile>) -> Digest {
        let mut lines: Vec<String> = files.map(TreeFile::line).collect();
        lines.sort_unstable();
        Digest::of(lines.concat().as_bytes())
    }

    /// Where its files lie, links followed.
    pub fn place(&self) -> &Path {
        self.behind.as_ref().unwrap_or(&self.folder)
    }

    /// The blobs that it can be made from again.
    pub fn blobs(&self) -> BTreeSet<&Digest> {
        self.files.iter().filter_map(TreeFile::blob).collect()
    }

    fn parse(digest: &Digest, folder: PathBuf, bytes: &[u8]) -> Option<Self> {
        let (format, rest) = line(bytes)?;
        let (check, rest) = line(rest)?;
        if format != FORMAT || Digest::of(rest).to_hex() != check {
            return None;
        }
        let (boot_then, rest) = line(rest)?;
        let (sources, rest) = line(rest)?;
        let (length, rest) = line(rest)?;
        let (listing, stamps) = rest.split_at_checked(length.parse().ok()?)?;
        if Digest::of(listing) != *digest {
            return None;
        }
        let sources = sources
            .split_terminator(' ')
            .map(|text| Digest::new(text).ok())
            .collect::<Option<Vec<_>>>()?;
        let mut files = Vec::new();
        let mut stamps = std::str::from_utf8(stamps).ok()?.lines();
        for entry in std::str::from_utf8(listing).ok()?.split_terminator('\n') {
            let mut fields = entry.split('\0');
            let path = FilePath::new(fields.next()?).ok()?;
            let size = fields.next()?.parse().ok()?;
            let sha256 = Digest::new(fields.next()?).ok()?;
            let (mut lazy, mut executable) = (false, false);
            for flag in fields {
                lazy |= flag == "lazy";
                executable |= flag == "executable";
            }
            let mut fields = stamps.next()?.splitn(5, ' ');
            let stamp = Stamp {
                mtime: fields.next()?.parse().ok()?,
                ctime: fields.next()?.parse().ok()?,
                inode: fields.next()?.parse().ok()?,
            };
            let source = fields.next()?.parse().ok().and_then(|at: usize| sources.get(at));
            let entry = fields.next().and_then(|entry| FilePath::new(entry).ok());
            let kept = source.map(|blob| match entry {
                Some(entry) => Kept::InPack { pack: *blob, entry },
                None => Kept::Alone,
            });
            files.push(TreeFile { path, size, sha256, lazy, executable, stamp, kept });
        }
        // No tree of ours lists its files in another order, in which they would not be found.
        if !files.is_sorted_by(|one, next| one.path < next.path) {
            return None;
        }
        Some(Self {
            digest: *digest,
            folder,
            behind: None,
            files,
            same_boot: is_this_boot(boot_then),
        })
    }

    /// Writes the index, which makes the tree visible.
    pub fn write_index(&self, store: &Store) -> Result<()> {
        let mut lines: Vec<(String, &TreeFile)> =
            self.files.iter().map(|file| (file.line(), file)).collect();
        lines.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let listing: String = lines.iter().map(|(line, _)| line.as_str()).collect();
        let blobs: Vec<&Digest> = self.blobs().into_iter().collect();
        let names: Vec<String> = blobs.iter().map(|blob| blob.to_hex()).collect();
        let mut body = format!("{}\n{}\n{}\n{listing}", boot(), names.join(" "), listing.len());
        for (_, file) in lines {
            let Stamp { mtime, ctime, inode } = file.stamp;
            let source = file.blob().and_then(|blob| blobs.binary_search(&blob).ok());
            let source = source.map_or_else(|| "-".to_owned(), |at| at.to_string());
            let entry = match &file.kept {
                Some(Kept::InPack { entry, .. }) => entry.as_str(),
                _ => "",
            };
            let _ = writeln!(body, "{mtime} {ctime} {inode} {source} {entry}");
        }
        let text = format!("{FORMAT}\n{}\n{body}", Digest::of(body.as_bytes()));
        let path = self.folder.with_extension("index");
        write_aside(&store.tmp(), &path, text.as_bytes(), Sync::Later)
    }

    /// The files that are not what they should be, by position. Files that differ from
    /// their stamp only are re-stamped; `changed` tells that the index should be written.
    /// All files of a folder that is not ours alone are damaged.
    pub fn check(&mut self, store: &Store, scrutiny: Scrutiny) -> Checked {
        if scrutiny == Scrutiny::Stamps && sealed::settles(self.place()) {
            return Checked::default();
        }
        let mut checked = Checked::default();
        let strangers = self.strangers(store);
        for (at, file) in self.files.iter_mut().enumerate().filter(|(_, file)| !file.lazy) {
            let path = self.folder.join(file.path.as_str());
            let strange = |folder: &String| is_below(file.path.as_str(), folder);
            let metadata = fs_err::symlink_metadata(&path);
            let Some(metadata) = metadata.ok().filter(|_| !strangers.iter().any(strange)) else {
                checked.damaged.push(at);
                continue;
            };
            let stamp = Stamp::of(&metadata);
            // A file system without these bits shows its own for every file, then as now; and
            // what can be run although it should not does no harm, as after `chmod -R 755`.
            let full = scrutiny == Scrutiny::Bytes;
            let touched = full || stamp != file.stamp;
            let mode_counts = touched && (full || file.executable);
            if !metadata.is_file()
                || metadata.len() != file.size
                || open_to_others(&metadata)
                || (mode_counts && !has_mode(&metadata, file.executable))
            {
                checked.damaged.push(at);
            } else if touched || !self.same_boot {
                match disk::digest(&path, file.size) {
                    Ok(digest) if digest == file.sha256 => {
                        checked.changed |= stamp != file.stamp;
                        file.stamp = stamp;
                    }
                    _ => checked.damaged.push(at),
                }
            }
        }
        checked.changed |= !self.same_boot;
        checked
    }

    /// The folders inside that are links, or that others own or may write to.
    fn strangers(&self, store: &Store) -> Vec<String> {
        let here = self.files.iter().filter(|file| !file.lazy);
        let is_strange = |folder: &&str| {
            fs_err::symlink_metadata(self.folder.join(folder))
                .is_ok_and(|metadata| !store.is_own_folder(&metadata))
        };
        let folders = folders(here.map(|file| &file.path)).into_iter();
        folders.filter(is_strange).map(str::to_owned).collect()
    }

    /// Removes the folders above `file` that are not ours alone, with all that is in them.
    pub fn remove_strangers(&self, store: &Store, file: &TreeFile) -> std::io::Result<()> {
        let path = file.path.as_str();
        for (end, _) in path.match_indices('/') {
            let folder = self.folder.join(&path[..end]);
            match fs_err::symlink_metadata(&folder) {
                Ok(metadata) if !store.is_own_folder(&metadata) => return disk::remove(&folder),
                _ => {}
            }
        }
        Ok(())
    }

    /// Looks for a path in `files`.
    pub fn position(&self, path: &str) -> Option<usize> {
        self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok()
    }

    /// The bytes of one file, verified: what is served is what was pinned.
    pub fn read(&self, file: &TreeFile) -> Result<Vec<u8>> {
        let path = self.folder.join(file.path.as_str());
        let bytes = disk::read(&path, file.size).map_err(|error| cannot_read(&path, &error))?;
        file.compare(&path, &Digest::of(&bytes)).map(|()| bytes)
    }

    /// What `lstat` says of a file now; `None` where it is gone.
    pub fn stamp_of(&self, file: &TreeFile) -> Option<Stamp> {
        let path = self.folder.join(file.path.as_str());
        fs_err::symlink_metadata(path).ok().map(|metadata| Stamp::of(&metadata))
    }

    /// Hashes one file that somebody else will open by its path (`dlopen`).
    pub fn verify_file(&self, file: &TreeFile) -> Result<()> {
        let path = self.folder.join(file.path.as_str());
        let got = disk::digest(&path, file.size).map_err(|error| cannot_read(&path, &error))?;
        file.compare(&path, &got)
    }
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Error {
    Error::store("cannot read a file of the cache", path, error)
}

/// True if a path is below a folder.
fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// The outcome of [`Tree::check`].
#[derive(Debug, Default)]
pub struct Checked {
    /// The positions of files that are gone or other than they were.
    pub damaged: Vec<usize>,
    /// Stamps were taken again: the index is worth writing.
    pub changed: bool,
}

/// How closely a tree is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrutiny {
    /// A file with the stamp that it had is whole.
    Stamps,
    /// Every file is hashed.
    Bytes,
}

/// True if the file can be run by all who can read it, or by nobody, as it should be.
pub fn has_mode(metadata: &std::fs::Metadata, executable: bool) -> bool {
    let mode = Status::of(metadata).mode;
    let readers = (mode & 0o444) >> 2;
    mode & 0o7111 == if executable { readers } else { 0 }
}

fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}
