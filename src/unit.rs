//! A unit as one process sees it: its layout, known before anything is downloaded,
//! and its tree, once it is there.

mod ahead;

use std::path::{MAIN_SEPARATOR_STR, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use crate::assemble;
use crate::compile::Sharing;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::events::{Event, Finding};
use crate::forking::Lock;
use crate::layout::{Found, Layout, Suffixes};
use crate::manifest::Record;
use crate::mount::Mount;
use crate::name::{Digest, FilePath, Key, UnitName, Version};
use crate::store::code::{CodePack, Interpreter, Trust};
use crate::store::generation::Active;
use crate::store::tree::{Scrutiny, Stamp, Tree, TreeFile, folder_of};
use crate::store::{Reuse, sealed};
use ahead::Ahead;

/// So often is a file mended for one read: where there are no locks, somebody else may replace
/// the tree right after that.
pub const MENDINGS: usize = 4;

/// The interpreter that units are imported into.
#[derive(Debug, Clone)]
pub struct Python {
    /// What its compiled code is made for.
    pub code: Interpreter,
    /// Of its extension modules.
    pub suffixes: Suffixes,
    /// Tells environments apart: `sys.prefix` and the version.
    pub environment: String,
    /// Wheel tags, best first; asked for when a record has variants.
    pub tags: OnceLock<Vec<String>>,
}

impl Python {
    /// What the names of its own extension modules end in.
    pub fn suffix(&self) -> &str {
        self.suffixes.0.first().map_or("", String::as_str)
    }

    /// Its wheel tags, best first, as far as somebody asked for them.
    pub fn known_tags(&self) -> &[String] {
        self.tags.get().map_or(&[], Vec::as_slice)
    }
}

/// One version of a unit, for one interpreter.
pub struct Unit {
    /// What all mounts share.
    pub engine: Arc<Engine>,
    /// Gone once the mount was closed.
    pub mount: Weak<Mount>,
    /// Relative to the mount.
    pub name: UnitName,
    /// As it follows `import`.
    pub full_name: String,
    /// What it stands under in a generation.
    pub key: Key,
    /// As the record says.
    pub version: Version,
    /// The tree's digest.
    pub digest: Digest,
    /// The manifest that the record is in.
    pub manifest: Digest,
    /// Something outside of the unit decides whether it can be used.
    pub checked: bool,
    /// Its modules and files.
    pub layout: Layout,
    /// Where its tree is, or will be.
    pub folder: PathBuf,
    /// The folder that its paths are told with: the tree's, or that of the view that links to it.
    shown: PathBuf,
    /// It was found by asking for the manifest just now, and not used since.
    asked: AtomicBool,
    tree: Lock<Option<Arc<Tree>>>,
    /// What [`Unit::of_tree`] read of the tree: [`Unit::prepare`] need not read it again.
    unchecked: Lock<Option<Tree>>,
    code: OnceLock<CodePack>,
    /// What is hashed beside the import.
    ahead: OnceLock<Option<Arc<Ahead>>>,
}

/// What stands between a unit and its use.
pub enum Readiness {
    /// Every file was looked at.
    Ready,
    /// Files, or the whole tree, have to be made again; perhaps fetched.
    Missing,
}

impl Unit {
    /// A unit of a record: nothing of it needs to be on disk.
    pub fn of_record(
        mount: &Arc<Mount>,
        name: &UnitName,
        key: Key,
        manifest: Digest,
        record: &Record,
    ) -> Self {
        let paths = record.files.iter().map(|file| file.path.as_str());
        let layout = Layout::below(mount.supply.site(), paths);
        let entry = Active::of(record, record.tree_digest(), manifest);
        Self::new(mount, name, key, &entry, layout, None)
    }

    /// An active unit whose tree is on disk; `None` if it is not.
    pub fn of_tree(
        mount: &Arc<Mount>,
        name: &UnitName,
        key: Key,
        active: &Active,
    ) -> Result<Option<Self>> {
        let Some(tree) = Tree::open(&mount.engine.store, &active.tree)? else { return Ok(None) };
        let paths = tree.files.iter().map(|file| file.path.as_str());
        let layout = Layout::below(mount.supply.site(), paths);
        Ok(Some(Self::new(mount, name, key, active, layout, Some(tree))))
    }

    fn new(
        mount: &Arc<Mount>,
        name: &UnitName,
        key: Key,
        entry: &Active,
        layout: Layout,
        tree: Option<Tree>,
    ) -> Self {
        let folder = folder_of(&mount.engine.store, &entry.tree);
        Self {
            engine: mount.engine.clone(),
            mount: Arc::downgrade(mount),
            full_name: mount.namespace.join(mount.supply.title(name).as_ref()),
            name: name.clone(),
            key,
            version: entry.version.clone(),
            digest: entry.tree,
            manifest: entry.manifest,
            checked: entry.checked,
            layout,
            shown: mount.supply.view().map_or_else(|| folder.clone(), |view| view.folder.clone()),
            folder,
            asked: AtomicBool::new(false),
            tree: Lock::new(None),
            unchecked: Lock::new(tree),
            code: OnceLock::new(),
            ahead: OnceLock::new(),
        }
    }

    /// A failure of this unit.
    pub(crate) fn error(&self, kind: Kind, message: String) -> Error {
        Error::new(kind, message).name(self.full_name.clone())
    }

    /// It was found by asking for the manifest just now.
    pub fn set_asked(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// True once if it was.
    pub fn take_asked(&self) -> bool {
        self.asked.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn is_of(&self, mount: &Arc<Mount>) -> bool {
        std::ptr::eq(self.mount.as_ptr(), Arc::as_ptr(mount))
    }

    pub(crate) fn mount(&self) -> Result<Arc<Mount>> {
        self.mount.upgrade().ok_or_else(|| {
            let why = format!("the mount that serves {} was closed", self.full_name);
            self.error(Kind::Configuration, why).hint("mount it again")
        })
    }

    /// What a name relative to the mount is in this unit.
    pub fn find(&self, relative: &str, suffixes: &Suffixes) -> Option<Found> {
        self.layout.find(relative, suffixes)
    }

    /// What this process uses; `None` before the unit was made ready.
    pub fn tree(&self) -> Option<Arc<Tree>> {
        self.tree.lock().clone()
    }

    pub(crate) fn set_tree(&self, tree: Tree) {
        *self.tree.lock() = Some(Arc::new(tree));
    }

    /// The next use looks at the disk again.
    pub fn reset(&self) {
        *self.tree.lock() = None;
        *self.unchecked.lock() = None;
    }

    /// Looks at the tree on disk, once per process: compares stamps, hashes what
    /// differs, mends what the blobs can mend.
    pub fn prepare(&self, scrutiny: Scrutiny) -> Result<Readiness> {
        let ready = self.prepare_tree(scrutiny)?;
        if matches!(ready, Readiness::Ready) && self.knot(scrutiny, Reuse::WhatIsHere)?.is_none() {
            return Ok(Readiness::Missing);
        }
        Ok(ready)
    }

    fn prepare_tree(&self, scrutiny: Scrutiny) -> Result<Readiness> {
        if self.tree.lock().is_some() {
            return Ok(Readiness::Ready);
        }
        let store = &self.engine.store;
        // Not under the lock: a fork must not meet it while the disk is asked.
        let known = self.unchecked.lock().take();
        let known = known.filter(|_| Tree::is_visible(store, &self.digest));
        let opened = match known {
            Some(tree) => Some(tree),
            None => store.find_tree(&self.digest)?,
        };
        let Some(mut tree) = opened else { return Ok(Readiness::Missing) };
        let checked = tree.check(store, scrutiny);
        if !checked.damaged.is_empty() {
            self.tell_files(&tree, &checked.damaged, |path| Finding::Damaged { path });
            let left = match assemble::heal(store, &mut tree, &checked.damaged) {
                Ok(left) => left,
                // A read-only cache cannot be mended; what is damaged is refused below.
                Err(error) if error.kind() == Kind::Store => {
                    return Err(self.refuse(&tree, &checked.damaged, &error));
                }
                Err(error) => return Err(error),
            };
            if !left.is_empty() {
                return Ok(Readiness::Missing);
            }
            self.tell_files(&tree, &checked.damaged, |path| Finding::Healed { path });
        }
        if checked.changed || !checked.damaged.is_empty() {
            // The stamps only save time: a cache that cannot be written serves as well.
            let _ = tree.write_index(store);
        }
        self.set_tree(tree);
        self.tell(|| Finding::Whole);
        Ok(Readiness::Ready)
    }

    /// The knot that it is seen in, made again of its trees where it is damaged; `Some(None)` if it
    /// stands alone. `None`: a tree that belongs to it is not here.
    fn knot(&self, scrutiny: Scrutiny, reuse: Reuse) -> Result<Option<Option<Arc<Tree>>>> {
        let Ok(mount) = self.mount() else { return Ok(Some(None)) };
        let (Some(knot), Some(view)) = (mount.supply.knot_of(&self.name), mount.supply.view())
        else {
            return Ok(Some(None));
        };
        let store = &self.engine.store;
        if reuse == Reuse::WhatIsHere {
            if let Some(tree) = knot.tree.lock().clone() {
                return Ok(Some(Some(tree)));
            }
            let is_there = store.check_folder(&store.knots())?;
            let opened = if is_there { store.find_knot(&knot.digest)? } else { None };
            if let Some(mut tree) = opened {
                let checked = tree.check(store, scrutiny);
                if checked.damaged.is_empty() {
                    if checked.changed {
                        let _ = tree.write_index(store);
                    }
                    return Ok(Some(Some(knot.tree.lock().insert(Arc::new(tree)).clone())));
                }
            }
        }
        // Other trees than those that it was made of are here: it is tied again.
        let composed = knot.compose(store, &view.resolved, reuse)?;
        let Some(tree) = composed.filter(|tree| tree.digest == knot.digest) else {
            return Ok(None);
        };
        Ok(Some(Some(knot.tree.lock().insert(Arc::new(tree)).clone())))
    }

    /// What is seen of a file through the view is, in a knot, another name of it, or a copy.
    fn look_in_knot(&self, path: &str) -> Result<()> {
        let Some(Some(knot)) = self.knot(self.engine.scrutiny(), Reuse::WhatIsHere)? else {
            return Ok(());
        };
        let Some(at) = knot.position(path) else { return Ok(()) };
        let [own, seen] = [&self.folder, &knot.folder].map(|folder| {
            fs_err::symlink_metadata(folder.join(path)).ok().map(|it| Stamp::of(&it).inode)
        });
        // On one file system; without inodes all are hashed.
        if own.is_some_and(|inode| inode != 0) && own == seen {
            return Ok(());
        }
        if knot.verify_file(&knot.files[at]).is_ok() {
            return Ok(());
        }
        self.knot(self.engine.scrutiny(), Reuse::Nothing).map(drop)
    }

    fn refuse(&self, tree: &Tree, damaged: &[usize], cause: &Error) -> Error {
        let path = damaged
            .first()
            .map(|at| tree.folder.join(tree.files[*at].path.as_str()))
            .unwrap_or_default();
        let what = format!("{} is damaged and cannot be repaired", path.display());
        let error = self.error(Kind::Integrity, what).path(path.display().to_string());
        match sealed::refuse(&path) {
            Err(sealed) => error.caused_by(&sealed).hint(sealed::PUT_A_COPY),
            Ok(()) => error
                .caused_by(cause)
                .hint("set MAGIC_MODULE_CACHE_DIR to a directory that you may write to"),
        }
    }

    fn tell(&self, finding: impl FnOnce() -> Finding) {
        self.engine
            .events
            .emit(|| Event::Verify { unit: self.full_name.clone(), finding: finding() });
    }

    fn tell_files(&self, tree: &Tree, positions: &[usize], finding: fn(String) -> Finding) {
        for at in positions {
            self.tell(|| finding(tree.files[*at].path.to_string()));
        }
    }

    /// The bytes of a file, as the manifest pinned them. A file that was damaged since it
    /// was looked at is mended.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        self.look(path, Tree::read)
    }

    /// Makes sure of a file that is opened by its path.
    pub fn verify_file(&self, path: &str) -> Result<PathBuf> {
        if let (Some(Some(ahead)), Some(tree)) = (self.ahead.get(), self.tree())
            && ahead.is_good(&tree, path)
        {
            return self.look_in_knot(path).map(|()| tree.folder.join(path));
        }
        self.look(path, |tree, file| tree.verify_file(file).map(|()| tree.folder.join(path)))
    }

    /// Looks at a file, and again at what it was mended to.
    fn look<T>(&self, path: &str, at_file: impl Fn(&Tree, &TreeFile) -> Result<T>) -> Result<T> {
        let mut tree = self.tree().ok_or_else(|| self.not_ready())?;
        let Some(at) = tree.position(path) else { return Err(self.no_file(path)) };
        for _ in 0..MENDINGS {
            match at_file(&tree, &tree.files[at]) {
                Ok(found) => return self.look_in_knot(path).map(|()| found),
                Err(error) => self.mend(&tree, at).map_err(|_| error)?,
            }
            tree = self.tree().ok_or_else(|| self.not_ready())?;
        }
        at_file(&tree, &tree.files[at])
    }

    fn mend(&self, tree: &Tree, at: usize) -> Result<()> {
        let store = &self.engine.store;
        let mut mended = tree.clone();
        let left = assemble::heal(store, &mut mended, &[at])?;
        if !left.is_empty() {
            return Err(self.not_ready());
        }
        let _ = mended.write_index(store);
        self.set_tree(mended);
        Ok(())
    }

    /// What the bytes of a file in the tree must hash to; `None` before the unit was made ready.
    pub fn digest_of(&self, path: &str) -> Option<Digest> {
        let tree = self.tree()?;
        tree.position(path).map(|at| tree.files[at].sha256)
    }

    /// The compiled code of this tree.
    pub fn code(&self, python: &Python) -> Result<&CodePack> {
        if let Some(code) = self.code.get() {
            return Ok(code);
        }
        let mount = self.mount()?;
        let trust = self.trust(&mount);
        let open = |folder: &PathBuf| {
            CodePack::open(folder, &mount.identity, &self.digest, &python.code, trust)
        };
        let behind = mount.code_behind();
        let code = open(&mount.folder.code()).before(behind.iter().map(open).collect());
        let code = self.code.get_or_init(|| code);
        self.ahead.get_or_init(|| Ahead::start(&self.tree()?, code.loaded()));
        Ok(code)
    }

    /// Notes that an extension module is loaded, so that the next process hashes it ahead.
    pub fn note_loaded(&self, path: &str) {
        if let (Some(code), Some(source)) = (self.code.get(), self.digest_of(path)) {
            code.note_loaded(path, &source);
        }
    }

    /// What a project's lock holds to its digests is compiled here: the lock pins sources.
    pub fn trust(&self, mount: &Mount) -> Trust {
        match mount.locked(self.name.as_str()) {
            Ok(None) => Trust::Published,
            _ => Trust::Compiled,
        }
    }

    /// Its tree stands. Where an import waits for it, helpers begin to compile, unless there is
    /// code of it already.
    pub fn compile_ahead(&self, python: &Python) {
        let (Some(compiling), Some(tree)) = (self.engine.compiling.get(), self.tree()) else {
            return;
        };
        let Ok(mount) = self.mount() else { return };
        let folders = std::iter::once(mount.folder.code()).chain(mount.code_behind());
        if !folders.into_iter().any(|it| CodePack::exists(&it, &self.digest, &python.code)) {
            compiling.sharing().stands(&tree, &self.shown, mount.supply.site());
        }
    }

    /// Makes its modules known to those who share the compiling.
    pub fn share(&self, sharing: &Sharing, code: &CodePack) {
        if let Some(tree) = self.tree() {
            sharing.add(&tree, &self.shown, |path, source| code.lists(path, source));
        }
    }

    /// A path of the tree as text, as Python sees it.
    pub fn text_of(&self, relative: &str) -> String {
        native(&self.shown.to_string_lossy(), relative, MAIN_SEPARATOR_STR)
    }

    /// The part of an absolute path below the tree.
    pub fn relative<'a>(&self, path: &'a Path) -> Option<&'a str> {
        let text = path.to_str()?;
        let below = |folder: &PathBuf| text.strip_prefix(folder.to_str()?);
        match below(&self.shown).and_then(|rest| rest.strip_prefix(std::path::MAIN_SEPARATOR)) {
            // Every path that we gave away ourselves.
            Some(rest) if !rest.starts_with(['/', '\\', '.']) => Some(rest),
            _ => {
                let below = |folder: &PathBuf| path.strip_prefix(folder).ok()?.to_str();
                below(&self.shown).or_else(|| below(&self.folder))
            }
        }
    }

    /// A file of the record that lies outside the tree.
    pub fn lazy_file(&self, path: &str) -> Option<FilePath> {
        let tree = self.tree()?;
        let file = tree.files.iter().find(|file| file.lazy && file.path.as_str() == path)?;
        Some(file.path.clone())
    }

    fn no_file(&self, path: &str) -> Error {
        let why = format!("{} has no file {path}", self.full_name);
        self.error(Kind::UnitNotFound, why).path(path)
    }

    fn not_ready(&self) -> Error {
        let why = format!("the tree of {} is no longer in the cache", self.full_name);
        self.error(Kind::Store, why).hint("import it again in a new process")
    }
}

/// The path that a system with this separator has for one of a manifest, below a folder.
fn native(folder: &str, relative: &str, separator: &str) -> String {
    match separator {
        "/" => [folder, "/", relative].concat(),
        _ => [folder, separator, &relative.replace('/', separator)].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::native;

    #[test]
    fn paths_have_the_separators_of_their_system() {
        assert_eq!(native("/v1/trees/abc", "pkg/mod.so", "/"), "/v1/trees/abc/pkg/mod.so");
        assert_eq!(
            native(r"C:\v1\trees\abc", "pkg/in/mod.pyd", r"\"),
            r"C:\v1\trees\abc\pkg\in\mod.pyd"
        );
    }
}
