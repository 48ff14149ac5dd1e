//! The same archives in a zstd frame: every rule holds for them too, and a frame is one
//! frame, which says what it holds, and nothing else.

use std::collections::BTreeMap;

use magic_module::error::Kind;
use magic_module::manifest::PackFormat;
use magic_module::name::{Digest, FilePath};
use magic_module::unpack::{FRAME_LIMIT, Limits, Pack};

use super::builder::{Part, RAW, RUN, archive, by_hand};
use super::dice::{Dice, mutate};
use super::hostile::cases;
use super::{LABEL, Tree, independent, sound, strict, unframed, within};

/// What a compressor makes of it.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
    zstd_safe::CCtx::create().compress(&mut frame, bytes, 19).unwrap();
    frame
}

/// One segment, eight bytes of content size.
const SIZED: u8 = 0b1110_0000;

fn small() -> Vec<u8> {
    archive([Part::stored("a.py", b"x = 1\n")]).bytes()
}

fn raw(descriptor: u8, size: u64) -> Vec<u8> {
    let archive = small();
    by_hand(descriptor, &size.to_le_bytes(), &[(RAW, archive.len() as u32, &archive)])
}

fn hostile_frames() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let good = framed(&small());
    let length = small().len() as u64;
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"evil"].concat();
    let run = |size: u64, times: usize| {
        by_hand(SIZED, &size.to_le_bytes(), &vec![(RUN, 128 << 10, &b"0"[..]); times])
    };
    let unsized_ = {
        let archive = small();
        by_hand(0, &[0x58], &[(RAW, archive.len() as u32, &archive)])
    };
    let dictionary = {
        let archive = small();
        let fields = [&[7][..], &length.to_le_bytes()].concat();
        by_hand(SIZED | 1, &fields, &[(RAW, archive.len() as u32, &archive)])
    };
    vec![
        ("a byte behind", "unknown bytes behind", [&good[..], b"\0"].concat()),
        ("two frames", "unknown bytes behind", [&good[..], &good].concat()),
        ("a skippable frame behind", "unknown bytes behind", [&good[..], &skippable].concat()),
        ("a skippable frame before", "is not a zstd frame", [&skippable[..], &good].concat()),
        ("a skippable frame alone", "is not a zstd frame", skippable.clone()),
        ("an archive without a frame", "is not a zstd frame", small()),
        ("nothing", "is not a zstd frame", Vec::new()),
        ("an older format", "is not a zstd frame", [&[0x27][..], &good[1..]].concat()),
        ("half", "damaged or cut off", good[..good.len() / 2].to_vec()),
        ("only the magic number", "damaged or cut off", good[..4].to_vec()),
        ("a reserved bit", "damaged or cut off", raw(SIZED | 1 << 3, length)),
        ("a dictionary", "needs a dictionary", dictionary),
        ("no size", "does not say how much", unsized_),
        ("less than it says", "is damaged", raw(SIZED, length + 1)),
        ("more than it says", "is damaged", raw(SIZED, length - 1)),
        ("a bomb that lies", "is damaged", run(1000, 32)),
        ("a bomb", "but 16777216 are enough", run(FRAME_LIMIT + (128 << 10), 129)),
        ("an endless one", "but 16777216 are enough", raw(SIZED, u64::MAX - 2)),
        ("no archive in it", "is not a zip archive", framed(b"")),
        ("a frame in a frame", "is not a zip archive", framed(&good)),
    ]
}

/// As `strict`, also for what does not begin like a frame.
fn opened(frame: &[u8]) -> magic_module::error::Result<Pack> {
    Pack::unframe(frame, LABEL, &Limits::NONE, 0)
}

#[test]
fn every_rule_of_archives_holds_in_a_frame() {
    for (name, says, archive) in cases() {
        let Err(error) = strict(&framed(&archive.bytes())) else { panic!("{name}: read") };
        assert_eq!(error.kind(), Kind::Integrity, "{name}: {error}");
        assert!(error.to_string().contains(says), "{name}: {error}");
    }
    for (name, archive) in sound::archives() {
        let bytes = archive.bytes();
        assert_eq!(strict(&framed(&bytes)).unwrap(), strict(&bytes).unwrap(), "{name}");
    }
}

