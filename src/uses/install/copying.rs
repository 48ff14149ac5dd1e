//! Copies of the store's files: their blocks are shared where the file system can, never their names.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{Laid, Target};
use crate::store::create_file;
use crate::threads;
use crate::wheel::Scheme;

/// So many files are one thread's at a time.
const SHARE: usize = 32;
const THREADS: usize = 4;

/// All that is to be made.
pub(super) struct Work {
    jobs: Vec<Job>,
    /// False once the file system said that it cannot share blocks.
    clones: AtomicBool,
}

struct Job {
    source: Source,
    target: PathBuf,
    executable: bool,
}

enum Source {
    /// And how many bytes it has, so that the system need not be asked for the end.
    File(PathBuf, u64),
    Bytes(Vec<u8>),
}

impl Work {
    /// Everything that is laid out, each in its target. Of two files with one place the last one counts.
    pub fn new(laid: impl Iterator<Item = (Laid, Target)>, scheme: &Scheme) -> Self {
        let mut jobs = Vec::new();
        for (Laid { from, plain, .. }, target) in laid {
            jobs.extend(plain.copied.into_iter().map(|it| Job {
                source: Source::File(from.join(it.path.as_str()), it.size),
                target: target.at(scheme, &it.path),
                executable: it.executable,
            }));
            jobs.extend(plain.written.into_iter().map(|(path, it)| Job {
                source: Source::Bytes(it.bytes),
                target: target.at(scheme, &path),
                executable: it.executable,
            }));
        }
        let mut seen = BTreeSet::new();
        jobs.reverse();
        jobs.retain(|job| seen.insert(job.target.clone()));
        jobs.reverse();
        Self { jobs, clones: AtomicBool::new(true) }
    }

    /// Makes all files, and the folders that they lie in.
    pub fn run(&self) -> io::Result<()> {
        let folders: BTreeSet<&Path> =
            self.jobs.iter().filter_map(|job| job.target.parent()).collect();
        for folder in folders {
            fs_err::create_dir_all(folder)?;
        }
        let shares: Vec<&[Job]> = self.jobs.chunks(SHARE).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(jobs) = shares.get(next.fetch_add(1, Ordering::Relaxed)) {
                jobs.iter().try_for_each(|job| self.make(job))?;
            }
            Ok(())
        };
        let ended = || io::Error::other("a thread that copied ended unexpectedly");
        let done = threads::together(THREADS.min(shares.len()), work);
        done.into_iter().try_for_each(|share: Option<io::Result<()>>| share.ok_or_else(ended)?)
    }

    fn make(&self, job: &Job) -> io::Result<()> {
        let mut file = create_file(&job.target, if job.executable { 0o755 } else { 0o644 })?;
        match &job.source {
            Source::Bytes(bytes) => io::Write::write_all(&mut file, bytes),
            Source::File(from, size) => {
                let mut input = fs_err::File::open(from)?;
                if self.clones.load(Ordering::Relaxed) {
                    if clone(&input, &file).is_ok() {
                        return Ok(());
                    }
                    self.clones.store(false, Ordering::Relaxed);
                }
                copy(&mut input, &mut file, *size)
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn clone(from: &fs_err::File, target: &fs_err::File) -> io::Result<()> {
    Ok(rustix::fs::ioctl_ficlone(target.file(), from.file())?)
}

/// Has the system copy, where it does so between these two.
#[cfg(target_os = "linux")]
fn copy(from: &mut fs_err::File, target: &mut fs_err::File, size: u64) -> io::Result<()> {
    let mut left = size;
    while left > 0 {
        let share = usize::try_from(left).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(from.file(), None, target.file(), None, share) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(copied) => left -= copied as u64,
            // Nothing was copied yet where it cannot be done so.
            Err(_) if left == size => return io::copy(from, target).map(drop),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn copy(from: &mut fs_err::File, target: &mut fs_err::File, _: u64) -> io::Result<()> {
    io::copy(from.file_mut(), target.file_mut()).map(drop)
}

#[cfg(not(target_os = "linux"))]
fn clone(_: &fs_err::File, _: &fs_err::File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
