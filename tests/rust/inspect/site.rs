//! A client with a store of its own, and servers of one wheel.

use std::sync::Arc;
use std::time::Duration;

use magic_module::error::{Error, Kind, Result};
use magic_module::events::Events;
use magic_module::fetch::{Access, Fetcher, Limits};
use magic_module::inspect::inspect;
use magic_module::name::{Digest, UrlText};
use magic_module::policy::Policy;
use magic_module::settings::Settings;
use magic_module::store::Store;
use magic_module::wheel::{Contents, Wheel};

use crate::server::{Connection, Seen, Server};

pub struct Client {
    pub store: Store,
    pub events: Arc<Events>,
    fetcher: Fetcher,
    _folder: tempfile::TempDir,
}

impl Client {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache_dir = folder.path().join("cache");
        let store = Store::new(&Settings { cache_dir, ..Settings::from_env().unwrap() });
        let limits = Limits {
            backoff: Duration::from_millis(1),
            headers: Duration::from_secs(10),
            ..Limits::default()
        };
        let fetcher = Fetcher::with_limits(store.blobs().clone(), 8, Access::default(), limits);
        let events = Arc::new(Events::default());
        events.listen(true);
        Self { store, events, fetcher, _folder: folder }
    }

    pub async fn inspect(&self, wheels: &[Wheel]) -> Result<Vec<Contents>> {
        inspect(&self.fetcher, &self.store, wheels, Policy::default(), &self.events).await
    }

    /// As where `MAGIC_MODULE_OFFLINE` is set.
    pub async fn offline(&self, wheel: &Wheel) -> Result<Contents> {
        let policy = Policy { offline: true, ..Policy::default() };
        let wheels = std::slice::from_ref(wheel);
        let found = inspect(&self.fetcher, &self.store, wheels, policy, &self.events).await;
        Ok(found?.remove(0))
    }

    pub async fn one(&self, wheel: &Wheel) -> Result<Contents> {
        Ok(self.inspect(std::slice::from_ref(wheel)).await?.remove(0))
    }

    /// How many wheels were taken whole.
    pub fn blobs(&self) -> usize {
        let folder = self.store.root().join("blobs");
        let folders = fs_err::read_dir(folder).into_iter().flatten();
        folders.map(|folder| fs_err::read_dir(folder.unwrap().path()).unwrap().count()).sum()
    }
}

/// A server of one file that sends parts of it, as the standard says.
pub fn with_ranges(bytes: &[u8]) -> Server {
    let bytes = bytes.to_vec();
    Server::start(move |seen, connection| part(seen, connection, &bytes))
}

/// Answers with the part that was asked for.
pub fn part(seen: &Seen, connection: &mut Connection, bytes: &[u8]) -> std::io::Result<()> {
    let Some((first, end)) = asked(seen, bytes.len()) else { return connection.body(bytes, &[]) };
    let range = format!("bytes {first}-{}/{}", end - 1, bytes.len());
    send_part(connection, &range, &bytes[first..end])
}

/// Answers with any bytes under any name.
pub fn send_part(connection: &mut Connection, range: &str, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let length = bytes.len().to_string();
    let headers = [("Content-Range", range), ("Content-Length", length.as_str())];
    connection.head("206 Partial Content", &headers)?;
    connection.stream.write_all(bytes)
}

/// First and end of the part that a request names.
pub fn asked(seen: &Seen, length: usize) -> Option<(usize, usize)> {
    let (first, last) = seen.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
    if first.is_empty() {
        return Some((length.saturating_sub(last.parse().ok()?), length));
    }
    Some((first.parse().ok()?, (last.parse::<usize>().ok()? + 1).min(length)))
}

/// The wheel as a lock of uv has it.
pub fn wheel(server: &Server, bytes: &[u8]) -> Wheel {
    let url = server.url("alpha-1-py3-none-any.whl");
    Wheel {
        url: UrlText::new(url),
        size: Some(bytes.len() as u64),
        sha256: Some(Digest::of(bytes)),
    }
}

/// The whole sentence, which is one line and names the wheel.
#[track_caller]
pub fn sentence(error: &Error, kind: Kind, contains: &str) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.contains(contains) && text.lines().count() == 1, "{text}");
    assert!(text.contains("alpha-1-py3-none-any.whl"), "{text}");
    assert!(error.details().hint.is_some(), "{text}");
}
