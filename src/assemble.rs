//! Building and healing trees out of verified bytes.
//!
//! ```text
//! blob ──────────┐
//! pack ─ unpack ─┼─▶ tmp/<digest>.tree/ ─ rename ─▶ trees/<digest>/ ─ index
//! another tree ──┘
//! ```
//!
//! A tree is built under a lock by one process, aside, and named when it is whole.
//! Nothing here asks the network: what cannot be made is told to the caller.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::Digest as _;

use crate::error::{Error, Kind, Result};
use crate::manifest::File;
use crate::name::{Digest, FilePath};
use crate::store::lock::Exclusive;
use crate::store::tree::{Stamp, Tree, TreeFile, folder_of, hash_file, index_of};
use crate::store::{Store, make_folders, unique};
use crate::unpack::Pack;

/// From this many files on, unpacking is shared by threads.
const ENOUGH_FOR_THREADS: usize = 64;
const THREADS: usize = 4;

/// From this size on, a file shares its bytes with the blob instead of copying them.
const ENOUGH_TO_SHARE: u64 = 64 << 10;

/// Where the bytes of one file come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The blob that they can always be made from again.
    pub blob: Digest,
    /// The entry of the blob, where it is a pack.
    pub inner: Option<FilePath>,
    /// A file that holds them already: the same file of another tree.
    pub file: Option<PathBuf>,
    /// The blob was hashed just now, while it arrived.
    pub fresh: bool,
}

impl Source {
    /// The pack, and the path in it, that the bytes are read from.
    fn packed(&self) -> Option<(&Digest, &FilePath)> {
        self.inner.as_ref().filter(|_| self.file.is_none()).map(|inner| (&self.blob, inner))
    }
}

/// Builds the tree of `files`; another process may have done so meanwhile. `anew` builds
/// it even where a good one stands; who has that one's files open keeps them.
pub fn build(
    store: &Store,
    digest: &Digest,
    files: &[File],
    sources: &BTreeMap<FilePath, Source>,
    anew: bool,
) -> Result<Tree> {
    let _lock = Exclusive::wait(&store.locks().join(format!("{digest}.tree")))?;
    if !anew
        && let Some(mut tree) = Tree::open(store, digest)?
        && tree.check(false).damaged.is_empty()
    {
        return Ok(tree);
    }
    let aside = store.tmp().join(format!("{digest}.tree"));
    remove(&aside)?;
    let built = fill(store, &aside, files, sources)
        .and_then(|stamps| name(store, digest, &aside, files, sources, &stamps));
    if built.is_err() {
        let _ = remove(&aside);
    }
    built
}

type Stamps = HashMap<FilePath, Stamp>;
type Job<'a> = (&'a File, &'a Source);

fn fill(
    store: &Store,
    aside: &Path,
    files: &[File],
    sources: &BTreeMap<FilePath, Source>,
) -> Result<Stamps> {
    let mut folders: BTreeSet<&str> =
        files.iter().filter(|file| !file.lazy).map(|file| file.path.parent()).collect();
    folders.insert("");
    for folder in folders {
        make_folder(&aside.join(folder))?;
    }
    let mut jobs: Vec<Job<'_>> = Vec::with_capacity(files.len());
    for file in files.iter().filter(|file| !file.lazy) {
        let source = sources.get(&file.path).ok_or_else(|| {
            Error::new(Kind::Store, format!("nothing in the cache holds {}", file.path))
                .path(file.path.as_str())
        })?;
        jobs.push((file, source));
    }
    let mut packs = Packs::new(store);
    if jobs.len() < ENOUGH_FOR_THREADS {
        return packs.place_all(aside, &jobs);
    }
    // An archive is checked once, whatever the number of threads.
    for (_, source) in &jobs {
        if let Some((blob, _)) = source.packed() {
            packs.open(blob)?;
        }
    }
    // Neighbours in a pack stay together, so that each thread reads forwards.
    jobs.sort_by(|a, b| a.0.path.cmp(&b.0.path));
    let share = jobs.len().div_ceil(THREADS);
    std::thread::scope(|scope| {
        let workers: Vec<_> = jobs
            .chunks(share)
            .map(|jobs| {
                let packs = packs.again();
                scope.spawn(move || packs?.place_all(aside, jobs))
            })
            .collect();
        let mut stamps = Stamps::new();
        for worker in workers {
            let ended = Error::new(Kind::Store, "a thread that unpacked a tree ended unexpectedly");
            stamps.extend(worker.join().map_err(|_| ended)??);
        }
        Ok(stamps)
    })
}

