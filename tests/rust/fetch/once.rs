//! One download for any number of tasks and processes, and what happens when one ends early.

use std::future::Future;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use magic_module::events::{Events, Progress};
use magic_module::fetch::{Access, Artifact, Fetcher};
use magic_module::name::{Digest, SafeUrl};
use magic_module::policy::Policy;
use magic_module::store::Reuse;
use magic_module::store::blob::{Begin, BlobStore};

use crate::server::Server;
use crate::{Bench, artifact, data, limits};

/// Looks until `condition` holds; the test's own time limit is the only one.
async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn is_send<T: Send>(value: T) -> T {
    value
}

/// Serves the first half and waits for the gate with the rest.
fn gated(body: &[u8]) -> (Server, Arc<AtomicBool>) {
    let (sent, gate) = (body.to_vec(), Arc::new(AtomicBool::new(false)));
    let open = gate.clone();
    let server = Server::start(move |_, connection| {
        let length = sent.len().to_string();
        connection.head("200 OK", &[("Content-Length", length.as_str())])?;
        connection.stream.write_all(&sent[..sent.len() / 2])?;
        while !open.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        connection.stream.write_all(&sent[sent.len() / 2..])
    });
    (server, gate)
}

/// Sends the first half and nothing more.
fn stalling(body: &[u8]) -> Server {
    let sent = body.to_vec();
    Server::start(move |_, connection| {
        let length = sent.len().to_string();
        connection.head("200 OK", &[("Content-Length", length.as_str())])?;
        connection.stream.write_all(&sent[..sent.len() / 2])?;
        connection.stall()
    })
}

fn serving(body: &[u8]) -> Server {
    let sent = body.to_vec();
    Server::start(move |_, connection| connection.body(&sent, &[]))
}

/// A fetcher that waits for ever rather than finding a server slow.
fn patient(root: &std::path::Path) -> Fetcher {
    let mut limits = limits();
    limits.window = Duration::from_secs(3600);
    Fetcher::with_limits(BlobStore::new(root), 8, Access::default(), limits)
}

