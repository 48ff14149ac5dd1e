//! Entries of a lock that have no wheel: built once, by uv or pip, where that is allowed.
//!
//! ```text
//! archive, checked ─┬─▶ uv build | pip wheel ─▶ builds/<sha256 of the wheel>/NAME.whl ─▶ a wheel like any other
//! commit of git ────┘                     builds/<key>.key    names it
//! ```
//!
//! The key is the digest of (what is built, with what, for which interpreter and platform). A
//! build runs code of the package, which may do all that this user may.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::json;

use super::choose::{Build, Chosen, From, Launch, Package};
use super::compile::beside;
use super::{LockSupply, Source};
use crate::error::{Error, Kind, Result};
use crate::events::Progress;
use crate::files;
use crate::name::{Digest, Hasher, SafeUrl, UrlText, Version};
use crate::policy::Policy;
use crate::settings::own_variables;
use crate::store::blob::Admission;
use crate::store::lock::Exclusive;
use crate::store::{Store, Sync, aside, disk, make_folders, write_aside};
use crate::supply::Supply;
use crate::wheel::Wheel;

/// The largest source archive, in bytes.
const LIMIT: u64 = 4 << 30;

/// A key's file: a digest and a name.
const KEY_LIMIT: u64 = 4096;

impl LockSupply {
    /// Gives every package a wheel.
    pub(super) async fn build(&self, chosen: &mut Chosen) -> Result<()> {
        for package in &mut chosen.packages {
            if let Some(build) = package.build.take() {
                package.wheel = self.built(package, build).await?;
            }
        }
        Ok(())
    }

    async fn built(&self, package: &Package, build: Build) -> Result<Wheel> {
        let url = self.resolve(&package.wheel.url)?;
        let version = match (&package.version, &build.from) {
            (Some(version), _) => version.clone(),
            // No rule knows which version that is: one that has bounds does not allow it.
            (None, From::Archive(text) | From::Commit(text)) => {
                Version::new(text).map_err(|why| {
                    let what = format!("the lock has no version of {}", package.name);
                    Error::new(Kind::Manifest, what).caused_by(&why).hint("make the lock again")
                })?
            }
        };
        self.engine.may_build(package.name.as_str(), &version, url.clone()).await?;
        let archive = match &build.from {
            From::Archive(_) => Some(self.archive(package, &url).await?),
            From::Commit(_) => None,
        };
        let (source, store) = (self.source.clone(), self.engine.store.clone());
        let (title, policy) = (package.name.to_string(), self.policy());
        let work = Work { build, url, archive, title, policy, store, source };
        beside(move || work.wheel()).await
    }

    /// The source archive, which is what the lock says.
    async fn archive(&self, package: &Package, url: &SafeUrl) -> Result<Digest> {
        let blobs = self.engine.store.blobs();
        let expected = package.wheel.sha256;
        // What came with another space's login is fetched once more.
        let is_here = |it: &Digest| {
            blobs.admission(it, None) == Admission::Open
                && fs_err::symlink_metadata(blobs.path(it)).is_ok()
        };
        if let Some(known) = expected.filter(is_here) {
            return Ok(known);
        }
        self.may_fetch(url, &|| format!("the source of {} is not here", package.name))?;
        let progress = Progress::new(package.name.to_string(), self.engine.events.clone());
        let limit = package.wheel.size.unwrap_or(LIMIT);
        let (got, _) = self.engine.fetcher.unpinned(url, limit, self.policy(), &progress).await?;
        match expected {
            Some(expected) if expected != got => {
                let what = format!("{url} is not what the lock says");
                Err(Error::new(Kind::Integrity, what)
                    .url(url)
                    .expected(expected.to_hex())
                    .got(got.to_hex())
                    .hint("lock it again, or ask whoever serves it"))
            }
            _ if blobs.admission(&got, None) == Admission::Open => Ok(got),
            _ => blobs.admit(&got, url).map(|()| got),
        }
    }
}

/// All that a build needs.
struct Work {
    build: Build,
    url: SafeUrl,
    /// The blob of the source archive.
    archive: Option<Digest>,
    title: String,
    policy: Policy,
    store: Store,
    source: Source,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Built { wheel: PathBuf },
    Failed { error: String, said: Vec<String>, hint: String },
}

impl Work {
    /// The wheel that was built before, or one that is built now.
    fn wheel(&self) -> Result<Wheel> {
        let (builds, key) = (self.store.builds(), self.key());
        let named = builds.join(format!("{key}.key"));
        let lock = Exclusive::wait(&self.store.locks().join(format!("{key}.build")))?;
        if let Some(wheel) = self.known(&named) {
            return Ok(wheel);
        }
        if self.archive.is_none() {
            self.policy.may_ask(&self.url, || format!("{} is not built yet", self.title))?;
        }
        if lock.is_real() {
            disk::remove_left(&self.store.tmp(), &key.to_hex(), "build");
        }
        let folder = aside(&self.store.tmp(), key, "build");
        make_folders(&folder).map_err(|error| self.cannot_keep(&folder, &error))?;
        let kept = self.run(&folder).and_then(|wheel| {
            self.keep(&wheel, &named).map_err(|error| self.cannot_keep(&named, &error))
        });
        let _ = disk::remove(&folder);
        kept
    }

