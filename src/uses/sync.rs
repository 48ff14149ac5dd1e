//! What a folder requires by its own files, and whether its lock still follows from them.
//!
//! ```text
//! pyproject.toml, else requirements.txt and what it includes ─ digest ─┐
//! pylock.toml ─ the digest that it was made of, if it says so ─────────┴─▶ own, fresh, or due
//! all that was looked at, for this interpreter ─ digest ─▶ a note: nothing was to be done
//! ```
//!
//! It is asked whenever an interpreter starts with `MAGIC_MODULE_SYNC`, and at each `sync`: it reads
//! a few files, and starts nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files;
use crate::name::{Digest, Hasher};
use crate::store::Store;

/// The name of a project's lock.
const LOCK: &str = "pylock.toml";

/// More than any list of requirements, and than any lock.
const LARGEST: u64 = 64 << 20;

/// How the line begins by which a lock says what it was made of.
const MARK: &str = "files = \"";

/// Of a project without a list of dependencies, what its builder may read them from.
const DYNAMIC: [&str; 3] = ["requirements.txt", "setup.cfg", "setup.py"];

/// A folder, a script or a lock, as it was found.
#[derive(Debug)]
pub struct Look {
    /// The folder of all that follows.
    pub folder: PathBuf,
    /// The file that says what is required, as long as anybody does.
    pub source: Option<Source>,
    /// The lock of the folder; `None` if there is none yet.
    pub lock: Option<Lock>,
    /// Scripts that say themselves what they require (PEP 723), by their names.
    pub scripts: Vec<PathBuf>,
    seen: Hasher,
}

/// What is required.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// `pyproject.toml` or `requirements.txt`.
    pub name: &'static str,
    /// Of that file, and of what it includes.
    pub digest: Digest,
}

/// A lock that is there.
#[derive(Debug, PartialEq, Eq)]
pub struct Lock {
    /// What it was made of; `None` for one that somebody else made.
    pub made_of: Option<String>,
}

/// What is to be done about a folder's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There is nothing to lock, and no lock.
    Nothing,
    /// The lock is somebody's own: nothing is resolved.
    Own,
    /// The lock is of what the files say.
    Fresh,
    /// It has to be made, or made again.
    Due,
}

impl State {
    /// As it is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Own => "own",
            Self::Fresh => "fresh",
            Self::Due => "due",
        }
    }
}

impl Look {
    /// Looks at a folder with its scripts, at one script, or at the folder of a lock alone.
    pub fn at(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let mut look = Self::project(path)?;
            for script in scripts(path)? {
                look.script(script)?;
            }
            return Ok(look);
        }
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        if path.extension().is_some_and(|it| it == "toml") {
            return match path.file_name().is_some_and(|name| name == LOCK) {
                true => Self::project(&folder),
                // The lock of a script, or of a registry: whoever made it keeps it.
                false => Ok(Self { lock: Some(Lock { made_of: None }), ..Self::empty(folder) }),
            };
        }
        let mut look = Self::empty(folder);
        look.script(path.to_owned())?;
        Ok(look)
    }

    fn empty(folder: PathBuf) -> Self {
        Self { folder, source: None, lock: None, scripts: Vec::new(), seen: Hasher::default() }
    }

    fn project(folder: &Path) -> Result<Self> {
        let mut look = Self::empty(folder.to_owned());
        look.source = source(folder)?;
        if let Some(text) = read(&folder.join(LOCK))? {
            let text = String::from_utf8_lossy(&text);
            let made_of = text.lines().find_map(|line| line.strip_prefix(MARK)?.strip_suffix('"'));
            look.lock = Some(Lock { made_of: made_of.map(str::to_owned) });
            see(&mut look.seen, LOCK, Some(text.as_bytes()));
        }
        if let Some(source) = &look.source {
            see(&mut look.seen, source.name, Some(source.digest.to_hex().as_bytes()));
        }
        Ok(look)
    }

    /// Notes a script, if it says what it requires, and the lock beside it.
    fn script(&mut self, path: PathBuf) -> Result<()> {
        let Some(text) = read(&path)? else { return Ok(()) };
        let is_one = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line) == b"# /// script";
        if !text.split(|byte| *byte == b'\n').any(is_one) {
            return Ok(());
        }
        see(&mut self.seen, &path.to_string_lossy(), Some(&text));
        self.scripts.push(path);
        Ok(())
    }

    /// What is to be done about the folder's lock.
    pub fn state(&self) -> State {
        match (&self.source, &self.lock) {
            (None, None) => State::Nothing,
            (None, Some(_)) | (Some(_), Some(Lock { made_of: None })) => State::Own,
            (Some(source), Some(Lock { made_of: Some(digest) })) => {
                if source.digest.to_hex() == *digest { State::Fresh } else { State::Due }
            }
            (Some(_), None) => State::Due,
        }
    }

    /// What was answered when all this was as it is, with this interpreter; `None` if something is
    /// to be done.
    pub fn answer(&self, store: &Store, environment: &str) -> Option<String> {
        let note = self.note(store, environment).ok()?;
        let text = String::from_utf8(read(&note).ok()??).ok()?;
        let (needed, answer) = text.split_once("\n\n")?;
        needed.lines().all(|path| Path::new(path).exists()).then(|| answer.to_owned())
    }

    /// Notes an answer, which holds for as long as nothing changes and `needed` is there.
    pub fn keep(
        &self,
        store: &Store,
        environment: &str,
        needed: &[String],
        answer: &str,
    ) -> Result<()> {
        store.note(
            &self.note(store, environment)?,
            format!("{}\n\n{answer}", needed.join("\n")).as_bytes(),
        )
    }

    fn note(&self, store: &Store, environment: &str) -> Result<PathBuf> {
        let mut hasher = self.seen.clone();
        see(&mut hasher, environment, None);
        see(&mut hasher, &self.folder.to_string_lossy(), None);
        // A lock beside a script may come, go or change.
        let names: BTreeSet<PathBuf> = if self.scripts.is_empty() {
            BTreeSet::new()
        } else {
            files(&self.folder)?.filter(|it| is_lock(it)).collect()
        };
        for path in names {
            see(&mut hasher, &path.to_string_lossy(), read(&path)?.as_deref());
        }
        Ok(store.scripts().join(hasher.finish().to_hex()).join("synced"))
    }
}

