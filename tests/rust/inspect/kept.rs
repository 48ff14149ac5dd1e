//! What was learnt once is kept for every lock.

use magic_module::error::Kind;
use magic_module::store::wheels;

use crate::site::{Client, sentence, wheel, with_ranges};
use crate::wheels::Written;

#[tokio::test]
async fn the_second_time_nobody_is_asked() {
    let bytes = Written::small().bytes();
    let server = with_ranges(&bytes);
    let client = Client::new();
    let one = wheel(&server, &bytes);
    let first = client.one(&one).await.unwrap();
    assert_eq!(server.count(), 1);
    assert_eq!(client.one(&one).await.unwrap(), first);
    assert_eq!(server.count(), 1);
    assert_eq!(wheels::all(&client.store).unwrap(), [first.sha256].into());
    wheels::remove(&client.store, &first.sha256).unwrap();
    assert_eq!(wheels::all(&client.store).unwrap(), [].into());
    assert_eq!(client.one(&one).await.unwrap(), first);
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn what_is_damaged_is_asked_for_again() {
    let bytes = Written::small().bytes();
    let server = with_ranges(&bytes);
    let client = Client::new();
    let one = wheel(&server, &bytes);
    let first = client.one(&one).await.unwrap();
    let path = client.store.wheels().join(first.sha256.to_hex());
    let good = fs_err::read(&path).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let damaged: [Vec<u8>; 5] = [
        Vec::new(),
        good[..good.len() - 1].to_vec(),
        text.replace("x = 1", "x = 2").replace("alpha/empty.py", "alpha/other.py").into(),
        text.replace("wheel 1", "wheel 2").into(),
        b"\xff".to_vec(),
    ];
    for (number, bytes) in damaged.iter().enumerate() {
        fs_err::write(&path, bytes).unwrap();
        assert_eq!(client.one(&one).await.unwrap(), first);
        assert_eq!(server.count(), number + 2);
        assert_eq!(fs_err::read(&path).unwrap(), good);
    }
    // One that others may write to is nobody's.
    #[cfg(unix)]
    {
        open_up(&path, 0o666);
        assert_eq!(client.one(&one).await.unwrap(), first);
        assert_eq!(server.count(), 7);
    }
}

#[tokio::test]
async fn what_is_kept_under_the_name_of_another_wheel_is_not_taken_for_it() {
    let (one, other) = (Written::small(), Written::small().with("alpha/more.py", b""));
    let (one, other) = (one.bytes(), other.bytes());
    let client = Client::new();
    let (first, second) = (with_ranges(&one), with_ranges(&other));
    let known = client.one(&wheel(&first, &one)).await.unwrap();
    let expected = client.one(&wheel(&second, &other)).await.unwrap();
    let place = |digest: &magic_module::name::Digest| client.store.wheels().join(digest.to_hex());
    fs_err::copy(place(&known.sha256), place(&expected.sha256)).unwrap();
    assert_eq!(client.one(&wheel(&second, &other)).await.unwrap(), expected);
    assert_eq!(second.count(), 2);
}

#[tokio::test]
async fn offline_what_is_kept_is_known_and_all_else_is_an_error() {
    let bytes = Written::small().bytes();
    let server = with_ranges(&bytes);
    let client = Client::new();
    let one = wheel(&server, &bytes);
    let error = client.offline(&one).await.unwrap_err();
    sentence(&error, Kind::Offline, "MAGIC_MODULE_OFFLINE forbids asking");
    assert_eq!(server.count(), 0);
    let known = client.one(&one).await.unwrap();
    assert_eq!(client.offline(&one).await.unwrap(), known);
    assert_eq!(server.count(), 1);
}

#[cfg(unix)]
fn open_up(path: &std::path::Path, mode: u32) {
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs_err::set_permissions(path, permissions).unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_others_may_write_to_is_not_read_from() {
    let bytes = Written::small().bytes();
    let server = with_ranges(&bytes);
    let client = Client::new();
    let one = wheel(&server, &bytes);
    client.one(&one).await.unwrap();
    open_up(&client.store.wheels(), 0o777);
    let error = client.one(&one).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Store);
    assert!(error.to_string().contains("others may write to it"), "{error}");
}
