//! A `RECORD` that says less, or lies.

use magic_module::error::Kind;
use magic_module::manifest::PackFormat;
use magic_module::name::Digest;
use magic_module::unpack::Pack;

use crate::site::{Client, sentence, wheel, with_ranges};
use crate::wheels::{Written, row};

const MODULE: &str = "alpha/__init__.py";

#[track_caller]
fn digest_of(contents: &magic_module::wheel::Contents, path: &str) -> Digest {
    contents.files.iter().find(|file| file.entry.as_str() == path).unwrap().sha256
}

#[tokio::test]
async fn a_file_that_the_record_does_not_hash_is_hashed_from_the_wheel() {
    let truth = row(MODULE, b"x = 1\n");
    let sha512 = format!("{MODULE},sha512=abc,6\n");
    for line in ["", &format!("{MODULE},,\n"), &sha512, &truth.replace("sha256=", "sha256=!")] {
        let bytes = Written::small().record_with(&truth, line).bytes();
        let server = with_ranges(&bytes);
        let client = Client::new();
        let contents = client.one(&wheel(&server, &bytes)).await.unwrap();
        assert_eq!(digest_of(&contents, MODULE), Digest::of(b"x = 1\n"), "{line}");
        assert_eq!(client.blobs(), 1, "{line}");
        // Nothing to warn of: the server has ranges.
        assert_eq!(client.events.take_notices(), []);
    }
}

#[tokio::test]
async fn a_file_that_only_the_record_has_is_looked_for_in_the_wheel() {
    let written = Written::small();
    let record = row("alpha/gone.py", b"") + &written.truth();
    let bytes = written.clone().record(record).bytes();
    let server = with_ranges(&bytes);
    let client = Client::new();
    let contents = client.one(&wheel(&server, &bytes)).await.unwrap();
    assert_eq!(contents.files.len(), written.files.len() + 1);
    assert_eq!(client.blobs(), 1);
}

#[tokio::test]
async fn a_record_that_contradicts_the_bytes_is_refused() {
    let metadata = Written::small().files[3].1.clone();
    let metadata = row("alpha-1.dist-info/METADATA", &metadata);
    let truth = row(MODULE, b"x = 1\n");
    let twice = truth.clone() + &row(MODULE, b"x = 2\n");
    for (old, new, path) in [
        (&truth, truth.replace(",6\n", ",7\n"), MODULE),
        (&truth, twice, MODULE),
        (&metadata, row("alpha-1.dist-info/METADATA", b"Name: beta\n"), "METADATA"),
    ] {
        let bytes = Written::small().record_with(old, &new).bytes();
        let server = with_ranges(&bytes);
        let error = Client::new().one(&wheel(&server, &bytes)).await.unwrap_err();
        sentence(&error, Kind::Integrity, "lies about its RECORD");
        assert!(error.to_string().contains(path), "{error}");
    }
}

/// What a tail tells of a file that is not in it is believed until the file is.
#[tokio::test]
async fn a_hash_that_is_wrong_shows_when_the_wheel_is_read() {
    let bytes =
        Written::small().record_with(&row(MODULE, b"x = 1\n"), &row(MODULE, b"y = 1\n")).bytes();
    let server = with_ranges(&bytes);
    let client = Client::new();
    let contents = client.one(&wheel(&server, &bytes)).await.unwrap();
    assert_eq!(client.blobs(), 0);
    let file = contents.files.iter().find(|file| file.entry.as_str() == MODULE).unwrap();
    let mut pack =
        Pack::read(std::io::Cursor::new(&bytes), "alpha", &magic_module::unpack::Limits::NONE)
            .unwrap();
    let error = pack.copy(&file.entry, file.size, &file.sha256, &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    // Where the wheel is taken whole, it shows at once.
    let unhashed = magic_module::wheel::Wheel { sha256: None, ..wheel(&server, &bytes) };
    let error = Client::new().one(&unhashed).await.unwrap_err();
    sentence(&error, Kind::Integrity, "lies about its RECORD");
}

#[tokio::test]
async fn without_a_record_all_is_hashed_from_the_wheel() {
    let written = Written { has_record: false, ..Written::small() };
    let bytes = written.bytes();
    let server = with_ranges(&bytes);
    let contents = Client::new().one(&wheel(&server, &bytes)).await.unwrap();
    assert_eq!(contents.files.len(), written.files.len());
    assert!(!contents.texts.contains_key("RECORD"));
}

#[tokio::test]
async fn one_folder_describes_the_wheel_and_is_called_like_it() {
    let other = "beta-1.dist-info/METADATA";
    for (written, why) in [
        (Written::small().with(other, b"Name: beta\n"), "more than one .dist-info folder"),
        (
            renamed("alpha-1.dist-info", "beta-1.dist-info"),
            "has another name than its beta-1.dist-info",
        ),
        (renamed("alpha-1.dist-info", "alpha-1.egg-info"), "has no .dist-info folder"),
        (renamed("METADATA", "PKG-INFO"), "has no METADATA in its alpha-1.dist-info"),
        (renamed("WHEEL", "WHELL"), "has no WHEEL in its alpha-1.dist-info"),
    ] {
        let bytes = written.bytes();
        let server = with_ranges(&bytes);
        let error = Client::new().one(&wheel(&server, &bytes)).await.unwrap_err();
        sentence(&error, Kind::Integrity, why);
    }
}

fn renamed(old: &str, new: &str) -> Written {
    let mut written = Written { has_record: false, ..Written::small() };
    for (path, _) in &mut written.files {
        *path = path.replace(old, new);
    }
    written
}

#[tokio::test]
async fn folders_with_an_entry_of_their_own_mean_nothing_in_a_wheel() {
    let folders = vec!["alpha/".to_owned(), "alpha/nothing/below/".to_owned()];
    let bytes = Written { folders, ..Written::small() }.bytes();
    let server = with_ranges(&bytes);
    let client = Client::new();
    let contents = client.one(&wheel(&server, &bytes)).await.unwrap();
    assert_eq!(client.blobs(), 0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wheel");
    fs_err::write(&path, &bytes).unwrap();
    let declared = contents.files.iter().map(|file| (&file.entry, file.size)).collect();
    Pack::open(&path, "alpha", &PackFormat::Wheel, &declared).unwrap();
    let error = Pack::open(&path, "alpha", &PackFormat::Zip, &declared).err().unwrap();
    assert!(error.to_string().contains("the folder alpha/nothing/below"), "{error}");
    // Nothing but that is let pass.
    let fewer = contents.files[1..].iter().map(|file| (&file.entry, file.size)).collect();
    let error = Pack::open(&path, "alpha", &PackFormat::Wheel, &fewer).err().unwrap();
    assert_eq!(error.kind(), Kind::Integrity);
}
