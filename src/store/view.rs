//! Views: folders shaped like a virtual environment, whose files come when their tree does.
//!
//! ```text
//! views/<identity>/lib/python3.12/site-packages/six.py ─▶ ../../../../../trees/<digest>/…/six.py
//!                                               six-1.dist-info/METADATA       a file
//! views/<identity>/bin/python ─▶ /usr/bin/python3.12
//! views/<identity>.index          written last: a view without it does not exist
//!
//!   magic_module view 1           the format
//!   <sha256 of all that follows>  damage to the index itself
//!   <boot id>                     the boot in which the view was last compared with the index
//!   path NUL link NUL target LF   what stands in it, folders left out
//!   path NUL file NUL size NUL sha256 LF             as does `run`: it can be executed
//! ```
//!
//! A view is built aside under a lock and renamed, and nobody may write to its folders. It changes
//! in one way only: links into trees become links into a knot, each by a rename. After another
//! boot all of it is compared once: written pages may be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::boot::{boot, is_this_boot};
use super::lock::Exclusive;
use super::{
    Store, Sync, aside, create_file, disk, in_the_way, make_folders, make_way, open_to_others,
    rename_onto, sealed, unused, write_aside,
};
use crate::error::{Error, Kind, Result};
use crate::name::{Digest, FilePath, folders, parents};
use crate::status::Status;

const FORMAT: &str = "magic_module view 1";

/// The largest index, in bytes.
const INDEX_LIMIT: u64 = 64 << 20;

/// So often is a folder put into the place of another that comes back.
const ATTEMPTS: usize = 16;

/// What a view is to hold, by its path below the prefix. Folders follow from it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan(pub BTreeMap<FilePath, Entry>);

/// What stands at one path of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A link to a file or folder of a tree, which may not be there yet.
    Tree {
        /// The tree.
        digest: Digest,
        /// In the tree.
        path: FilePath,
    },
    /// The same for a knot.
    Knot {
        /// The knot.
        digest: Digest,
        /// In the knot.
        path: FilePath,
    },
    /// A link to what stands beside it.
    Beside(FilePath),
    /// A link out of the store: the interpreter, and our own package.
    Outside(PathBuf),
    /// A file with these bytes.
    File {
        /// All of them.
        bytes: Vec<u8>,
        /// It can be executed.
        executable: bool,
    },
}

/// Where the view of a mount is, or would be.
pub fn folder_of(store: &Store, identity: &Digest) -> PathBuf {
    store.views().join(identity.to_hex())
}

/// Where its index is, or would be.
pub fn index_of(store: &Store, identity: &Digest) -> PathBuf {
    store.views().join(format!("{identity}.index"))
}

/// The view that stands, as the warm path takes it: of what is in it nothing is looked at, but
/// once after another boot. `None`: it is to be built.
pub fn open(store: &Store, identity: &Digest) -> Result<Option<PathBuf>> {
    let folder = folder_of(store, identity);
    let Some(index) = Index::read(store, identity)? else { return Ok(None) };
    let place = index_of(store, identity);
    if !store.check_settled(&folder)? || !unused::note(&place, index.noted) {
        return Ok(None);
    }
    if index.is_of_this_boot() || sealed::settles(&folder) {
        return Ok(Some(folder));
    }
    let Some(listing) = index.listing() else { return Ok(None) };
    if !differences(store, &folder, listing)?.is_empty() {
        return Ok(None);
    }
    // Where nobody may write, all is compared again by the next.
    let _ = write_index(store, identity, listing);
    Ok(Some(folder))
}

