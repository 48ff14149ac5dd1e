//! Work in threads if the system gives them, and in the caller's own thread if it does not.
//!
//! A container or a user may be allowed few threads, and a machine may be out of them for a
//! moment. Then everything is done by the thread that wants it done, only more slowly.
//!
//! A thread is still there for a moment after it has told that it is done. Whoever forks waits for
//! that ([`settle`]): CPython warns of a fork where there are other threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::forking;

/// How the names of all threads begin that are started here.
const NAMED: &str = "magic_module";

/// How long a fork waits for threads that end: a moment, but a busy machine may keep one from ending.
const ENDING: Duration = Duration::from_secs(1);

/// How many wait for something that threads do.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Set by each thread that is started, until all of them were seen to be gone.
static STARTED: AtomicBool = AtomicBool::new(false);

/// For as long as somebody waits for what threads do.
#[derive(Debug)]
pub struct AtWork(());

impl AtWork {
    /// Begins now.
    pub fn begin() -> Self {
        WAITING.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// True while somebody waits for what threads do.
pub fn are_at_work() -> bool {
    WAITING.load(Ordering::SeqCst) > 0
}

/// Waits until the threads of which nobody wants anything are gone, for a moment at most.
pub fn settle() {
    let until = Instant::now() + ENDING;
    while STARTED.swap(false, Ordering::SeqCst) && are_there(NAMED) {
        STARTED.store(true, Ordering::SeqCst);
        if Instant::now() > until {
            return;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Whether this process has threads with such names; false where the system does not tell.
fn are_there(named: &str) -> bool {
    let Ok(threads) = fs_err::read_dir("/proc/self/task") else { return false };
    // The first one has the name of the program.
    let first = std::process::id().to_string();
    let others = threads.flatten().filter(|thread| thread.file_name() != first.as_str());
    let mut names = others.filter_map(|thread| fs_err::read(thread.path().join("comm")).ok());
    names.any(|name| name.starts_with(named.as_bytes()))
}

/// Starts a thread that does `work` with `material`, which comes back where none can be had.
pub fn start<M: Send + 'static, T: Send + 'static>(
    name: &str,
    material: M,
    work: impl FnOnce(M) -> T + Send + 'static,
) -> Result<JoinHandle<Option<T>>, M> {
    debug_assert!(name.starts_with(NAMED), "a thread of ours is known by its name");
    STARTED.store(true, Ordering::SeqCst);
    let (sender, receiver) = mpsc::sync_channel(1);
    let body = move || forking::beside(|| receiver.recv().ok().map(work));
    match Builder::new().name(name.to_owned()).spawn(body) {
        Ok(thread) => sender.send(material).map(|()| thread).map_err(|unsent| unsent.0),
        Err(_) => Err(material),
    }
}

/// What may wait for a disk, a lock or a name service, beside everything else. `None`: it
/// ended unexpectedly.
pub async fn beside<T, W>(work: W) -> Option<T>
where
    T: Send + 'static,
    W: FnOnce() -> T + Send + 'static,
{
    let (answer, done) = oneshot::channel();
    // Nobody may wait for the answer any more.
    let body = |(work, answer): (W, oneshot::Sender<T>)| drop(answer.send(work()));
    match start("magic_module-aside", (work, answer), body) {
        Ok(_) => done.await.ok(),
        Err((work, _)) => Some(work()),
    }
}

/// Does `work` in up to `count` threads at the same time, of which the caller's is one: each
/// takes a share of what there is to do, until nothing is left. `None` stands for one that
/// ended unexpectedly.
pub fn together<T: Send>(count: usize, work: impl Fn() -> T + Sync) -> Vec<Option<T>> {
    STARTED.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..count)
            .map_while(|_| {
                Builder::new()
                    .name("magic_module-share".to_owned())
                    .spawn_scoped(scope, || forking::beside(&work))
                    .ok()
            })
            .collect();
        let mut done = vec![Some(work())];
        done.extend(others.into_iter().map(|other| other.join().ok()));
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_takes_part() {
        let me = std::thread::current().id();
        let ids = together(3, || std::thread::current().id());
        assert_eq!(ids.len(), 3);
        assert_eq!(ids.first(), Some(&Some(me)));
        assert_eq!(together(0, || 1), [Some(1)]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn who_forks_waits_for_threads_that_end() {
        let (go, gone) = mpsc::channel::<()>();
        let (begun, here) = mpsc::channel();
        let work = |(begun, gone): (mpsc::Sender<()>, mpsc::Receiver<()>)| {
            begun.send(()).unwrap();
            gone.recv().is_err()
        };
        let thread = start("magic_module-test", (begun, gone), work).ok().unwrap();
        here.recv().unwrap();
        // The system keeps fifteen characters.
        assert!(are_there("magic_module-te"));
        drop(go);
        settle();
        assert!(!are_there("magic_module-te"));
        assert_eq!(thread.join().unwrap(), Some(true));
    }

    #[tokio::test]
    async fn work_beside_gives_its_answer() {
        assert_eq!(beside(|| 7).await, Some(7));
        assert_eq!(
            beside(|| if true {
                std::panic::panic_any("on purpose")
            })
            .await,
            None
        );
    }
}
