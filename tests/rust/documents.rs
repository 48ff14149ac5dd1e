//! The documentation says what is there: every variable in the table, no variable that is not read, no dead link.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[test]
fn the_table_of_settings_has_every_variable_that_is_read() {
    let read = variables(&text("src/settings.rs"));
    assert!(read.len() >= 11, "{read:?}");
    let rows: BTreeSet<String> = text("docs/reference/settings.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .flat_map(variables)
        .collect();
    assert_eq!(rows, read);
}

#[test]
fn no_page_names_a_variable_that_is_not_read() {
    let read = variables(&text("src/settings.rs"));
    for page in pages() {
        let unknown: Vec<_> = variables(&text(&page)).difference(&read).cloned().collect();
        assert!(
            unknown.is_empty(),
            "{page} names {unknown:?}, which src/settings.rs does not read"
        );
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut checked = 0;
    for page in pages() {
        let folder = root().join(&page).parent().unwrap().to_owned();
        for link in text(&page).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || link.contains("://") {
                continue;
            }
            checked += 1;
            assert!(folder.join(target).exists(), "{page} links to {link}, which is not there");
        }
    }
    assert!(checked > 10, "only {checked} links found");
}

/// Whole names such as `MAGIC_MODULE_OFFLINE`.
fn variables(text: &str) -> BTreeSet<String> {
    const PREFIX: &str = "MAGIC_MODULE_";
    text.match_indices(PREFIX)
        .map(|(at, _)| &text[at..])
        .map(|rest| {
            rest.split(|letter: char| letter != '_' && !letter.is_ascii_uppercase()).next().unwrap()
        })
        .filter(|name| name.len() > PREFIX.len())
        .map(str::to_owned)
        .collect()
}

/// Every page for readers, relative to the root of the repository.
fn pages() -> Vec<String> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let mut found = list(root());
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        let (inner, files) = list(&folder).into_iter().partition::<Vec<_>, _>(|path| path.is_dir());
        folders.extend(inner);
        found.extend(files);
    }
    found
        .iter()
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "md"))
        .map(|path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned())
        .collect()
}

fn text(path: &str) -> String {
    fs_err::read_to_string(root().join(path)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
