//! Where the caches are: the first, to which everything is written, and those behind it.

use std::ffi::OsString;
use std::path::PathBuf;

use super::{Settings, absolute, expanded, is_blank};
use crate::error::{Error, Kind, Result};

const NAME: &str = "MAGIC_MODULE_CACHE_DIR";

impl Settings {
    /// All caches as the variable names them.
    pub fn caches(&self) -> OsString {
        let all = std::iter::once(&self.cache_dir).chain(&self.further_caches);
        // Each was a part of such a text, so that together they are one.
        std::env::join_paths(all).unwrap_or_else(|_| self.cache_dir.clone().into_os_string())
    }
}

/// The first cache, and those behind it, each once.
pub(super) fn named_by(value: Option<OsString>) -> Result<(PathBuf, Vec<PathBuf>)> {
    let mut caches = Vec::new();
    for part in std::env::split_paths(&value.unwrap_or_default()) {
        if is_blank(part.as_os_str()) {
            continue;
        }
        let cache = absolute(NAME, expanded(NAME, part.into_os_string())?)?;
        if !caches.contains(&cache) {
            caches.push(cache);
        }
    }
    if caches.is_empty() {
        caches.push(default_cache_dir()?);
    }
    // Python would be given its path as text, and that text would name another folder.
    if let Some(cache) = caches.iter().find(|cache| cache.to_str().is_none()) {
        let what =
            format!("the path of the cache directory, {}, is not valid UTF-8", cache.display());
        let error = Error::new(Kind::Configuration, what);
        return Err(error.hint("set MAGIC_MODULE_CACHE_DIR to a directory whose path is"));
    }
    Ok((caches.remove(0), caches))
}

fn default_cache_dir() -> Result<PathBuf> {
    directories::ProjectDirs::from("", "", "magic_module")
        .map(|dirs| dirs.cache_dir().to_path_buf())
        // One that moves with the working directory is nobody's home.
        .filter(|dir| dir.is_absolute())
        .ok_or_else(|| {
            Error::new(Kind::Configuration, "this user has no home directory to keep a cache in")
                .hint("set MAGIC_MODULE_CACHE_DIR to a directory that you may write to")
        })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn caches_behind_the_first_are_separated_as_in_path() {
        let (first, behind) = named_by(Some("/own::/shared:/image:/own:/shared".into())).unwrap();
        assert_eq!(first, PathBuf::from("/own"));
        assert_eq!(behind, ["/shared", "/image"].map(PathBuf::from));
    }
}
