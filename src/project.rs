//! A project that is worked on, as its `pyproject.toml` describes it to whoever builds it.
//!
//! ```text
//! [project], [tool.poetry]            ─▶ what an installer writes into its .dist-info
//! [tool.…] of the one that builds it  ─▶ the folders that are imported: src, python, …
//! ```
//!
//! <https://packaging.python.org/en/latest/specifications/pyproject-toml/>

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use toml::{Table, Value};

use crate::name::{DistributionName, Version};

/// What `pyproject.toml` says.
#[derive(Debug, Clone, Default)]
pub struct Project(Table);

/// Where a builder's settings name folders below which everything is imported.
const ROOTS: [&[&str]; 8] = [
    &["tool", "setuptools", "package-dir", ""],
    &["tool", "setuptools", "packages", "find", "where"],
    &["tool", "hatch", "build", "dev-mode-dirs"],
    &["tool", "hatch", "build", "sources"],
    &["tool", "hatch", "build", "targets", "wheel", "sources"],
    &["tool", "uv", "build-backend", "module-root"],
    &["tool", "pdm", "build", "package-dir"],
    &["tool", "maturin", "python-source"],
];

impl Project {
    /// Reads the text of the file; of one that is not TOML it is told why.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|error: toml::de::Error| error.message().to_owned())
    }

    /// The folders that are put on the path, relative to the project: those that its builder is
    /// told of, else `src` where that is the custom. `is_there` tells of files and folders.
    pub fn roots(&self, name: &DistributionName, is_there: impl Fn(&str) -> bool) -> Vec<String> {
        let mut roots: BTreeSet<String> =
            ROOTS.iter().flat_map(|keys| texts(self.at(keys))).map(folder).collect();
        // Packages that are named with the folder that they lie in.
        let hatch = self.at(&["tool", "hatch", "build", "targets", "wheel", "packages"]);
        roots.extend(texts(hatch).map(|path| {
            let path = folder(path);
            path.rsplit_once('/').map_or("", |(above, _)| above).to_owned()
        }));
        if let Some(Value::Array(packages)) = self.at(&["tool", "poetry", "packages"]) {
            roots.extend(packages.iter().map(|it| folder(text(it.get("from")).unwrap_or(""))));
        }
        if !roots.is_empty() {
            return roots.into_iter().collect();
        }
        let module = name.as_str().replace('-', "_");
        let beside = is_there(&module) || is_there(&format!("{module}.py"));
        vec![if !beside && is_there("src") { "src" } else { "" }.to_owned()]
    }

    /// The version, if it is written there.
    pub fn version(&self) -> Option<Version> {
        Version::new(text(self.said("version"))?).ok()
    }

    /// The `METADATA` that a builder would write.
    pub fn metadata(&self, name: &DistributionName, version: &Version) -> String {
        let title = text(self.said("name")).filter(|title| name.is(title));
        let title = title.unwrap_or(name.as_str());
        let mut metadata = format!("Metadata-Version: 2.1\nName: {title}\nVersion: {version}\n");
        let mut add = |key: &str, value: &str| {
            let value: String =
                value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let _ = writeln!(metadata, "{key}: {}", value.trim());
        };
        if let Some(summary) = text(self.said("description")) {
            add("Summary", summary);
        }
        if let Some(python) = text(self.at(&["project", "requires-python"])) {
            add("Requires-Python", python);
        }
        for requirement in texts(self.at(&["project", "dependencies"])) {
            add("Requires-Dist", requirement);
        }
        let extras = self.at(&["project", "optional-dependencies"]).and_then(Value::as_table);
        for (extra, requirements) in extras.into_iter().flatten() {
            add("Provides-Extra", extra);
            for requirement in texts(Some(requirements)) {
                let conditional = match requirement.split_once(';') {
                    Some((bare, marker)) => {
                        format!("{bare}; ({}) and extra == \"{extra}\"", marker.trim())
                    }
                    None => format!("{requirement} ; extra == \"{extra}\""),
                };
                add("Requires-Dist", &conditional);
            }
        }
        metadata
    }

    /// Its `entry_points.txt`.
    pub fn entry_points(&self) -> String {
        let mut groups: BTreeMap<&str, Option<&Table>> = BTreeMap::new();
        for (group, key) in [("console_scripts", "scripts"), ("gui_scripts", "gui-scripts")] {
            groups.insert(group, self.said(key).and_then(Value::as_table));
        }
        let others = self.at(&["project", "entry-points"]);
        let others = others.or_else(|| self.at(&["tool", "poetry", "plugins"]));
        for (group, points) in others.and_then(Value::as_table).into_iter().flatten() {
            groups.insert(group, points.as_table());
        }
        let mut lines = String::new();
        for (group, points) in groups {
            let Some(points) = points else { continue };
            let _ = writeln!(lines, "[{group}]");
            for (name, object) in points {
                if let Some(object) = object.as_str() {
                    let _ = writeln!(lines, "{name} = {object}");
                }
            }
        }
        lines
    }

    /// A field of the project, where the standard puts it, else where Poetry does.
    fn said(&self, key: &str) -> Option<&Value> {
        self.at(&["project", key]).or_else(|| self.at(&["tool", "poetry", key]))
    }

    fn at(&self, keys: &[&str]) -> Option<&Value> {
        let (first, rest) = keys.split_first()?;
        rest.iter().try_fold(self.0.get(*first)?, |value, key| value.get(key))
    }
}