fn progress() -> Arc<Progress> {
    Progress::new("alpha", Arc::new(Events::default()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_one_request() {
    let body = data(50_000);
    let (server, gate) = gated(&body);
    let bench = Bench::new();
    let wanted = artifact(server.url("a"), &body);
    let fetcher = Arc::new(patient(bench.folder.path()));
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let (fetcher, wanted, progress) = (fetcher.clone(), wanted.clone(), progress());
            let shown = progress.clone();
            let task = tokio::spawn(is_send(async move {
                fetcher.blobs(&[wanted], Policy::default(), &progress, Reuse::WhatIsHere).await
            }));
            (task, shown)
        })
        .collect();
    // Everybody sees how far the one is.
    for (_, progress) in &tasks {
        until(|| progress.done() == 25_000).await;
    }
    gate.store(true, Ordering::SeqCst);
    let mut requests = 0;
    for (task, progress) in tasks {
        requests += task.await.unwrap().unwrap().requests;
        assert_eq!(progress.done(), 50_000);
    }
    assert_eq!((requests, server.count()), (1, 1));
}

#[tokio::test]
async fn the_same_bytes_twice_are_one_request() {
    let server = serving(b"x");
    let bench = Bench::new();
    let wanted = [artifact(server.url("a"), b"x"), artifact(server.url("b"), b"x")];
    assert_eq!(bench.fetch_all(&wanted).await.unwrap().requests, 1);
}

#[tokio::test]
async fn another_url_may_have_what_the_first_has_not() {
    let (bench, body) = (Bench::new(), data(1000));
    let bad = Server::start(|_, connection| connection.empty("404 Not Found", &[]));
    let good = serving(&body);
    let (first, second) = (artifact(bad.url("a"), &body), artifact(good.url("a"), &body));
    let (first, second) = tokio::join!(bench.fetch(&first), bench.fetch(&second));
    assert!(first.is_err() && second.is_ok());
}

#[tokio::test]
async fn cancelled_leaves_nothing() {
    // Written by this task, and by a thread of its own.
    for size in [100_000, 20 << 20] {
        let body = data(size);
        let server = stalling(&body);
        let bench = Bench::new();
        let wanted = artifact(server.url("a"), &body);
        let fetcher = patient(bench.folder.path());
        let shown = progress();
        {
            let running = fetcher.blobs(
                std::slice::from_ref(&wanted),
                Policy::default(),
                &shown,
                Reuse::WhatIsHere,
            );
            tokio::select! {
                done = running => panic!("{done:?}"),
                () = until(|| shown.done() == wanted.size / 2) => {}
            }
        }
        bench.has_nothing(&wanted);
        let begin = fetcher.store().begin(&wanted.sha256, wanted.size, Reuse::WhatIsHere).unwrap();
        assert!(matches!(begin, Begin::Writer(_)), "{begin:?}");
    }
}

#[tokio::test]
async fn a_follower_takes_over_from_a_cancelled_leader() {
    let body = data(1000);
    let (bad, good) = (stalling(&body), serving(&body));
    let bench = Bench::new();
    let fetcher = patient(bench.folder.path());
    let first = [artifact(bad.url("a"), &body)];
    let second = [artifact(good.url("a"), &body)];
    let (leading, following) = (progress(), progress());
    let follower = fetcher.blobs(&second, Policy::default(), &following, Reuse::WhatIsHere);
    let leader = async {
        let running = fetcher.blobs(&first, Policy::default(), &leading, Reuse::WhatIsHere);
        tokio::select! {
            done = running => panic!("{done:?}"),
            () = until(|| following.done() == 500) => {}
        }
    };
    let ((), done) = tokio::join!(leader, follower);
    assert_eq!(done.unwrap().requests, 1);
    assert_eq!(bench.bytes(&second[0]), body);
}

#[tokio::test]
async fn force_fetches_what_is_there() {
    let server = serving(b"right");
    let bench = Bench::new();
    let wanted = artifact(server.url("a"), b"right");
    bench.fetch(&wanted).await.unwrap();
    let path = bench.fetcher.store().path(&wanted.sha256);
    fs_err::remove_file(&path).unwrap();
    fs_err::write(&path, "wrong").unwrap();
    let fetched = bench
        .fetcher
        .blobs(std::slice::from_ref(&wanted), Policy::default(), &bench.progress, Reuse::Nothing)
        .await
        .unwrap();
    assert_eq!(fetched.requests, 1);
    assert_eq!(bench.bytes(&wanted), b"right");
}

#[tokio::test]
async fn an_empty_file_needs_no_request() {
    let server = Server::start(|_, connection| connection.empty("404 Not Found", &[]));
    let bench = Bench::new();
    let wanted = artifact(server.url("a"), b"");
    assert_eq!(bench.fetch(&wanted).await.unwrap().requests, 0);
    assert_eq!(bench.bytes(&wanted), b"");
    let impossible = Artifact { sha256: Digest::of(b"x"), ..wanted };
    assert!(bench.fetch(&impossible).await.is_err());
    assert_eq!(server.count(), 0);
}

/// What runs in a process of its own: reads one line (store, URL, size, sha256),
/// fetches, and prints the number of requests.
#[tokio::test]
#[ignore = "runs in the processes that other tests start"]
async fn child() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    let [root, url, size, sha256] = words[..] else { panic!("no line on standard input") };
    let wanted = Artifact {
        label: "alpha".to_owned(),
        url: SafeUrl::new(url).unwrap(),
        size: size.parse().unwrap(),
        sha256: Digest::new(sha256).unwrap(),
    };
    let fetched = patient(root.as_ref())
        .blobs(&[wanted], Policy::default(), &progress(), Reuse::WhatIsHere)
        .await
        .unwrap();
    println!("\nrequests {}", fetched.requests);
}

