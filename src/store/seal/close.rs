//! Sealing a cache, and undoing that.
//!
//! ```text
//! seal   nobody uses it ─ leftovers and lock files go ─ all is hashed ─ synced ─ listing
//!        └─ write bits go, those of v1 last
//! open   those of v1 come back first, then the others ─ the listing goes
//! ```
//!
//! Whoever ends in between leaves a cache that is not sealed, and whose folders may be closed; both
//! acts begin again then.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::NAME;
use super::listing::{Entry, Found, Listing, in_turns};
use crate::error::{Error, Kind, Result};
use crate::name::Digest;
use crate::status::Status;
use crate::store::blob::DEAD_AFTER;
use crate::store::lock::Exclusive;
use crate::store::prune::mount_folders;
use crate::store::sealed::is_sealed;
use crate::store::tree::Tree;
use crate::store::{Store, Sync, disk, write_aside};

/// What a seal covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Of the listing.
    pub digest: Digest,
    /// Their number, links included.
    pub files: u64,
    /// Of all files.
    pub bytes: u64,
    /// It was sealed before, and is whole.
    pub before: bool,
}

/// The files that only say who does what: in a cache that nobody writes to nobody does anything.
const LOCKS: [&str; 3] = ["lock", "asking", "failed"];

/// Makes a cache immutable. One that is sealed is compared with its listing, byte for byte.
pub fn seal(store: &Store) -> Result<Closed> {
    if cfg!(not(unix)) {
        let what = "cannot seal a cache on this system";
        return Err(Error::new(Kind::Store, what).hint("seal it on Linux or macOS"));
    }
    require(store)?;
    if is_sealed(store.root()) {
        return compare(store);
    }
    let root = store.root();
    let failed = |error: &io::Error| Error::store(cannot(store), root, error);
    if root.join(NAME).exists() {
        // Whoever wanted to seal it, or to undo that, came to an end.
        reopen(root).map_err(|error| failed(&error))?;
    }
    store.create()?;
    let _held = alone(store)?;
    let listing = listing(store).map_err(|error| failed(&error))?;
    let listing = listing.and_then(|listing| whole(store, listing))?;
    #[cfg(target_os = "linux")]
    store.blobs().sync()?;
    let text = listing.text();
    write_aside(&store.tmp(), &root.join(NAME), text.as_bytes(), Sync::Now)?;
    let closed = close(root).and_then(|()| {
        if Status::of(&fs_err::symlink_metadata(root)?).mode & 0o222 == 0 {
            return Ok(());
        }
        Err(io::Error::other("the file system does not keep who may write"))
    });
    if let Err(error) = closed {
        let _ = reopen(root);
        return Err(failed(&error));
    }
    told(&text, &listing, false)
}

/// Lets a cache be written to again. False: it was not sealed.
pub fn open(store: &Store) -> Result<bool> {
    require(store)?;
    let root = store.root();
    let was_sealed = root.join(NAME).exists();
    if was_sealed {
        let what = format!("cannot undo the seal of the cache {}", store.cache().display());
        reopen(root).map_err(|error| Error::store(what, root, &error))?;
        store.check()?;
    }
    Ok(was_sealed)
}

fn require(store: &Store) -> Result<()> {
    if store.check()? {
        return Ok(());
    }
    let cache = store.cache().display();
    Err(Error::new(Kind::Store, format!("there is no cache in {cache}"))
        .path(cache.to_string())
        .hint("give a directory that MAGIC_MODULE_CACHE_DIR named when something was fetched"))
}

fn cannot(store: &Store) -> String {
    format!("cannot seal the cache {}", store.cache().display())
}

fn told(text: &str, listing: &Listing, before: bool) -> Result<Closed> {
    let head = text.lines().nth(1).unwrap_or_default();
    let digest = Digest::new(head)
        .map_err(|error| Error::new(Kind::Store, "cannot name the seal").caused_by(&error))?;
    let bytes = listing.0.values().map(|entry| match entry {
        Entry::File { size, .. } => *size,
        Entry::Link { .. } => 0,
    });
    Ok(Closed { digest, files: listing.0.len() as u64, bytes: bytes.sum(), before })
}

