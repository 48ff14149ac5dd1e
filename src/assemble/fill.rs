//! Filling the folder of a tree that is being built, by threads where it has many files.
//!
//! ```text
//! files ─ by pack ─ batches ─▶ thread ─ thread ─ thread ─ thread      each takes the next batch
//! ```
//!
//! An archive is checked, and a frame unpacked, once, whatever the number of threads. Where
//! there are frames enough for all threads, or too large ones, each frame is one thread's,
//! and there are no more threads than the largest frames have room for in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::packs::{Declared, Packs};
use super::{Placed, Source, make_folder, stamp_of};
use crate::error::{Error, Kind, Result};
use crate::manifest::{File, Record};
use crate::name::{Digest, FilePath};
use crate::store::Store;
use crate::store::tree::TreeFile;
use crate::threads;

/// From this many files, or bytes in packs, on, unpacking is shared by threads. Each thread takes
/// address space, of which some processes have little.
const ENOUGH_FILES: usize = 64;
const ENOUGH_BYTES: u64 = 4 << 20;
const THREADS: usize = 4;

/// So many bytes of frames, and of the archives in them, are in memory at a time: one of
/// the largest that there may be, or four of those that `publish` writes.
pub(super) const ROOM: u64 = 33 << 20;

pub(super) type Job<'a> = (&'a File, &'a Source);

/// Makes all files that are not lazy and not placed yet, and tells what all are in the tree.
pub(super) fn fill(
    store: &Store,
    placed: &mut Placed,
    record: &Record,
    sources: &BTreeMap<FilePath, Source>,
) -> Result<Vec<TreeFile>> {
    let Placed { aside, files: early, sound, .. } = placed;
    let aside = aside.as_path();
    let files = || record.files.iter().filter(|file| !file.lazy);
    let lazy = record.files.iter().filter(|file| file.lazy).map(TreeFile::new);
    let mut folders: BTreeSet<&str> = files().map(|file| file.path.parent()).collect();
    folders.insert("");
    for folder in folders {
        make_folder(&aside.join(folder))?;
    }
    let mut jobs: Vec<Job<'_>> = Vec::with_capacity(record.files.len());
    for file in files() {
        let source = sources.get(&file.path).ok_or_else(|| {
            Error::new(Kind::Store, format!("nothing in the cache holds {}", file.path))
                .path(file.path.as_str())
        })?;
        if !early.contains_key(&file.path) {
            jobs.push((file, source));
        }
    }
    // Neighbours in a pack stay together, so that each thread reads forwards.
    jobs.sort_by(|a, b| (a.1.packed(), &a.0.path).cmp(&(b.1.packed(), &b.0.path)));
    let mut declared = Declared::of(record);
    // Whatever was unpacked before: nothing is made of a pack that is not sound.
    let packs: BTreeSet<&Digest> = early.values().filter_map(TreeFile::blob).collect();
    for pack in packs.into_iter().filter(|pack| !sound.contains(pack)) {
        declared.open(store, pack)?;
    }
    let lazy = lazy.chain(early.drain().map(|(_, file)| file));
    let packed = jobs.iter().filter(|(_, source)| source.packed().is_some());
    let bytes: u64 = packed.map(|(file, _)| file.size).sum();
    if jobs.len() < ENOUGH_FILES && bytes < ENOUGH_BYTES {
        let placed = place_all(&mut Packs::new(store, &declared), aside, &jobs)?;
        return Ok(lazy.chain(placed).collect());
    }
    let (batches, count) = batches(&jobs, &mut declared);
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut packs, mut placed) = (Packs::new(store, &declared), Vec::new());
        while let Some(jobs) = batches.get(next.fetch_add(1, Ordering::Relaxed)) {
            placed.extend(place_all(&mut packs, aside, jobs)?);
        }
        Ok(placed)
    };
    let mut placed: Vec<TreeFile> = lazy.collect();
    for share in threads::together(count.min(batches.len()), work) {
        let ended = || Error::new(Kind::Store, "a thread that unpacked a tree ended unexpectedly");
        placed.extend(share.ok_or_else(ended)??);
    }
    Ok(placed)
}

/// What a thread takes at a time, and how many threads there may be; `declared` learns
/// which packs several of them will read.
fn batches<'a, 'b>(
    jobs: &'b [Job<'a>],
    declared: &mut Declared<'a>,
) -> (Vec<&'b [Job<'a>]>, usize) {
    let groups: Vec<_> = jobs.chunk_by(|a, b| blob_of(a) == blob_of(b)).collect();
    let blobs = groups.iter().filter_map(|jobs| jobs.first().and_then(blob_of));
    let frames = blobs.clone().filter(|blob| declared.is_framed(blob));
    let frames: Vec<u64> = frames.map(|blob| declared.memory(blob)).collect();
    let fit = fitting(&frames);
    let all_at_once = frames.len() < THREADS && fit == frames.len();
    let alone = |blob: &Digest| !all_at_once && declared.is_framed(blob);
    declared.shared =
        blobs.filter(|blob| !alone(blob)).map(|blob| (blob, Mutex::default())).collect();
    // Small enough that whoever comes late finds something left.
    let share = jobs.len().div_ceil(4 * THREADS);
    let mut batches: Vec<(usize, &[Job<'_>])> = Vec::new();
    for jobs in groups {
        let shared = jobs.first().and_then(blob_of).is_none_or(|blob| declared.is_shared(blob));
        batches.extend(jobs.chunks(if shared { share } else { jobs.len() }).enumerate());
    }
    // The beginning of every pack comes first, so that threads open different ones.
    batches.sort_by_key(|(at, _)| *at);
    let batches = batches.into_iter().map(|(_, jobs)| jobs).collect();
    (batches, if all_at_once { THREADS } else { fit.clamp(1, THREADS) })
}

/// How many of the largest frames there is room for at a time.
fn fitting(frames: &[u64]) -> usize {
    let mut largest = frames.to_vec();
    largest.sort_unstable_by_key(|memory| std::cmp::Reverse(*memory));
    let taken = largest.into_iter().scan(0_u64, |taken, memory| {
        *taken = taken.saturating_add(memory);
        Some(*taken)
    });
    taken.take_while(|taken| *taken <= ROOM).count()
}

fn blob_of<'a>(job: &Job<'a>) -> Option<&'a Digest> {
    job.1.packed().map(|(blob, _)| blob)
}

pub(super) fn place_all(
    packs: &mut Packs<'_>,
    aside: &Path,
    jobs: &[Job<'_>],
) -> Result<Vec<TreeFile>> {
    let place = |(file, source): &Job<'_>| {
        let target = aside.join(file.path.as_str());
        let mut file = TreeFile::new(file);
        packs.place(&target, &file, source)?;
        file.stamp = stamp_of(&target)?;
        file.kept = Some(source.kept.clone());
        Ok(file)
    };
    jobs.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unpack::Pack;

    #[test]
    fn a_frame_is_given_a_thread_while_there_is_room_for_it() {
        let path = FilePath::new("a").unwrap();
        let largest = Pack::memory(u64::MAX, [(&path, u64::MAX)].into_iter());
        assert_eq!(fitting(&[largest]), 1);
        assert_eq!(fitting(&[1 << 20, largest]), 1);
        assert_eq!(fitting(&[2 << 20; 3]), 3);
        let published = Pack::memory(2 << 20, [(&path, 2 << 20)].into_iter());
        assert!(fitting(&[published; 9]) >= THREADS);
    }
}
