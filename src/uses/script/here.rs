//! What is here: beside the script, on the interpreter's path, and which distribution that came with.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Interpreter;
use crate::known::normalized;

/// A distribution that a mount has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provided {
    /// As its author writes it.
    pub distribution: String,
    /// The one that would be imported.
    pub version: String,
    /// The unit's own name, where its namespace is not the top level.
    pub unit: Option<String>,
}

/// Something that is on the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// It is part of the standard library.
    pub standard: bool,
    /// The distribution, as its author writes it, and its version.
    pub distribution: Option<(String, String)>,
}

/// How a name is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A file, or a folder with an `__init__`.
    Regular,
    /// A folder with code below it, and without an `__init__`.
    Namespace,
}

/// What lies in a folder under a dotted name.
pub fn form(folder: &Path, name: &str, suffixes: &[String]) -> Option<Form> {
    let mut path = folder.to_path_buf();
    let mut parts = name.split('.').peekable();
    while let Some(part) = parts.next() {
        let here = path.join(part);
        if parts.peek().is_some() {
            path = here;
            continue;
        }
        let init = |suffix: &String| here.join(format!("__init__{suffix}")).is_file();
        let file = |suffix: &String| path.join(format!("{part}{suffix}")).is_file();
        if suffixes.iter().any(|suffix| init(suffix) || file(suffix)) {
            return Some(Form::Regular);
        }
        return has_code(&here, suffixes, 3).then_some(Form::Namespace);
    }
    None
}

/// Whether a folder, or one not far below it, has modules.
fn has_code(folder: &Path, suffixes: &[String], levels: usize) -> bool {
    let Ok(entries) = fs_err::read_dir(folder) else { return false };
    let mut below = Vec::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && (name.contains('.') || name == "__pycache__") => {}
            Ok(kind) if kind.is_dir() => below.push(entry.path()),
            Ok(_) if suffixes.iter().any(|suffix| name.ends_with(suffix.as_str())) => return true,
            _ => {}
        }
    }
    levels > 0 && below.iter().any(|folder| has_code(folder, suffixes, levels - 1))
}

/// The interpreter's path, and what is known of it by now.
pub struct SearchPath<'a> {
    interpreter: &'a Interpreter,
    suffixes: Vec<String>,
    forms: RefCell<HashMap<String, Option<Form>>>,
    distributions: RefCell<HashMap<PathBuf, Vec<Record>>>,
}

/// A `.dist-info` folder.
#[derive(Clone)]
struct Record {
    folder: PathBuf,
    normalized: String,
}

impl<'a> SearchPath<'a> {
    /// Nothing is read yet.
    pub fn new(interpreter: &'a Interpreter) -> Self {
        let suffixes = interpreter.suffixes.all().map(|(suffix, _)| suffix.to_owned());
        let suffixes = suffixes.chain([".pyc".to_owned()]).collect();
        Self { interpreter, suffixes, forms: RefCell::default(), distributions: RefCell::default() }
    }

    /// What a folder beside the script has of the name.
    pub fn beside(&self, folder: &Path, name: &str) -> Option<Form> {
        form(folder, name, &self.suffixes)
    }

    /// How a name is there, in the first folder that has it.
    pub fn form(&self, name: &str) -> Option<Form> {
        // Asked for every name that is taken out of a package, of which a folder has thousands.
        if let Some(known) = self.forms.borrow().get(name) {
            return *known;
        }
        let found = self.form_now(name);
        self.forms.borrow_mut().insert(name.to_owned(), found);
        found
    }

    fn form_now(&self, name: &str) -> Option<Form> {
        let forms = self.interpreter.path.iter().filter_map(|it| form(it, name, &self.suffixes));
        forms.fold(None, |best, it| match (best, it) {
            (Some(Form::Regular), _) | (_, Form::Regular) => Some(Form::Regular),
            _ => Some(Form::Namespace),
        })
    }

    /// What is installed under a name; `likely` are distributions that may have it.
    pub fn installed(&self, name: &str, likely: &[String]) -> Option<Installed> {
        let mut namespace = None;
        for folder in &self.interpreter.path {
            match form(folder, name, &self.suffixes) {
                Some(Form::Regular) => return Some(self.of(folder, name, likely)),
                Some(Form::Namespace) if namespace.is_none() => namespace = Some(folder),
                _ => {}
            }
        }
        namespace.map(|folder| self.of(folder, name, likely))
    }

    fn of(&self, folder: &Path, name: &str, likely: &[String]) -> Installed {
        let standard = *folder == self.interpreter.library
            || folder.parent() == Some(self.interpreter.library.as_path())
                && folder.ends_with("lib-dynload");
        let distribution = if standard { None } else { self.distribution_at(folder, name, likely) };
        Installed { standard, distribution }
    }

    /// The version of a distribution that is installed, whatever it has.
    pub fn version_of(&self, distribution: &str) -> Option<(String, String)> {
        let wanted = normalized(distribution);
        self.interpreter.path.iter().find_map(|folder| {
            let records = self.records(folder);
            let record = records.iter().find(|it| it.normalized == wanted)?;
            named(&record.folder)
        })
    }