/// The file of a folder that says what is required.
fn source(folder: &Path) -> Result<Option<Source>> {
    let mut hasher = Hasher::default();
    if let Some(text) = read(&folder.join("pyproject.toml"))? {
        let lines = || text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        // Without the table it only sets up tools.
        if lines().any(|line| line == b"[project]") {
            see(&mut hasher, "pyproject.toml", Some(&text));
            if lines().any(|line| line.starts_with(b"dynamic")) {
                for name in DYNAMIC {
                    see(&mut hasher, name, read(&folder.join(name))?.as_deref());
                }
            }
            return Ok(Some(Source { name: "pyproject.toml", digest: hasher.finish() }));
        }
    }
    let mut seen = BTreeSet::new();
    let first = folder.join("requirements.txt");
    if !first.is_file() {
        return Ok(None);
    }
    let mut todo = vec![first];
    while let Some(path) = todo.pop() {
        // One that includes what includes it has no end of names.
        if !seen.insert(files::real(&path).unwrap_or_else(|_| path.clone())) {
            continue;
        }
        let text = read(&path)?;
        let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
        see(&mut hasher, &name, text.as_deref());
        let text = String::from_utf8_lossy(text.as_deref().unwrap_or_default()).into_owned();
        let beside = path.parent().unwrap_or(folder);
        todo.extend(text.lines().filter_map(included).map(|it| beside.join(it)));
    }
    Ok(Some(Source { name: "requirements.txt", digest: hasher.finish() }))
}

/// The file that a line of a requirements file includes; of a URL nobody is asked.
fn included(line: &str) -> Option<&str> {
    let line = line.trim();
    let long = ["--requirement", "--constraint"].iter().find_map(|it| line.strip_prefix(it));
    let rest = match long {
        Some(rest) => rest.strip_prefix(['=', ' ', '\t'])?,
        None => line.strip_prefix("-r").or_else(|| line.strip_prefix("-c"))?,
    };
    let path = rest.split(" #").next()?.trim();
    (!path.is_empty() && !path.contains("://")).then_some(path)
}

fn scripts(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_python = |path: &PathBuf| path.extension().is_some_and(|it| it == "py");
    let found: BTreeSet<PathBuf> = files(folder)?.filter(is_python).collect();
    Ok(found.into_iter().filter(|path| path.is_file()).collect())
}

fn files(folder: &Path) -> Result<impl Iterator<Item = PathBuf>> {
    let listed = fs_err::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
    Ok(listed.filter_map(|entry| Some(entry.ok()?.path())))
}

fn is_lock(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| name.starts_with("pylock.") && name.ends_with(".toml"))
}

/// `None`: there is no such file.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    use std::io::{ErrorKind, Read as _};

    let mut bytes = Vec::new();
    // Whoever opens a pipe waits for its other end.
    if fs_err::metadata(path).is_ok_and(|it| !it.is_file()) {
        return Ok(None);
    }
    match fs_err::File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(unreadable(path, &error)),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::store("cannot read what is to be synced", path, error)
        .hint("make it readable, or name another folder")
}

