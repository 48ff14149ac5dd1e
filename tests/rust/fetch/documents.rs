//! Documents: into memory, conditional, limited.

use std::io::Write;

use magic_module::error::{Kind, Result};
use magic_module::fetch::{Document, Freshness, Validator};
use magic_module::policy::Policy;

use crate::server::Server;
use crate::{Bench, sentence};

const LIMIT: u64 = 1000;

async fn document(
    server: &Server,
    validator: Option<&Validator>,
    freshness: Freshness,
) -> Result<Document> {
    Bench::new()
        .fetcher
        .document(&server.url("m.json?v=1").into(), LIMIT, validator, freshness, Policy::default())
        .await
}

#[tokio::test]
async fn an_unchanged_document_is_not_sent_again() {
    let server = Server::start(|seen, connection| {
        if seen.header("if-none-match") == Some("\"one\"") {
            assert_eq!(seen.header("if-modified-since"), Some("yesterday"));
            return connection.head("304 Not Modified", &[]);
        }
        connection.body(b"{}", &[("ETag", "\"one\""), ("Last-Modified", "yesterday")])
    });
    let first = document(&server, None, Freshness::AsCached).await.unwrap();
    let Document::Body { bytes, validator, .. } = first else { panic!("{first:?}") };
    assert_eq!(bytes, b"{}");
    let text = serde_json::to_string(&validator).unwrap();
    let validator: Option<Validator> = serde_json::from_str(&text).unwrap();
    let second = document(&server, validator.as_ref(), Freshness::AsCached).await.unwrap();
    assert_eq!(second, Document::NotModified { fresh_for: None });
    assert_eq!(server.seen()[0].header("cache-control"), None);
    document(&server, None, Freshness::PastCaches).await.unwrap();
    assert_eq!(server.seen()[2].header("cache-control"), Some("no-cache"));
}

#[tokio::test]
async fn not_modified_without_a_question_is_an_error() {
    let server = Server::start(|_, connection| connection.head("304 Not Modified", &[]));
    let error = document(&server, None, Freshness::AsCached).await.unwrap_err();
    sentence(&error, Kind::Fetch, "the server answered 304");
}

#[tokio::test]
async fn a_gigantic_document_is_not_read() {
    let endless = Server::start(|_, connection| {
        connection.head("200 OK", &[])?;
        loop {
            connection.stream.write_all(&[b'['; 65_536])?;
        }
    });
    let announced = Server::start(|_, connection| {
        connection.head("200 OK", &[("Content-Length", "1099511627776")])
    });
    for server in [endless, announced] {
        let error = document(&server, None, Freshness::AsCached).await.unwrap_err();
        sentence(&error, Kind::Fetch, "it is larger than 1000 bytes");
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test]
async fn a_document_is_asked_for_again_after_a_fault() {
    let server = Server::start(|seen, connection| match seen.number {
        0 => connection.reset(),
        1 => connection.empty("500 Oops", &[]),
        2 => {
            connection.head("200 OK", &[("Content-Length", "10")])?;
            connection.stream.write_all(b"{")
        }
        _ => connection.body(b"{}", &[]),
    });
    let document = document(&server, None, Freshness::AsCached).await.unwrap();
    assert_eq!(
        document,
        Document::Body { bytes: b"{}".to_vec(), validator: None, fresh_for: None }
    );
    assert_eq!(server.count(), 4);
}

#[tokio::test]
async fn a_missing_document_is_absent() {
    let server = Server::start(|_, connection| connection.empty("404 Not Found", &[]));
    let error = document(&server, None, Freshness::AsCached).await.unwrap_err();
    assert!(error.details().absent);
    assert_eq!(server.count(), 1);
}
