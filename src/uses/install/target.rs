//! Where an installer puts what.

use std::path::{Path, PathBuf};

use crate::name::FilePath;
use crate::wheel::Scheme;

/// The folders of a plain environment; absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What is imported.
    pub site: PathBuf,
    /// What is run.
    pub scripts: PathBuf,
    /// What lies below the prefix otherwise.
    pub data: PathBuf,
    /// What is included by C.
    pub headers: PathBuf,
}

impl Target {
    /// One folder for everything, as `pip install --target` fills it.
    pub fn of_folder(folder: &Path) -> Self {
        Self {
            site: folder.to_owned(),
            scripts: folder.join("bin"),
            data: folder.to_owned(),
            headers: folder.join("include"),
        }
    }

    /// The one folder, if there is but one.
    pub fn folder(&self) -> Option<&Path> {
        (*self == Self::of_folder(&self.site)).then_some(self.site.as_path())
    }

    /// Where a path of an environment comes to lie.
    pub fn at(&self, scheme: &Scheme, path: &FilePath) -> PathBuf {
        let below = |folder: &str| path.as_str().strip_prefix(folder)?.strip_prefix('/');
        let (folder, rest) = if let Some(rest) = below(&scheme.site) {
            (&self.site, rest)
        } else if let Some(rest) = below(&scheme.scripts) {
            (&self.scripts, rest)
        } else if let Some(rest) = below(&scheme.headers) {
            (&self.headers, rest)
        } else {
            (&self.data, path.as_str())
        };
        rest.split('/').fold(folder.clone(), |path, part| path.join(part))
    }

    /// A path of an environment as the `RECORD` has it: from the folder of what is imported.
    pub fn seen(&self, scheme: &Scheme, path: &FilePath) -> String {
        let place = self.at(scheme, path);
        let up = self.site.ancestors().position(|above| place.starts_with(above)).unwrap_or(0);
        let above = self.site.ancestors().nth(up).unwrap_or(&self.site);
        let rest = place.strip_prefix(above).unwrap_or(&place);
        let parts = rest.components().map(|part| part.as_os_str().to_string_lossy());
        let parts: Vec<_> = std::iter::repeat_n("..".into(), up).chain(parts).collect();
        parts.join("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_its_folder() {
        let scheme = Scheme {
            site: "lib/python3.12/site-packages".to_owned(),
            scripts: "bin".to_owned(),
            headers: "include/site/python3.12".to_owned(),
        };
        let alone = Target::of_folder(Path::new("/t"));
        assert_eq!(alone.folder(), Some(Path::new("/t")));
        let environment = Target {
            site: PathBuf::from("/e/lib/python3.12/site-packages"),
            scripts: PathBuf::from("/e/bin"),
            data: PathBuf::from("/e"),
            headers: PathBuf::from("/e/include/site/python3.12"),
        };
        assert_eq!(environment.folder(), None);
        for (path, in_folder, in_environment) in [
            ("lib/python3.12/site-packages/a/b.py", "a/b.py", "a/b.py"),
            ("bin/x", "bin/x", "../../../bin/x"),
            ("share/x.txt", "share/x.txt", "../../../share/x.txt"),
            (
                "include/site/python3.12/a/x.h",
                "include/a/x.h",
                "../../../include/site/python3.12/a/x.h",
            ),
        ] {
            let path = FilePath::new(path).unwrap();
            assert_eq!(alone.seen(&scheme, &path), in_folder);
            assert_eq!(environment.seen(&scheme, &path), in_environment);
        }
    }
}
