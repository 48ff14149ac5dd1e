//! What a server or the network can do to a download.

use std::io::Write;
use std::time::Duration;

use magic_module::error::{Error, Kind};
use magic_module::fetch::{Access, Limits};
use magic_module::name::Digest;

use crate::server::Server;
use crate::{Bench, artifact, data, limits, sentence};

const STRONG: (&str, &str) = ("ETag", "\"one\"");

#[tokio::test]
async fn nothing_fails() {
    let body = data(100_000);
    let sent = body.clone();
    let server = Server::start(move |_, connection| connection.body(&sent, &[]));
    let bench = Bench::new();
    let wanted = artifact(server.url("a.bin"), &body);
    let fetched = bench.fetch(&wanted).await.unwrap();
    assert_eq!((fetched.bytes, fetched.requests), (100_000, 1));
    assert_eq!(bench.bytes(&wanted), body);
    let seen = &server.seen()[0];
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    assert!(seen.header("user-agent").unwrap().starts_with("magic_module/"));
    assert_eq!(seen.header("referer"), None);
    let again = bench.fetch(&wanted).await.unwrap();
    assert_eq!((again.bytes, again.requests, server.count()), (0, 0, 1));
}

/// Two answers break off in the middle; what follows depends on what names the bytes.
async fn broken_off(size: usize, headers: &'static [(&str, &str)]) -> (Vec<Option<String>>, u64) {
    let body = data(size);
    let sent = body.clone();
    let server = Server::start(move |seen, connection| {
        if seen.number >= 2 {
            return connection.body_or_rest(seen, &sent, headers);
        }
        let first =
            seen.header("range").map_or(0, |range| range[6..range.len() - 1].parse().unwrap());
        let rest = &sent[first..];
        let length = rest.len().to_string();
        let range = format!("bytes {first}-{}/{}", sent.len() - 1, sent.len());
        let mut own = vec![("Content-Length", length.as_str())];
        if first > 0 {
            own.push(("Content-Range", range.as_str()));
        }
        let status = if first > 0 { "206 Partial Content" } else { "200 OK" };
        connection.head(status, &[headers, &own].concat())?;
        connection.stream.write_all(&rest[..rest.len() / 2])
    });
    let bench = Bench::new();
    let wanted = artifact(server.url("a.bin"), &body);
    let fetched = bench.fetch(&wanted).await.unwrap();
    assert_eq!(bench.bytes(&wanted), body);
    assert_eq!(bench.progress.done(), wanted.size);
    let seen = server.seen();
    for request in seen.iter().filter(|request| request.header("range").is_some()) {
        assert_eq!(request.header("if-range"), Some(headers[0].1));
    }
    let ranges = seen.iter().map(|request| request.header("range").map(str::to_owned)).collect();
    (ranges, fetched.bytes)
}

#[tokio::test]
async fn truncation_is_resumed_where_it_stopped() {
    for headers in [&[STRONG] as &[_], &[("Last-Modified", "Fri, 20 Nov 2026 00:00:00 GMT")]] {
        let (ranges, bytes) = broken_off(40_000, headers).await;
        assert_eq!(
            ranges,
            [None, Some("bytes=20000-".to_owned()), Some("bytes=30000-".to_owned())]
        );
        assert_eq!(bytes, 40_000);
    }
}

#[tokio::test]
async fn truncation_of_a_large_file_is_resumed() {
    let (ranges, bytes) = broken_off(20 << 20, &[STRONG]).await;
    assert_eq!((ranges.len(), bytes), (3, 20 << 20));
    assert!(ranges[1].is_some() && ranges[2].is_some());
}

#[tokio::test]
async fn truncation_starts_over_when_nothing_names_the_bytes() {
    for headers in [&[] as &[_], &[("ETag", "W/\"weak\"")]] {
        let (ranges, bytes) = broken_off(40_000, headers).await;
        assert_eq!((ranges, bytes), (vec![None, None, None], 80_000));
    }
}

#[tokio::test]
async fn a_large_file_starts_over() {
    let (ranges, bytes) = broken_off(20 << 20, &[]).await;
    assert_eq!((ranges, bytes), (vec![None, None, None], 40 << 20));
}

