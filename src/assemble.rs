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
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::Digest as _;

use crate::error::{Error, Kind, Result};
use crate::manifest::{self, File, PackFormat, Record};
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

/// Builds the tree of `record`; another process may have done so meanwhile. `anew` builds
/// it even where a good one stands; who has that one's files open keeps them. A pack is
/// good if it holds what the record says and nothing else.
pub fn build(
    store: &Store,
    digest: &Digest,
    record: &Record,
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
    let built = fill(store, &aside, record, sources)
        .and_then(|stamps| name(store, digest, &aside, &record.files, sources, &stamps));
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
    record: &Record,
    sources: &BTreeMap<FilePath, Source>,
) -> Result<Stamps> {
    let files = &record.files;
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
    let declared = Declared::of(record);
    // Neighbours in a pack stay together, so that each thread reads forwards.
    jobs.sort_by(|a, b| (a.1.packed(), &a.0.path).cmp(&(b.1.packed(), &b.0.path)));
    let mut packs = Packs::new(store, &declared);
    if jobs.len() < ENOUGH_FOR_THREADS {
        return packs.place_all(aside, &jobs);
    }
    // An archive is checked once, whatever the number of threads; one that is unpacked in
    // memory is all one thread's.
    let share = jobs.len().div_ceil(THREADS);
    let mut batches: Vec<&[Job<'_>]> = Vec::new();
    for jobs in jobs.chunk_by(|a, b| blob_of(a) == blob_of(b)) {
        match jobs.first().and_then(blob_of) {
            Some(blob) if declared.is_framed(blob) => batches.push(jobs),
            Some(blob) => {
                packs.open(blob)?;
                batches.extend(jobs.chunks(share));
            }
            None => batches.extend(jobs.chunks(share)),
        }
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS.min(batches.len()))
            .map(|_| {
                let (packs, next, batches) = (packs.again(), &next, &batches);
                scope.spawn(move || {
                    let (mut packs, mut stamps) = (packs?, Stamps::new());
                    while let Some(jobs) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                        stamps.extend(packs.place_all(aside, jobs)?);
                    }
                    Ok(stamps)
                })
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

fn blob_of<'a>(job: &Job<'a>) -> Option<&'a Digest> {
    job.1.packed().map(|(blob, _)| blob)
}

/// What the packs of a record must hold; of a tree whose record is not at hand, nothing is known.
#[derive(Default)]
struct Declared<'a> {
    packs: HashMap<&'a Digest, &'a manifest::Pack>,
    sizes: HashMap<&'a FilePath, u64>,
}

impl<'a> Declared<'a> {
    fn of(record: &'a Record) -> Self {
        Self {
            packs: record.packs.iter().map(|pack| (&pack.sha256, pack)).collect(),
            sizes: record.files.iter().map(|file| (&file.path, file.size)).collect(),
        }
    }

    fn is_framed(&self, blob: &Digest) -> bool {
        self.packs.get(blob).is_some_and(|pack| pack.format == PackFormat::ZipZstd)
    }

    fn open(&self, store: &Store, blob: &Digest) -> Result<Pack> {
        let path = store.blobs().path(blob);
        let Some(pack) = self.packs.get(blob) else {
            return Pack::open_any(&path, &blob.to_hex());
        };
        let size = |path| self.sizes.get(path).copied().unwrap_or(0);
        let declared = pack.paths.iter().map(|path| (path, size(path))).collect();
        Pack::open(&path, &pack.url, &pack.format, &declared)
    }
}

/// The packs that one thread has open, of those in memory one at a time.
struct Packs<'a> {
    store: &'a Store,
    declared: &'a Declared<'a>,
    open: HashMap<Digest, Pack>,
    /// False once the file system has refused to clone blocks.
    clones: bool,
}

impl<'a> Packs<'a> {
    fn new(store: &'a Store, declared: &'a Declared<'a>) -> Self {
        Self { store, declared, open: HashMap::new(), clones: cfg!(target_os = "linux") }
    }

    /// The same, for another thread.
    fn again(&self) -> Result<Self> {
        let again = |(blob, pack): (&Digest, &Pack)| {
            Ok((*blob, pack.again(&self.store.blobs().path(blob))?))
        };
        let open = self.open.iter().map(again).collect::<Result<_>>()?;
        Ok(Self { open, ..*self })
    }

    fn open(&mut self, blob: &Digest) -> Result<&mut Pack> {
        if !self.open.contains_key(blob) {
            self.open.retain(|_, pack| !pack.is_in_memory());
        }
        Ok(match self.open.entry(*blob) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(self.declared.open(self.store, blob)?),
        })
    }

    fn place_all(&mut self, aside: &Path, jobs: &[Job<'_>]) -> Result<Stamps> {
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
        let shared = size >= ENOUGH_TO_SHARE && self.share(&from, target).is_ok();
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

    /// A clone of the blocks where the file system can, else another name of the same
    /// read-only file.
    fn share(&mut self, from: &Path, target: &Path) -> io::Result<()> {
        if self.clones {
            match clone_blocks(from, target) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
                cloned => self.clones = cloned.is_ok(),
            }
            if self.clones {
                return Ok(());
            }
        }
        fs_err::hard_link(from, target)
    }
}

#[cfg(target_os = "linux")]
fn clone_blocks(from: &Path, target: &Path) -> io::Result<()> {
    let input = fs_err::File::open(from)?;
    let output = create(target)?;
    rustix::fs::ioctl_ficlone(output.file(), input.file()).or_else(|error| {
        drop(output);
        fs_err::remove_file(target)?;
        Err(error.into())
    })
}

#[cfg(not(target_os = "linux"))]
fn clone_blocks(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
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

/// Reads all of a pack, to know whether it holds what the record says to the last byte.
pub fn read_pack(store: &Store, record: &Record, pack: &manifest::Pack) -> Result<()> {
    let mut open = Declared::of(record).open(store, &pack.sha256)?;
    let held: BTreeSet<&FilePath> = pack.paths.iter().collect();
    for file in record.files.iter().filter(|file| held.contains(&file.path)) {
        open.copy(&file.path, file.size, &file.sha256, &mut io::sink())?;
    }
    Ok(())
}

/// Mends `damaged` files from the blobs that are here. Returns the positions that
/// could not be mended, because their blob is gone or damaged too.
pub fn heal(store: &Store, tree: &mut Tree, damaged: &[usize]) -> Result<Vec<usize>> {
    let _lock = Exclusive::wait(&store.locks().join(format!("{}.tree", tree.digest)))?;
    let declared = Declared::default();
    let mut packs = Packs::new(store, &declared);
    let mut left = Vec::new();
    let mut damaged = damaged.to_vec();
    damaged.sort_by_key(|at| tree.files[*at].source);
    for at in damaged {
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
