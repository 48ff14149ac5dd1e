//! Tails that were made to hurt.

use magic_module::error::Kind;
use magic_module::name::Digest;
use magic_module::wheel::Wheel;

use crate::builder::{Part, archive};
use crate::dice::{Dice, mutate};
use crate::server::Server;
use crate::site::{Client, asked, send_part, wheel, with_ranges};
use crate::wheels::{Written, noise};

/// Damaged tails that are asked for, each of a wheel of its own.
const ROUNDS: u64 = 100;

/// Whatever a tail says, it costs no more than the wheel; the wheel is refused or sound.
#[tokio::test]
async fn hostile_directories_are_refused() {
    let lies: [fn(&mut Vec<Part>); 8] = [
        |parts| parts[0].offset = Some(u32::MAX - 1),
        |parts| parts.last_mut().unwrap().offset = Some(u32::MAX - 1),
        |parts| parts.last_mut().unwrap().offset = Some(0),
        |parts| parts.last_mut().unwrap().central.size = u32::MAX - 1,
        |parts| parts.last_mut().unwrap().central.compressed = u32::MAX - 1,
        |parts| parts.last_mut().unwrap().central.crc ^= 1,
        |parts| parts[3].central.name = b"../../alpha-1.dist-info/METADATA".to_vec(),
        |parts| parts.push(Part::stored("ALPHA/__init__.py", b"")),
    ];
    for (number, lie) in lies.iter().enumerate() {
        let mut parts = Written::small().parts();
        lie(&mut parts);
        let bytes = archive(parts).bytes();
        let server = with_ranges(&bytes);
        let error = Client::new().one(&wheel(&server, &bytes)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{number}: {error}");
    }
    let mut bad = archive(Written::small().parts());
    for (at, size) in [(0, u32::MAX), (u32::MAX - 30, 30), (1 << 20, 64 << 20)] {
        (bad.end.at, bad.end.size) = (Some(at), Some(size));
        let bytes = bad.bytes();
        let server = with_ranges(&bytes);
        let error = Client::new().one(&wheel(&server, &bytes)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{error}");
    }
}

/// A text that unpacks to more than anybody reads.
#[tokio::test]
async fn a_bomb_is_not_unpacked() {
    let mut parts = Written::small().parts();
    let bomb = vec![b' '; (16 << 20) + 1];
    parts[3] = Part::deflated("alpha-1.dist-info/METADATA", &bomb);
    let bytes = archive(parts).bytes();
    let server = with_ranges(&bytes);
    let error = Client::new().one(&wheel(&server, &bytes)).await.unwrap_err();
    assert!(error.to_string().contains("has more than 16777216 bytes of METADATA"), "{error}");
}

/// No panic, and no wheel but the one that was pinned.
#[tokio::test]
async fn damaged_tails_end_in_contents_or_an_error() {
    let good = Written::small().with("alpha/data.bin", &noise(7, 40_000)).bytes();
    let client = Client::new();
    let mut refused = 0;
    for round in 0..ROUNDS {
        let mut dice = Dice(round);
        let from = good.len() - 2000;
        let mut tail = good[from..].to_vec();
        for _ in 0..=dice.below(3) {
            mutate(&mut dice, &mut tail);
        }
        let bytes = [&good[..from], &tail[..]].concat();
        let path = client.store.cache().with_extension(format!("{round}.whl"));
        fs_err::write(&path, &bytes).unwrap();
        let url = url::Url::from_file_path(&path).unwrap();
        let wheel = Wheel {
            url: magic_module::name::UrlText::new(url),
            size: None,
            sha256: Some(Digest::of(&bytes)),
        };
        match client.one(&wheel).await {
            Ok(contents) => assert_eq!(contents.sha256, Digest::of(&bytes)),
            Err(error) => {
                assert_eq!(error.kind(), Kind::Integrity, "round {round}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > ROUNDS / 4, "{refused} of {ROUNDS}");
}

/// A server that changes what it serves between two requests.
#[tokio::test]
async fn parts_of_two_files_are_not_put_together() {
    let written = Written::large();
    let bytes = written.bytes();
    let (body, other) = (bytes.clone(), noise(3, bytes.len() + 1));
    let server = Server::start(move |seen, connection| match asked(seen, body.len()) {
        Some((first, end)) => {
            let body = if seen.number == 0 { &body } else { &other };
            let range = format!("bytes {first}-{}/{}", end - 1, body.len());
            send_part(connection, &range, &body[first..end])
        }
        None => connection.body(&body, &[]),
    });
    let client = Client::new();
    let contents = client.one(&wheel(&server, &bytes)).await.unwrap();
    assert_eq!(contents.files.len(), written.files.len() + 1);
    assert_eq!((server.count(), client.blobs()), (3, 1));
}
