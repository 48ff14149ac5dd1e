//! Spaces are made, changed and removed: each in one step for whoever looks.
//!
//! ```text
//! create   written aside ─ synced ─ renamed     a name that differs only by case is taken
//! change   what it was made of is still so? ─ each file aside ─ renamed
//! delete   renamed ─ removed                    its bytes go at the next prune
//! ```
//!
//! Whoever does one of these holds a file lock of that name. Where there are no locks, two that
//! make one name at once are told apart by the rename; of two that change one, the second may win.

mod usage;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::files;
use crate::name::SpaceName;
use crate::pylock::{Pylock, has_paths};
use crate::space::{LOCK, REQUIREMENTS, Space, is_space};
use crate::store::lock::Exclusive;
use crate::store::{aside, create_file, disk, make_folders, rename_onto, sync_folder};

pub use usage::Usage;

/// After so long half of something is nobody's.
const DEAD_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Files of a space by name. `None`: it is not there.
pub type Files = BTreeMap<String, Option<Vec<u8>>>;

/// The spaces of a folder, by name.
pub fn list(spaces: &Path) -> Result<Vec<Space>> {
    let mut found: Vec<Space> = entries(spaces)?
        .iter()
        .filter(|folder| is_space(folder))
        .filter_map(|folder| SpaceName::new(folder.file_name()?.to_str()?).ok())
        .map(|name| Space::new(spaces, name))
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

fn entries(spaces: &Path) -> Result<Vec<PathBuf>> {
    disk::list(spaces).map_err(|error| Error::store("cannot look for spaces", spaces, &error))
}

/// Makes the folder of all spaces. An error if the name is taken.
pub fn prepare(spaces: &Path, name: &SpaceName) -> Result<()> {
    let failed = |error| cannot("make", &Space::new(spaces, name.clone()), &error);
    make_folders(spaces).map_err(failed)?;
    refuse_twins(spaces, name)
}

/// Makes a space of its files, the lock among them.
pub fn create(spaces: &Path, name: SpaceName, files: &Files) -> Result<Space> {
    let space = Space::new(spaces, name);
    let lock = files.get(LOCK).and_then(Option::as_deref).unwrap_or_default();
    Pylock::parse(&space.lock(), lock)?;
    make_folders(spaces).map_err(|error| cannot("make", &space, &error))?;
    let _lock = lock_of(spaces, &space.name)?;
    refuse_twins(spaces, &space.name)?;
    sweep(spaces);
    let half = aside(spaces, format_args!(".{}", space.name), "new");
    let make = || -> io::Result<()> {
        make_folders(&half)?;
        for (name, bytes) in files.iter().filter_map(|(name, it)| Some((name, it.as_ref()?))) {
            write(&half.join(name), bytes)?;
        }
        sync_folder(&half)?;
        // What a program left there that still runs in a space that was deleted.
        if !is_space(&space.folder) {
            disk::remove(&space.folder)?;
        }
        files::rename_folder(&half, &space.folder)?;
        sync_folder(spaces)
    };
    match make() {
        Ok(()) => Ok(space),
        Err(error) => {
            let _ = disk::remove(&half);
            refuse_twins(spaces, &space.name)?;
            Err(cannot("make", &space, &error))
        }
    }
}

/// Replaces files of a space, if those of `before` are as they were. False: somebody else was
/// quicker, and nothing is changed.
pub fn change(space: &Space, before: &Files, files: &Files) -> Result<bool> {
    let spaces = space.folder.parent().unwrap_or(&space.folder);
    if let Some(Some(lock)) = files.get(LOCK) {
        Pylock::parse(&space.lock(), lock)?;
    }
    space.require()?;
    let _lock = lock_of(spaces, &space.name)?;
    space.require()?;
    let failed = |error| cannot("change", space, &error);
    for (name, bytes) in before {
        if read(&space.folder.join(name)).map_err(failed)? != *bytes {
            return Ok(false);
        }
    }
    let replace = |name: &str, bytes: &Option<Vec<u8>>| -> io::Result<()> {
        let target = space.folder.join(name);
        let Some(bytes) = bytes else { return disk::remove(&target) };
        let half = aside(spaces, format_args!(".{}-{name}", space.name), "new");
        let written = write(&half, bytes).and_then(|()| rename_onto(&half, &target));
        if written.is_err() {
            let _ = disk::remove(&half);
        }
        written
    };
    // The lock comes last: what was asked for and is not locked yet, the next change locks.
    let (last, first): (Vec<_>, Vec<_>) = files.iter().partition(|(name, _)| *name == LOCK);
    for (name, bytes) in first.into_iter().chain(last) {
        replace(name, bytes).map_err(failed)?;
    }
    sync_folder(&space.folder).map_err(failed)?;
    Ok(true)
}

/// Removes a space. A program that runs in it goes on with what it is bound to.
pub fn delete(space: &Space) -> Result<()> {
    let spaces = space.folder.parent().unwrap_or(&space.folder);
    space.require()?;
    let _lock = lock_of(spaces, &space.name)?;
    space.require()?;
    let gone = aside(spaces, format_args!(".{}", space.name), "old");
    let rename = || files::rename_folder(&space.folder, &gone).and_then(|()| sync_folder(spaces));
    rename().map_err(|error| cannot("delete", space, &error))?;
    // What is left of it, the next one that is made sweeps up.
    let _ = disk::remove(&gone);
    Ok(())
}

/// Refuses a lock that finds files from where it lies: a copy of it would not.
pub fn refuse_paths(lock: &Path, text: &[u8]) -> Result<()> {
    if !has_paths(text) {
        return Ok(());
    }
    let lock = lock.display();
    let what = format!(
        "{lock} names files by paths that count from its own folder, and a space keeps a copy of it"
    );
    Err(Error::new(Kind::Requirement, what)
        .path(lock.to_string())
        .hint("make the space from requirements, or lock packages by their URLs"))
}

fn lock_of(spaces: &Path, name: &SpaceName) -> Result<Exclusive> {
    let locks = spaces.join(".locks");
    make_folders(&locks).map_err(|error| Error::store("cannot lock a space", &locks, &error))?;
    Exclusive::wait(&locks.join(name.folded()))
}

fn refuse_twins(spaces: &Path, name: &SpaceName) -> Result<()> {
    let folded = name.folded();
    let entries = entries(spaces)?;
    // Only of who is called alike is it asked whether that is a space: there may be many.
    let mut alike = entries.iter().filter_map(|folder| {
        let name = SpaceName::new(folder.file_name()?.to_str()?).ok()?;
        (name.folded() == folded && is_space(folder)).then_some(name)
    });
    let Some(twin) = alike.next() else { return Ok(()) };
    let (what, hint) = if twin == *name {
        (format!("the space {name} already exists"), "delete it first, or change it")
    } else {
        (
            format!("cannot make the space {name}: {twin} differs from it only by case"),
            "give it another name",
        )
    };
    let hint = format!("{hint}: see magic-module space show {twin}");
    Err(Error::new(Kind::Configuration, what).name(name.as_str()).hint(hint))
}

/// Half of something, of processes that ended long ago.
fn sweep(spaces: &Path) {
    let is_half = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with('.') && name != ".locks"
    };
    let is_old = |path: &Path| {
        let modified = fs_err::symlink_metadata(path).and_then(|it| it.modified());
        modified.is_ok_and(|it| it.elapsed().is_ok_and(|age| age > DEAD_AFTER))
    };
    for path in disk::list(spaces).unwrap_or_default() {
        if is_half(&path) && is_old(&path) {
            let _ = disk::remove(&path);
        }
    }
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if disk::is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Requirements may have a login in the URL of an index: they are their owner's alone.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let is_private = path.to_string_lossy().contains(REQUIREMENTS);
    let mut file = create_file(path, if is_private { 0o600 } else { 0o644 })?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn cannot(act: &str, space: &Space, error: &io::Error) -> Error {
    Error::store(format!("cannot {act} the space {}", space.name), &space.folder, error)
        .or_hint("set MAGIC_MODULE_SPACES_DIR to a directory that you may write to")
}