fn see(hasher: &mut Hasher, name: &str, bytes: Option<&[u8]>) {
    for part in [Some(name.as_bytes()), bytes] {
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hasher.update(&length.to_le_bytes());
        hasher.update(part.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    fn write(folder: &Path, name: &str, text: &str) {
        fs_err::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        fs_err::write(folder.join(name), text).unwrap();
    }

    fn lock_of(folder: &Path) {
        let digest = Look::at(folder).unwrap().source.unwrap().digest.to_hex();
        write(
            folder,
            LOCK,
            &format!("lock-version = \"1.0\"\n\n[tool.magic-module]\nfiles = \"{digest}\"\n"),
        );
    }

    #[test]
    fn every_file_that_is_included_counts() {
        let root = tempfile::tempdir().unwrap();
        let at = root.path();
        let state = || Look::at(at).unwrap().state();
        assert_eq!(state(), State::Nothing);
        write(
            at,
            "requirements.txt",
            "-r more/base.txt\n--constraint=limits.txt  # why\nalpha\n-r https://h/x.txt\n",
        );
        write(
            at,
            "more/base.txt",
            "-cbelow.txt\n-r ../requirements.txt\n--requirement below.txt\n",
        );
        assert_eq!(state(), State::Due);
        for (name, text) in [
            ("requirements.txt", "-r more/base.txt\n--constraint=limits.txt\nalpha>1\n"),
            ("more/base.txt", "-cbelow.txt\nbeta\n"),
            ("more/below.txt", "gamma\n"),
            ("limits.txt", "gamma<2\n"),
            ("limits.txt", ""),
        ] {
            lock_of(at);
            assert_eq!(state(), State::Fresh);
            write(at, name, text);
            assert_eq!(state(), State::Due, "{name}");
        }
        write(at, LOCK, "lock-version = \"1.0\"\n");
        assert_eq!(state(), State::Own, "somebody else made it");
    }

    #[test]
    fn a_project_comes_first_if_it_is_one() {
        let root = tempfile::tempdir().unwrap();
        let at = root.path();
        write(at, "requirements.txt", "alpha\n");
        write(at, "pyproject.toml", "[tool.ruff]\n");
        let name = || Look::at(at).unwrap().source.unwrap().name;
        assert_eq!(name(), "requirements.txt");
        write(at, "pyproject.toml", " [project] \nname = 'x'\ndynamic = ['dependencies']\n");
        assert_eq!(name(), "pyproject.toml");
        lock_of(at);
        write(at, "setup.py", "");
        assert_eq!(Look::at(at).unwrap().state(), State::Due, "a builder may read it");
    }

    #[test]
    fn scripts_are_those_that_say_what_they_require() {
        let root = tempfile::tempdir().unwrap();
        let at = root.path();
        write(at, "b.py", "# /// script\r\n# dependencies = []\r\n# ///\r\n");
        write(at, "a.py", "#!python\n# /// script\n# ///\n");
        write(at, "c.py", "text = '# /// script'\n");
        write(at, "d.txt", "# /// script\n");
        write(at, "e.py/f.py", "# /// script\n");
        let look = Look::at(at).unwrap();
        assert_eq!(look.scripts, [at.join("a.py"), at.join("b.py")]);
        assert_eq!(Look::at(&at.join("b.py")).unwrap().scripts, [at.join("b.py")]);
        let lock = Look::at(&at.join("pylock.b.toml")).unwrap();
        assert_eq!((lock.state(), lock.scripts.len()), (State::Own, 0));
    }

    #[test]
    fn an_answer_holds_while_nothing_changes() {
        let root = tempfile::tempdir().unwrap();
        let (at, view) = (root.path().join("project"), root.path().join("view"));
        write(&at, "requirements.txt", "alpha\n");
        write(&at, "job.py", "# /// script\n# ///\n");
        lock_of(&at);
        fs_err::write(&view, "").unwrap();
        let settings =
            Settings { cache_dir: root.path().join("cache"), ..Settings::from_env().unwrap() };
        let store = Store::new(&settings);
        let look = || Look::at(&at).unwrap();
        let needed = [view.to_string_lossy().into_owned()];
        let keep = || look().keep(&store, "here", &needed, "{}\nsaid\n\n").unwrap();
        assert_eq!(look().answer(&store, "here"), None);
        keep();
        assert_eq!(look().answer(&store, "here").as_deref(), Some("{}\nsaid\n\n"));
        assert_eq!(look().answer(&store, "there"), None, "another interpreter");
        fs_err::remove_file(&view).unwrap();
        assert_eq!(look().answer(&store, "here"), None, "what it needs has gone");
        fs_err::write(&view, "").unwrap();
        for (name, text) in [
            ("requirements.txt", "alpha \n"),
            ("job.py", "# /// script\n# ///\n\n"),
            ("other.py", "# /// script\n# ///\n"),
            ("pylock.job.toml", ""),
            ("pylock.job.toml", "x"),
            (LOCK, "lock-version = \"1.0\"\n"),
        ] {
            keep();
            write(&at, name, text);
            assert_eq!(look().answer(&store, "here"), None, "{name}");
        }
    }
}
