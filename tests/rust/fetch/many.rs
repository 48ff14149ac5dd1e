//! So many artifacts at once that several threads share them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use magic_module::error::Kind;
use magic_module::fetch::{Access, Artifact, Fetcher, Limits};
use magic_module::policy::Policy;
use magic_module::store::Reuse;
use magic_module::store::blob::BlobStore;

use crate::server::Server;
use crate::{Bench, artifact, data, limits, sentence};

const MANY: usize = 100;

fn body(number: usize) -> Vec<u8> {
    data(100 * number + 1)
}

/// Whoever hangs up before it asks, asks for nothing.
fn number(path: &str) -> usize {
    path.trim_start_matches('/').parse().unwrap_or(0)
}

fn wanted(server: &Server) -> Vec<Artifact> {
    (0..MANY).map(|at| artifact(server.url(&at.to_string()), &body(at))).collect()
}

/// Nothing is too slow for it, so that a request is never made twice.
fn patient(root: &Path) -> Fetcher {
    let hour = Duration::from_secs(3600);
    let limits = Limits { window: hour, headers: hour, ..limits() };
    Fetcher::with_limits(BlobStore::new(root), 8, Access::default(), limits)
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.fetcher = patient(bench.folder.path());
    bench
}

#[tokio::test]
async fn each_is_fetched_once() {
    let server = Server::start(|seen, connection| connection.body(&body(number(&seen.path)), &[]));
    let bench = bench();
    let wanted = wanted(&server);
    let fetched = bench.fetch_all(&wanted).await.unwrap();
    let bytes: u64 = wanted.iter().map(|artifact| artifact.size).sum();
    assert_eq!((fetched.requests, fetched.bytes), (MANY as u64, bytes));
    assert_eq!((server.count(), bench.progress.done()), (MANY, bytes));
    for (at, artifact) in wanted.iter().enumerate() {
        assert_eq!(bench.bytes(artifact), body(at));
    }
    assert!(bench.parts().is_empty());
}

#[tokio::test]
async fn never_more_at_a_time_than_allowed() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen_most = most.clone();
    let server = Server::start(move |seen, connection| {
        let running = now.fetch_add(1, Ordering::SeqCst) + 1;
        seen_most.fetch_max(running, Ordering::SeqCst);
        // The first is held back until a second one is there: on a busy machine it could be over before.
        let until = Instant::now() + Duration::from_secs(60);
        while seen_most.load(Ordering::SeqCst) < 2 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        let body = body(number(&seen.path));
        let (last, rest) = body.split_last().unwrap();
        let length = body.len().to_string();
        connection.head("200 OK", &[("Content-Length", length.as_str())])?;
        std::io::Write::write_all(&mut connection.stream, rest)?;
        // Whoever counted this one as done asks for the next only behind its last byte.
        now.fetch_sub(1, Ordering::SeqCst);
        std::io::Write::write_all(&mut connection.stream, &[*last])
    });
    let bench = bench();
    bench.fetch_all(&wanted(&server)).await.unwrap();
    let most = most.load(Ordering::SeqCst);
    assert!((2..=8).contains(&most), "{most}");
}

#[tokio::test]
async fn the_first_failure_ends_all_and_leaves_nothing_half() {
    let server = Server::start(|seen, connection| match number(&seen.path) {
        50 => connection.empty("404 Not Found", &[]),
        other if other < 50 => {
            let length = body(other).len().to_string();
            connection.head("200 OK", &[("Content-Length", length.as_str())])?;
            connection.stall()
        }
        other => connection.body(&body(other), &[]),
    });
    let bench = bench();
    let error = bench.fetch_all(&wanted(&server)).await.unwrap_err();
    sentence(&error, Kind::Fetch, "404");
    assert!(bench.parts().is_empty());
}

#[tokio::test]
async fn cancelled_leaves_nothing() {
    let server = Server::start(|seen, connection| {
        let body = body(number(&seen.path));
        let length = body.len().to_string();
        connection.head("200 OK", &[("Content-Length", length.as_str())])?;
        std::io::Write::write_all(&mut connection.stream, &body[..body.len() / 2])?;
        connection.stall()
    });
    let bench = bench();
    let wanted = wanted(&server);
    {
        let running =
            bench.fetcher.blobs(&wanted, Policy::default(), &bench.progress, Reuse::WhatIsHere);
        let begun = async {
            while server.count() < 8 || bench.parts().len() < 8 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            done = running => panic!("{done:?}"),
            () = begun => {}
        }
    }
    assert!(bench.parts().is_empty());
}