fn text(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str)
}

/// A text, or those of a list.
fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let list = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    text(value).into_iter().chain(list.iter().filter_map(Value::as_str))
}

/// A folder below the project, in one spelling.
fn folder(path: &str) -> String {
    let parts = path.split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".");
    parts.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(text: &str, there: &[&str]) -> Vec<String> {
        let name = DistributionName::new("My.Project").unwrap();
        Project::parse(text).unwrap().roots(&name, |path| there.contains(&path))
    }

    #[test]
    fn what_is_imported_is_where_the_builder_is_told_that_it_is() {
        for (text, expected) in [
            ("tool.setuptools.package-dir = {'' = 'lib/'}", &["lib"][..]),
            ("tool.setuptools.packages.find.where = ['a', './b/c']", &["a", "b/c"]),
            ("tool.hatch.build.dev-mode-dirs = ['.']", &[""]),
            ("tool.hatch.build.targets.wheel.packages = ['src/x', 'y']", &["", "src"]),
            ("tool.uv.build-backend.module-root = ''", &[""]),
            ("tool.pdm.build.package-dir = 'source'", &["source"]),
            ("tool.maturin.python-source = 'python'", &["python"]),
            ("tool.poetry.packages = [{include = 'x', from = 'lib'}]", &["lib"]),
        ] {
            assert_eq!(roots(text, &["src"]), expected, "{text}");
        }
    }

    #[test]
    fn else_it_is_where_everybody_has_it() {
        assert_eq!(roots("", &["src"]), ["src"]);
        assert_eq!(roots("", &["src", "my_project"]), [""]);
        assert_eq!(roots("", &["src", "my_project.py"]), [""]);
        assert_eq!(roots("tool.setuptools.packages = ['x']", &[]), [""]);
    }

    #[test]
    fn metadata_is_what_a_builder_would_write() {
        let project = Project::parse(
            "[project]\nname = 'My.Project'\nversion = '1.2'\ndescription = 'of\\nuse'\n\
             requires-python = '>=3.10'\ndependencies = ['a>1']\n\
             optional-dependencies.x = ['b', \"c; os_name == 'nt' or 1\"]\n\
             scripts.mine = 'm:main'\nentry-points.group.point = 'm:o'\n",
        );
        let project = project.unwrap();
        let name = DistributionName::new("my-project").unwrap();
        assert_eq!(
            project.metadata(&name, &project.version().unwrap()),
            "Metadata-Version: 2.1\nName: My.Project\nVersion: 1.2\nSummary: of\\nuse\n\
             Requires-Python: >=3.10\nRequires-Dist: a>1\nProvides-Extra: x\n\
             Requires-Dist: b ; extra == \"x\"\n\
             Requires-Dist: c; (os_name == 'nt' or 1) and extra == \"x\"\n"
        );
        assert_eq!(
            project.entry_points(),
            "[console_scripts]\nmine = m:main\n[group]\npoint = m:o\n"
        );
        assert!(Project::parse("a b").is_err());
        assert_eq!(Project::default().version(), None);
    }
}