/// The packs that one thread has open.
struct Packs<'a> {
    store: &'a Store,
    open: HashMap<Digest, Pack>,
}

impl<'a> Packs<'a> {
    fn new(store: &'a Store) -> Self {
        Self { store, open: HashMap::new() }
    }

    /// The same, for another thread.
    fn again(&self) -> Result<Self> {
        let again = |(blob, pack): (&Digest, &Pack)| {
            Ok((*blob, pack.again(&self.store.blobs().path(blob))?))
        };
        Ok(Self { store: self.store, open: self.open.iter().map(again).collect::<Result<_>>()? })
    }

    fn open(&mut self, blob: &Digest) -> Result<&mut Pack> {
        Ok(match self.open.entry(*blob) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                entry.insert(Pack::open_any(&self.store.blobs().path(blob), &blob.to_hex())?)
            }
        })
    }

    fn place_all(mut self, aside: &Path, jobs: &[Job<'_>]) -> Result<Stamps> {
        let mut stamps = Stamps::new();
        for (file, source) in jobs {
            let target = aside.join(file.path.as_str());
            self.place(&target, file.size, &file.sha256, source)?;
            let metadata =
                fs_err::symlink_metadata(&target).map_err(|error| cannot_build(&target, &error))?;
            stamps.insert(file.path.clone(), Stamp::of(&metadata));
        }
        Ok(stamps)
    }

    /// Writes one file, which does not exist yet, and makes sure of its bytes.
    fn place(&mut self, target: &Path, size: u64, sha256: &Digest, source: &Source) -> Result<()> {
        if let Some((blob, inner)) = source.packed() {
            let pack = self.open(blob)?;
            let mut file = create(target).map_err(|error| cannot_build(target, &error))?;
            return pack.copy(inner, size, sha256, &mut file);
        }
        let from = source.file.clone().unwrap_or_else(|| self.store.blobs().path(&source.blob));
        if !fs_err::symlink_metadata(&from).is_ok_and(|metadata| metadata.is_file()) {
            return Err(Error::new(Kind::Integrity, format!("{} is gone", from.display()))
                .path(from.display().to_string())
                .hint("run `magic-module verify`, which fetches it again"));
        }
        let shared = size >= ENOUGH_TO_SHARE && share(&from, target).is_ok();
        let got = if shared && source.fresh && source.file.is_none() {
            *sha256
        } else if shared {
            hash_file(target, size).map_err(|error| cannot_build(target, &error))?
        } else {
            copy(&from, target, size).map_err(|error| cannot_build(target, &error))?
        };
        if got == *sha256 {
            return Ok(());
        }
        let _ = fs_err::remove_file(target);
        Err(Error::new(Kind::Integrity, format!("{} is damaged", from.display()))
            .path(from.display().to_string())
            .expected(sha256.to_hex())
            .got(got.to_hex())
            .hint("run `magic-module verify`, which fetches it again"))
    }
}

/// Copies `from` to a new file, and hashes what it copies.
fn copy(from: &Path, target: &Path, size: u64) -> io::Result<Digest> {
    let mut input = fs_err::File::open(from)?.take(size.saturating_add(1));
    let mut output = create(target)?;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; usize::try_from(size.clamp(1, 1 << 18)).unwrap_or(1 << 18)];
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            return Ok(Digest::from_bytes(hasher.finalize().into()));
        }
        hasher.update(&buffer[..count]);
        output.write_all(&buffer[..count])?;
    }
}

fn create(target: &Path) -> io::Result<fs_err::File> {
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use fs_err::os::unix::fs::OpenOptionsExt;
        options.mode(0o444);
    }
    options.open(target)
}

/// A clone of the blocks where the file system can, else another name of the same
/// read-only file.
fn share(from: &Path, target: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let input = fs_err::File::open(from)?;
        let output = create(target)?;
        if rustix::fs::ioctl_ficlone(output.file(), input.file()).is_ok() {
            return Ok(());
        }
        drop(output);
        fs_err::remove_file(target)?;
    }
    link(from, target)
}

