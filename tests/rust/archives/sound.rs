//! What honest writers write is read, and gives nothing but names and bytes.

use super::builder::{Archive, End, Part, archive, field};
use super::{Tree, independent, strict};

/// Honest archives of every shape; the fuzzing corpus and the mutations start from them.
pub fn archives() -> Vec<(&'static str, Archive)> {
    let text = b"def rows():\n    return 1\n".repeat(20);
    let plain = [Part::stored("a.py", b"x = 1\n"), Part::deflated("a/b.txt", &text)];
    let everywhere = |change: fn(Part) -> Part| archive(plain.clone().map(change));
    let zip64_end = |zip64: fn(&mut [u8]), all: bool| Archive {
        end: End {
            zip64: Some(zip64),
            entries_here: all.then_some(u16::MAX),
            entries: all.then_some(u16::MAX),
            size: all.then_some(u32::MAX),
            at: all.then_some(u32::MAX),
            ..End::default()
        },
        ..archive(plain.clone())
    };
    let inner = archive(plain.clone()).bytes();
    vec![
        ("plain", archive(plain.clone())),
        ("nothing", archive([])),
        ("empty files", archive([Part::stored("a", b""), Part::deflated("b", b"")])),
        (
            "frames",
            archive([Part::zstd("a", &text), Part::zstd("b", b""), Part::stored("c", b"1")]),
        ),
        ("folders", archive([Part::folder("a/"), Part::stored("a/b", b"1"), Part::folder("c/")])),
        ("names", archive([Part::stored("größe/数.txt", b"1"), Part::stored("a b", b"2")])),
        ("descriptors", everywhere(|part| part.described(true))),
        ("unsigned descriptors", everywhere(|part| part.described(false))),
        (
            "descriptors in 64 bits",
            everywhere(|part| part.described_in_64_bits(true).announced_as_zip64()),
        ),
        (
            "unsigned descriptors in 64 bits",
            everywhere(|part| part.described_in_64_bits(false).announced_as_zip64()),
        ),
        (
            "folders as deflate writes nothing",
            archive([
                Part::deflated("a/", b"").attributes(0o040_755 << 16),
                Part::stored("a/b", b"1"),
            ]),
        ),
        ("zip64 sizes", everywhere(Part::zip64)),
        (
            "zip64 sizes, said twice",
            everywhere(|part| {
                let (size, compressed) = (part.local.size, part.local.compressed);
                let plain = part.central.clone();
                let mut part = part.zip64();
                (part.local.size, part.local.compressed) = (size, compressed);
                Part { central: plain, ..part }
            }),
        ),
        ("zip64 end", zip64_end(|_| (), true)),
        ("zip64 end, said twice", zip64_end(|_| (), false)),
        ("from Windows", everywhere(|part| Part { made_by: 20, attributes: 0x20, ..part })),
        ("any mode", everywhere(|part| part.attributes(0o104_000 << 16))),
        (
            "times",
            everywhere(|part| part.both(|header| header.extra = field(0x5455, &[1, 0, 0, 0, 0]))),
        ),
        ("an archive inside", archive([Part::stored("a.zip", &inner)])),
        ("in another order", reordered(archive(plain.clone()))),
    ]
}

/// The directory names the second of two entries first.
fn reordered(mut archive: Archive) -> Archive {
    let [one, two] = &mut archive.parts[..] else { panic!("two entries are needed") };
    let second_at = 30 + one.local.name.len() + one.body.len();
    std::mem::swap(&mut one.central, &mut two.central);
    (one.offset, two.offset) = (Some(second_at as u32), Some(0));
    archive
}

#[test]
fn honest_archives_are_read_as_others_read_them() {
    for (name, archive) in archives() {
        let bytes = archive.bytes();
        let tree = strict(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(Some(&tree), independent(&bytes).as_ref(), "{name}");
    }
}

#[test]
fn folders_mean_nothing_and_bytes_come_back() {
    let bytes = archive([
        Part::folder("a/"),
        Part::stored("a/b", b"stored"),
        Part::deflated("c", &b"deflated ".repeat(100_000)),
    ])
    .bytes();
    let expected: Tree =
        [("a/b".to_owned(), b"stored".to_vec()), ("c".to_owned(), b"deflated ".repeat(100_000))]
            .into();
    assert_eq!(strict(&bytes).unwrap(), expected);
}