/// What is sealed already, looked at byte for byte.
fn compare(store: &Store) -> Result<Closed> {
    let (root, cache) = (store.root(), store.cache().display());
    let failed = |error: io::Error| {
        Error::store(format!("cannot compare the sealed cache {cache}"), root, &error)
    };
    let bytes = fs_err::read(root.join(NAME)).map_err(failed)?;
    let differs = |what: String| {
        Error::new(Kind::Integrity, format!("the cache {cache} is not as it was sealed: {what}"))
            .path(cache.to_string())
            .hint(format!(
                "put a whole copy in its place, or mend this one: magic-module seal --undo {cache}, \
                 then magic-module verify, then seal it again"
            ))
    };
    let Some(listing) = Listing::parse(&bytes) else {
        return Err(differs(format!("{} is damaged", root.join(NAME).display())));
    };
    if let Some(difference) = listing.difference(store, root).map_err(failed)? {
        return Err(differs(difference));
    }
    let entries: Vec<_> = listing.0.iter().collect();
    let is_damaged = |(path, entry): &(&String, &Entry)| match entry {
        Entry::File { size, sha256 } => Ok(disk::digest(&root.join(path), *size)? != *sha256),
        Entry::Link { .. } => Ok(false),
    };
    let damaged = in_turns(&entries, is_damaged).map_err(failed)?;
    if let Some(at) = damaged.iter().position(|damaged| *damaged) {
        return Err(differs(format!("{} is damaged", root.join(entries[at].0).display())));
    }
    told(&String::from_utf8_lossy(&bytes), &listing, true)
}

/// Nobody else brings anything in or is bound to a generation, as far as locks tell. What others
/// left goes, their lock files too: who wants to lock one meanwhile finds that it has gone.
fn alone(store: &Store) -> Result<Vec<Exclusive>> {
    let busy = |what: &str, hint: &str| {
        let error = Error::new(Kind::Store, format!("{} {what}", cannot(store)));
        Err(error.path(store.root().display().to_string()).hint(hint))
    };
    let end = "end the programs that use it, then seal it";
    let Some(pruning) = Exclusive::try_take(&store.pruning())? else {
        return busy("while something is downloaded into it", "try again when that has ended");
    };
    let knows = pruning.is_real();
    let (mut held, mut gone) = (vec![pruning], Vec::new());
    for folder in mount_folders(store)? {
        let Some(lock) = folder.try_lock()? else {
            return busy("while another process uses it", end);
        };
        held.push(lock);
        for number in folder.numbers()? {
            let Some(lock) = Exclusive::try_take(&folder.lock_of(number))? else {
                return busy("while another process uses it", end);
            };
            held.push(lock);
            gone.push(folder.lock_of(number));
        }
        gone.extend(LOCKS.map(|name| folder.path.join(name)));
    }
    let failed = |error: io::Error| Error::store(cannot(store), store.root(), &error);
    for half in disk::list(&store.tmp()).map_err(failed)? {
        let age =
            fs_err::symlink_metadata(&half).ok().and_then(|it| it.modified().ok()?.elapsed().ok());
        if !knows && age.is_none_or(|age| age < DEAD_AFTER) {
            let what = format!("while {} may be being written", half.display());
            return busy(
                &what,
                "its file system has no locks: end what uses it, remove that, then seal it",
            );
        }
        gone.push(half);
    }
    gone.extend(disk::list(&store.locks()).map_err(failed)?);
    gone.iter().try_for_each(|path| disk::remove(path)).map_err(failed)?;
    Ok(held)
}

