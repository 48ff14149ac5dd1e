//! What is about to leave this machine is shown to whoever waits, before it does.
//!
//! ```text
//! worker   permit(acts) ───▶ the waiting thread ─ sys.audit ─ fine ─▶ on with it
//!                                                 └─ raised ─▶ the work is dropped where it stands
//! ```
//!
//! Work that nobody watches (no Python around it) is permitted.

use std::sync::Arc;

use tokio::sync::oneshot;

/// One act; its fields are the arguments of the audit event of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A manifest, a signature or a part of a catalogue is asked for.
    Resolve {
        /// Without credentials and query.
        url: String,
    },
    /// An artifact is downloaded.
    Fetch {
        /// The unit that needs it, or what else it is shown as.
        unit: String,
        /// Without credentials and query.
        url: String,
        /// In bytes, as the manifest says.
        size: u64,
        /// 64 hexadecimal digits.
        sha256: String,
    },
}

/// Takes acts to whoever waits, who answers through the sender or drops it.
pub type Watcher = Arc<dyn Fn(Vec<Act>, oneshot::Sender<()>) + Send + Sync>;

tokio::task_local! {
    static WATCHER: Watcher;
}

/// Runs `work` so that its acts are shown to `watcher`.
pub async fn watched<F: Future>(watcher: Watcher, work: F) -> F::Output {
    WATCHER.scope(watcher, work).await
}

/// Returns once the acts are permitted; never, if they are not.
pub async fn permit(acts: Vec<Act>) {
    let Ok(watcher) = WATCHER.try_with(Clone::clone) else { return };
    let (sender, answer) = oneshot::channel();
    watcher(acts, sender);
    if answer.await.is_err() {
        // Whoever waited raises, and drops this work: it must not go on until then.
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn act() -> Vec<Act> {
        vec![Act::Resolve { url: "http://h/m.json".into() }]
    }

    #[tokio::test]
    async fn what_nobody_watches_goes_on() {
        permit(act()).await;
    }

    #[tokio::test]
    async fn what_is_not_permitted_never_goes_on() {
        let fine: Watcher = Arc::new(|_, sender| {
            let _ = sender.send(());
        });
        watched(fine, permit(act())).await;
        let refused: Watcher = Arc::new(|_, sender| drop(sender));
        let work = watched(refused, permit(act()));
        assert!(tokio::time::timeout(Duration::from_millis(1), work).await.is_err());
    }
}
