//! A worker cannot ask Python or a person itself. It asks the thread that waits for it, because
//! that thread has the interpreter.
//!
//! ```text
//! worker   permit(acts) ───▶ the waiting thread ─ sys.audit ─ fine ─▶ on with it
//!                                                 └─ raised ─▶ the work is dropped where it stands
//!          know_tags()  ───▶ the waiting thread ─ wheel tags ─▶ on with it
//!          consent(…)   ───▶ the waiting thread ─ `on_request`, or a terminal ─▶ a verdict
//! ```
//!
//! If no Python waits for the work, everything is permitted, no further tags are known, and there
//! is nobody who could consent.

use std::sync::{Arc, OnceLock};

use tokio::sync::oneshot;

use crate::name::SafeUrl;

/// Who wants something, as far as the waiting thread knows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asker {
    /// What is imported.
    pub import: Option<String>,
    /// The file that imports it.
    pub importer: Option<String>,
    /// The program.
    pub script: Option<String>,
}

/// What a person, or the program, is asked to consent to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Request {
    /// A distribution, or a unit as it follows `import`.
    pub distribution: String,
    /// Empty where nobody has looked for one yet.
    pub version: String,
    /// Where its first file comes from, without credentials and query; or empty.
    pub source: String,
    /// Bytes to come, with all that it requires.
    pub size: u64,
    /// What comes with it.
    pub requires: Vec<String>,
    /// Where the rule stands that asks.
    pub rule: String,
    /// Who wants it.
    pub asker: Asker,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// This time.
    Once,
    /// As long as this process lives.
    Always,
    /// No.
    Deny,
}

/// One act; its fields are the arguments of the audit event of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A manifest, a signature or a part of a catalogue is asked for.
    Resolve {
        /// What is asked for.
        url: SafeUrl,
    },
    /// An artifact is downloaded.
    Fetch {
        /// As it follows `import`.
        unit: String,
        /// What is asked for.
        url: SafeUrl,
        /// In bytes, as the manifest says.
        size: u64,
        /// 64 hexadecimal digits.
        sha256: String,
    },
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// What is about to leave this machine, before it does.
    May(Vec<Act>),
    /// The interpreter's wheel tags, which cost half of the standard library.
    Tags,
    /// Whether this is wanted. Who cannot ask anybody leaves the place for the answer empty.
    Consent(Box<Request>, Arc<OnceLock<Verdict>>),
}

/// Takes questions to whoever waits, who answers through the sender or drops it.
pub type Watcher = Arc<dyn Fn(Question, oneshot::Sender<()>) + Send + Sync>;

tokio::task_local! {
    static WATCHER: Watcher;
    static ASKER: Asker;
}

/// Runs `work` for `asker`.
pub async fn asked_by<F: Future>(asker: Asker, work: F) -> F::Output {
    ASKER.scope(asker, work).await
}

/// For whom this work is done.
pub fn asker() -> Asker {
    ASKER.try_with(Clone::clone).unwrap_or_default()
}

/// Runs `work` so that its questions go to `watcher`.
pub async fn watched<F: Future>(watcher: Watcher, work: F) -> F::Output {
    WATCHER.scope(watcher, work).await
}

/// Returns once the acts are permitted; never, if they are not.
pub async fn permit(acts: Vec<Act>) {
    ask(Question::May(acts)).await;
}

/// Returns once the session knows the wheel tags.
pub async fn know_tags() {
    ask(Question::Tags).await;
}

/// What whoever waits says to it; `None`: there is nobody who could be asked.
pub async fn consent(request: Request) -> Option<Verdict> {
    let verdict = Arc::<OnceLock<Verdict>>::default();
    ask(Question::Consent(Box::new(request), verdict.clone())).await;
    verdict.get().copied()
}

async fn ask(question: Question) {
    let Ok(watcher) = WATCHER.try_with(Clone::clone) else { return };
    let (sender, answer) = oneshot::channel();
    watcher(question, sender);
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
        vec![Act::Resolve { url: SafeUrl::new("http://h/m.json").unwrap() }]
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
