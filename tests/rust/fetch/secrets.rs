//! What is told to whom: credentials, headers, and what errors may say of them.

use std::path::PathBuf;

use magic_module::error::Kind;
use magic_module::fetch::Access;

use crate::server::Server;
use crate::{Bench, artifact, sentence};

/// `me:secret`, as it is sent.
const BASIC: &str = "Basic bWU6c2VjcmV0";

/// A bench whose user has this netrc file.
fn with_netrc(text: &str) -> (Bench, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let netrc: PathBuf = home.path().join(".netrc");
    fs_err::write(&netrc, text).unwrap();
    (Bench::with(Access { netrc: Some(netrc), ..Access::default() }), home)
}

#[tokio::test]
async fn credentials_go_to_their_own_origin_only() {
    let other = Server::start(|_, connection| connection.body(b"x", &[]));
    let elsewhere = other.url("elsewhere").to_string();
    let server = Server::start(move |seen, connection| {
        let next = if seen.path == "/a" { "/b" } else { &elsewhere };
        connection.empty("302 Found", &[("Location", next)])
    });
    let mut url = server.url("a");
    url.set_username("me").unwrap();
    url.set_password(Some("secret")).unwrap();
    Bench::new().fetch(&artifact(url, b"x")).await.unwrap();
    for request in server.seen() {
        assert_eq!(request.header("authorization"), Some("Basic bWU6c2VjcmV0"), "{}", request.path);
    }
    assert_eq!(other.seen()[0].header("authorization"), None);
    assert_eq!(other.seen()[0].header("referer"), None);
}

#[tokio::test]
async fn a_redirect_carries_nothing_that_tells_who_asks() {
    let other = Server::start(|_, connection| connection.body(b"x", &[]));
    let elsewhere = other.url("elsewhere").to_string();
    let server = Server::start(move |_, connection| {
        let cookie = ("Set-Cookie", "session=secret");
        connection.empty("302 Found", &[("Location", &elsewhere), cookie])
    });
    let (bench, _home) = with_netrc("machine 127.0.0.1 login me password secret");
    bench.fetch(&artifact(server.url("a?token=secret"), b"x")).await.unwrap();
    let seen = &other.seen()[0];
    let mut names: Vec<&str> = seen.headers.keys().map(String::as_str).collect();
    names.sort_unstable();
    // Whatever is added to requests one day has to be thought about here.
    assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"]);
    assert!(!format!("{seen:?}").contains("secret"), "{seen:?}");
}

#[tokio::test]
async fn no_error_holds_a_secret() {
    type Fault = fn(&crate::server::Seen, &mut crate::server::Connection) -> std::io::Result<()>;
    let faults: [Fault; 7] = [
        |_, connection| connection.empty("404 Not Found", &[]),
        |_, connection| connection.empty("503 Oops", &[]),
        |_, connection| connection.body(b"wrong", &[]),
        |_, connection| connection.body(b"y", &[]),
        |_, connection| connection.head("200 OK", &[("Content-Length", "1")]),
        |_, connection| connection.reset(),
        |seen, connection| connection.empty("302 Found", &[("Location", &seen.path)]),
    ];
    let bench = Bench::new();
    for (number, fault) in faults.into_iter().enumerate() {
        let server = Server::start(fault);
        let mut url = server.url("a?token=secret");
        url.set_password(Some("secret")).unwrap();
        url.set_username("secret").unwrap();
        let error = bench.fetch(&artifact(url, b"x")).await.unwrap_err();
        let all = format!("{error} {error:?}");
        assert!(!all.contains("secret"), "{number}: {all}");
        assert!(error.details().url.as_deref().is_some_and(|url| url.ends_with("/a")), "{all}");
    }
    for event in bench.progress.events().take() {
        assert!(!format!("{event:?}").contains("secret"));
    }
}

#[tokio::test]
async fn credentials_do_not_come_back_from_elsewhere() {
    // Away, and back: who was in between chose where to.
    let server = Server::start(|_, connection| connection.body(b"x", &[]));
    let back = server.url("back").to_string();
    let other =
        Server::start(move |_, connection| connection.empty("302 Found", &[("Location", &back)]));
    let away = other.url("away").to_string();
    let first =
        Server::start(move |_, connection| connection.empty("302 Found", &[("Location", &away)]));
    let (bench, _home) = with_netrc("machine 127.0.0.1 login me password secret");
    bench.fetch(&artifact(first.url("a"), b"x")).await.unwrap();
    assert_eq!(first.seen()[0].header("authorization"), Some(BASIC));
    for request in [other.seen(), server.seen()].concat() {
        assert_eq!(request.header("authorization"), None, "{}", request.path);
    }
}

#[tokio::test]
async fn netrc_serves_the_machine_that_it_names() {
    let server = Server::start(|_, connection| connection.body(b"x", &[]));
    for (netrc, login, expected) in [
        ("machine 127.0.0.1 login me password secret", "", Some(BASIC)),
        ("machine 127.0.0.1 login me password secret", "me", Some(BASIC)),
        ("machine 127.0.0.1 login me password secret", "you", Some("Basic eW91Og==")),
        ("machine localhost login me password secret", "", None),
        ("default login me password secret", "", None),
        ("", "", None),
    ] {
        let (bench, _home) = with_netrc(netrc);
        let mut url = server.url("a");
        url.set_username(login).unwrap();
        bench.fetch(&artifact(url, b"x")).await.unwrap();
        let seen = server.seen();
        let sent = seen.last().unwrap().header("authorization");
        assert_eq!(sent, expected, "{netrc} {login}");
    }
}

#[tokio::test]
async fn credentials_of_the_url_come_before_netrc() {
    let server = Server::start(|_, connection| connection.body(b"x", &[]));
    let (bench, _home) = with_netrc("machine 127.0.0.1 login other password other");
    let mut url = server.url("a");
    url.set_username("me").unwrap();
    url.set_password(Some("secret")).unwrap();
    bench.fetch(&artifact(url, b"x")).await.unwrap();
    assert_eq!(server.seen()[0].header("authorization"), Some(BASIC));
}

#[tokio::test]
async fn a_refused_login_names_where_it_may_stand() {
    let server = Server::start(|_, connection| connection.empty("401 Unauthorized", &[]));
    let (bench, _home) = with_netrc("machine 127.0.0.1 login me password secret");
    let error = bench.fetch(&artifact(server.url("a"), b"x")).await.unwrap_err();
    let text = sentence(&error, Kind::Fetch, "the server answered 401 Unauthorized");
    assert!(text.contains("netrc") && !format!("{error:?}").contains("secret"), "{text}");
}
