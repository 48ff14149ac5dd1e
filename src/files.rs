//! What Windows does otherwise with files.
//!
//! | elsewhere                                  | on Windows                                         |
//! |--------------------------------------------|----------------------------------------------------|
//! | a name can be given away while a file is open | not before it is closed: this is tried again for half a second, because scanners look into what is new for a moment |
//! | a library that is loaded can be replaced   | it gives way to another name                       |
//! | a folder takes the place of an empty one   | it is refused, as if that were not empty           |
//! | a real path is a path                      | it begins with `\\?\`, which nobody wrote          |

use std::io;
use std::path::{Path, PathBuf};

/// A path with all links resolved, as people write it.
pub fn real(path: &Path) -> io::Result<PathBuf> {
    let real = fs_err::canonicalize(path)?;
    #[cfg(windows)]
    let real = windows::plain(real);
    Ok(real)
}

/// Gives a file another name, whatever file has that.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(windows)]
    return windows::replace(from, to);
    #[cfg(not(windows))]
    fs_err::rename(from, to)
}

/// Gives a folder a name. An error says that something has that, unless it is an empty folder.
pub fn rename_folder(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(windows)]
    if fs_err::symlink_metadata(to).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    patiently(|| fs_err::rename(from, to))
}

/// Tries again for a while what the system refuses because somebody has a file open.
pub fn patiently<T>(act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    #[cfg(windows)]
    return windows::patiently(act);
    #[cfg(not(windows))]
    act()
}

#[cfg(windows)]
mod windows {
    use std::io;
    use std::path::{Component, Path, PathBuf, Prefix};
    use std::time::Duration;

    /// Milliseconds between two attempts: half a second in all.
    const PAUSES: [u64; 9] = [1, 2, 4, 8, 16, 32, 64, 128, 256];

    pub fn patiently<T>(act: impl Fn() -> io::Result<T>) -> io::Result<T> {
        for pause in PAUSES {
            match act() {
                Err(error) if is_in_use(&error) => {}
                done => return done,
            }
            std::thread::sleep(Duration::from_millis(pause));
        }
        act()
    }

    /// Access denied, a sharing violation, a lock violation, or a deletion that is not over. The error
    /// that `fs_err` makes of it keeps the number only in its text.
    fn is_in_use(error: &io::Error) -> bool {
        let text = error.to_string();
        [5, 32, 33, 303].iter().any(|code| text.ends_with(&format!("(os error {code})")))
    }

    pub fn replace(from: &Path, to: &Path) -> io::Result<()> {
        let is_file = || fs_err::symlink_metadata(to).is_ok_and(|it| it.is_file());
        match fs_err::rename(from, to) {
            // Nobody waits for a folder to become a file.
            Err(error) if is_in_use(&error) && is_file() => {}
            Err(error) if is_in_use(&error) && to.is_dir() => {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Err(error) if is_in_use(&error) => return patiently(|| fs_err::rename(from, to)),
            done => return done,
        }
        make_writable(to)?;
        let Err(error) = patiently(|| fs_err::rename(from, to)) else { return Ok(()) };
        // What is loaded, or open to be deleted, can be moved.
        let mut name = from.file_name().unwrap_or_default().to_owned();
        name.push(".old");
        let old = from.with_file_name(name);
        if !is_in_use(&error) || fs_err::rename(to, &old).is_err() {
            return Err(error);
        }
        let renamed = fs_err::rename(from, to);
        let _ = match renamed {
            // It stays until the cache is pruned.
            Ok(()) => fs_err::remove_file(&old),
            Err(_) => fs_err::rename(&old, to),
        };
        renamed
    }

    #[expect(clippy::permissions_set_readonly_false, reason = "this is Windows")]
    fn make_writable(file: &Path) -> io::Result<()> {
        let mut permissions = fs_err::symlink_metadata(file)?.permissions();
        if permissions.readonly() {
            permissions.set_readonly(false);
            fs_err::set_permissions(file, permissions)?;
        }
        Ok(())
    }

    /// `\\?\C:\a` is `C:\a`, and `\\?\UNC\server\share\a` is `\\server\share\a`.
    pub fn plain(path: PathBuf) -> PathBuf {
        let mut parts = path.components();
        let Some(Component::Prefix(prefix)) = parts.next() else { return path };
        let mut plain = match prefix.kind() {
            Prefix::VerbatimDisk(letter) => PathBuf::from(format!("{}:", char::from(letter))),
            Prefix::VerbatimUNC(server, share) => {
                let mut plain = std::ffi::OsString::from(r"\\");
                plain.push(server);
                plain.push(r"\");
                plain.push(share);
                PathBuf::from(plain)
            }
            _ => return path,
        };
        plain.push(parts.as_path());
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_path_is_as_people_write_it() {
        let folder = tempfile::tempdir().unwrap();
        let real = real(folder.path()).unwrap();
        assert!(!real.to_string_lossy().starts_with(r"\\?"));
        assert!(real.is_absolute() && real.is_dir());
    }

    #[test]
    fn a_file_is_replaced_also_where_it_is_read_only() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs_err::write(&old, "old").unwrap();
        fs_err::write(&new, "new").unwrap();
        let mut permissions = fs_err::metadata(&old).unwrap().permissions();
        permissions.set_readonly(true);
        fs_err::set_permissions(&old, permissions).unwrap();
        rename(&new, &old).unwrap();
        assert_eq!(fs_err::read(&old).unwrap(), b"new");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_gets_no_name_that_another_has() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        for place in [&old, &new] {
            fs_err::create_dir(place).unwrap();
            fs_err::write(place.join("file"), "x").unwrap();
        }
        assert!(rename_folder(&new, &old).is_err());
        fs_err::remove_dir_all(&old).unwrap();
        rename_folder(&new, &old).unwrap();
        assert!(old.join("file").is_file() && !new.exists());
    }
}
