//! A helper: an interpreter like this one that chooses the wheels of a lock with `packaging`, so
//! that this process need not import `packaging`.
//!
//! ```text
//! ─▶ {"do": "choose", "lock": {…}, "file": "/a/pylock.toml", …}
//! ◀─ {"scheme": {…}, "python": "3.12.1", "packages": […]}
//! ─▶ {"do": "require", "distributions": {…}, "beside": […]}
//! ◀─ {"requires": {…}, "missing": {…}, "unread": {…}}
//! ◀─ {"error": {"kind": "requirement", "message": "…", "hint": "…"}}
//! ```
//!
//! One object in each line. What else the helper says, on its standard error, is the cause of
//! the failure if there is one. It ends when its input does, and is killed when it is silent.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, PipeReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::descriptor::Own;
use crate::error::{Error, Kind, Result};
use crate::name::{Digest, DistributionName, UnitName, UrlText, Version};
use crate::pylock::Pylock;
use crate::settings::own_variables;
use crate::threads;
use crate::wheel::{Scheme, Wheel};

/// Much longer than the largest lock takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Longer answers are none of a helper's, in bytes.
const LONGEST: u64 = 64 << 20;

/// How a helper is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// The interpreter.
    pub executable: PathBuf,
    /// The program that a helper runs.
    pub program: &'static str,
    /// Where it imports `packaging` from.
    pub folders: Vec<PathBuf>,
}

/// What is wanted of a lock.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// What was read.
    pub lock: &'a Pylock,
    /// Where it was read; absolute. Relative paths count from its folder.
    pub file: &'a Path,
    /// Of those that the lock has.
    pub extras: &'a [String],
    /// Of those that the lock has, beside its default ones.
    pub groups: &'a [String],
    /// Wheels without a sha256 are taken, too.
    pub unhashed: bool,
    /// What has no wheel may be built.
    pub build: bool,
}

/// What a lock means for an interpreter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Where an environment of this interpreter keeps what.
    pub scheme: Scheme,
    /// The full version of the interpreter: `3.12.1`.
    pub python: String,
    /// In the order of the lock.
    pub packages: Vec<Package>,
    /// Projects that are worked on, in the order of the lock.
    pub editable: Vec<Editable>,
}

/// One wheel of a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// As every index spells it.
    pub name: DistributionName,
    /// As the lock says it, else as the wheel's name does.
    pub version: Option<Version>,
    /// The index that it came from, if the lock tells.
    pub index: Option<UrlText>,
    /// What is fetched; of what has no wheel yet, the source.
    pub wheel: Wheel,
    /// How a wheel is made of that.
    pub build: Option<Build>,
}

/// How a wheel comes to be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Build {
    /// What is built.
    pub from: From,
    /// A folder of it.
    pub subdirectory: String,
    /// The uv that builds; else pip does.
    pub uv: Option<PathBuf>,
}

/// What a wheel is built from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// A source archive with this name.
    Archive(String),
    /// The commit of a git repository.
    Commit(String),
}

/// A project that is imported as it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Editable {
    /// As every index spells it.
    pub name: DistributionName,
    /// Its folder; absolute.
    pub path: PathBuf,
    /// As the lock says it; few do.
    pub version: Option<Version>,
}

/// What a distribution says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Requirements {
    /// As its author writes it.
    pub name: String,
    /// `Requires-Dist`, as it was written.
    pub requires_dist: Vec<String>,
}

/// What comes with what.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Required {
    /// By the unit that requires them; all are of the lock.
    pub requires: BTreeMap<UnitName, BTreeSet<UnitName>>,
    /// Requirements that no distribution of the lock meets.
    pub missing: BTreeMap<UnitName, Vec<String>>,
    /// Requirements that cannot be read, and count for nothing.
    pub unread: BTreeMap<UnitName, Vec<String>>,
}

/// The helper.
#[derive(Debug)]
pub struct Chooser {
    executable: PathBuf,
    child: Child,
    /// `None` once it is of no use any more.
    pipes: Option<Pipes>,
    /// The projects that were chosen: they are there, and nothing has to come with what requires them.
    beside: Vec<String>,
}

impl Chooser {
    /// Starts it; it makes itself ready while the caller reads the lock.
    pub fn start(launch: &Launch) -> Result<Self> {
        let failed = |error: io::Error| {
            let executable = launch.executable.display();
            Error::new(Kind::Configuration, format!("cannot start {executable} to choose wheels"))
                .caused_by(&error)
                .hint("check that this interpreter is there and may be run")
        };
        let (output, end) = io::pipe().map_err(failed)?;
        let mut command = Command::new(&launch.executable);
        // Paths are UTF-8 here and in what is answered, whatever the locale is.
        command.args(["-I", "-S", "-X", "utf8", "-c", launch.program]).args(&launch.folders);
        for variable in own_variables() {
            command.env_remove(variable);
        }
        command.stdin(Stdio::piped()).stdout(end.try_clone().map_err(failed)?).stderr(end);
        // Ctrl-C is for the program, which then closes the helper's input.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(failed)?;
        let input = child.stdin.take().map(Own::new);
        let pipes = input.map(|input| Pipes { input, output: BufReader::new(Own::new(output)) });
        Ok(Self { executable: launch.executable.clone(), child, pipes, beside: Vec::new() })
    }

