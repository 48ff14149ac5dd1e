//! The audit log: one line of JSON for each decision whether something may be fetched.
//!
//! ```text
//! <data>/journal/audit.jsonl      at most LIMIT bytes, then it becomes
//!                audit.1.jsonl    the one before, and so on to KEPT
//!                audit.lock       held while they are renamed
//! ```
//!
//! A line is one write of at most [`LONGEST`] bytes at the end of the file, so that any number of
//! processes share it. File systems of a network promise no such thing: there each host has a file
//! of its own, `audit.HOST.jsonl`. Nothing secret is in it: URLs come without credentials and query.
//! It is no evidence against code that runs as the same user, who may write to the file, too.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::audit::Asker;
use crate::clock::now;
use crate::error::{Error, Result, shown};
use crate::files;
use crate::manifest::rfc3339;
use crate::store::lock::Exclusive;
use crate::store::{disk, make_folders};

/// The longest line, in bytes.
pub const LONGEST: usize = 4096;

/// A file that is longer is put aside.
const LIMIT: u64 = 4 << 20;

/// So many are kept beside the one that is written.
const KEPT: u32 = 4;

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It is fetched.
    Allowed,
    /// It is not.
    Refused,
    /// It was allowed, and did not come.
    Failed,
}

/// One line. Fields that do not apply are left out.
#[derive(Debug, Clone, Serialize)]
pub struct Entry<'a> {
    /// What was decided.
    pub decision: Decision,
    /// A distribution, or a unit as it follows `import`.
    pub distribution: &'a str,
    /// As its author wrote it; empty where nobody has looked for one yet.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub version: &'a str,
    /// Where its first file comes from, without credentials and query.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Of that file.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// Of all its files that are not here.
    pub bytes: u64,
    /// Where the rule stands: `policy.deny[2]`.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub rule: &'a str,
    /// Why it was refused, or failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    process: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    importer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    import: Option<String>,
    #[serde(flatten)]
    entry: Entry<'a>,
}

/// Where the lines go.
#[derive(Debug)]
pub struct Journal {
    folder: Option<PathBuf>,
    /// Where that lies is made, too, if it is not there.
    rooted: bool,
}

impl Journal {
    /// `data` is the user's data folder; without one nothing can be written.
    pub fn new(data: Option<PathBuf>) -> Self {
        Self { folder: data.map(|data| data.join("journal")), rooted: true }
    }

    /// In the folder of a space, which never comes back by this: a program may still run when its
    /// space has been deleted.
    pub fn of_space(folder: PathBuf) -> Self {
        Self { folder: Some(folder.join("journal")), rooted: false }
    }

    /// The folder with the files.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Appends a line.
    pub fn write(&self, asker: &Asker, entry: Entry<'_>) -> Result<()> {
        let Some(folder) = &self.folder else {
            let why = io::Error::other("this user has no home directory");
            return Err(failed(Path::new("audit.jsonl"), &why));
        };
        let file = folder.join(format!("{}.jsonl", stem(folder)));
        let make = || match fs_err::create_dir(folder) {
            Err(_) if self.rooted => make_folders(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        };
        let text = line(asker, entry);
        let written = make().and_then(|()| append(&file, text.as_bytes()));
        written.map_err(|error| failed(&file, &error))
    }

    /// Every file that is there, the oldest first.
    pub fn files(&self) -> io::Result<Vec<PathBuf>> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        let mut files = disk::list(folder)?;
        files.retain(|file| file.extension().is_some_and(|it| it == "jsonl"));
        files.sort_by_key(|file| {
            let number = file.file_stem().and_then(|stem| Path::new(stem).extension());
            std::cmp::Reverse(number.and_then(|it| it.to_str()?.parse::<u32>().ok()).unwrap_or(0))
        });
        Ok(files)
    }
}

fn failed(file: &Path, error: &io::Error) -> Error {
    Error::store(format!("cannot write the audit log {}", file.display()), file, error)
        .hint("make its folder one that you may write to, and free some space")
}

/// Every text is cut, so that the whole is never longer than a line may be: what is quoted in JSON
/// is at most twice as long.
fn line(asker: &Asker, entry: Entry<'_>) -> String {
    let cut = |text: &str, limit| shown(text, limit).into_owned();
    let asked = |text: &Option<String>| text.as_ref().map(|text| cut(text, 300));
    let (name, version, rule) =
        (cut(entry.distribution, 150), cut(entry.version, 100), cut(entry.rule, 150));
    let line = Line {
        time: rfc3339(now()),
        process: std::process::id(),
        script: asked(&asker.script),
        importer: asked(&asker.importer),
        import: asker.import.as_ref().map(|text| cut(text, 150)),
        entry: Entry {
            distribution: &name,
            version: &version,
            rule: &rule,
            source: cut(&entry.source, 300),
            error: cut(&entry.error, 300),
            ..entry
        },
    };
    serde_json::to_string(&line).unwrap_or_default() + "\n"
}

fn append(file: &Path, line: &[u8]) -> io::Result<()> {
    let size = disk::append(file, line)?;
    if size > LIMIT { rotate(file) } else { Ok(()) }
}