/// Builds the view, unless it stands there as it is planned.
pub fn build(store: &Store, identity: &Digest, plan: &Plan) -> Result<PathBuf> {
    let listing = plan.listing()?;
    store.create()?;
    let folder = folder_of(store, identity);
    let _lock = Exclusive::wait(&store.locks().join(format!("{identity}.view")))?;
    if stands(store, &folder, &listing)? {
        if sealed::is_sealed(&folder) {
            return Ok(folder);
        }
        // Who named it may have ended before that.
        close(&folder).map_err(|error| cannot_build(&folder, &error))?;
    } else {
        // Where there are no locks, others build it at the same time.
        let aside = aside(&store.tmp(), identity, "view");
        let built = fill(&aside, plan)
            .and_then(|()| name(store, &aside, &folder, &listing))
            .map_err(|error| cannot_build(&folder, &error));
        // Named, or of no use.
        let _ = disk::remove(&aside);
        built?;
    }
    write_index(store, identity, &listing)?;
    Ok(folder)
}

/// Lets the links of a view lead into knots: `knot` tells for a path into which, where it belongs to
/// one. Each link is replaced by a rename: a path of the view is never absent.
pub fn tie(store: &Store, identity: &Digest, knot: impl Fn(&str) -> Option<Digest>) -> Result<()> {
    let folder = folder_of(store, identity);
    let _lock = Exclusive::wait(&store.locks().join(format!("{identity}.view")))?;
    let Some(index) = Index::read(store, identity)? else { return Ok(()) };
    let Some(listing) = index.listing() else { return Ok(()) };
    let mut tied = String::with_capacity(listing.len());
    let mut changes = BTreeMap::new();
    for line in listing.split_terminator('\n') {
        match line.split_once("\0link\0").and_then(|(path, target)| {
            let up = out_of_views(path);
            let inside = target.strip_prefix(&up)?;
            let is_ours = inside.starts_with("trees/") || inside.starts_with("knots/");
            let target = format!("{up}knots/{}/{path}", knot(path).filter(|_| is_ours)?);
            Some((path, target))
        }) {
            Some((path, target)) => {
                let _ = writeln!(tied, "{path}\0link\0{target}");
                if !line.ends_with(&target) {
                    changes.insert(path, target);
                }
            }
            None => {
                tied.push_str(line);
                tied.push('\n');
            }
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    let mut open = BTreeSet::new();
    let replace = |(path, target): (&&str, &String)| -> io::Result<()> {
        let place = folder.join(path);
        if let Some(above) = place.parent()
            && open.insert(above.to_owned())
        {
            disk::reopen(above)?;
        }
        let aside = aside(&store.tmp(), identity, "link");
        make_link(target, &aside)?;
        rename_onto(&aside, &place)
    };
    let replaced = changes.iter().try_for_each(replace);
    let closed = open.iter().try_for_each(|above| close(above));
    replaced.and(closed).map_err(|error| cannot_build(&folder, &error))?;
    write_index(store, identity, &tied)
}

/// What was added to a view, changed in it, or removed from it, by its path below the prefix.
pub fn changed(store: &Store, identity: &Digest) -> Result<Vec<String>> {
    let Some(index) = Index::read(store, identity)? else { return Ok(Vec::new()) };
    let listing = index.listing().unwrap_or_default();
    differences(store, &folder_of(store, identity), listing)
}

impl Plan {
    /// Lets links into trees lead into knots: `knot` tells for a path into which.
    pub fn tie(&mut self, knot: impl Fn(&str) -> Option<Digest>) {
        for (place, entry) in &mut self.0 {
            if let Entry::Tree { path, .. } = entry
                && let Some(digest) = knot(place.as_str())
            {
                *entry = Entry::Knot { digest, path: path.clone() };
            }
        }
    }

    /// As the index has it.
    fn listing(&self) -> Result<String> {
        let mut listing = String::new();
        for folder in folders(self.0.keys()) {
            if self.0.contains_key(folder) {
                return Err(refused(format!("{folder} would be both a folder and a file")));
            }
        }
        for (path, entry) in &self.0 {
            let _ = match entry {
                Entry::File { bytes, executable } => {
                    let kind = if *executable { "run" } else { "file" };
                    let (size, sha256) = (bytes.len(), Digest::of(bytes));
                    writeln!(listing, "{path}\0{kind}\0{size}\0{sha256}")
                }
                link => match link.target(path) {
                    Some(target) => writeln!(listing, "{path}\0link\0{target}"),
                    None => return Err(refused(format!("the target of {path} is not text"))),
                },
            };
        }
        Ok(listing)
    }
}

impl Entry {
    /// What the link at `path` leads to; nothing for a file, and where it cannot be written down.
    fn target(&self, path: &FilePath) -> Option<String> {
        let target = match self {
            Self::Tree { digest, path: inside } => {
                format!("{}trees/{digest}/{inside}", out_of_views(path.as_str()))
            }
            Self::Knot { digest, path: inside } => {
                format!("{}knots/{digest}/{inside}", out_of_views(path.as_str()))
            }
            Self::Beside(path) => path.to_string(),
            Self::Outside(path) => path.to_str()?.to_owned(),
            Self::File { .. } => return None,
        };
        (!target.contains(char::is_control)).then_some(target)
    }
}

/// Out of the view's own folders, then out of the view, then out of all views.
fn out_of_views(path: &str) -> String {
    "../".repeat(path.matches('/').count() + 2)
}

fn refused(why: String) -> Error {
    Error::new(Kind::Store, format!("cannot make the view of a lock: {why}"))
        .hint("report this: it is not the lock's fault")
}

fn cannot_build(folder: &Path, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::Unsupported {
        return Error::new(Kind::Store, "cannot make the view of a lock")
            .path(folder.display().to_string())
            .caused_by(error)
            .hint("use a system with symbolic links: Linux or macOS");
    }
    Error::store("cannot make the view of a lock", folder, error)
}

fn fill(aside: &Path, plan: &Plan) -> io::Result<()> {
    make_folders(aside)?;
    let inside: BTreeSet<&str> = folders(plan.0.keys()).into_iter().collect();
    inside.iter().try_for_each(|folder| make_folders(&aside.join(folder)))?;
    for (path, entry) in &plan.0 {
        let place = aside.join(path.as_str());
        match entry {
            Entry::File { bytes, executable } => {
                let mode = if *executable { 0o555 } else { 0o444 };
                create_file(&place, mode)?.write_all(bytes)?;
            }
            link => make_link(&link.target(path).unwrap_or_default(), &place)?,
        }
    }
    // Not the outermost: who may not write to a folder may not move it elsewhere.
    inside.iter().try_for_each(|folder| close(&aside.join(folder)))
}

#[cfg(unix)]
fn make_link(target: &str, place: &Path) -> io::Result<()> {
    fs_err::os::unix::fs::symlink(target, place)
}

#[cfg(not(unix))]
fn make_link(_: &str, _: &Path) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no symbolic links"))
}

/// Gives the view that was built aside its name. Where there are no locks, somebody else may have
/// been quicker.
fn name(store: &Store, aside: &Path, folder: &Path, listing: &str) -> io::Result<()> {
    for attempt in 1..=ATTEMPTS {
        match fs_err::rename(aside, folder) {
            Ok(()) => break,
            Err(error) if in_the_way(&error) && attempt < ATTEMPTS => {}
            Err(error) => return Err(error),
        }
        if stands(store, folder, listing).unwrap_or(false) {
            break;
        }
        let _ = disk::reopen(folder);
        make_way(&store.tmp(), folder)?;
    }
    close(folder)
}

/// Nobody may write to the folder from now on.
fn close(folder: &Path) -> io::Result<()> {
    let mut permissions = fs_err::symlink_metadata(folder)?.permissions();
    permissions.set_readonly(true);
    fs_err::set_permissions(folder, permissions)
}

/// True if all stands there as it is listed, and nothing else does.
fn stands(store: &Store, folder: &Path, listing: &str) -> Result<bool> {
    let is_own = match fs_err::symlink_metadata(folder) {
        Ok(metadata) => store.is_own_folder(&metadata),
        Err(_) => false,
    };
    Ok(is_own && differences(store, folder, listing)?.is_empty())
}

/// An index as it was read; only [`Index::listing`] looks whether it is damaged.
struct Index {
    text: String,
    /// When it was last noted that the view is used.
    noted: Option<SystemTime>,
}

impl Index {
    /// `None`: there is none, or nothing of ours.
    fn read(store: &Store, identity: &Digest) -> Result<Option<Self>> {
        let path = index_of(store, identity);
        match disk::read_dated(&path, INDEX_LIMIT) {
            Ok((bytes, noted)) => {
                Ok(String::from_utf8(bytes).ok().map(|text| Self { text, noted }))
            }
            Err(error) if disk::is_damage(&error) => Ok(None),
            Err(error) => Err(Error::store("cannot read a view's index", &path, &error)),
        }
    }

    /// The checksum, and what it covers.
    fn parts(&self) -> Option<(&str, &str)> {
        let (format, rest) = self.text.split_once('\n')?;
        if format == FORMAT { rest.split_once('\n') } else { None }
    }

    fn is_of_this_boot(&self) -> bool {
        let then = self.parts().and_then(|(_, body)| body.split_once('\n'));
        then.is_some_and(|(then, _)| is_this_boot(then))
    }

    fn listing(&self) -> Option<&str> {
        let (check, body) = self.parts()?;
        let (_, listing) = body.split_once('\n')?;
        (Digest::of(body.as_bytes()).to_hex() == check).then_some(listing)
    }
}

fn write_index(store: &Store, identity: &Digest, listing: &str) -> Result<()> {
    let body = format!("{}\n{listing}", boot());
    let text = format!("{FORMAT}\n{}\n{body}", Digest::of(body.as_bytes()));
    write_aside(&store.tmp(), &index_of(store, identity), text.as_bytes(), Sync::Later)
}

/// What is not as it is listed, sorted: of a folder that nobody planned, only the folder.
fn differences(store: &Store, folder: &Path, listing: &str) -> Result<Vec<String>> {
    let lines = listing.split_terminator('\n').filter_map(|line| line.split_once('\0'));
    let missing: BTreeMap<&str, &str> = lines.collect();
    let folders = missing.keys().flat_map(|path| parents(path)).collect();
    let mut comparison = Comparison { store, folders, missing, different: BTreeSet::new() };
    comparison.look_into(folder, "").map_err(|error| {
        Error::store(format!("cannot look into {}", folder.display()), folder, &error)
    })?;
    let Comparison { missing, mut different, .. } = comparison;
    different.extend(missing.into_keys().map(str::to_owned));
    Ok(different.into_iter().collect())
}

struct Comparison<'a> {
    store: &'a Store,
    folders: BTreeSet<&'a str>,
    /// What was not found yet, with what it should be.
    missing: BTreeMap<&'a str, &'a str>,
    different: BTreeSet<String>,
}

