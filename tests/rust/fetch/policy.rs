//! Where a download may lead, and what is told to whom.

use magic_module::error::Kind;
use magic_module::fetch::Freshness;
use magic_module::policy::Policy;
use url::Url;

use crate::server::Server;
use crate::{Bench, artifact, sentence};

#[tokio::test]
async fn redirect_loop() {
    let server = Server::start(|seen, connection| {
        let next = if seen.path == "/a" { "/b" } else { "/a" };
        connection.empty("302 Found", &[("Location", next)])
    });
    let error = Bench::new().fetch(&artifact(server.url("a"), b"x")).await.unwrap_err();
    sentence(&error, Kind::Fetch, "it redirects in a circle");
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn redirects_without_end() {
    let server = Server::start(|seen, connection| {
        let next = format!("/{}", seen.number);
        connection.empty("307 Temporary Redirect", &[("Location", &next)])
    });
    let error = Bench::new().fetch(&artifact(server.url("a"), b"x")).await.unwrap_err();
    sentence(&error, Kind::Fetch, "it redirects more than 10 times");
    assert_eq!(server.count(), 11);
}

#[tokio::test]
async fn ten_redirects_are_followed() {
    let server = Server::start(|seen, connection| match seen.number {
        10 => connection.body(b"x", &[]),
        number => connection.empty("301 Moved", &[("Location", &format!("/{number}"))]),
    });
    let fetched = Bench::new().fetch(&artifact(server.url("a"), b"x")).await.unwrap();
    assert_eq!(fetched.requests, 11);
}

#[tokio::test]
async fn redirect_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs_err::write(&secret, "x").unwrap();
    let location = Url::from_file_path(&secret).unwrap().to_string();
    let server = Server::start(move |_, connection| {
        connection.empty("302 Found", &[("Location", &location)])
    });
    let bench = Bench::new();
    let wanted = artifact(server.url("a"), b"x");
    let error = bench.fetch(&wanted).await.unwrap_err();
    sentence(&error, Kind::Fetch, "it redirects to a file: URL");
    bench.has_nothing(&wanted);
}

#[tokio::test]
async fn plain_http_stays_on_this_machine() {
    let bench = Bench::new();
    let far = Url::parse("http://192.0.2.1/a?token=secret").unwrap();
    let error = bench.fetch(&artifact(far, b"x")).await.unwrap_err();
    let text = sentence(&error, Kind::Policy, "cannot fetch http://192.0.2.1/a: plain HTTP");
    assert!(text.contains("MAGIC_MODULE_ALLOW_HTTP=1") && !text.contains("secret"), "{text}");

    let server = Server::start(|_, connection| {
        connection.empty("302 Found", &[("Location", "http://192.0.2.1/b")])
    });
    let error = bench.fetch(&artifact(server.url("a"), b"x")).await.unwrap_err();
    sentence(&error, Kind::Policy, "it redirects to http://192.0.2.1/b");
}

#[tokio::test]
async fn files_are_fetched_and_verified_too() {
    let bench = Bench::new();
    let path = bench.folder.path().join("given");
    let body = crate::data(9 << 20);
    fs_err::write(&path, &body).unwrap();
    let url = Url::from_file_path(&path).unwrap();
    let wanted = artifact(url.clone(), &body);
    let fetched = bench.fetch(&wanted).await.unwrap();
    assert_eq!((fetched.bytes, fetched.requests), (9 << 20, 0));
    assert_eq!(bench.bytes(&wanted), body);
    let error = bench.fetch(&artifact(url, b"other")).await.unwrap_err();
    sentence(&error, Kind::Integrity, "but 5 were pinned");
    let folder = Url::from_file_path(bench.folder.path()).unwrap();
    let error = bench.fetch(&artifact(folder, b"x")).await.unwrap_err();
    sentence(&error, Kind::Fetch, "it is not a file");
}

#[tokio::test]
async fn an_unknown_scheme_is_a_setting_to_change() {
    let bench = Bench::new();
    let url = Url::parse("ftp://host/a").unwrap();
    let error = bench.fetch(&artifact(url.clone(), b"x")).await.unwrap_err();
    sentence(&error, Kind::Configuration, "ftp: URLs are not known");
    let document =
        bench.fetcher.document(&url.into(), 10, None, Freshness::AsCached, Policy::default()).await;
    sentence(&document.unwrap_err(), Kind::Configuration, "ftp: URLs are not known");
}