    /// Chooses the wheels.
    pub fn choose(&mut self, request: &Request<'_>) -> Result<Chosen> {
        let answer: ChosenAnswer = self.ask(&json!({
            "do": "choose",
            "lock": request.lock.document(),
            "file": request.file.to_string_lossy(),
            "extras": request.extras,
            "groups": request.groups,
            "unhashed": request.unhashed,
            "build": request.build,
        }))?;
        let ChosenAnswer { scheme, python, packages: answers } = answer;
        let (mut packages, mut editable) = (Vec::new(), Vec::new());
        for answer in answers {
            match answer {
                PackageAnswer::Directory { name, path, version } => {
                    editable.push(Editable { name, path, version });
                }
                PackageAnswer::Wheel { name, version, index, url, size, sha256, build } => {
                    let wheel = Wheel { url, size, sha256 };
                    packages.push(Package { name, version, index, wheel, build });
                }
            }
        }
        self.beside = editable.iter().map(|it| it.name.to_string()).collect();
        Ok(Chosen { scheme, python, packages, editable })
    }

    /// Finds what comes with what, among `distributions`. What was chosen and is not a wheel is not
    /// missing.
    pub fn require(
        &mut self,
        distributions: &BTreeMap<UnitName, Requirements>,
    ) -> Result<Required> {
        let distributions: BTreeMap<&str, &Requirements> =
            distributions.iter().map(|(unit, it)| (unit.as_str(), it)).collect();
        self.ask(&json!({
            "do": "require",
            "distributions": distributions,
            "beside": self.beside,
        }))
    }

    fn ask<T: DeserializeOwned>(&mut self, request: &Value) -> Result<T> {
        let line = self.exchange(format!("{request}\n").into_bytes())?;
        let failed = |error: serde_json::Error| {
            self.failed("gave an answer that cannot be understood", &error)
        };
        let answer: Value = serde_json::from_slice(&line).map_err(failed)?;
        match answer.get("error") {
            Some(error) => Err(Refusal::deserialize(error).map_err(failed)?.into_error()),
            None => T::deserialize(answer).map_err(failed),
        }
    }

    fn exchange(&mut self, request: Vec<u8>) -> Result<Vec<u8>> {
        let Some(pipes) = self.pipes.take() else {
            return Err(self.failed("has ended", &io::Error::from(io::ErrorKind::BrokenPipe)));
        };
        let (sender, receiver) = mpsc::sync_channel(1);
        let work = move |(mut pipes, request): (Pipes, Vec<u8>)| {
            let answer = pipes.exchange(&request);
            // Nobody waits any more.
            let _ = sender.send((pipes, answer));
        };
        if let Err((mut pipes, request)) =
            threads::start("magic_module-choosing", (pipes, request), work)
        {
            let answer = pipes.exchange(&request);
            return self.answered(pipes, answer);
        }
        match receiver.recv_timeout(PATIENCE) {
            Ok((pipes, answer)) => self.answered(pipes, answer),
            Err(error) => {
                // Whoever still reads from it comes to an end.
                let _ = self.child.kill();
                Err(self.failed("does not answer", &error))
            }
        }
    }

    fn answered(&mut self, pipes: Pipes, answer: io::Result<Vec<u8>>) -> Result<Vec<u8>> {
        let line = answer.map_err(|error| self.failed("failed", &error))?;
        self.pipes = Some(pipes);
        Ok(line)
    }

    fn failed(&self, what: &str, cause: &(dyn std::error::Error + 'static)) -> Error {
        let executable = self.executable.display();
        let message = format!("cannot choose the wheels of a lock: {executable} -I -S {what}");
        Error::new(Kind::Configuration, message)
            .caused_by(cause)
            .hint(format!("see whether `{executable} -I -S -c pass` works"))
    }
}

impl Drop for Chooser {
    fn drop(&mut self) {
        drop(self.pipes.take());
        // A program that waits for all its children may have waited for this one, and its
        // number may be another process's by now.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[derive(Debug)]
struct Pipes {
    input: Own<ChildStdin>,
    output: BufReader<Own<PipeReader>>,
}

impl Pipes {
    /// The line that answers; those before it come from the standard error, and the last one of
    /// them says why there is none.
    fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        let written = self.input.write_all(request);
        let mut last = Vec::new();
        loop {
            let mut line = Vec::new();
            self.output.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
            match line.ends_with(b"\n") {
                true if line.starts_with(b"{") => return Ok(line),
                true => last = line,
                false if last.is_empty() => {
                    written?;
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                false => return Err(io::Error::other(String::from_utf8_lossy(&last).trim())),
            }
        }
    }
}

#[derive(Deserialize)]
struct ChosenAnswer {
    scheme: Scheme,
    python: String,
    packages: Vec<PackageAnswer>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum PackageAnswer {
    Wheel {
        #[serde(deserialize_with = "distribution")]
        name: DistributionName,
        version: Option<Version>,
        index: Option<UrlText>,
        url: UrlText,
        size: Option<u64>,
        sha256: Option<Digest>,
        build: Option<Build>,
    },
    Directory {
        #[serde(deserialize_with = "distribution")]
        name: DistributionName,
        path: PathBuf,
        version: Option<Version>,
    },
}

fn distribution<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<DistributionName, D::Error> {
    DistributionName::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

#[derive(Deserialize)]
struct Refusal {
    kind: Refused,
    message: String,
    hint: String,
    path: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Refused {
    Manifest,
    Requirement,
    Policy,
    Configuration,
}

impl Refusal {
    fn into_error(self) -> Error {
        let kind = match self.kind {
            Refused::Manifest => Kind::Manifest,
            Refused::Requirement => Kind::Requirement,
            Refused::Policy => Kind::Policy,
            Refused::Configuration => Kind::Configuration,
        };
        let error = Error::new(kind, self.message).hint(self.hint);
        match self.path {
            Some(path) => error.path(path),
            None => error,
        }
    }
}
