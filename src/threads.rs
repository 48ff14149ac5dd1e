//! Threads where they are to be had, and the caller's own where not.
//!
//! A container or a user may be allowed few threads, and a machine may be out of them for a
//! moment. Then everything is done by the thread that wants it done, only more slowly.

use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};

use tokio::sync::oneshot;

/// Starts a thread that does `work` with `material`, which comes back where none can be had.
pub fn start<M: Send + 'static, T: Send + 'static>(
    name: &str,
    material: M,
    work: impl FnOnce(M) -> T + Send + 'static,
) -> Result<JoinHandle<Option<T>>, M> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let body = move || receiver.recv().ok().map(work);
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
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..count)
            .map_while(|_| {
                Builder::new().name("magic_module-share".to_owned()).spawn_scoped(scope, &work).ok()
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
