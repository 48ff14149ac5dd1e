//! Servers with ranges, without, and with ranges that are wrong.

use std::io::Write as _;

use magic_module::error::Kind;
use magic_module::name::{Digest, UrlText};
use magic_module::wheel::{Contents, Wheel};

use crate::builder::{Part, archive};
use crate::server::Server;
use crate::site::{Client, asked, part, send_part, sentence, wheel, with_ranges};
use crate::wheels::{DIST_INFO, Written, noise};

/// What an honest wheel must be said to hold.
#[track_caller]
fn is_true(contents: &Contents, written: &Written, bytes: &[u8]) {
    assert_eq!((contents.sha256, contents.size), (Digest::of(bytes), bytes.len() as u64));
    assert_eq!(contents.dist_info, DIST_INFO);
    let mut expected = written.files.clone();
    expected.push((format!("{DIST_INFO}/RECORD"), written.truth().into_bytes()));
    assert_eq!(contents.files.len(), expected.len());
    for (file, (path, data)) in contents.files.iter().zip(&expected) {
        assert_eq!((file.entry.as_str(), file.size), (path.as_str(), data.len() as u64));
        assert_eq!(file.sha256, Digest::of(data), "{path}");
        assert_eq!(file.executable, path.contains(".data/scripts/"), "{path}");
    }
    let names: Vec<&str> = contents.texts.keys().map(String::as_str).collect();
    assert_eq!(names, ["METADATA", "RECORD", "WHEEL", "entry_points.txt"]);
    assert_eq!(contents.texts["RECORD"], written.truth());
    assert!(contents.texts["METADATA"].contains("Name: alpha"));
}

