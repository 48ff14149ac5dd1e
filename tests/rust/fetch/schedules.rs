//! Random sequences of faults: the right bytes or an error of the known kinds, in time.
//!
//! A schedule is a seed: from it follow the artifacts, how each of the first answers
//! fails, and when the server becomes a good one, if ever. The short form runs with all
//! tests; `cargo test --release --test fetch -- --ignored --nocapture schedules` runs a
//! thousand and prints figures.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use magic_module::error::Kind;
use magic_module::events::{Events, Progress};
use magic_module::fetch::{Access, Artifact, Fetcher, Limits};
use magic_module::policy::Policy;
use magic_module::store::Reuse;
use magic_module::store::blob::BlobStore;

use crate::server::{Connection, Seen, Server};
use crate::{artifact, data};

const STRONG: (&str, &str) = ("ETag", "\"one\"");

/// What the client reads at most at once; a resume may ask for that much again.
const CHUNK: u64 = 256 << 10;

/// How late after its deadline a schedule may end.
const GRACE: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits {
        connect: Duration::from_millis(500),
        headers: Duration::from_millis(200),
        backoff: Duration::from_millis(1),
        retry_after: Duration::from_secs(1),
        window: Duration::from_millis(200),
        deadline: Duration::from_secs(2),
        deadline_speed: 8 << 20,
        ..Limits::default()
    }
}

/// A small generator, so that a seed is the same schedule everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Reset,
    ResetAtOnce,
    Truncate,
    Stall,
    StallHeaders,
    WrongBytes,
    TooShort,
    TooLong,
    WrongRange,
    WholeInsteadOfRange,
    RangeOfAnother,
    TooManyRequests,
    TooManyForLong,
    Unavailable,
    EndlessHeaders,
    HugeHeader,
    OddHeaders,
    TwoLengths,
    NotHttp,
    CloseAtOnce,
    HalfClosed,
    Slow,
    Compressed,
    RedirectLoop,
    RedirectElsewhere,
    Chunked,
    ChunkedLie,
    Absent,
}

use Fault::{
    Absent, Chunked, ChunkedLie, CloseAtOnce, Compressed, EndlessHeaders, HalfClosed, HugeHeader,
    NotHttp, OddHeaders, RangeOfAnother, RedirectElsewhere, RedirectLoop, Reset, ResetAtOnce, Slow,
    Stall, StallHeaders, TooLong, TooManyForLong, TooManyRequests, TooShort, Truncate, TwoLengths,
    Unavailable, WholeInsteadOfRange, WrongBytes, WrongRange,
};

/// After these the rest can be asked for; the first ones bring something nearly always.
const RESUMABLE: &[Fault] = &[
    Truncate,
    Truncate,
    Reset,
    Stall,
    HalfClosed,
    ResetAtOnce,
    StallHeaders,
    Unavailable,
    CloseAtOnce,
    EndlessHeaders,
    NotHttp,
];
const ALL: &[Fault] = &[
    Reset,
    ResetAtOnce,
    Truncate,
    Stall,
    StallHeaders,
    WrongBytes,
    TooShort,
    TooLong,
    WrongRange,
    WholeInsteadOfRange,
    RangeOfAnother,
    TooManyRequests,
    TooManyForLong,
    Unavailable,
    EndlessHeaders,
    HugeHeader,
    OddHeaders,
    TwoLengths,
    NotHttp,
    CloseAtOnce,
    HalfClosed,
    Slow,
    Compressed,
    RedirectLoop,
    RedirectElsewhere,
    Chunked,
    ChunkedLie,
    Absent,
];

struct Schedule {
    seed: u64,
    sizes: Vec<u64>,
    /// One answer after the other; then the server is good.
    faults: Vec<Fault>,
    resumable: bool,
}