    fn key(&self) -> Digest {
        let mut hasher = Hasher::default();
        let what = match (&self.build.from, &self.archive) {
            (From::Commit(commit), _) => format!("{} {commit}", self.url.without_credentials()),
            (From::Archive(_), archive) => archive.map(|it| it.to_hex()).unwrap_or_default(),
        };
        let with = if self.build.uv.is_some() { "uv" } else { "pip" };
        for part in ["build 1", &what, &self.build.subdirectory, with, &self.source.environment] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.finish()
    }

    fn known(&self, named: &Path) -> Option<Wheel> {
        let text = String::from_utf8(disk::read_private(named, KEY_LIMIT).ok()?).ok()?;
        let (digest, name) = text.trim_end().split_once(' ')?;
        let sha256 = Digest::new(digest).ok()?;
        let path = self.store.builds().join(digest).join(name);
        let size = fs_err::symlink_metadata(&path).ok()?.len();
        wheel_at(&path, size, sha256)
    }

    fn run(&self, folder: &Path) -> Result<PathBuf> {
        let Some(Launch { executable, .. }) = &self.source.launch else {
            return Err(self.failed("no interpreter is known", "mount the lock in an interpreter"));
        };
        let mut request = json!({
            "uv": self.build.uv,
            "environment": self.source.in_environment,
            "into": folder,
            "subdirectory": self.build.subdirectory,
        });
        match (&self.build.from, &self.archive) {
            (From::Archive(name), Some(blob)) => {
                let archive = folder.join(Path::new(name).file_name().unwrap_or_default());
                self.copy(blob, &archive)?;
                request["archive"] = json!(archive);
            }
            (From::Commit(commit), _) => {
                request["repository"] = json!(self.url.real().as_str());
                request["commit"] = json!(commit);
            }
            (From::Archive(_), None) => {}
        }
        let mut command = Command::new(executable);
        command.args(["-I", "-X", "utf8", "-c", self.source.builder]);
        for variable in own_variables() {
            command.env_remove(variable);
        }
        if self.policy.is_offline() {
            command.env("UV_OFFLINE", "1").env("PIP_NO_INDEX", "1");
        }
        let answer = ask(command, &request.to_string())
            .map_err(|error| self.failed("the builder failed", "try again").caused_by(&error))?;
        match answer {
            Answer::Built { wheel } => Ok(wheel),
            Answer::Failed { error, said, hint } => {
                let failed = self.failed(&error, &hint);
                Err(said
                    .into_iter()
                    .fold(failed, |error, line| error.caused_by(&io::Error::other(line))))
            }
        }
    }

    /// What is built was hashed while it was copied.
    fn copy(&self, blob: &Digest, archive: &Path) -> Result<()> {
        let path = self.store.blobs().path(blob);
        let copied = fs_err::symlink_metadata(&path).and_then(|metadata| {
            disk::copy(&path, metadata.len(), &mut fs_err::File::create(archive)?)
        });
        if copied.map_err(|error| self.cannot_keep(archive, &error))? == *blob {
            return Ok(());
        }
        self.store.blobs().remove(blob)?;
        let what = format!("the source of {} was damaged in the cache", self.title);
        Err(Error::new(Kind::Integrity, what)
            .name(&self.title)
            .hint("try again: it will be downloaded again"))
    }

    /// The wheel first, then what names it.
    fn keep(&self, built: &Path, named: &Path) -> io::Result<Wheel> {
        let size = fs_err::symlink_metadata(built)?.len();
        let sha256 = disk::digest(built, size)?;
        let folder = self.store.builds().join(sha256.to_hex());
        make_folders(&folder)?;
        let name = built.file_name().unwrap_or_default();
        let place = folder.join(name);
        files::rename(built, &place)?;
        let text = format!("{sha256} {}\n", name.to_string_lossy());
        write_aside(&self.store.tmp(), named, text.as_bytes(), Sync::Later)
            .map_err(io::Error::other)?;
        wheel_at(&place, size, sha256).ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    fn failed(&self, why: &str, hint: &str) -> Error {
        let what = format!("cannot build {} from {}: {why}", self.title, self.url);
        Error::new(Kind::Requirement, what).name(&self.title).hint(hint)
    }

    fn cannot_keep(&self, path: &Path, error: &io::Error) -> Error {
        Error::store(format!("cannot build {}", self.title), path, error)
    }
}

fn ask(mut command: Command, request: &str) -> io::Result<Answer> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let input = child.stdin.take();
    input.map_or(Ok(()), |mut input| input.write_all(request.as_bytes()))?;
    let ended = child.wait_with_output()?;
    serde_json::from_slice(&ended.stdout).map_err(|_| {
        let said = String::from_utf8_lossy(&ended.stderr);
        io::Error::other(said.lines().last().unwrap_or("it printed nothing").to_owned())
    })
}

fn wheel_at(path: &Path, size: u64, sha256: Digest) -> Option<Wheel> {
    let url = url::Url::from_file_path(path).ok()?;
    Some(Wheel { url: UrlText::new(url), size: Some(size), sha256: Some(sha256) })
}
