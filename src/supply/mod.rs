//! What answers for a mount: which units there are, their records, and whether something newer
//! was published.
//!
//! ```text
//! source ─ open ─▶ supply ─ refresh ─▶ document ─▶ records
//! ```
//!
//! A kind of supply is a folder here, which implements [`Supply`], and a variant of [`Source`].
//! Nothing else asks which kind there is.

mod imports;
pub mod lock;
pub mod manifest;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use crate::engine::Engine;
use crate::error::Result;
use crate::forking::Lock;
use crate::index::{Units, named_alike};
use crate::manifest::{Manifest, Modules, Record};
use crate::name::{Digest, Namespace, SafeUrl, UnitName, UrlText, Version};
use crate::origin::{BoxFuture, Freshness};
use crate::policy::Policy;
use crate::resolved::{Optional, Resolved};
use crate::store::Store;
use crate::store::tree::Tree;

pub use imports::{Importer, Imports};

/// Where a supply comes from, as the caller of `mount()` said it.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A manifest behind a URL.
    Manifest(manifest::Source),
    /// A lock: a file.
    Lock(Box<lock::Source>),
}

impl Source {
    /// A manifest's, as the arguments of `mount()` say it.
    pub fn as_manifest(&self) -> Option<&manifest::Source> {
        match self {
            Self::Manifest(source) => Some(source),
            Self::Lock(_) => None,
        }
    }

    /// A lock's, as the arguments of `mount_lock()` say it.
    pub fn as_lock(&self) -> Option<&lock::Source> {
        match self {
            Self::Manifest(_) => None,
            Self::Lock(source) => Some(source),
        }
    }

    /// Checks what was said. The network is not asked, and of the disk nothing but a lock.
    pub fn open(&self, engine: &Arc<Engine>, namespace: &Namespace) -> Result<Box<dyn Supply>> {
        match self {
            Self::Manifest(source) => {
                Ok(Box::new(manifest::ManifestSupply::open(engine, namespace, source)?))
            }
            Self::Lock(source) => Ok(Box::new(lock::LockSupply::open(engine, source)?)),
        }
    }
}

/// What a document says of a unit.
pub enum Answer {
    /// Everything about it.
    Record(Arc<Record>),
    /// It has no such unit.
    Absent,
    /// A part of the document has to be fetched first.
    NotHere,
}

/// A folder shaped like a virtual environment, which links to the trees of a supply.
pub struct View {
    /// `<cache>/v1/views/<identity>`.
    pub folder: PathBuf,
    /// What there is to link to.
    pub resolved: Resolved,
    /// Who imported what.
    pub imports: Arc<Imports>,
}

impl View {
    /// What people call some of its units, in one list.
    pub fn titles(&self, names: &[UnitName]) -> String {
        let units = names.iter().filter_map(|name| self.resolved.units.get(name));
        units.map(|it| it.name.as_str()).collect::<Vec<_>>().join(" and ")
    }

    /// True if the tree of a unit is here.
    pub fn is_here(&self, store: &Store, unit: &UnitName) -> bool {
        let known = self.resolved.units.get(unit);
        known.is_some_and(|it| Tree::is_visible(store, &it.tree))
    }

    /// The folder on `sys.path`.
    pub fn site(&self) -> PathBuf {
        self.at(&self.resolved.scheme.site)
    }

    /// Folders that stand on `sys.path` behind it: projects as they lie, and what wheels add.
    pub fn further_folders(&self) -> Vec<String> {
        let added = self.resolved.start.folders.iter();
        let added = added.map(|folder| self.at(folder.as_str()).to_string_lossy().into_owned());
        self.resolved.editable.iter().cloned().chain(added).collect()
    }

    fn at(&self, path: &str) -> PathBuf {
        path.split('/').fold(self.folder.clone(), |path, part| path.join(part))
    }
}

/// A folder in which the trees of several units are seen together.
pub struct Knot {
    /// Names it.
    pub digest: Digest,
    /// What it is made of, in the order of their names.
    pub members: Vec<(UnitName, Digest)>,
    /// As this process has found it.
    pub tree: Lock<Option<Arc<Tree>>>,
}

/// What has to be waited for.
pub type Asking<'a, T> = BoxFuture<'a, Result<T>>;

/// What answers for a mount. A document, once verified, is kept in the store under its digest,
/// and never changes; what is said here of one holds for ever.
pub trait Supply: Send + Sync {
    /// What tells this supply from others: a cache is kept for each.
    fn identity(&self) -> Digest;

    /// Where its documents come from.
    fn url(&self) -> &SafeUrl;

    /// What its requests may do.
    fn policy(&self) -> Policy;

    /// The absolute URL of an artifact that a document names.
    fn resolve(&self, url: &UrlText) -> Result<SafeUrl>;

    /// A document that was verified before, from the store.
    fn document(&self, digest: &Digest) -> Result<Arc<Manifest>>;

