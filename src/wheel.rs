//! What is in a wheel: its files with their digests, and where an installer puts them.
//!
//! ```text
//! pkg/mod.py                     ─▶ lib/python3.12/site-packages/pkg/mod.py
//! pkg-1.dist-info/METADATA       ─▶ lib/python3.12/site-packages/pkg-1.dist-info/METADATA
//! pkg-1.data/purelib/pkg/x.py    ─▶ lib/python3.12/site-packages/pkg/x.py
//! pkg-1.data/scripts/tool        ─▶ bin/tool
//! pkg-1.data/data/share/x.json   ─▶ share/x.json
//! ```
//!
//! <https://packaging.python.org/en/latest/specifications/binary-distribution-format/>

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::{BadName, Digest, DistributionName, FilePath, UrlText, bad};

/// A wheel that was chosen for this interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wheel {
    /// Absolute: https, http or file.
    pub url: UrlText,
    /// In bytes; a lock need not say it.
    pub size: Option<u64>,
    /// Of the wheel; a lock should say it.
    pub sha256: Option<Digest>,
}

/// What is in a wheel. Nothing of it is believed before the wheel itself was hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Of the wheel.
    pub sha256: Digest,
    /// Of the wheel, in bytes.
    pub size: u64,
    /// The folder with its metadata: `pkg-1.dist-info`.
    pub dist_info: String,
    /// All of them, the `RECORD` included, in the order of the archive.
    pub files: Vec<WheelFile>,
    /// What stands in `dist_info` for tools to read, by file name: `METADATA`, `RECORD`, `WHEEL`,
    /// and where there are such, `entry_points.txt` and `top_level.txt`.
    pub texts: BTreeMap<String, String>,
}

/// One file of a wheel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WheelFile {
    /// What the archive calls it.
    pub entry: FilePath,
    /// In bytes, unpacked.
    pub size: u64,
    /// As the `RECORD` has it.
    pub sha256: Digest,
    /// The archive gives it the executable bits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// Where an environment keeps what; relative to its prefix, with slashes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheme {
    /// What is imported: `lib/python3.12/site-packages`.
    pub site: String,
    /// What is run: `bin`.
    pub scripts: String,
    /// What is included by C: `include/site/python3.12`, and below it a folder for each distribution.
    pub headers: String,
}

impl Contents {
    /// Where `entry` is put.
    pub fn place(&self, scheme: &Scheme, entry: &FilePath) -> Result<FilePath, BadName> {
        let Some(below) = self.in_data(entry) else {
            return FilePath::new(&format!("{}/{entry}", scheme.site));
        };
        let (key, rest) = below.split_once('/').unwrap_or((below, ""));
        match key {
            "purelib" | "platlib" => FilePath::new(&format!("{}/{rest}", scheme.site)),
            "scripts" => FilePath::new(&format!("{}/{rest}", scheme.scripts)),
            "headers" => FilePath::new(&format!("{}/{}/{rest}", scheme.headers, self.name()?)),
            "data" => FilePath::new(rest),
            _ => bad(format!("{entry:?} is not in a folder that an installer knows")),
        }
    }

    /// The part of an entry below `pkg-1.data/`, which some tools spell otherwise than
    /// `pkg-1.dist-info`.
    fn in_data<'a>(&self, entry: &'a FilePath) -> Option<&'a str> {
        let (top, below) = entry.as_str().split_once('/')?;
        let (name, _) = top.strip_suffix(".data")?.split_once('-')?;
        (DistributionName::new(name) == self.name()).then_some(below)
    }

    fn name(&self) -> Result<DistributionName, BadName> {
        DistributionName::new(self.dist_info.split('-').next().unwrap_or_default())
    }
}

/// The distribution that a wheel's file name begins with
/// (<https://packaging.python.org/en/latest/specifications/binary-distribution-format/#file-name-convention>).
pub fn distribution_of(file_name: &str) -> Option<DistributionName> {
    let name = percent_encoding::percent_decode_str(file_name).decode_utf8().ok()?;
    let stem = name.strip_suffix(".whl")?;
    let parts = stem.split('-').count();
    let first = stem.split('-').next().filter(|_| (5..=6).contains(&parts))?;
    DistributionName::new(first).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_put_where_an_installer_puts_them() {
        let contents = Contents {
            sha256: Digest::of(b""),
            size: 0,
            dist_info: "my_pkg-1.dist-info".to_owned(),
            files: Vec::new(),
            texts: BTreeMap::new(),
        };
        let scheme = Scheme {
            site: "lib/python3.12/site-packages".to_owned(),
            scripts: "bin".to_owned(),
            headers: "include/site/python3.12".to_owned(),
        };
        let place = |entry| contents.place(&scheme, &FilePath::new(entry).unwrap());
        for (entry, expected) in [
            ("my_pkg/a.py", "lib/python3.12/site-packages/my_pkg/a.py"),
            ("my_pkg-1.dist-info/WHEEL", "lib/python3.12/site-packages/my_pkg-1.dist-info/WHEEL"),
            ("my_pkg-1.data/purelib/b.py", "lib/python3.12/site-packages/b.py"),
            ("my_pkg-1.data/platlib/c.so", "lib/python3.12/site-packages/c.so"),
            ("my_pkg-1.data/scripts/tool", "bin/tool"),
            ("my_pkg-1.data/data/share/x.json", "share/x.json"),
            ("My.Pkg-1.0.data/scripts/tool", "bin/tool"),
            ("my_pkg.data/scripts/x", "lib/python3.12/site-packages/my_pkg.data/scripts/x"),
            ("my_pkg-1.data/headers/x.h", "include/site/python3.12/my-pkg/x.h"),
            ("other-1.data/data/x", "lib/python3.12/site-packages/other-1.data/data/x"),
        ] {
            assert_eq!(place(entry).unwrap().as_str(), expected);
        }
        assert!(place("my_pkg-1.data/nowhere/x").is_err());
    }

    #[test]
    fn a_wheel_is_called_after_its_distribution() {
        let name = |text| distribution_of(text).map(|name| name.to_string());
        assert_eq!(name("ruamel.yaml-0.18-py3-none-any.whl").unwrap(), "ruamel-yaml");
        assert_eq!(name("a_B-1%2Bcpu-1-cp312-cp312-linux_x86_64.whl").unwrap(), "a-b");
        assert_eq!(name("a-1.whl"), None);
        assert_eq!(name("download"), None);
        assert_eq!(name("-1-py3-none-any.whl"), None);
    }
}
