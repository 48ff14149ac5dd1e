//! The floors of the code: a lower one never imports a higher one, no modules import each other in a
//! circle, and only `src/py/` names pyo3.
//!
//! The sources are read as text, so that parts behind a feature or a platform are checked everywhere.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The one map of the floors: the table in the head of the crate.
const MAP: &str = include_str!("../../src/lib.rs");

/// The floors from the lowest to the highest, each with its modules. A row without a name goes on with the one above.
fn floors() -> Vec<(String, Vec<String>)> {
    let mut floors: Vec<(String, Vec<String>)> = Vec::new();
    for row in MAP.lines().filter_map(|line| line.strip_prefix("//! |")) {
        let mut cells = row.split('|').map(str::trim);
        let (Some(name), Some(modules)) = (cells.next(), cells.next()) else { continue };
        if name.starts_with(|first: char| first.is_ascii_digit()) {
            floors.push((name.to_owned(), Vec::new()));
        }
        if let Some((_, known)) = floors.last_mut() {
            known.extend(modules.split_whitespace().map(|word| word.trim_matches('`').to_owned()));
        }
    }
    floors
}

#[test]
fn the_map_names_every_module_once() {
    let mut mapped: Vec<String> = floors().into_iter().flat_map(|(_, modules)| modules).collect();
    let mut there: Vec<String> = sources().iter().map(|(path, _)| own_module(path)).collect();
    there.retain(|module| module != "lib");
    there.dedup();
    mapped.sort();
    there.sort();
    there.dedup();
    assert_eq!(mapped, there);
}