fn start_child(bench: &Bench, wanted: &Artifact) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["once::child", "--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let root = bench.folder.path().display();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{root} {} {} {}", wanted.url.real(), wanted.size, wanted.sha256).unwrap();
    child
}

fn requests_of(child: Child) -> u64 {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    text.lines().find_map(|line| line.strip_prefix("requests ")?.parse().ok()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_one_request() {
    let body = data(100_000);
    let (server, gate) = gated(&body);
    let bench = Bench::new();
    let wanted = artifact(server.url("a"), &body);
    let children: Vec<_> = (0..8).map(|_| start_child(&bench, &wanted)).collect();
    let fetcher = patient(bench.folder.path());
    let shown = progress();
    let own = async {
        let wanted = std::slice::from_ref(&wanted);
        fetcher.blobs(wanted, Policy::default(), &shown, Reuse::WhatIsHere).await.unwrap().requests
    };
    let release = async {
        // Whoever downloads, this process sees its progress.
        until(|| shown.done() == 50_000).await;
        gate.store(true, Ordering::SeqCst);
    };
    let (own, ()) = tokio::join!(own, release);
    let others: u64 = children.into_iter().map(requests_of).sum();
    assert_eq!((own + others, server.count()), (1, 1));
    assert_eq!(bench.bytes(&wanted), body);
    assert!(bench.parts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_taken_over() {
    let body = data(100_000);
    let (bad, good) = (stalling(&body), serving(&body));
    let bench = Bench::new();
    let mut child = start_child(&bench, &artifact(bad.url("a"), &body));
    until(|| bad.count() == 1).await;
    let wanted = artifact(good.url("a"), &body);
    let fetcher = patient(bench.folder.path());
    let shown = progress();
    let wait = async {
        until(|| shown.done() == 50_000).await;
        assert_eq!(good.count(), 0);
        child.kill().unwrap();
        child.wait().unwrap();
    };
    let fetch =
        fetcher.blobs(std::slice::from_ref(&wanted), Policy::default(), &shown, Reuse::WhatIsHere);
    let ((), done) = tokio::join!(wait, fetch);
    assert_eq!(done.unwrap().requests, 1);
    assert_eq!(shown.done(), wanted.size);
    assert_eq!(bench.bytes(&wanted), body);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_is_not_waited_for_for_ever() {
    let body = data(100_000);
    let (bad, good) = (stalling(&body), serving(&body));
    let bench = Bench::new();
    let mut child = start_child(&bench, &artifact(bad.url("a"), &body));
    until(|| !bench.parts().is_empty() && bad.count() == 1).await;
    let stop = Command::new("kill").args(["-STOP", &child.id().to_string()]).status();
    assert!(stop.unwrap().success());
    let wanted = artifact(good.url("a"), &body);
    let mut limits = limits();
    (limits.deadline, limits.deadline_speed) = (Duration::from_secs(5), u64::MAX);
    let store = BlobStore::new(bench.folder.path());
    let fetcher = Fetcher::with_limits(store, 8, Access::default(), limits);
    let shown = progress();
    let fetch =
        fetcher.blobs(std::slice::from_ref(&wanted), Policy::default(), &shown, Reuse::WhatIsHere);
    let done = tokio::time::timeout(Duration::from_secs(60), fetch).await;
    // Its part file is still its own.
    let parts = bench.parts().len();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(done.unwrap().unwrap().requests, 1);
    assert_eq!((shown.done(), parts), (wanted.size, 1));
    assert_eq!(bench.bytes(&wanted), body);
}

/// The futures must be able to run on any thread.
#[allow(dead_code, reason = "compiling it is the test")]
fn futures_are_send(fetcher: &Fetcher, shown: &Arc<Progress>) -> impl Future + Send {
    fetcher.blobs(&[], Policy::default(), shown, Reuse::WhatIsHere)
}