    fn distribution_at(
        &self,
        folder: &Path,
        name: &str,
        likely: &[String],
    ) -> Option<(String, String)> {
        // An editable project lies elsewhere than its metadata.
        let others = self.interpreter.path.iter().filter(|other| *other != folder);
        let folders: Vec<&Path> =
            std::iter::once(folder).chain(others.map(PathBuf::as_path)).collect();
        let own = normalized(&name.replace('.', "-"));
        let is_likely = |it: &Record| {
            it.normalized == own || likely.iter().any(|one| normalized(one) == it.normalized)
        };
        for folder in &folders {
            let records = self.records(folder);
            let mut first = records.iter().filter(|it| is_likely(it));
            if let Some(found) = first.find(|it| has(&it.folder, name)) {
                return named(&found.folder);
            }
        }
        let records = self.records(folder);
        let mut rest = records.iter().filter(|it| !is_likely(it));
        rest.find(|it| has(&it.folder, name)).and_then(|it| named(&it.folder))
    }

    fn records(&self, folder: &Path) -> Vec<Record> {
        let mut known = self.distributions.borrow_mut();
        known.entry(folder.to_path_buf()).or_insert_with(|| listed(folder)).clone()
    }
}

fn listed(folder: &Path) -> Vec<Record> {
    let Ok(entries) = fs_err::read_dir(folder) else { return Vec::new() };
    let mut found: Vec<Record> = entries
        .flatten()
        .filter_map(|entry| {
            let file = entry.file_name();
            let stem = file.to_str()?;
            let stem =
                stem.strip_suffix(".dist-info").or_else(|| stem.strip_suffix(".egg-info"))?;
            let name = stem.split('-').next()?;
            Some(Record { folder: entry.path(), normalized: normalized(name) })
        })
        .collect();
    found.sort_by(|one, other| one.folder.cmp(&other.folder));
    found
}

/// Whether the metadata says that a distribution has the name: `Import-Name` (PEP 794), its files,
/// or its top-level names.
fn has(folder: &Path, name: &str) -> bool {
    let text = |file: &str| fs_err::read_to_string(folder.join(file)).unwrap_or_default();
    let metadata = head(&text("METADATA"));
    if metadata.iter().any(|(key, value)| {
        key == "Import-Name" && value.split(';').next().is_some_and(|it| it.trim() == name)
    }) {
        return true;
    }
    let path = name.replace('.', "/");
    let inside = |line: &str| {
        let line = line.trim_start_matches('"');
        line.strip_prefix(path.as_str()).is_some_and(|rest| rest.starts_with(['/', '.']))
    };
    let top = name.split('.').next().unwrap_or(name);
    text("RECORD").lines().any(inside)
        || (top == name && text("top_level.txt").lines().any(|line| line.trim() == name))
}

/// Name and version, as the metadata has them.
fn named(folder: &Path) -> Option<(String, String)> {
    let text = ["METADATA", "PKG-INFO"]
        .iter()
        .find_map(|file| fs_err::read_to_string(folder.join(file)).ok())
        .or_else(|| fs_err::read_to_string(folder).ok())?;
    let fields = head(&text);
    let field = |wanted: &str| {
        let found = fields.iter().find(|(key, _)| key == wanted);
        found.map(|(_, value)| value.clone())
    };
    Some((field("Name")?, field("Version")?))
}

/// The fields above the description.
fn head(text: &str) -> Vec<(String, String)> {
    text.lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.to_owned(), value.trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::layout::Suffixes;
    use crate::scan::Facts;

    fn interpreter(site: &Path) -> Interpreter {
        let text = String::new;
        Interpreter {
            standard: BTreeSet::new(),
            built_in: BTreeSet::new(),
            library: PathBuf::from("/library"),
            path: vec![site.to_path_buf()],
            suffixes: Suffixes(vec![".cpython-312-x86_64-linux-gnu.so".into(), ".so".into()]),
            facts: Facts { version: (3, 12), platform: text(), os_name: text(), system: text() },
            names: BTreeMap::new(),
        }
    }

    fn write(folder: &Path, path: &str, text: &str) {
        let path = folder.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    #[test]
    fn what_is_on_the_path_names_its_distribution() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path();
        let metadata = |name: &str| format!("Metadata-Version: 2.5\nName: {name}\nVersion: 1.0\n");
        for file in ["one/__init__.py", "two.py", "three.so", "four/__init__.py", "shared/five.py"]
        {
            write(site, file, "");
        }
        write(site, "Dist_One-1.0.dist-info/METADATA", &metadata("Dist.One"));
        write(site, "Dist_One-1.0.dist-info/RECORD", "one/__init__.py,,\n\"two.py\",,\n");
        let named = metadata("dist-two") + "Import-Name: three ; private\nImport-Name: other\n";
        write(site, "dist_two-1.0.dist-info/METADATA", &named);
        write(site, "dist_three-1.0.egg-info/PKG-INFO", &metadata("dist-three"));
        write(site, "dist_three-1.0.egg-info/top_level.txt", "four\n");
        write(site, "dist_four-1.0.dist-info/METADATA", &metadata("dist-four"));
        write(site, "dist_four-1.0.dist-info/RECORD", "shared/five.py,,\n");
        let interpreter = interpreter(site);
        let path = SearchPath::new(&interpreter);
        let name = |import: &str| path.installed(import, &[])?.distribution.map(|(name, _)| name);
        let names = ["one", "two", "three", "four", "shared.five"].map(name);
        let expected = ["Dist.One", "Dist.One", "dist-two", "dist-three", "dist-four"];
        assert_eq!(names, expected.map(|name| Some(name.to_owned())));
        assert_eq!(path.installed("other", &[]), None, "metadata alone is not a module");
        assert_eq!(path.form("shared"), Some(Form::Namespace));
        assert_eq!(path.form("one"), Some(Form::Regular));
        assert_eq!(path.version_of("DIST-one"), Some(("Dist.One".into(), "1.0".into())));
    }
}