#[tokio::test]
async fn a_small_wheel_is_one_request() {
    let written = Written::small().with("alpha/big.bin", &noise(1, 100_000));
    let mut files = written.files.clone();
    files.rotate_right(1);
    let written = Written { files, ..written };
    let bytes = written.bytes();
    let server = with_ranges(&bytes);
    for size in [Some(bytes.len() as u64), None] {
        let client = Client::new();
        let contents = client.one(&Wheel { size, ..wheel(&server, &bytes) }).await.unwrap();
        is_true(&contents, &written, &bytes);
        assert_eq!(client.blobs(), 0);
    }
    let seen = server.seen();
    let range = |at: usize| seen[at].header("range").unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!(range(0), format!("bytes={}-{}", bytes.len() - 16384, bytes.len() - 1));
    assert_eq!(range(1), "bytes=-16384");
    assert_eq!(seen[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn a_long_directory_and_the_record_before_it_are_a_second_request() {
    let written = Written::large();
    let bytes = written.bytes();
    let server = with_ranges(&bytes);
    let client = Client::new();
    is_true(&client.one(&wheel(&server, &bytes)).await.unwrap(), &written, &bytes);
    assert_eq!((server.count(), client.blobs()), (2, 0));
    let asked: usize = server
        .seen()
        .iter()
        .map(|seen| asked(seen, bytes.len()).unwrap())
        .map(|(first, end)| end - first)
        .sum();
    assert!(asked < bytes.len() / 2, "{asked} of {}", bytes.len());
}

#[tokio::test]
async fn what_is_scattered_is_a_third() {
    let mut written = Written::large();
    let metadata = written.files.iter().position(|(path, _)| path.ends_with("METADATA")).unwrap();
    let metadata = written.files.remove(metadata);
    written.files.insert(0, metadata);
    let bytes = written.bytes();
    let server = with_ranges(&bytes);
    let client = Client::new();
    is_true(&client.one(&wheel(&server, &bytes)).await.unwrap(), &written, &bytes);
    assert_eq!((server.count(), client.blobs()), (3, 0));
}

#[tokio::test]
async fn a_file_of_this_machine_is_read_from_its_end() {
    let (written, folder) = (Written::large(), tempfile::tempdir().unwrap());
    let bytes = written.bytes();
    let path = folder.path().join("alpha-1-py3-none-any.whl");
    fs_err::write(&path, &bytes).unwrap();
    let url = UrlText::new(url::Url::from_file_path(&path).unwrap());
    for size in [Some(bytes.len() as u64), None] {
        let client = Client::new();
        let wheel = Wheel { url: url.clone(), size, sha256: Some(Digest::of(&bytes)) };
        is_true(&client.one(&wheel).await.unwrap(), &written, &bytes);
        assert_eq!(client.blobs(), 0);
    }
}

#[tokio::test]
async fn without_ranges_the_wheel_is_taken_whole_and_that_is_said_once() {
    let written = Written::large();
    let bytes = written.bytes();
    let body = bytes.clone();
    let server = Server::start(move |_, connection| connection.body(&body, &[]));
    let client = Client::new();
    let one = wheel(&server, &bytes);
    let unsized_ = Wheel { size: None, ..one.clone() };
    for contents in client.inspect(&[one, unsized_]).await.unwrap() {
        is_true(&contents, &written, &bytes);
    }
    assert_eq!((server.count(), client.blobs()), (3, 1));
    let notices = client.events.take_notices();
    assert_eq!(notices.len(), 1);
    assert!(
        notices[0].text.contains("127.0.0.1 cannot send parts of files"),
        "{}",
        notices[0].text
    );
}

#[tokio::test]
async fn a_whole_that_is_no_longer_than_the_part_is_the_part() {
    let written = Written::small();
    let bytes = written.bytes();
    let body = bytes.clone();
    let server = Server::start(move |_, connection| connection.body(&body, &[]));
    let client = Client::new();
    is_true(&client.one(&wheel(&server, &bytes)).await.unwrap(), &written, &bytes);
    assert_eq!((server.count(), client.blobs()), (1, 0));
    assert_eq!(client.events.take_notices(), []);
}

#[tokio::test]
async fn what_is_not_the_part_that_was_asked_for_is_not_used() {
    let written = Written::large();
    let bytes = written.bytes();
    let total = bytes.len();
    let wrong = [
        format!("bytes 0-16383/{total}"),
        format!("bytes {}-{}/{total}", total - 16383, total - 1),
        format!("bytes {}-{}/*", total - 16384, total - 1),
        "bytes 0-1/2/3".to_owned(),
        format!("bytes {}-{}/{total}", u64::MAX, u64::MAX),
    ];
    for range in wrong {
        let body = bytes.clone();
        let server = Server::start(move |seen, connection| match asked(seen, body.len()) {
            Some((first, end)) => send_part(connection, &range, &body[first..end]),
            None => connection.body(&body, &[]),
        });
        let client = Client::new();
        is_true(&client.one(&wheel(&server, &bytes)).await.unwrap(), &written, &bytes);
        assert_eq!((server.count(), client.blobs()), (2, 1));
    }
}

#[tokio::test]
async fn a_server_that_refuses_parts_is_asked_for_all() {
    for status in ["416 Range Not Satisfiable", "501 Not Implemented"] {
        let written = Written::large();
        let bytes = written.bytes();
        let body = bytes.clone();
        let server = Server::start(move |seen, connection| match seen.header("range") {
            Some(_) => connection.empty(status, &[]),
            None => connection.body(&body, &[]),
        });
        let client = Client::new();
        is_true(&client.one(&wheel(&server, &bytes)).await.unwrap(), &written, &bytes);
        let unsized_ = Wheel { size: None, ..wheel(&server, &bytes) };
        is_true(&Client::new().one(&unsized_).await.unwrap(), &written, &bytes);
        assert_eq!(server.count(), 4);
    }
}

#[tokio::test]
async fn what_fails_for_a_moment_is_asked_for_again() {
    let written = Written::large();
    let bytes = written.bytes();
    let body = bytes.clone();
    let server = Server::start(move |seen, connection| match seen.number {
        0 => connection.empty("503 Service Unavailable", &[]),
        1 => connection.empty("429 Too Many Requests", &[("Retry-After", "0")]),
        2 => connection.reset(),
        4 => {
            let (first, end) = asked(seen, body.len()).unwrap();
            let range = format!("bytes {first}-{}/{}", end - 1, body.len());
            let length = (end - first).to_string();
            connection.head(
                "206 Partial Content",
                &[("Content-Range", &range), ("Content-Length", &length)],
            )?;
            connection.stream.write_all(&body[first..end - 100])?;
            connection.reset()
        }
        _ => part(seen, connection, &body),
    });
    let client = Client::new();
    is_true(&client.one(&wheel(&server, &bytes)).await.unwrap(), &written, &bytes);
    assert_eq!((server.count(), client.blobs()), (6, 0));
}

#[tokio::test]
async fn what_goes_on_failing_is_an_error() {
    let bytes = Written::small().bytes();
    let server = Server::start(|_, connection| connection.empty("503 Service Unavailable", &[]));
    let error = Client::new().one(&wheel(&server, &bytes)).await.unwrap_err();
    sentence(&error, Kind::Fetch, "the server answered 503");
    assert_eq!(server.count(), 4);
    let server = Server::start(|_, connection| connection.empty("404 Not Found", &[]));
    let error = Client::new().one(&wheel(&server, &bytes)).await.unwrap_err();
    sentence(&error, Kind::Fetch, "404");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn another_size_than_the_lock_says_is_an_error() {
    let bytes = Written::large().bytes();
    let server = with_ranges(&bytes);
    let size = Some(bytes.len() as u64 + 1);
    let client = Client::new();
    let error = client.one(&Wheel { size, ..wheel(&server, &bytes) }).await.unwrap_err();
    sentence(&error, Kind::Integrity, &format!("has {} bytes, but the lock says", bytes.len()));
    // Also of what is known already, and where there are no ranges.
    client.one(&wheel(&server, &bytes)).await.unwrap();
    let error = client.one(&Wheel { size, ..wheel(&server, &bytes) }).await.unwrap_err();
    sentence(&error, Kind::Integrity, "but the lock says");
    let body = bytes.clone();
    let server = Server::start(move |_, connection| connection.body(&body, &[]));
    let error = client_error(&Wheel { size, sha256: None, ..wheel(&server, &bytes) }).await;
    sentence(&error, Kind::Integrity, "but the lock says");
}

async fn client_error(wheel: &Wheel) -> magic_module::error::Error {
    Client::new().one(wheel).await.unwrap_err()
}

#[tokio::test]
async fn a_wheel_without_a_hash_is_taken_whole() {
    let written = Written::small();
    let bytes = written.bytes();
    let server = with_ranges(&bytes);
    let client = Client::new();
    let unhashed = Wheel { sha256: None, size: None, ..wheel(&server, &bytes) };
    is_true(&client.one(&unhashed).await.unwrap(), &written, &bytes);
    assert_eq!((server.count(), client.blobs()), (1, 1));
}

#[tokio::test]
async fn a_whole_wheel_of_another_hash_is_refused() {
    let bytes = Written::large().bytes();
    let body = bytes.clone();
    let server = Server::start(move |_, connection| connection.body(&body, &[]));
    let pinned = Wheel { sha256: Some(Digest::of(b"another")), ..wheel(&server, &bytes) };
    let error = Client::new().one(&pinned).await.unwrap_err();
    sentence(&error, Kind::Integrity, "sha256");
}

#[tokio::test]
async fn results_stand_in_the_order_of_the_wheels() {
    let wheels: Vec<Vec<u8>> = (0..40)
        .map(|number| Written::small().with(&format!("alpha/m{number}.py"), b"").bytes())
        .collect();
    let bodies = wheels.clone();
    let server = Server::start(move |seen, connection| {
        let number: usize = seen.path.split('/').nth(1).unwrap().parse().unwrap();
        part(seen, connection, &bodies[number])
    });
    let asked: Vec<Wheel> = wheels
        .iter()
        .enumerate()
        .map(|(number, bytes)| {
            let url = server.url(&format!("{number}/alpha-1-py3-none-any.whl"));
            Wheel { url: UrlText::new(url), ..wheel(&server, bytes) }
        })
        .collect();
    let found = Client::new().inspect(&asked).await.unwrap();
    let digests: Vec<Digest> = found.iter().map(|contents| contents.sha256).collect();
    assert_eq!(digests, wheels.iter().map(|bytes| Digest::of(bytes)).collect::<Vec<_>>());
    assert_eq!(server.count(), 40);
}

#[tokio::test]
async fn an_archive_without_entries_is_no_wheel() {
    let bytes = archive(Vec::<Part>::new()).bytes();
    let server = with_ranges(&bytes);
    let error = Client::new().one(&wheel(&server, &bytes)).await.unwrap_err();
    sentence(&error, Kind::Integrity, "has no .dist-info folder");
}