/// All that is there, hashed; the inner error is about what cannot be sealed.
fn listing(store: &Store) -> io::Result<Result<Listing>> {
    let root = store.root();
    let names: Vec<String> = Found::in_folder(root)?.files.into_iter().collect();
    let look = |path: &String| -> io::Result<Option<Entry>> {
        let place = root.join(path);
        let metadata = fs_err::symlink_metadata(&place)?;
        if metadata.is_file() {
            let (size, sha256) = (metadata.len(), disk::digest(&place, metadata.len())?);
            return Ok(Some(Entry::File { size, sha256 }));
        }
        let is_of_view = path.starts_with("views/") || path.starts_with("knots/");
        let target = (metadata.is_symlink() && is_of_view).then(|| fs_err::read_link(&place));
        let target = target.transpose()?;
        Ok(target.and_then(|it| Some(Entry::Link { target: it.to_str()?.to_owned() })))
    };
    let mut entries = BTreeMap::new();
    for (path, entry) in names.iter().zip(in_turns(&names, look)?) {
        let Some(entry) = entry else {
            let what = format!("{}: {} leads out of it", cannot(store), root.join(path).display());
            return Ok(Err(Error::new(Kind::Store, what)
                .path(root.join(path).display().to_string())
                .hint(
                    "fetch what is to be in it with MAGIC_MODULE_CACHE_DIR naming this directory \
                     alone, then seal it",
                )));
        };
        entries.insert(path.clone(), entry);
    }
    Ok(Ok(Listing(entries)))
}

/// What names its own bytes must have them: a seal is not a cure.
fn whole(store: &Store, listing: Listing) -> Result<Listing> {
    let root = store.root();
    let refuse = |path: &str| {
        let shown = root.join(path).display().to_string();
        let error = Error::new(Kind::Integrity, format!("{}: {shown} is damaged", cannot(store)));
        error.path(shown).hint("run `magic-module verify` and `magic-module prune`, then seal it")
    };
    for (path, entry) in &listing.0 {
        let Entry::File { size, sha256 } = entry else { continue };
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        // An empty file hides what is damaged in a further cache.
        if folder.starts_with("blobs/") && *size > 0 && name != sha256.to_hex() {
            return Err(refuse(path));
        }
        let Some(digest) =
            name.strip_suffix(".index").filter(|_| ["trees", "knots"].contains(&folder))
        else {
            continue;
        };
        let Ok(digest) = Digest::new(digest) else { continue };
        let place = root.join(folder).join(digest.to_hex());
        let Some(tree) = Tree::open_at(store, place, &digest)? else { return Err(refuse(path)) };
        for file in tree.files.iter().filter(|file| !file.lazy) {
            let its = format!("{folder}/{digest}/{}", file.path);
            let expected = Entry::File { size: file.size, sha256: file.sha256 };
            if listing.0.get(&its) != Some(&expected) {
                return Err(refuse(&its));
            }
        }
    }
    Ok(listing)
}

/// Takes the write bits from all that is there; those of `v1` itself go last and make the seal.
fn close(root: &Path) -> io::Result<()> {
    let Found { files, folders } = Found::in_folder(root)?;
    let folders = folders.iter().rev();
    let all = files.iter().chain(folders).map(|path| root.join(path));
    for path in all.chain([root.join(NAME), root.to_owned()]) {
        change(&path, |mode| mode & !0o222)?;
    }
    Ok(())
}

/// Gives back the owner's write bits where a cache has them, and removes the listing.
fn reopen(root: &Path) -> io::Result<()> {
    change(root, |mode| mode | 0o200)?;
    let Found { files, folders } = Found::in_folder(root)?;
    // Nobody writes to the folders of a view; and of files only these are appended to.
    let is_in_view = |path: &&String| path.starts_with("views/");
    let is_appended = |path: &&String| path.starts_with("mounts/") || path.starts_with("private/");
    let open = folders.iter().filter(|it| !is_in_view(it)).chain(files.iter().filter(is_appended));
    for path in open {
        change(&root.join(path), |mode| mode | 0o200)?;
    }
    fs_err::remove_file(root.join(NAME))
}

/// Links have no mode of their own.
fn change(path: &Path, mode: impl Fn(u32) -> u32) -> io::Result<()> {
    let metadata = fs_err::symlink_metadata(path)?;
    let (before, after) =
        (Status::of(&metadata).mode & 0o7777, mode(Status::of(&metadata).mode & 0o7777));
    if metadata.is_symlink() || before == after {
        return Ok(());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs_err::set_permissions(path, PermissionsExt::from_mode(after))?;
    }
    Ok(())
}
