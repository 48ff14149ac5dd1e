//! What is to be checked: a file, a text, or every script of a folder, read by all cores.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Kind, Result};
use crate::scan::{Facts, SIZE_LIMIT, Script, scan};

/// The largest number of scripts that a folder is read for.
const MANY: usize = 200_000;

/// What somebody asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A file, or a folder with all below it.
    Path(PathBuf),
    /// The source itself.
    Text(String),
}

/// One script that was read.
#[derive(Debug)]
pub struct Source {
    /// The file; `None` for a text.
    pub path: Option<PathBuf>,
    /// What it imports, or why that cannot be told.
    pub script: Result<Script>,
}

/// Reads what is asked about. A file that cannot be read is an error where it was named, and of a
/// folder it is one of the answers.
pub fn read(subject: &Subject, facts: &Facts) -> Result<Vec<Source>> {
    match subject {
        Subject::Text(text) => {
            let script = scan("the text", text.as_bytes(), facts)?;
            Ok(vec![Source { path: None, script: Ok(script) }])
        }
        Subject::Path(path) if path.is_dir() => {
            let mut files = Vec::new();
            collect(path, &mut files)?;
            files.sort();
            Ok(all(files, facts))
        }
        Subject::Path(path) => {
            let script = Ok(one(path, facts)?);
            Ok(vec![Source { path: Some(path.clone()), script }])
        }
    }
}

fn one(path: &Path, facts: &Facts) -> Result<Script> {
    let name = path.display().to_string();
    let failed = |error: &std::io::Error| {
        Error::new(Kind::Store, format!("cannot read the script {name}"))
            .path(&name)
            .caused_by(error)
    };
    let file = fs_err::metadata(path).map_err(|error| failed(&error))?;
    if !file.is_file() {
        return Err(Error::new(Kind::Store, format!("{name} is not a file")).path(&name));
    }
    // A file that large is refused by its size; its bytes are not wanted.
    if file.len() > SIZE_LIMIT {
        return scan(&name, &vec![0; SIZE_LIMIT as usize + 1], facts);
    }
    let bytes = fs_err::read(path).map_err(|error| failed(&error))?;
    scan(&name, &bytes, facts)
}

/// Several files, by as many threads as there are cores; where no thread is to be had, by this one.
fn all(files: Vec<PathBuf>, facts: &Facts) -> Vec<Source> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Result<Script>>>> = Mutex::new(files.iter().map(|_| None).collect());
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = files.get(at) else { return };
            let script = one(path, facts);
            if let Some(place) = done.lock().get_mut(at) {
                *place = Some(script);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..cores.min(files.len()) {
            // One thread less is only slower.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let scripts = done.into_inner().into_iter().flatten();
    files
        .iter()
        .cloned()
        .map(Some)
        .zip(scripts)
        .map(|(path, script)| Source { path, script })
        .collect()
}

/// The scripts and notebooks below a folder; not what is hidden, installed or made by tools.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs_err::read_dir(folder).map_err(|error| {
        Error::new(Kind::Store, format!("cannot list the folder {}", folder.display()))
            .path(folder.display().to_string())
            .caused_by(&error)
    })? {
        let Ok(entry) = entry else { continue };
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let Ok(kind) = entry.file_type() else { continue };
        if name.starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            let installed = matches!(&*name, "__pycache__" | "node_modules" | "site-packages")
                || path.join("pyvenv.cfg").exists();
            if !installed {
                collect(&path, files)?;
            }
        } else if is_script(&name) && path.is_file() {
            files.push(path);
        }
        if files.len() > MANY {
            return Err(Error::new(
                Kind::Store,
                format!("{} has more than {MANY} scripts", folder.display()),
            )
            .hint("check the folders in it one by one"));
        }
    }
    Ok(())
}

fn is_script(name: &str) -> bool {
    [".py", ".pyw", ".ipynb", ".ipy"].iter().any(|suffix| name.ends_with(suffix))
}