/// Another name of a file, if nobody may write to it: who did would write to both.
pub fn link(from: &Path, target: &Path) -> io::Result<()> {
    if !is_read_only(&fs_err::symlink_metadata(from)?) {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    fs_err::hard_link(from, target)
}

fn is_read_only(metadata: &std::fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        metadata.permissions().mode() & 0o7777 == 0o444
    }
    #[cfg(not(unix))]
    metadata.permissions().readonly()
}

fn name(
    store: &Store,
    digest: &Digest,
    aside: &Path,
    files: &[File],
    sources: &BTreeMap<FilePath, Source>,
    stamps: &Stamps,
) -> Result<Tree> {
    let folder = folder_of(store, digest);
    // A folder without an index, or a damaged tree: nobody can be using it by its index,
    // and who has its files open keeps them.
    remove(&index_of(store, digest))?;
    if folder.exists() {
        let old = store.tmp().join(format!("{digest}.{}.{}.old", std::process::id(), unique()));
        fs_err::rename(&folder, &old).map_err(|error| cannot_build(&folder, &error))?;
        let _ = remove(&old);
    }
    fs_err::rename(aside, &folder).map_err(|error| cannot_build(&folder, &error))?;
    let mut blobs: Vec<Digest> = Vec::new();
    let listed = files
        .iter()
        .map(|file| {
            let source = sources.get(&file.path).filter(|_| !file.lazy);
            let at =
                source.map(|source| match blobs.iter().position(|blob| *blob == source.blob) {
                    Some(at) => at,
                    None => {
                        blobs.push(source.blob);
                        blobs.len() - 1
                    }
                });
            TreeFile {
                path: file.path.clone(),
                size: file.size,
                sha256: file.sha256,
                lazy: file.lazy,
                stamp: stamps.get(&file.path).copied().unwrap_or_default(),
                source: at,
                inner: source.and_then(|source| source.inner.clone()),
            }
        })
        .collect();
    let tree = Tree::new(*digest, folder, listed, blobs);
    tree.write_index(store)?;
    Ok(tree)
}

/// Mends `damaged` files from the blobs that are here. Returns the positions that
/// could not be mended, because their blob is gone or damaged too.
pub fn heal(store: &Store, tree: &mut Tree, damaged: &[usize]) -> Result<Vec<usize>> {
    let _lock = Exclusive::wait(&store.locks().join(format!("{}.tree", tree.digest)))?;
    let mut packs = Packs::new(store);
    let mut left = Vec::new();
    for &at in damaged {
        let file = &tree.files[at];
        let target = tree.folder.join(file.path.as_str());
        let Some(blob) = file.source.and_then(|at| tree.sources.get(at)) else {
            left.push(at);
            continue;
        };
        let source = Source { blob: *blob, inner: file.inner.clone(), file: None, fresh: false };
        let aside =
            store.tmp().join(format!("{}.{}.{}.heal", tree.digest, std::process::id(), unique()));
        match packs.place(&aside, file.size, &file.sha256, &source) {
            Ok(()) => {
                make_folder(target.parent().unwrap_or(&tree.folder))?;
                if target.is_dir() {
                    remove(&target)?;
                }
                fs_err::rename(&aside, &target).map_err(|error| cannot_build(&target, &error))?;
                let metadata = fs_err::symlink_metadata(&target)
                    .map_err(|error| cannot_build(&target, &error))?;
                tree.files[at].stamp = Stamp::of(&metadata);
            }
            Err(_) => {
                let _ = fs_err::remove_file(&aside);
                left.push(at);
            }
        }
    }
    Ok(left)
}

fn make_folder(path: &Path) -> Result<()> {
    make_folders(path).map_err(|error| cannot_build(path, &error))
}

fn remove(folder: &Path) -> Result<()> {
    let removed = match fs_err::symlink_metadata(folder) {
        Ok(metadata) if metadata.is_dir() => fs_err::remove_dir_all(folder),
        Ok(_) => fs_err::remove_file(folder),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(cannot_build(folder, &error)),
        _ => Ok(()),
    }
}

fn cannot_build(path: &Path, error: &io::Error) -> Error {
    Error::store("cannot write to the cache", path, error)
}