#[tokio::test]
async fn reset_in_the_middle() {
    let body = data(300_000);
    let sent = body.clone();
    let server = Server::start(move |seen, connection| {
        if seen.number >= 2 {
            return connection.body_or_rest(seen, &sent, &[STRONG]);
        }
        connection.head("200 OK", &[("Content-Length", "300000"), STRONG])?;
        connection.stream.write_all(&sent[..100_000])?;
        connection.reset()
    });
    let bench = Bench::new();
    let wanted = artifact(server.url("a.bin"), &body);
    bench.fetch(&wanted).await.unwrap();
    assert_eq!(bench.bytes(&wanted), body);
}

/// The first answer breaks off; `second` answers the request for the rest.
async fn answered_rest(status: &'static str, range: &'static str, part: std::ops::Range<usize>) {
    let body = data(1000);
    let sent = body.clone();
    let server = Server::start(move |seen, connection| match seen.number {
        0 => {
            connection.head("200 OK", &[STRONG, ("Content-Length", "1000")])?;
            connection.stream.write_all(&sent[..500])
        }
        1 => {
            assert_eq!(seen.header("range"), Some("bytes=500-"));
            let part = &sent[part.clone()];
            let length = part.len().to_string();
            connection
                .head(status, &[("Content-Range", range), ("Content-Length", length.as_str())])?;
            connection.stream.write_all(part)
        }
        _ => {
            assert_eq!(seen.header("range"), None);
            connection.body(&sent, &[])
        }
    });
    let bench = Bench::new();
    let wanted = artifact(server.url("a.bin"), &body);
    bench.fetch(&wanted).await.unwrap();
    assert_eq!(bench.bytes(&wanted), body);
    assert_eq!(bench.progress.done(), 1000);
    let expected = if status.starts_with("200") { 2 } else { 3 };
    assert_eq!(server.count(), expected);
}

#[tokio::test]
async fn the_wrong_range_is_answered() {
    answered_rest("206 Partial Content", "bytes 400-999/1000", 400..1000).await;
    answered_rest("206 Partial Content", "bytes 500-998/1000", 500..999).await;
    answered_rest("206 Partial Content", "bytes 500-999/2000", 500..1000).await;
    answered_rest("206 Partial Content", "nonsense", 500..1000).await;
}

#[tokio::test]
async fn a_part_of_something_else_is_not_appended() {
    let body = data(1000);
    for (first, then) in [
        (STRONG, ("ETag", "\"two\"")),
        (
            ("Last-Modified", "Fri, 20 Nov 2026 00:00:00 GMT"),
            ("Last-Modified", "Sat, 21 Nov 2026 00:00:00 GMT"),
        ),
    ] {
        let sent = body.clone();
        let server = Server::start(move |seen, connection| match seen.number {
            0 => {
                connection.head("200 OK", &[first, ("Content-Length", "1000")])?;
                connection.stream.write_all(&sent[..500])
            }
            // Whoever answers does not know `If-Range`, and has another version.
            1 => {
                assert_eq!(seen.header("if-range"), Some(first.1));
                let range = [("Content-Range", "bytes 500-999/1000"), ("Content-Length", "500")];
                connection.head("206 Partial Content", &[range[0], range[1], then])?;
                connection.stream.write_all(&[b'x'; 500])
            }
            _ => {
                assert_eq!(seen.header("range"), None);
                connection.body(&sent, &[then])
            }
        });
        let bench = Bench::new();
        let wanted = artifact(server.url("a.bin"), &body);
        bench.fetch(&wanted).await.unwrap();
        assert_eq!(bench.bytes(&wanted), body);
        assert_eq!(server.count(), 3);
    }
}

#[tokio::test]
async fn the_whole_is_answered_to_a_range() {
    answered_rest("200 OK", "", 0..1000).await;
}

#[tokio::test]
async fn the_range_is_refused() {
    answered_rest("416 Range Not Satisfiable", "bytes */1000", 0..0).await;
    answered_rest("400 Bad Request", "", 0..0).await;
    answered_rest("403 Forbidden", "", 0..0).await;
    answered_rest("501 Not Implemented", "", 0..0).await;
}