impl Schedule {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let resumable = random.below(2) == 0;
        let from = if resumable { RESUMABLE } else { ALL };
        let most = if resumable { 4 } else { 8 };
        let count = 1 + random.below(most);
        let faults = (0..count).map(|_| from[random.below(from.len() as u64) as usize]).collect();
        // In a resumable schedule one artifact only: who asked for what must be known.
        let artifacts = if resumable { 1 } else { 1 + random.below(3) };
        let sizes = (0..artifacts)
            .map(|_| match random.below(8) {
                0..2 => 1 + random.below(2000),
                2..7 => 60_000 + random.below(400_000),
                _ => (8 << 20) + random.below(1 << 20),
            })
            .collect();
        Self { seed, sizes, faults, resumable }
    }
}

/// What the server knows of one artifact.
#[derive(Default)]
struct Told {
    /// Bytes of the body that the client was sent, from the start, without a gap.
    sent: AtomicU64,
    /// How much a request for the rest asked for again, at most, where nothing was lost.
    again: AtomicU64,
    /// The last answer was reset: what was on the way is lost.
    lossy: Mutex<bool>,
}

struct Outcome {
    seed: u64,
    fine: bool,
    late: Duration,
    again: u64,
    extra: Option<u64>,
}

async fn run(schedule: Schedule) -> Outcome {
    let bodies: Vec<Vec<u8>> = schedule
        .sizes
        .iter()
        .enumerate()
        .map(|(at, size)| {
            let mut body = data(*size as usize);
            body[0] ^= at as u8 + 1;
            body
        })
        .collect();
    let told: Arc<Vec<Told>> = Arc::new(bodies.iter().map(|_| Told::default()).collect());
    let (faults, served, log) = (schedule.faults.clone(), bodies.clone(), told.clone());
    let seed = schedule.seed;
    let server = Server::start(move |seen, connection| {
        let at: usize = seen.path.trim_start_matches("/a").parse().unwrap_or(0);
        let mut random = Random(seed ^ (seen.number as u64) << 32);
        answer(faults.get(seen.number), seen, connection, &served[at], &log[at], &mut random)
    });
    let folder = tempfile::tempdir().unwrap();
    let store = BlobStore::new(folder.path());
    let fetcher = Fetcher::with_limits(store, 8, Access::default(), limits());
    let wanted: Vec<Artifact> = bodies
        .iter()
        .enumerate()
        .map(|(at, body)| artifact(server.url(&format!("a{at}")), body))
        .collect();
    let progress = Progress::new("alpha", Arc::new(Events::default()));
    let deadline = wanted.iter().map(|one| limits().time_for(one.size)).max().unwrap();
    let from = Instant::now();
    // What hangs is told with its seed instead of waited for.
    let hang = deadline + Duration::from_secs(60);
    let fetched = fetcher.blobs(&wanted, Policy::default(), &progress, Reuse::WhatIsHere);
    let fetched = tokio::time::timeout(hang, fetched).await;
    assert!(fetched.is_ok(), "schedule {seed} hangs");
    let fetched = fetched.unwrap();
    let late = from.elapsed().saturating_sub(deadline);
    let mut extra = None;
    match &fetched {
        Ok(fetched) => {
            for one in &wanted {
                fetcher.store().read_verified(&one.sha256, one.size).unwrap();
            }
            if schedule.resumable {
                extra = Some(fetched.bytes - schedule.sizes.iter().sum::<u64>());
            }
        }
        Err(error) => {
            let text = error.to_string();
            // What comes first, wrong bytes or too many failures, is the schedule's and the scheduler's.
            let known = matches!(error.kind(), Kind::Fetch | Kind::Integrity);
            assert!(known && error.details().hint.is_some(), "schedule {seed}: {text}");
            assert!(error.details().url.is_some(), "schedule {seed}: {text}");
            assert_eq!(text.lines().count(), 1, "schedule {seed}: {text}");
        }
    }
    // A large download's own thread lets go of the part file in its own time.
    let parts = || fs_err::read_dir(folder.path().join("tmp")).unwrap().count();
    let gone = async {
        while parts() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let gone = tokio::time::timeout(hang, gone).await;
    assert!(gone.is_ok(), "schedule {seed} leaves parts");
    // A good server afterwards: what failed has broken nothing.
    drop(server);
    let good = Server::start(move |seen, connection| {
        let at: usize = seen.path.trim_start_matches("/a").parse().unwrap_or(0);
        connection.body(&bodies[at], &[])
    });
    let wanted: Vec<Artifact> = wanted
        .into_iter()
        .map(|one| Artifact {
            url: good.url(one.url.real().path().trim_start_matches('/')).into(),
            ..one
        })
        .collect();
    let patient = Fetcher::new(BlobStore::new(folder.path()), 8, Access::default());
    patient.blobs(&wanted, Policy::default(), &progress, Reuse::WhatIsHere).await.unwrap();
    // Elsewhere a whole answer in between may be why.
    let again = if schedule.resumable { told[0].again.load(Ordering::SeqCst) } else { 0 };
    Outcome { seed, fine: fetched.is_ok(), late, again, extra }
}

fn answer(
    fault: Option<&Fault>,
    seen: &Seen,
    connection: &mut Connection,
    body: &[u8],
    told: &Told,
    random: &mut Random,
) -> io::Result<()> {
    let first = seen
        .header("range")
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let from = first.unwrap_or(0).min(body.len());
    if first.is_some() && !*told.lossy.lock().unwrap() {
        let again = told.sent.load(Ordering::SeqCst).saturating_sub(from as u64);
        told.again.fetch_max(again, Ordering::SeqCst);
    }
    *told.lossy.lock().unwrap() = false;
    let rest = &body[from..];
    let some = random.below(rest.len() as u64 + 1) as usize;
    let sent = |bytes: usize| told.sent.store((from + bytes) as u64, Ordering::SeqCst);
    let length = rest.len().to_string();
    let range = format!("bytes {from}-{}/{}", body.len().saturating_sub(1), body.len());
    let status = if first.is_some() { "206 Partial Content" } else { "200 OK" };
    let mut own = vec![STRONG, ("Content-Length", length.as_str())];
    if first.is_some() {
        own.push(("Content-Range", range.as_str()));
    }
    let Some(fault) = fault else {
        connection.head(status, &own)?;
        connection.stream.write_all(rest)?;
        sent(rest.len());
        return Ok(());
    };
    match fault {
        Reset => {
            connection.head(status, &own)?;
            connection.stream.write_all(&rest[..some])?;
            *told.lossy.lock().unwrap() = true;
            connection.reset()
        }
        ResetAtOnce => connection.reset(),
        Truncate => {
            connection.head(status, &own)?;
            connection.stream.write_all(&rest[..some])?;
            sent(some);
            Ok(())
        }
        Stall => {
            connection.head(status, &own)?;
            connection.stream.write_all(&rest[..some])?;
            sent(some);
            connection.stall()
        }
        StallHeaders => connection.stall(),
        WrongBytes => {
            let mut wrong = rest.to_vec();
            if let Some(byte) = wrong.get_mut(some.saturating_sub(1)) {
                *byte ^= 1;
            }
            connection.head(status, &own)?;
            connection.stream.write_all(&wrong)
        }
        TooShort => connection.body(&body[..some.min(body.len() - 1)], &[STRONG]),
        TooLong => connection.body(&[body, b"x"].concat(), &[STRONG]),
        WrongRange => {
            let range = format!("bytes 0-{}/{}", rest.len().saturating_sub(1), body.len());
            let own = [("Content-Range", range.as_str()), ("Content-Length", length.as_str())];
            connection.head("206 Partial Content", &own)?;
            connection.stream.write_all(rest)
        }
        WholeInsteadOfRange => connection.body(body, &[STRONG]),
        RangeOfAnother => {
            let own = [("Content-Range", "bytes 5-6/7"), ("Content-Length", length.as_str())];
            connection.head("206 Partial Content", &own)?;
            connection.stream.write_all(rest)
        }
        TooManyRequests => connection.empty("429 Too Many Requests", &[("Retry-After", "1")]),
        TooManyForLong => connection.empty("429 Too Many Requests", &[("Retry-After", "86400")]),
        Unavailable => connection.empty("503 Service Unavailable", &[]),
        EndlessHeaders => {
            connection.stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            loop {
                connection.stream.write_all(b"X-Again: and again\r\n")?;
            }
        }
        HugeHeader => {
            connection.stream.write_all(b"HTTP/1.1 200 OK\r\nX-Long: ")?;
            loop {
                connection.stream.write_all(&[b'x'; 4096])?;
            }
        }
        OddHeaders => {
            let odd = [
                ("etag", "\"two\""),
                ("X-Empty", ""),
                ("Content-Encoding", "identity"),
                ("Retry-After", "soon"),
                ("X-Bytes", "\u{fc}\u{2028}"),
                ("Content-Range", "odd"),
            ];
            connection.body(body, &[&[STRONG], &odd[..]].concat())
        }
        TwoLengths => {
            let two = [("Content-Length", "1"), ("Content-Length", length.as_str())];
            connection.head(status, &two)?;
            connection.stream.write_all(rest)
        }
        NotHttp => connection.stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n"),
        CloseAtOnce => Ok(()),
        HalfClosed => {
            connection.head(status, &own)?;
            connection.stream.write_all(&rest[..some])?;
            sent(some);
            connection.stream.shutdown(std::net::Shutdown::Write)?;
            connection.stall()
        }
        Slow => {
            connection.head(status, &own)?;
            for byte in rest.chunks(1) {
                connection.stream.write_all(byte)?;
                std::thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        }
        Compressed => connection.body(body, &[("Content-Encoding", "gzip")]),
        RedirectLoop => connection.empty("302 Found", &[("Location", &seen.path)]),
        RedirectElsewhere => {
            connection.empty("302 Found", &[("Location", "http://127.0.0.1:1/nobody")])
        }
        Chunked | ChunkedLie => {
            connection.head("200 OK", &[("Transfer-Encoding", "chunked"), STRONG])?;
            for chunk in body.chunks(60_000) {
                connection.stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
                connection.stream.write_all(chunk)?;
                connection.stream.write_all(b"\r\n")?;
            }
            let end: &[u8] = if *fault == Chunked { b"0\r\n\r\n" } else { b"nonsense\r\n" };
            connection.stream.write_all(end)
        }
        Absent => connection.empty("404 Not Found", &[]),
    }
}

async fn all(seeds: std::ops::Range<u64>, at_once: usize) -> Vec<Outcome> {
    futures_util::stream::iter(seeds)
        .map(|seed| tokio::spawn(run(Schedule::new(seed))))
        .buffer_unordered(at_once)
        .map(|outcome| outcome.unwrap())
        .collect()
        .await
}

/// Nothing is asked for twice but what was lost on the way, and one chunk.
fn refetches_little(outcome: &Outcome) {
    let seed = outcome.seed;
    assert!(outcome.again <= CHUNK, "schedule {seed} asks again for {} bytes", outcome.again);
    let extra = outcome.extra.unwrap_or(0);
    assert!(extra <= CHUNK, "schedule {seed} reads {extra} bytes again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_in_short() {
    let outcomes = all(0..40, 8).await;
    assert_eq!(outcomes.len(), 40);
    outcomes.iter().for_each(refetches_little);
    assert!(outcomes.iter().any(|one| one.fine) && outcomes.iter().any(|one| !one.fine));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes a minute, and measures time"]
async fn schedules_by_the_thousand() {
    let from = Instant::now();
    let outcomes = all(0..1000, 32).await;
    outcomes.iter().for_each(refetches_little);
    let fine = outcomes.iter().filter(|one| one.fine).count();
    let late = outcomes.iter().max_by_key(|one| one.late).unwrap();
    let resumed = outcomes.iter().filter(|one| one.extra.is_some()).count();
    let again = outcomes.iter().map(|one| one.again.max(one.extra.unwrap_or(0))).max().unwrap();
    println!(
        "{} schedules in {:.0} s: {fine} right bytes, {} structured errors, 0 wrong; \
         latest {:.2} s after its deadline (schedule {}); {resumed} resumed, at most {again} bytes again",
        outcomes.len(),
        from.elapsed().as_secs_f64(),
        outcomes.len() - fine,
        late.late.as_secs_f64(),
        late.seed,
    );
    assert!(late.late <= GRACE, "schedule {} is {:?} late", late.seed, late.late);
}
