//! Which module a set of paths holds: the rules of `importlib.machinery.FileFinder`,
//! answered from a record instead of a directory listing.
//!
//! The order is CPython's: a package (`__init__` with any suffix) before a module,
//! extension suffixes before `.py`, and a folder without `__init__` last.
//! Bytecode files are never looked at.

use std::collections::{BTreeSet, HashMap, HashSet};

/// The suffixes of an interpreter's extension modules, in its own order
/// (`_imp.extension_suffixes()`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suffixes(pub Vec<String>);

impl Suffixes {
    /// Those of modules in the order in which they count, and whether they are an extension's.
    pub fn all(&self) -> impl Iterator<Item = (&str, bool)> {
        self.0.iter().map(|suffix| (suffix.as_str(), true)).chain([(".py", false)])
    }
}

/// What a name is, and the path that makes it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// One file.
    Module {
        /// In the tree.
        path: String,
        /// A shared library, and no source.
        extension: bool,
    },
    /// A folder with an `__init__`.
    Package {
        /// Of the `__init__`, in the tree.
        path: String,
        /// In the tree, without a slash at its end.
        folder: String,
        /// The `__init__` is a shared library, and no source.
        extension: bool,
    },
    /// A folder without one (PEP 420).
    Namespace {
        /// In the tree, without a slash at its end.
        folder: String,
    },
}

impl Found {
    /// The file whose code runs; a namespace has none.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Module { path, .. } | Self::Package { path, .. } => Some(path),
            Self::Namespace { .. } => None,
        }
    }

    /// The file of a module, or the folder of a package.
    pub fn place(&self) -> &str {
        match self {
            Self::Module { path, .. } => path,
            Self::Package { folder, .. } | Self::Namespace { folder } => folder,
        }
    }

    /// True if a shared library is loaded for it.
    pub fn is_extension(&self) -> bool {
        matches!(self, Self::Module { extension: true, .. } | Self::Package { extension: true, .. })
    }
}

/// The paths of one tree, arranged for looking names up.
#[derive(Debug, Default)]
pub struct Layout {
    /// The folder that top-level names lie in; empty for the tree itself.
    site: String,
    files: HashSet<String>,
    /// Every folder, with the names directly in it.
    folders: HashMap<String, BTreeSet<String>>,
}

impl Layout {
    /// Takes the files' paths, in any order.
    pub fn new<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        Self::below("", paths)
    }

    /// The same for a tree whose top-level names lie in the folder `site`.
    pub fn below<'a>(site: &str, paths: impl Iterator<Item = &'a str>) -> Self {
        let mut layout = Self { site: site.to_owned(), ..Self::default() };
        for path in paths {
            layout.files.insert(path.to_owned());
            let mut child = path;
            loop {
                let (parent, name) = child.rsplit_once('/').unwrap_or(("", child));
                let new =
                    layout.folders.entry(parent.to_owned()).or_default().insert(name.to_owned());
                if parent.is_empty() || !new {
                    break;
                }
                child = parent;
            }
        }
        layout
    }

    pub(crate) fn has_file(&self, path: &str) -> bool {
        self.files.contains(path)
    }

    /// True for a file and for a folder.
    pub fn has(&self, path: &str) -> bool {
        self.has_file(path) || self.folders.contains_key(path)
    }

    /// True if a module lies somewhere below `folder`.
    pub fn has_code_below(&self, folder: &str, suffixes: &Suffixes) -> bool {
        let names = self.folders.get(folder).into_iter().flatten();
        names.map(|name| joined(folder, name)).any(|path| match self.folders.contains_key(&path) {
            true => self.has_code_below(&path, suffixes),
            false => suffixes.all().any(|(suffix, _)| path.ends_with(suffix)),
        })
    }

    /// What the module `name` (`a.b.c`) is here.
    pub fn find(&self, name: &str, suffixes: &Suffixes) -> Option<Found> {
        self.find_at(joined(&self.site, &name.replace('.', "/")), suffixes)
    }

    /// What the module is here whose file or folder is called `stem`, without a suffix.
    pub fn find_at(&self, stem: String, suffixes: &Suffixes) -> Option<Found> {
        let is_folder = self.folders.contains_key(&stem);
        if is_folder
            && let Some((path, extension)) = self.with_suffix(&format!("{stem}/__init__"), suffixes)
        {
            return Some(Found::Package { path, folder: stem, extension });
        }
        if let Some((path, extension)) = self.with_suffix(&stem, suffixes) {
            return Some(Found::Module { path, extension });
        }
        is_folder.then_some(Found::Namespace { folder: stem })
    }

    fn with_suffix(&self, stem: &str, suffixes: &Suffixes) -> Option<(String, bool)> {
        let mut path = String::with_capacity(stem.len() + 40);
        path.push_str(stem);
        for (suffix, extension) in suffixes.all() {
            path.truncate(stem.len());
            path.push_str(suffix);
            if self.files.contains(&path) {
                return Some((path, extension));
            }
        }
        None
    }

    /// The modules directly in `folder`, each with whether it is a package, as
    /// `pkgutil.iter_modules` tells them: also those whose names no `import` can spell, such as
    /// a migration `0001_initial`.
    pub fn modules_in(&self, folder: &str, suffixes: &Suffixes) -> Vec<(String, bool)> {
        let mut seen = BTreeSet::new();
        let Some(names) = self.folders.get(folder) else { return Vec::new() };
        let mut modules = Vec::new();
        for name in names {
            let path = joined(folder, name);
            let stem = suffixes.all().find_map(|(suffix, _)| name.strip_suffix(suffix));
            let (module, package) = match stem {
                Some(stem) if self.files.contains(&path) => (stem, false),
                _ if self.with_suffix(&format!("{path}/__init__"), suffixes).is_some() => {
                    (name.as_str(), true)
                }
                _ => continue,
            };
            if module != "__init__"
                && !module.is_empty()
                && !module.contains('.')
                && seen.insert(module.to_owned())
            {
                modules.push((module.to_owned(), package));
            }
        }
        modules
    }
}

/// A path below a folder, which may be none.
pub fn joined(folder: &str, path: &str) -> String {
    if folder.is_empty() { path.to_owned() } else { [folder, "/", path].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suffixes() -> Suffixes {
        Suffixes(vec![".cpython-310-x86_64-linux-gnu.so".into(), ".abi3.so".into(), ".so".into()])
    }

    #[test]
    fn packages_come_before_modules_and_extensions_before_sources() {
        let layout = Layout::new(
            [
                "a/__init__.py",
                "a/b.py",
                "a/b.abi3.so",
                "a/c/__init__.py",
                "a/c.py",
                "a/n/x.py",
                "a/d.pyc",
                "a/t.txt",
            ]
            .into_iter(),
        );
        let find = |name| layout.find(name, &suffixes());
        assert_eq!(
            find("a"),
            Some(Found::Package {
                path: "a/__init__.py".into(),
                folder: "a".into(),
                extension: false
            })
        );
        assert_eq!(
            find("a.b"),
            Some(Found::Module { path: "a/b.abi3.so".into(), extension: true })
        );
        assert_eq!(find("a.c").unwrap().path(), Some("a/c/__init__.py"));
        assert_eq!(find("a.n"), Some(Found::Namespace { folder: "a/n".into() }));
        assert_eq!(find("a.d"), None);
        assert_eq!(find("a.t"), None);
        assert_eq!(
            layout.modules_in("a", &suffixes()),
            [("b".to_owned(), false), ("c".to_owned(), true)]
        );
    }
}