#[tokio::test]
async fn wrong_length() {
    let server = Server::start(|_, connection| connection.body(b"<html>sorry</html>", &[]));
    let bench = Bench::new();
    let wanted = artifact(server.url("a.bin"), &data(812));
    let error = bench.fetch(&wanted).await.unwrap_err();
    sentence(&error, Kind::Integrity, "it has 18 bytes, but 812 were pinned");
    assert_eq!(error.details().expected.as_deref(), Some("812 bytes"));
    assert_eq!(error.details().got.as_deref(), Some("18 bytes"));
    assert_eq!(error.details().name.as_deref(), Some("alpha"));
    assert_eq!(server.count(), 1);
    bench.has_nothing(&wanted);
}

#[tokio::test]
async fn wrong_bytes() {
    for size in [1000, 9 << 20] {
        let mut body = data(size);
        let bench = Bench::new();
        let digest = Digest::of(&body);
        body[size / 2] ^= 1;
        let sent = body.clone();
        let server = Server::start(move |_, connection| connection.body(&sent, &[]));
        let mut wanted = artifact(server.url("a.bin"), &body);
        wanted.sha256 = digest;
        let error = bench.fetch(&wanted).await.unwrap_err();
        sentence(&error, Kind::Integrity, "its sha256 is not the one that was pinned");
        assert_eq!(error.details().expected, Some(digest.to_hex()));
        assert_eq!(error.details().got, Some(Digest::of(&body).to_hex()));
        assert!(!error.details().absent);
        bench.has_nothing(&wanted);
    }
}

#[tokio::test]
async fn endless_body() {
    let server = Server::start(|_, connection| {
        connection.head("200 OK", &[])?;
        loop {
            connection.stream.write_all(&[b'x'; 65_536])?;
        }
    });
    let bench = Bench::new();
    let wanted = artifact(server.url("a.bin"), &data(100_000));
    let error = bench.fetch(&wanted).await.unwrap_err();
    sentence(&error, Kind::Integrity, "it has more, but 100000 were pinned");
    assert_eq!(server.count(), 1);
    bench.has_nothing(&wanted);
}

#[tokio::test]
async fn absent() {
    let server = Server::start(|seen, connection| {
        let status = if seen.path == "/gone" { "410 Gone" } else { "404 Not Found" };
        connection.empty(status, &[])
    });
    let bench = Bench::new();
    for (count, path, status) in [(1, "missing", "404 Not Found"), (2, "gone", "410 Gone")] {
        let error = bench.fetch(&artifact(server.url(path), b"x")).await.unwrap_err();
        let text = sentence(&error, Kind::Fetch, &format!("the server answered {status}"));
        assert!(error.details().absent && text.ends_with("; check the address"), "{text}");
        assert_eq!(server.count(), count);
    }
    let file = url::Url::from_file_path(bench.folder.path().join("missing")).unwrap();
    assert!(bench.fetch(&artifact(file, b"x")).await.unwrap_err().details().absent);
    // What an error says in words decides nothing.
    assert!(
        !Error::new(Kind::Fetch, "cannot fetch it").got("nothing for an hour").details().absent
    );
}

#[tokio::test]
async fn refused_at_once() {
    for status in ["403 Forbidden", "401 Unauthorized", "400 Bad Request", "204 No Content"] {
        let server = Server::start(move |_, connection| connection.empty(status, &[]));
        let error = Bench::new().fetch(&artifact(server.url("x"), b"x")).await.unwrap_err();
        sentence(&error, Kind::Fetch, &format!("the server answered {status}"));
        assert!(!error.details().absent);
        assert_eq!(server.count(), 1, "{status}");
    }
}

#[tokio::test]
async fn server_errors_thrice_then_fine() {
    for status in ["500 Oops", "502 Oops", "503 Oops", "504 Oops", "408 Oops", "425 Oops"] {
        let server = Server::start(move |seen, connection| match seen.number {
            ..3 => connection.empty(status, &[]),
            _ => connection.body(b"x", &[]),
        });
        let fetched = Bench::new().fetch(&artifact(server.url("x"), b"x")).await.unwrap();
        assert_eq!(fetched.requests, 4, "{status}");
    }
}

#[tokio::test]
async fn server_errors_for_ever() {
    let server = Server::start(|_, connection| connection.empty("503 Oops", &[]));
    let error = Bench::new().fetch(&artifact(server.url("x"), b"x")).await.unwrap_err();
    let text = sentence(&error, Kind::Fetch, "the server answered 503 Service Unavailable");
    assert!(text.ends_with("; try again later"), "{text}");
    assert_eq!(server.count(), 4);
}