impl Comparison<'_> {
    fn look_into(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        for place in disk::list(folder)? {
            let name = place.file_name().unwrap_or_default().to_string_lossy();
            let path = format!("{prefix}{name}");
            let metadata = fs_err::symlink_metadata(&place)?;
            if self.folders.contains(path.as_str()) && self.store.is_own_folder(&metadata) {
                self.look_into(&place, &format!("{path}/"))?;
            } else if self
                .missing
                .remove(path.as_str())
                .is_none_or(|shape| !has_shape(&place, &metadata, shape))
            {
                self.different.insert(path);
            }
        }
        Ok(())
    }
}

/// True if what stands at `place` is what a line of the listing says.
fn has_shape(place: &Path, metadata: &std::fs::Metadata, shape: &str) -> bool {
    let mut fields = shape.split('\0');
    let (kind, value) = (fields.next(), fields.next().unwrap_or_default());
    if kind == Some("link") {
        return fs_err::read_link(place).is_ok_and(|target| target == Path::new(value));
    }
    let (Ok(size), Some(Ok(sha256))) = (value.parse(), fields.next().map(Digest::new)) else {
        return false;
    };
    metadata.is_file()
        && !open_to_others(metadata)
        && (kind == Some("run")) == (Status::of(metadata).mode & 0o111 != 0)
        && disk::digest(place, size).is_ok_and(|digest| digest == sha256)
}