#[test]
fn lower_floors_never_import_higher_ones() {
    let problems: Vec<String> = sources()
        .iter()
        .filter(|(path, _)| path != "lib.rs")
        .flat_map(|(path, text)| climbs(path, text))
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// The wings of the Python floor, from the lowest to the highest.
const WINGS: [&str; 3] = ["bridge", "hook", "calls"];

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources().iter().filter(|(path, _)| path != "lib.rs") {
        let found = imported(&code(text), "crate::");
        imports.entry(own_module(path)).or_default().extend(found);
    }
    let found = circles(&imports);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn wings_of_the_python_floor_import_only_lower_ones_and_their_files_in_no_circle() {
    let wing = |name: &str| WINGS.iter().position(|wing| *wing == name);
    let mut problems = Vec::new();
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources() {
        let Some(inside) = path.strip_prefix("py/").filter(|_| path != "py/mod.rs") else {
            continue;
        };
        let (own, text) = (own_module(inside), code(&text));
        for other in imported(&text, "crate::py::") {
            if wing(&own).is_none() || wing(&other) > wing(&own) {
                problems.push(format!("src/{path} ({own}) imports crate::py::{other}"));
            }
        }
        let beside =
            imported(&text, "super::").into_iter().map(|name| format!("py/{own}/{name}.rs"));
        imports.insert(path.clone(), beside.collect());
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let found = circles(&imports);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn only_the_python_floor_names_pyo3() {
    let problems: Vec<String> = sources()
        .into_iter()
        .filter(|(path, text)| !path.starts_with("py/") && code(text).contains("pyo3"))
        .map(|(path, _)| format!("src/{path} names pyo3: only src/py/ may"))
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_file_opens_with_its_purpose_and_stays_readable() {
    let problems: Vec<String> = sources()
        .into_iter()
        .flat_map(|(path, text)| {
            let mute = !text.starts_with("//! ");
            let long = text.lines().count() > 500;
            [
                mute.then(|| format!("src/{path} does not open with its purpose")),
                long.then(|| format!("src/{path} has more than 500 lines")),
            ]
        })
        .flatten()
        .collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_checks_see_what_they_are_for() {
    let one = |path: &str, text: &str| climbs(path, text).join("; ");
    assert_eq!(one("store/blob.rs", "use crate::fetch::Fetcher;"), climb("store/blob.rs", "fetch"));
    assert_eq!(
        one("error.rs", "use crate::{\n    name::Version,\n    py::{self}};"),
        climb("error.rs", "py")
    );
    assert_eq!(
        one("origin/mod.rs", "fn f() { crate::mount::close() }"),
        climb("origin/mod.rs", "mount")
    );
    assert_eq!(
        one("fetch/mod.rs", "use crate::{error::{Error, Kind}, origin::*}; // crate::py"),
        ""
    );
    assert_eq!(one("uses/publish/mod.rs", "pub(crate) use crate::mount::Mount;"), "");
    assert!(one("attic.rs", "").contains("no floor"));
    assert!(one("py/mod.rs", "use crate::attic::Box;").contains("no floor"));
    let one = |module: &str, imports: &[&str]| {
        (module.to_owned(), imports.iter().map(ToString::to_string).collect())
    };
    let imports = [one("a", &["b"]), one("b", &["c", "b"]), one("c", &["d", "b"]), one("d", &[])];
    assert_eq!(circles(&imports.into()), [["b", "c"]]);
    assert!(imported("use crate::py::{calls::mount, hook};", "crate::py::").contains("calls"));
    assert!(code("use pyo3::prelude::*;").contains("pyo3"));
    assert!(!code("//! pyo3\nfn f() {} // pyo3").contains("pyo3"));
}

fn climb(path: &str, module: &str) -> String {
    let (_, own) = floor(&own_module(path)).unwrap();
    let (_, other) = floor(module).unwrap();
    format!(
        "src/{path} ({own}) imports crate::{module} ({other}): lower floors never import higher ones"
    )
}

/// What the file imports from above its own floor.
fn climbs(path: &str, text: &str) -> Vec<String> {
    let unknown = |module: &str| format!("src/{path}: module {module} has no floor in src/lib.rs");
    let Some((own, _)) = floor(&own_module(path)) else {
        return vec![unknown(&own_module(path))];
    };
    imported(&code(text), "crate::")
        .iter()
        .filter_map(|module| match floor(module) {
            None => Some(unknown(module)),
            Some((other, _)) => (other > own).then(|| climb(path, module)),
        })
        .collect()
}

fn floor(module: &str) -> Option<(usize, String)> {
    floors()
        .into_iter()
        .enumerate()
        .find(|(_, (_, modules))| modules.iter().any(|known| known == module))
        .map(|(number, (name, _))| (number, name))
}

/// `store/blob.rs` belongs to `store`, `error.rs` to `error`.
fn own_module(path: &str) -> String {
    path.split(['/', '.']).next().unwrap_or_default().to_owned()
}

/// The modules that reach each other by imports: each circle once, its modules in order.
fn circles(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let circle = |module: &String| -> Vec<String> {
        let reached = reached(imports, module);
        let back = |other: &&&String| self::reached(imports, other).contains(module);
        reached.iter().filter(back).map(ToString::to_string).collect()
    };
    let found: BTreeSet<Vec<String>> = imports.keys().map(circle).collect();
    found.into_iter().filter(|circle| !circle.is_empty()).collect()
}

/// All that a module imports, and what that imports.
fn reached<'a>(
    imports: &'a BTreeMap<String, BTreeSet<String>>,
    module: &'a String,
) -> BTreeSet<&'a String> {
    let mut found = BTreeSet::new();
    let mut next = vec![module];
    while let Some(module) = next.pop() {
        let others = imports.get(module).into_iter().flatten();
        next.extend(others.filter(|other| *other != module && found.insert(*other)));
    }
    found
}

/// The first names behind `root` (`crate::`), also inside braces. Macros and items of the root count as modules,
/// so that nothing hides there.
fn imported(code: &str, root: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, word) in code.match_indices(root) {
        if code[..at].ends_with(|before: char| before == '_' || before.is_alphanumeric()) {
            continue;
        }
        let rest = code[at + word.len()..].trim_start();
        let Some(inside) = rest.strip_prefix('{') else {
            found.extend(identifier(rest));
            continue;
        };
        let (mut depth, mut begins) = (0_usize, true);
        for (index, letter) in inside.char_indices() {
            match letter {
                '}' if depth == 0 => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                _ if begins && !letter.is_whitespace() => {
                    found.extend(identifier(&inside[index..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn identifier(text: &str) -> Option<String> {
    let end =
        text.find(|letter: char| letter != '_' && !letter.is_alphanumeric()).unwrap_or(text.len());
    (end > 0).then(|| text[..end].to_owned())
}

/// The text without line comments. A string may hold `//` too: what follows on such a line is lost to the check.
fn code(text: &str) -> String {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Every Rust file below `src/` with its text; paths with forward slashes.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|suffix| suffix == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
                found.push((name, fs_err::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 5, "no sources found below {}", root.display());
    found.sort();
    found
}