/// Puts a full file aside. Whoever has it open ends its line there: nothing is lost.
fn rotate(file: &Path) -> io::Result<()> {
    let lock = file.with_extension("lock");
    // Somebody is at it already.
    let Ok(Some(_lock)) = Exclusive::try_take(&lock) else { return Ok(()) };
    match fs_err::symlink_metadata(file) {
        Ok(metadata) if metadata.len() > LIMIT => {}
        // Somebody was, and perhaps nobody has written since.
        Ok(_) => return Ok(()),
        Err(error) if disk::is_absent(&error) => return Ok(()),
        Err(error) => return Err(error),
    }
    for number in (1..KEPT).rev() {
        let (from, to) = (numbered(file, number), numbered(file, number + 1));
        match files::rename(&from, &to) {
            Err(error) if !disk::is_absent(&error) => return Err(error),
            _ => {}
        }
    }
    files::rename(file, &numbered(file, 1))
}

fn numbered(file: &Path, number: u32) -> PathBuf {
    file.with_extension(format!("{number}.jsonl"))
}

fn stem(folder: &Path) -> String {
    if !is_shared(folder) {
        return "audit".to_owned();
    }
    let mut host = host();
    host.retain(|c| c.is_ascii_alphanumeric() || c == '-');
    format!("audit-{host}")
}

/// Whether other machines may write to it; where nobody can tell, they may.
#[cfg(target_os = "linux")]
fn is_shared(folder: &Path) -> bool {
    /// NFS, SMB in three versions, AFS, Ceph, Lustre, GPFS, BeeGFS, 9P, and what a program of the
    /// user serves.
    const SHARED: [u32; 11] = [
        0x6969,
        0x517B,
        0xFF53_4D42,
        0xFE53_4D42,
        0x5346_414F,
        0x00C3_6400,
        0x0BD0_0BD0,
        0x4750_4653,
        0x1983_0326,
        0x0102_1997,
        0x6573_5546,
    ];
    let there = folder.ancestors().find(|it| it.exists());
    let Some(Ok(found)) = there.map(rustix::fs::statfs) else { return true };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the numbers have 32 bits"
    )]
    SHARED.contains(&(found.f_type as u32))
}

#[cfg(not(target_os = "linux"))]
fn is_shared(_: &Path) -> bool {
    true
}

#[cfg(unix)]
fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host() -> String {
    let name = crate::settings::variable("COMPUTERNAME").unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry<'_> {
        Entry {
            decision: Decision::Refused,
            distribution: name,
            version: "1.0",
            source: "https://h/x.whl".to_owned(),
            sha256: "ab".repeat(32),
            bytes: 12,
            rule: "policy.deny[0]",
            error: String::new(),
        }
    }

    fn journal(root: &Path) -> (Journal, PathBuf) {
        let journal = Journal::new(Some(root.to_owned()));
        let file = root.join("journal").join(format!("{}.jsonl", stem(root)));
        (journal, file)
    }

    #[test]
    fn a_line_has_one_object_and_no_control_characters() {
        let root = tempfile::tempdir().unwrap();
        let (journal, file) = journal(root.path());
        let asker = Asker { import: Some("a\x1b[2J\n".to_owned()), ..Asker::default() };
        journal.write(&asker, entry("x")).unwrap();
        journal.write(&Asker::default(), entry("y")).unwrap();
        let text = fs_err::read_to_string(&file).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["import"], r"a\u{1b}[2J\n");
        assert_eq!(
            (&lines[0]["decision"], &lines[1]["distribution"]),
            (&"refused".into(), &"y".into())
        );
        assert_eq!(lines[1].get("import"), None);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs_err::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn no_line_is_longer_than_is_written_at_once() {
        for c in ["\"", "\\", "\x01", "\u{1f642}"] {
            let long = c.repeat(5000);
            let asker = Asker {
                import: Some(long.clone()),
                importer: Some(long.clone()),
                script: Some(long.clone()),
            };
            let entry = Entry {
                version: &long,
                rule: &long,
                source: long.clone(),
                error: long.clone(),
                ..entry(&long)
            };
            let line = line(&asker, entry);
            assert!(line.len() <= LONGEST, "{c:?}: {}", line.len());
        }
    }

    #[test]
    fn threads_lose_nothing_while_files_are_put_aside() {
        let root = tempfile::tempdir().unwrap();
        let (journal, file) = journal(root.path());
        let journal = &journal;
        make_folders(file.parent().unwrap()).unwrap();
        // Nearly full: what comes next is too much for it.
        fs_err::write(&file, "\n".repeat(LIMIT as usize - 1000)).unwrap();
        std::thread::scope(|scope| {
            for at in 0..8 {
                scope.spawn(move || {
                    let name = format!("name-{at}");
                    (0..50).for_each(|_| journal.write(&Asker::default(), entry(&name)).unwrap());
                });
            }
        });
        // All of them may have written before the file was put aside.
        journal.write(&Asker::default(), entry("last")).unwrap();
        let files = journal.files().unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!((&files[0], &files[1]), (&numbered(&file, 1), &file));
        let texts = files.iter().map(|file| fs_err::read_to_string(file).unwrap());
        let lines: Vec<String> =
            texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
        let whole = lines.iter().filter(|line| !line.is_empty());
        let whole = whole.filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok());
        assert_eq!(whole.count(), 401);
    }

    #[test]
    fn what_cannot_be_written_names_the_file() {
        let root = tempfile::tempdir().unwrap();
        fs_err::write(root.path().join("journal"), "a file").unwrap();
        let (journal, _) = journal(root.path());
        let error = journal.write(&Asker::default(), entry("x")).unwrap_err();
        assert!(error.to_string().starts_with("cannot write the audit log "), "{error}");
    }
}
