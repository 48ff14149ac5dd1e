//! What is run from a view's `bin`, all of it written here.
//!
//! ```text
//! [console_scripts]            bin/tool     calls tool.cli:main
//! tool = tool.cli:main
//! tool-1.data/scripts/helper   bin/helper   fetches the wheel, and runs its own script
//! ```
//!
//! <https://packaging.python.org/en/latest/specifications/entry-points/>

use std::collections::BTreeMap;

use super::Home;
use crate::name::{BadName, FilePath, UnitName, is_identifier};
use crate::resolved::FileEntry;
use crate::store::view::Entry;
use crate::wheel::{Contents, Scheme};

/// The longest first line that every system reads whole.
const LONGEST_LINE: usize = 127;

/// The scripts of one unit. Of two with one name the one of an entry point counts.
pub(super) fn of(
    unit: &UnitName,
    contents: &Contents,
    files: &[FileEntry],
    scheme: &Scheme,
    home: &Home,
) -> BTreeMap<FilePath, Entry> {
    let mut scripts = BTreeMap::new();
    let mut add = |path: FilePath, imported: &str, called: &str| {
        let bytes = script(&home.python(), imported, called).into_bytes();
        scripts.insert(path, Entry::File { bytes, executable: true });
    };
    let folder = format!("{}/", scheme.scripts);
    for file in files.iter().filter(|file| file.path.as_str().starts_with(&folder)) {
        let called = format!("script(\"{unit}\", \"{}\")", file.path);
        add(file.path.clone(), "from magic_module._py.run import script", &called);
    }
    scripts.extend(of_entry_points(contents, scheme, &home.python()));
    // An installer writes all of its names, whichever the wheel lists.
    let pip = of_pip(scheme, home).unwrap_or_default();
    if pip.keys().any(|path| scripts.contains_key(path)) {
        scripts.extend(pip);
    }
    scripts
}

/// Those that call what the entry points name, by the interpreter `python`.
pub(super) fn of_entry_points(
    contents: &Contents,
    scheme: &Scheme,
    python: &str,
) -> BTreeMap<FilePath, Entry> {
    let folder = format!("{}/", scheme.scripts);
    let text = contents.texts.get("entry_points.txt");
    let points = text.into_iter().flat_map(|text| entry_points(text));
    let scripts = points.filter_map(|point| {
        let imported = format!("from {} import {}", point.module, point.top());
        let bytes = script(python, &imported, &format!("{}()", point.attribute)).into_bytes();
        Some((point.path(&folder)?, Entry::File { bytes, executable: true }))
    });
    scripts.collect()
}

/// What refuses to install, and is otherwise the lock's `pip`.
pub(super) fn of_pip(scheme: &Scheme, home: &Home) -> Result<BTreeMap<FilePath, Entry>, BadName> {
    let bytes =
        script(&home.python(), "from magic_module._py.pip import main", "main()").into_bytes();
    let names = ["pip".to_owned(), "pip3".to_owned(), format!("pip{}", home.minor())];
    let paths = names.iter().map(|name| FilePath::new(&format!("{}/{name}", scheme.scripts)));
    paths.map(|path| Ok((path?, Entry::File { bytes: bytes.clone(), executable: true }))).collect()
}

fn script(python: &str, imported: &str, called: &str) -> String {
    format!(
        "{}import sys\n{imported}\n\nif __name__ == \"__main__\":\n    sys.exit({called})\n",
        first_line(python)
    )
}

/// Names the interpreter. Where the system would not read it whole, or takes a blank for the end
/// of its name, a shell starts it: that reads two lines which are one text to the interpreter.
pub(super) fn first_line(python: &str) -> String {
    let plain = format!("#!{python}\n");
    if plain.len() <= LONGEST_LINE && !python.contains(char::is_whitespace) {
        return plain;
    }
    let quoted = python.replace('\'', r"'\''");
    format!("#!/bin/sh\n'''exec' '{quoted}' \"$0\" \"$@\"\n' '''\n")
}

impl Home {
    /// The interpreter of the view.
    fn python(&self) -> String {
        self.view.join("bin/python").display().to_string()
    }
}

/// `name = module:attribute`, every part checked: it becomes code.
struct EntryPoint<'a> {
    name: &'a str,
    module: &'a str,
    attribute: &'a str,
}

impl<'a> EntryPoint<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (name, object) = line.split_once('=')?;
        let object = object.split('[').next()?;
        let (module, attribute) = object.split_once(':')?;
        let point = Self { name: name.trim(), module: module.trim(), attribute: attribute.trim() };
        let mut parts = point.module.split('.').chain(point.attribute.split('.'));
        parts.all(is_identifier).then_some(point)
    }

    fn path(&self, folder: &str) -> Option<FilePath> {
        let path = FilePath::new(&format!("{folder}{}", self.name)).ok()?;
        (!self.name.contains('/')).then_some(path)
    }

    /// What is imported from the module.
    fn top(&self) -> &str {
        self.attribute.split('.').next().unwrap_or(self.attribute)
    }
}

/// Those that become scripts.
fn entry_points(text: &str) -> impl Iterator<Item = EntryPoint<'_>> {
    let mut section = "";
    text.lines().map(str::trim).filter_map(move |line| {
        if let Some(header) = line.strip_prefix('[') {
            section = header.split(']').next().unwrap_or_default().trim();
            return None;
        }
        let counts = ["console_scripts", "gui_scripts"].contains(&section);
        if counts && !line.starts_with(['#', ';']) { EntryPoint::parse(line) } else { None }
    })
}
