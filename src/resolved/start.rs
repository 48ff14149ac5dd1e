//! What wheels have an interpreter do when it starts, as their `.pth` and `.start` files say it.
//!
//! ```text
//! lib/python3.12/site-packages/x.pth    extra/lib        a folder that is put on the path
//!                                       import x_hook    a line that is run
//! ```
//!
//! <https://docs.python.org/3/library/site.html>, <https://peps.python.org/pep-0829/>

use serde::{Deserialize, Serialize};

use crate::name::{FilePath, UnitName};
use crate::wheel::Scheme;

/// All of it, in the order in which an interpreter would find it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Put on the path behind the view's own folder; below the prefix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<FilePath>,
    /// What has lines that are run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<StartFile>,
}

/// A file with lines that are run. Its text was read from a wheel that was hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFile {
    /// `x.pth`, or `x.start`.
    pub name: String,
    /// Whose it is.
    pub unit: UnitName,
    /// All of it.
    pub text: String,
}

impl Start {
    /// True if a start is what it would be without these wheels.
    pub fn is_empty(&self) -> bool {
        self.folders.is_empty() && self.files.is_empty()
    }

    /// Adds the file at `path`; of the folders that it names those count that are there.
    pub fn add(
        &mut self,
        path: &FilePath,
        unit: UnitName,
        text: String,
        scheme: &Scheme,
        is_there: impl Fn(&FilePath) -> bool,
    ) {
        let name = path.as_str().rsplit('/').next().unwrap_or_default();
        // As later versions of Python have it.
        if name.starts_with('.') {
            return;
        }
        let mut runs = name.ends_with(".start");
        let lines = text.lines().map(str::trim_end).filter(|line| is_said(line));
        for line in lines.filter(|_| name.ends_with(".pth")) {
            if is_run(line) {
                runs = true;
            } else if let Some(folder) = below(&scheme.site, line)
                && !self.folders.contains(&folder)
                && is_there(&folder)
            {
                self.folders.push(folder);
            }
        }
        if runs {
            self.files.push(StartFile { name: name.to_owned(), unit, text });
        }
    }
}

/// True for a file that an interpreter may heed when it starts, if it stands there.
pub fn runs_at_start(path: &FilePath, site: &str) -> bool {
    let suffixes = [".pth", ".start"];
    path.parent() == site && suffixes.iter().any(|it| path.as_str().ends_with(it))
}

/// True for a line that says something.
fn is_said(line: &str) -> bool {
    !line.starts_with('#') && !line.trim().is_empty()
}

/// True for a line that is run; any other names a folder.
fn is_run(line: &str) -> bool {
    line.starts_with("import ") || line.starts_with("import\t")
}

/// The folder that a line names, as seen from `site`; none outside of the prefix.
fn below(site: &str, line: &str) -> Option<FilePath> {
    let mut parts: Vec<&str> = site.split('/').collect();
    if line.starts_with('/') {
        return None;
    }
    for part in line.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            part => parts.push(part),
        }
    }
    FilePath::new(&parts.join("/")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start_of(name: &str, text: &str) -> Start {
        let [site, scripts, headers] = ["lib/site-packages", "bin", "include"].map(str::to_owned);
        let scheme = Scheme { site, scripts, headers };
        let path = FilePath::new(&format!("{}/{name}", scheme.site)).unwrap();
        assert!(runs_at_start(&path, &scheme.site));
        let mut start = Start::default();
        let unit = UnitName::new("one").unwrap();
        start.add(&path, unit, text.to_owned(), &scheme, |it| !it.as_str().ends_with("gone"));
        start
    }

    #[test]
    fn folders_count_where_they_are_there_and_below_the_prefix() {
        let lines = "# no\n\nextra/lib  \n../../share/x\n./extra//lib\ngone\n/abs\n../../../up\n";
        let start = start_of("x.pth", lines);
        let folders: Vec<_> = start.folders.iter().map(FilePath::as_str).collect();
        assert_eq!(folders, ["lib/site-packages/extra/lib", "share/x"]);
        assert_eq!(start.files, []);
    }

    #[test]
    fn lines_that_begin_with_import_are_run() {
        assert_eq!(start_of("x.pth", "importer\n# import x\n").files, []);
        assert_eq!(start_of("x.pth", "import\tx\n").files.len(), 1);
        let start = start_of("x.start", "extra/lib\n");
        assert_eq!((start.folders.len(), start.files[0].name.as_str()), (0, "x.start"));
    }

    #[test]
    fn other_files_are_not_heeded() {
        assert!(start_of(".x.pth", "import x").is_empty());
        for path in ["lib/site-packages/x/y.pth", "lib/site-packages/pth"] {
            assert!(!runs_at_start(&FilePath::new(path).unwrap(), "lib/site-packages"), "{path}");
        }
    }
}