#[test]
fn a_frame_is_one_frame_and_nothing_else() {
    let tree: Tree = [("a.py".to_owned(), b"x = 1\n".to_vec())].into();
    assert_eq!(strict(&raw(SIZED, small().len() as u64)).unwrap(), tree);
    for (name, says, frame) in hostile_frames() {
        let Err(error) = opened(&frame) else { panic!("{name}: read") };
        assert_eq!(error.kind(), Kind::Integrity, "{name}: {error}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("the pack {LABEL} ")), "{name}: {text}");
        assert!(text.contains(says), "{name}: {text}");
    }
}

#[test]
fn a_frame_holds_no_more_than_the_declared_files_need() {
    let padded = archive([Part { after: Vec::new(), ..Part::stored("a", &vec![0; 4 << 20]) }]);
    let frame = framed(&padded.bytes());
    assert!(frame.len() < 2000, "{}", frame.len());
    let error = within(&frame, &Limits { entries: 1, bytes: 1000 }).unwrap_err();
    assert!(error.to_string().contains("unpacks to an archive of 4194"), "{error}");
    assert!(within(&frame, &Limits { entries: 1, bytes: 4 << 20 }).is_ok());
}

#[test]
fn a_pack_is_what_the_manifest_says_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pack");
    let name = FilePath::new("a.py").unwrap();
    let declared: BTreeMap<&FilePath, u64> = [(&name, 6)].into();
    let says = |bytes: &[u8], format: &PackFormat| {
        fs_err::write(&path, bytes).unwrap();
        Pack::open(&path, LABEL, format, &declared).err().map(|error| error.to_string())
    };
    assert_eq!(says(&small(), &PackFormat::Zip), None);
    assert_eq!(says(&framed(&small()), &PackFormat::ZipZstd), None);
    assert!(says(&small(), &PackFormat::ZipZstd).unwrap().contains("is not a zstd frame"));
    assert!(says(&framed(&small()), &PackFormat::Zip).unwrap().contains("is not a zip archive"));
    // Where the record is not at hand any more, the bytes tell.
    for bytes in [small(), framed(&small())] {
        fs_err::write(&path, bytes).unwrap();
        let mut text = Vec::new();
        let mut pack = Pack::open_any(&path, LABEL).unwrap();
        pack.copy(&name, 6, &Digest::of(b"x = 1\n"), &mut text).unwrap();
        assert_eq!(text, b"x = 1\n");
    }
}

#[test]
fn a_damaged_frame_is_refused_or_read_as_others_read_it() {
    let (mut refused, mut alike) = (0, 0);
    for (name, archive) in sound::archives() {
        let whole = archive.bytes();
        let contents: Vec<Vec<u8>> = strict(&whole).unwrap().into_values().collect();
        let frame = framed(&whole);
        for seed in 0..500 {
            let mut dice = Dice(seed);
            let mut bytes = frame.clone();
            for _ in 0..=dice.below(2) {
                mutate(&mut dice, &mut bytes);
            }
            match opened(&bytes).and_then(|_| strict(&bytes)) {
                // Names are not covered by a checksum of the archive, but by the manifest.
                Ok(tree) => {
                    let other = independent(&unframed(&bytes).unwrap());
                    assert!(other.as_ref() == Some(&tree), "{name}, seed {seed}: in two ways");
                    let read: Vec<Vec<u8>> = tree.into_values().collect();
                    assert!(read.iter().all(|it| contents.contains(it)), "{name}, seed {seed}");
                    alike += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Integrity, "{name}, {seed}: {error}");
                    refused += 1;
                }
            }
        }
    }
    println!("{refused} damaged frames refused, {alike} read alike");
    assert!(refused > 1000 && alike > 10, "{refused} refused, {alike} read");
}