    /// The newest document on disk. `None`: nobody has asked yet.
    fn newest(&self) -> Result<Option<Digest>>;

    /// True if what is on disk proves that document, where there is anything to prove.
    fn is_proven(&self) -> bool {
        true
    }

    /// Asks for a newer document than the one that is in use; the newest that is known by then.
    fn refresh(&self, used: Option<Digest>, freshness: Freshness) -> Asking<'_, Option<Digest>>;

    /// The units that may hold the module `name`, which is relative to the mount.
    fn units_for<'a>(&'a self, name: &'a str) -> Units<'a> {
        named_alike(name)
    }

    /// The unit that is called so, whatever module is.
    fn unit_called(&self, name: &str) -> Option<UnitName> {
        UnitName::new(name).ok()
    }

    /// What people call a unit.
    fn title<'a>(&self, unit: &'a UnitName) -> Cow<'a, str> {
        Cow::Borrowed(unit.as_str())
    }

    /// The folder of its trees that top-level names lie in; empty for a tree itself.
    fn site(&self) -> &str {
        ""
    }

    /// One line by its author, where that is known and no record has it.
    fn summary(&self, _unit: &UnitName) -> Option<String> {
        None
    }

    /// What is not in the view as it was made, by its path in it; where there is such, the view
    /// is made again.
    fn mend_view(&self) -> Asking<'_, Vec<String>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// The folder through which its trees are seen, if there is one.
    fn view(&self) -> Option<&Arc<View>> {
        None
    }

    /// True if it treats some imports otherwise than as if all were installed.
    fn withholds(&self) -> bool {
        false
    }

    /// What optional imports of a unit do.
    fn optional(&self, _unit: &UnitName) -> Optional {
        Optional::Fetch
    }

    /// The knot that a unit is seen in, if it is in one.
    fn knot_of(&self, _unit: &UnitName) -> Option<Arc<Knot>> {
        None
    }

    /// True if paths in this knot mean those of the view.
    fn has_knot(&self, _digest: &Digest) -> bool {
        false
    }

    /// Trees of these units have come: those that cannot live apart are seen together from now on.
    /// Returns units that are not here, and whose libraries they need.
    fn tie(&self, _units: &[UnitName]) -> Asking<'_, Vec<UnitName>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// Whether bytes may be fetched from `url`; `what` says what is not here.
    fn may_fetch(&self, _url: &SafeUrl, what: &dyn Fn() -> String) -> Result<()> {
        self.policy().may_ask(self.url(), what)
    }

    /// Whether its units can be moved to other versions.
    fn may_move(&self) -> Result<()> {
        Ok(())
    }

    /// What a document says of `unit`, without a request.
    fn record(&self, document: &Digest, unit: &str) -> Result<Answer> {
        Ok(match self.document(document)?.modules().map(|modules| modules.0.get(unit)) {
            Some(Some(record)) => Answer::Record(Arc::from(record.clone())),
            Some(None) => Answer::Absent,
            None => Answer::NotHere,
        })
    }

    /// The record of the whole wheel of which `unit` is the first part. `None`: it is no part.
    fn whole_record(&self, _unit: &str) -> Result<Option<Record>> {
        Ok(None)
    }

    /// True if `unit` is the second part of a wheel.
    fn is_rest(&self, _unit: &str) -> bool {
        false
    }

    /// Fetches the parts of a document that `unit` is in.
    fn fetch_parts<'a>(&'a self, _document: &'a Digest, _unit: &'a str) -> Asking<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Why the parts of a document that `unit` is in are not here.
    fn read_parts(&self, _document: &Digest, _unit: &str) -> Result<()> {
        Ok(())
    }

    /// Every record of a document; all its parts are fetched.
    fn all_records<'a>(&'a self, document: &'a Digest) -> Asking<'a, Modules> {
        let modules = self.document(document).map(|it| it.modules().cloned().unwrap_or_default());
        Box::pin(std::future::ready(modules))
    }

    /// True if asking comes before using this document for something new.
    fn should_ask_first(&self, _document: &Digest) -> bool {
        false
    }

    /// Before anything is downloaded that a document names: whether it is too old for that.
    fn check_age(&self, _document: &Digest) -> Result<()> {
        Ok(())
    }

    /// Why the newest document takes a version back.
    fn yanked(&self, _unit: &str, _version: &Version) -> Option<String> {
        None
    }

    /// True if it is worth asking whether a newer document has `name`.
    fn may_ask_for(&self, _name: &str) -> bool {
        false
    }

    /// Notes that bytes were not what the document says of these units.
    fn distrust(&self, _units: &[UnitName]) {}

    /// Notes that the newest document does not have `name`.
    fn remember_absent(&self, _name: &str) {}

    /// Notes that something that the newest document has is refused.
    fn remember_refused(&self) {}

    /// True if that was noted since the newest document came.
    fn is_refused(&self) -> bool {
        false
    }
}
