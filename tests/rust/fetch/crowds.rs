//! Servers that take few downloads at a time, and what they say to whoever comes then.

use std::sync::{Arc, Condvar, Mutex};

use magic_module::error::Kind;
use magic_module::fetch::{Artifact, Piece, Range};
use magic_module::name::SafeUrl;
use magic_module::policy::Policy;

use crate::server::{Connection, Server};
use crate::{Bench, artifact, sentence};

/// Concurrency of the bench.
const AT_ONCE: usize = 8;

type Refuse = fn(&mut Connection) -> std::io::Result<()>;

/// How many are served now, and how many were refused.
#[derive(Default)]
struct Door(Mutex<(usize, usize)>, Condvar);

/// Serves so many at a time. The first ones stay until all others were refused.
fn serving(seats: usize, refuse: Refuse) -> (Server, Arc<Door>) {
    let door = Arc::new(Door::default());
    let own = door.clone();
    let server = Server::start(move |seen, connection| {
        let Door(state, changed) = &*own;
        let mut now = state.lock().unwrap();
        if now.0 >= seats {
            now.1 += 1;
            changed.notify_all();
            drop(now);
            return refuse(connection);
        }
        now.0 += 1;
        while now.1 < AT_ONCE - seats {
            now = changed.wait(now).unwrap();
        }
        now.0 -= 1;
        drop(now);
        connection.body(seen.path.as_bytes(), &[])
    });
    (server, door)
}

fn wanted(server: &Server, count: usize) -> Vec<Artifact> {
    let one = |at: usize| artifact(server.url(&at.to_string()), format!("/{at}").as_bytes());
    (0..count).map(one).collect()
}

#[tokio::test]
async fn fewer_at_a_time_and_no_failure() {
    let refusals: [Refuse; 6] = [
        |connection| connection.empty("503 Service Unavailable", &[]),
        |connection| connection.empty("503 Service Unavailable", &[("Retry-After", "0")]),
        |connection| connection.empty("429 Too Many Requests", &[]),
        |connection| connection.empty("429 Too Many Requests", &[("Retry-After", "3600")]),
        |connection| connection.reset(),
        |_| Ok(()),
    ];
    for refuse in refusals {
        for (seats, count) in [(1, 8), (2, 8), (2, 40)] {
            let (server, door) = serving(seats, refuse);
            let bench = Bench::new();
            let wanted = wanted(&server, count);
            bench.fetch_all(&wanted).await.unwrap();
            for (at, artifact) in wanted.iter().enumerate() {
                assert_eq!(bench.bytes(artifact), format!("/{at}").as_bytes());
            }
            let (served, refused) = *door.0.lock().unwrap();
            assert_eq!(served, 0);
            assert!(refused < count, "each of those that came first was refused once: {refused}");
        }
    }
}

#[tokio::test]
async fn a_server_that_refuses_everybody_is_not_asked_for_ever() {
    let server = Server::start(|_, connection| connection.empty("503 Service Unavailable", &[]));
    let bench = Bench::new();
    let error = bench.fetch_all(&wanted(&server, 40)).await.unwrap_err();
    let text = sentence(&error, Kind::Fetch, "the server answered 503 Service Unavailable");
    assert!(text.contains("MAGIC_MODULE_CONCURRENCY"), "{text}");
    assert!(server.count() < 3 * AT_ONCE, "{}", server.count());
    assert!(bench.parts().is_empty());
}

#[tokio::test]
async fn parts_wait_for_their_turn_as_well() {
    let (server, door) = serving(2, |connection| connection.empty("503 Service Unavailable", &[]));
    let bench = Bench::new();
    let urls: Vec<SafeUrl> = (0..40).map(|at| server.url(&at.to_string()).into()).collect();
    let ask = |url| bench.fetcher.part(url, Range::Last(16), Policy::default(), &bench.progress);
    let pieces = futures_util::future::join_all(urls.iter().map(ask)).await;
    for (at, piece) in pieces.into_iter().enumerate() {
        let bytes = format!("/{at}").into_bytes();
        let total = bytes.len() as u64;
        assert_eq!(piece.unwrap(), Piece::Part { first: 0, bytes, total });
    }
    let refused = door.0.lock().unwrap().1;
    assert!(refused < urls.len(), "each of those that came first was refused once: {refused}");
}
