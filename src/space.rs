//! A space: what one tenant has of its own. It is data, not a cache.
//!
//! ```text
//! <spaces>/<name>/pylock.toml        what it has; a folder without it is not a space
//!                 requirements.txt   what that was resolved from, if it was
//!                 modules.toml       its policy, its registry, and what its scripts may import
//!                 journal/           its audit log
//! <spaces>/.locks/<name>             held by who makes, changes or removes it
//! <spaces>/.<name>.…                 a space that is being made or removed
//! ```
//!
//! The bytes of its packages are in the cache, and shared. What is active of them, and their
//! compiled code, belongs to mounts, whose identity ends in the space.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::name::SpaceName;

/// The file that makes a folder a space.
pub const LOCK: &str = "pylock.toml";

/// What that was resolved from.
pub const REQUIREMENTS: &str = "requirements.txt";

/// A name, and the folder that has what is kept under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// As somebody wrote it.
    pub name: SpaceName,
    /// Absolute.
    pub folder: PathBuf,
}

impl Space {
    /// Names it; touches nothing.
    pub fn new(spaces: &Path, name: SpaceName) -> Self {
        Self { folder: spaces.join(name.as_str()), name }
    }

    /// What it has.
    pub fn lock(&self) -> PathBuf {
        self.folder.join(LOCK)
    }

    /// Its policy and registry, where it has its own.
    pub fn registry(&self) -> Option<PathBuf> {
        Some(self.folder.join("modules.toml")).filter(|file| file.is_file())
    }

    /// False for one that is called otherwise on a file system that does not tell case apart, too.
    pub fn is_there(&self) -> bool {
        let real = files::real(&self.folder).ok();
        let is_called_so = real.is_some_and(|real| real.file_name() == self.folder.file_name());
        (is_called_so || self.folder.is_symlink()) && is_space(&self.folder)
    }

    /// An error that says what to do if it is not there.
    pub fn require(&self) -> Result<()> {
        if self.is_there() {
            return Ok(());
        }
        let (name, place) = (&self.name, self.folder.parent().unwrap_or(&self.folder));
        Err(Error::new(
            Kind::Configuration,
            format!("there is no space {name} in {}", place.display()),
        )
        .name(name.as_str())
        .path(self.folder.display().to_string())
        .hint(format!("make it: magic-module space create {name}; or see magic-module space list")))
    }

    /// What identities of its mounts end in.
    pub fn mark(&self) -> &[u8] {
        self.folder.as_os_str().as_encoded_bytes()
    }
}

/// True for a folder that holds a space.
pub fn is_space(folder: &Path) -> bool {
    folder.join(LOCK).is_file()
}