#[tokio::test]
async fn too_many_requests() {
    let server = Server::start(|seen, connection| match seen.number {
        0 => connection.empty("429 Too Many Requests", &[("Retry-After", "1")]),
        _ => connection.body(b"x", &[]),
    });
    let from = std::time::Instant::now();
    Bench::new().fetch(&artifact(server.url("x"), b"x")).await.unwrap();
    // Earlier would be an offence; how much later is not measured.
    assert!(from.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn too_many_requests_for_an_hour() {
    let server = Server::start(|_, connection| {
        connection.empty("429 Too Many Requests", &[("Retry-After", "3600")])
    });
    let error = Bench::new().fetch(&artifact(server.url("x"), b"x")).await.unwrap_err();
    let text = sentence(&error, Kind::Fetch, "the server answered 429 Too Many Requests");
    assert!(text.ends_with("; try again in 60 minutes"), "{text}");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn one_byte_at_a_time() {
    let server = Server::start(|_, connection| {
        connection.head("200 OK", &[("Content-Length", "100000")])?;
        loop {
            connection.stream.write_all(b"x")?;
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let bench = Bench::new();
    let wanted = artifact(server.url("a.bin"), &data(100_000));
    let error = bench.fetch(&wanted).await.unwrap_err();
    sentence(&error, Kind::Fetch, "it is too slow, ");
    assert_eq!(server.count(), 3);
    bench.has_nothing(&wanted);
}

#[tokio::test]
async fn stalled_body() {
    let server = Server::start(|_, connection| {
        connection.head("200 OK", &[("Content-Length", "100000")])?;
        connection.stream.write_all(&[0; 50_000])?;
        connection.stall()
    });
    let bench = Bench::new();
    let wanted = artifact(server.url("a.bin"), &data(100_000));
    let error = bench.fetch(&wanted).await.unwrap_err();
    sentence(&error, Kind::Fetch, "it is too slow, 0 bytes in 0.2 s");
    bench.has_nothing(&wanted);
}

#[tokio::test]
async fn stalled_headers() {
    let server = Server::start(|_, connection| connection.stall());
    let limits = Limits { headers: Duration::from_millis(300), ..limits() };
    let bench = Bench::limited(Access::default(), limits);
    let error = bench.fetch(&artifact(server.url("x"), b"x")).await.unwrap_err();
    sentence(&error, Kind::Fetch, "the server did not answer within 0.3 s");
    assert_eq!(server.count(), 2, "each attempt costs all the time that an answer may take");
}

#[tokio::test]
async fn nobody_listens() {
    let url = Server::start(|_, _| Ok(())).url("x");
    let error = Bench::new().fetch(&artifact(url, b"x")).await.unwrap_err();
    let text = sentence(&error, Kind::Fetch, "refused");
    assert!(text.ends_with("; start the server, or check the address"), "{text}");
}

#[tokio::test]
async fn something_else_than_http() {
    let server = Server::start(|_, connection| connection.stream.write_all(b"220 ftp ready\r\n"));
    let error = Bench::new().fetch(&artifact(server.url("x"), b"x")).await.unwrap_err();
    sentence(&error, Kind::Fetch, "cannot fetch http://127.0.0.1:");
    let mut url = server.url("x");
    url.set_scheme("https").unwrap();
    let error = Bench::new().fetch(&artifact(url, b"x")).await.unwrap_err();
    let text = sentence(&error, Kind::Fetch, "cannot fetch https://127.0.0.1:");
    assert!(text.ends_with("the server may not speak TLS there"), "{text}");
}

#[tokio::test]
async fn compressed_without_being_asked() {
    for body in [&b"\x1f\x8bshort"[..], b"\x1f\x8bexact", b"\x1f\x8b longer"] {
        let server = Server::start(move |_, connection| {
            connection.body(body, &[("Content-Encoding", "gzip")])
        });
        let bench = Bench::new();
        let wanted = artifact(server.url("x"), b"1234567");
        let error = bench.fetch(&wanted).await.unwrap_err();
        let text = sentence(&error, Kind::Fetch, "the server encoded it as gzip");
        assert!(text.ends_with("switch compression off for this file on the server"), "{text}");
        assert_eq!(server.count(), 1);
        bench.has_nothing(&wanted);
    }
}

#[tokio::test]
async fn the_hash_decides_whatever_the_encoding_is_called() {
    for coding in ["identity", "none", "utf-8", "aws-chunked", "binary", "gzip", "x-gzip, br", ""] {
        let server = Server::start(move |_, connection| {
            connection.body(b"x", &[("Content-Encoding", coding)])
        });
        Bench::new().fetch(&artifact(server.url("x"), b"x")).await.unwrap();
        assert_eq!(server.count(), 1, "{coding}");
    }
    let server =
        Server::start(|_, connection| connection.body(b"y", &[("Content-Encoding", "utf-8")]));
    let error = Bench::new().fetch(&artifact(server.url("x"), b"x")).await.unwrap_err();
    sentence(&error, Kind::Integrity, "its sha256 is not the one that was pinned");
}

#[tokio::test]
async fn all_of_it_is_answered_as_a_part() {
    let server = Server::start(|_, connection| {
        connection.head("206 Partial Content", &[("Content-Range", "bytes 0-0/1")])?;
        connection.stream.write_all(b"x")
    });
    Bench::new().fetch(&artifact(server.url("x"), b"x")).await.unwrap();
}

/// A download that breaks off, and a rest that does not fit what came before.
#[tokio::test]
async fn a_rest_that_is_wrong_is_fetched_again_from_the_beginning() {
    for size in [1000_usize, 100_000, 9 << 20] {
        let body = data(size);
        for more in [0, 1] {
            let sent = body.clone();
            let server = Server::start(move |seen, connection| match seen.number {
                0 => {
                    let length = size.to_string();
                    connection.head("200 OK", &[STRONG, ("Content-Length", length.as_str())])?;
                    connection.stream.write_all(&sent[..size / 2])
                }
                1 => {
                    let range = format!("bytes {}-{}/{size}", size / 2, size - 1);
                    let length = (size / 2 + more).to_string();
                    let own = [("Content-Range", range.as_str()), ("Content-Length", &length)];
                    connection.head("206 Partial Content", &own)?;
                    connection.stream.write_all(&vec![b'x'; size / 2 + more])
                }
                _ => {
                    assert_eq!(seen.header("range"), None);
                    connection.body(&sent, &[STRONG])
                }
            });
            let bench = Bench::new();
            let wanted = artifact(server.url("a.bin"), &body);
            bench.fetch(&wanted).await.unwrap();
            assert_eq!(bench.bytes(&wanted), body);
            assert_eq!((server.count(), bench.progress.done()), (3, size as u64));
        }
    }
}

#[tokio::test]
async fn a_rest_that_is_always_wrong_is_fetched_again_once() {
    let server = Server::start(|seen, connection| match seen.header("range") {
        None => {
            connection.head("200 OK", &[STRONG, ("Content-Length", "1000")])?;
            connection.stream.write_all(&data(1000)[..500])
        }
        Some(_) => {
            connection.head("206 Partial Content", &[("Content-Range", "bytes 500-999/1000")])?;
            connection.stream.write_all(&[b'x'; 500])
        }
    });
    let bench = Bench::new();
    let wanted = artifact(server.url("a.bin"), &data(1000));
    let error = bench.fetch(&wanted).await.unwrap_err();
    sentence(&error, Kind::Integrity, "its sha256 is not the one that was pinned");
    assert_eq!(server.count(), 4);
    bench.has_nothing(&wanted);
}

#[tokio::test]
async fn one_of_many_fails() {
    let server = Server::start(|seen, connection| match seen.path.as_str() {
        "/7" => connection.empty("404 Not Found", &[]),
        path => connection.body(path.as_bytes(), &[]),
    });
    let bench = Bench::new();
    let wanted: Vec<_> = (0..20)
        .map(|number| artifact(server.url(&number.to_string()), format!("/{number}").as_bytes()))
        .collect();
    let error = bench.fetch_all(&wanted).await.unwrap_err();
    assert!(error.details().absent);
    assert!(error.to_string().contains("/7"), "{error}");
    assert_eq!(bench.parts(), Vec::<std::path::PathBuf>::new());
}
