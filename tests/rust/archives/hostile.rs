//! One archive for every rule, and the sentence with which it is refused.

use magic_module::error::Kind;
use magic_module::unpack::Limits;

use super::builder::{Archive, End, Part, RAW, RUN, UTF_8, archive, by_hand, field, window};
use super::{LABEL, strict, within};

/// Name, what the refusal says, and the archive.
type Case = (&'static str, &'static str, Archive);

const OVERLAP: &str = "in bytes of another entry";
const STRAY: &str = "unknown bytes behind";
const ZIP64_LIES: &str = "zip64 field that lies";
const LOCAL_DIFFERS: &str = "than its directory says";

fn named(name: &str) -> Archive {
    archive([Part::stored(name, b"1")])
}

fn raw_name(name: &[u8], flags: u16) -> Archive {
    archive([Part::stored("x", b"1").both(|header| {
        header.name = name.to_vec();
        header.flags = flags;
    })])
}

fn two(one: &str, other: &str) -> Archive {
    archive([Part::stored(one, b"1"), Part::stored(other, b"2")])
}

fn one(change: impl FnOnce(Part) -> Part) -> Archive {
    archive([change(Part::deflated("a.txt", &b"some text, ".repeat(50)))])
}

fn ended(end: End) -> Archive {
    Archive { end, ..named("a") }
}

/// Every hostile archive; they are the fuzzing corpus, too.
pub fn cases() -> Vec<Case> {
    [names(), pairs(), kinds(), headers(), frames(), layout(), ends(), zip64()].concat()
}

fn names() -> Vec<Case> {
    vec![
        ("parent", "leaves its folder", named("../a")),
        ("parent inside", "leaves its folder", named("a/../../b")),
        ("current folder", "leaves its folder", named("./a")),
        ("absolute", "is absolute", named("/etc/passwd")),
        ("drive", "Windows does not allow", named("C:/a")),
        ("drive, relative", "Windows does not allow", named("C:a")),
        ("UNC", "is absolute", named("//server/share/a")),
        ("UNC, Windows", "Windows does not allow", named("\\\\server\\share\\a")),
        ("backslash", "Windows does not allow", named("a\\..\\b")),
        ("stream", "Windows does not allow", named("a.txt:hidden")),
        ("wildcard", "Windows does not allow", named("a*")),
        ("reserved", "reserved on Windows", named("a/NUL")),
        ("reserved, with a suffix", "reserved on Windows", named("aux.txt")),
        ("reserved, superscript", "reserved on Windows", named("COM¹.log")),
        ("trailing dot", "ends in a dot or a space", named("a./b")),
        ("trailing space", "ends in a dot or a space", named("a ")),
        ("line feed", "control or direction", named("a\nb")),
        ("NUL byte", "control or direction", named("a.py\0.txt")),
        ("delete", "control or direction", named("a\u{7f}")),
        ("control, second block", "control or direction", named("a\u{85}b")),
        ("right to left", "control or direction", named("a\u{202e}yp.txt")),
        ("isolate", "control or direction", named("a\u{2066}b")),
        ("invisible", "control or direction", named("a\u{200b}b")),
        ("byte order mark", "control or direction", named("\u{feff}a")),
        ("decomposed", "not in Unicode normal form C", named("e\u{301}")),
        ("empty part", "has an empty part", named("a//b")),
        ("no name", "path of 0 bytes", named("")),
        ("only a slash", "path of 0 bytes", named("/")),
        ("long", "path of 1203 bytes", named(&["abc"; 301].join("/"))),
        ("long part", "more than 255 bytes", named(&"a".repeat(256))),
        ("not UTF-8", "not UTF-8", raw_name(b"caf\xe9", 0)),
        ("not UTF-8, flagged", "not UTF-8", raw_name(b"caf\xe9", UTF_8)),
        ("overlong UTF-8", "not UTF-8", raw_name(b"\xc0\xae\xc0\xae/a", UTF_8)),
        ("surrogate", "not UTF-8", raw_name(b"\xed\xa0\x80", UTF_8)),
        ("unflagged", "without saying how it is written", raw_name("é".as_bytes(), 0)),
    ]
}

fn pairs() -> Vec<Case> {
    vec![
        ("duplicate", "twice", two("a", "a")),
        ("duplicate folder", "twice", archive([Part::folder("a/"), Part::folder("a/")])),
        ("case", "take for one", two("Read.me", "read.me")),
        ("case of a folder", "take for one", two("A/x", "a/y")),
        ("Unicode form", "take for one", two("ﬁle", "file")),
        ("upper case", "take for one", two("σ", "ς")),
        ("sharp s", "take for one", two("straße", "STRASSE")),
        ("file below a file", "as a file and as a folder", two("a", "a/b")),
        ("file over a folder", "as a file and as a folder", two("a/b/c", "a")),
        (
            "file and folder",
            "as a file and as a folder",
            archive([Part::stored("a", b""), Part::folder("a/")]),
        ),
    ]
}

fn kinds() -> Vec<Case> {
    let mode = |mode: u32| one(|part| part.attributes(mode << 16));
    let flagged = |flags: u16| one(|part| part.both(|header| header.flags |= flags));
    let method = |method: u16| one(|part| part.both(|header| header.method = method));
    vec![
        ("symlink", "symbolic link", mode(0o120_777)),
        (
            "symlink of another system",
            "symbolic link",
            one(|part| Part { made_by: 20, ..part.attributes(0o120_777 << 16) }),
        ),
        ("reparse point", "symbolic link", one(|part| part.attributes(0x400))),
        ("fifo", "other than a plain file", mode(0o010_644)),
        ("device", "other than a plain file", mode(0o060_644)),
        ("socket", "other than a plain file", mode(0o140_644)),
        ("folder without a slash", "other than a plain file", mode(0o040_755)),
        ("folder, as DOS says it", "other than a plain file", one(|part| part.attributes(0x10))),
        ("volume label", "other than a plain file", one(|part| part.attributes(0x08))),
        ("file with a slash", "other than a plain file", archive([Part::stored("a/", b"")])),
        (
            "folder with bytes",
            "a folder that has bytes",
            archive([Part { attributes: 0x10, ..Part::stored("a/", b"1") }]),
        ),
        (
            "folder with hidden bytes",
            "a folder that has bytes",
            archive([Part {
                attributes: 0x10,
                body: b"\x03\x01".to_vec(),
                ..Part::deflated("a/", b"")
            }]),
        ),
        (
            "folder with many hidden bytes",
            "a folder that has bytes",
            archive([Part {
                attributes: 0x10,
                body: b"hidden".to_vec(),
                ..Part::deflated("a/", b"")
            }
            .both(|header| header.compressed = 6)]),
        ),
        (
            "folder with a checksum",
            "a folder that has bytes",
            archive([Part::folder("a/").both(|header| header.crc = 1)]),
        ),
        ("encrypted", "encrypted", flagged(1)),
        ("strongly encrypted", "encrypted", flagged(1 << 6)),
        ("masked", "encrypted", flagged(1 << 13)),
        ("patch data", "flags that are not known", flagged(1 << 5)),
        ("unknown flag", "flags that are not known", flagged(1 << 15)),
        (
            "AES",
            "encryption in its extra",
            one(|part| part.both(|header| header.extra = field(0x9901, &[2, 0, 65, 69, 3, 8, 0]))),
        ),
        ("bzip2", "method 12", method(12)),
        ("LZMA", "method 14", method(14)),
        ("zstd that is none", "something else than a zstd frame", method(93)),
        ("deflate64", "method 9", method(9)),
        ("later version", "later version", one(|part| part.both(|header| header.needed = 64))),
    ]
}

/// An entry whose bytes are these, in place of a frame with `b"some text"`.
fn in_frame(frame: Vec<u8>) -> Archive {
    let compressed = frame.len() as u32;
    let part = Part { body: frame, ..Part::zstd("a.txt", b"some text") };
    archive([part.both(|header| header.compressed = compressed)])
}

fn frames() -> Vec<Case> {
    let text: &[u8] = b"some text";
    let raw = (RAW, text.len() as u32, text);
    let good = by_hand(0, &[window(23)], &[raw]);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"evil"].concat();
    let large = by_hand(0, &[window(24)], &[raw]);
    let one_segment = by_hand(0b1010_0000, &(9_u32 << 20).to_le_bytes(), &[raw]);
    let cut = good[..good.len() - 1].to_vec();
    vec![
        ("a window of 16 MiB", "too much memory", in_frame(large)),
        ("one segment of 9 MiB", "too much memory", in_frame(one_segment)),
        ("a dictionary", "Dictionary", in_frame(by_hand(1, &[window(23), 7], &[raw]))),
        ("a block of no kind", "damaged compression", {
            in_frame(by_hand(0, &[window(23)], &[(3, text.len() as u32, text)]))
        }),
        ("a frame cut off", "compression that is cut off", in_frame(cut)),
        ("two frames", "behind the compressed bytes", in_frame([&good[..], &good].concat())),
        ("a skippable frame behind", "behind the compressed bytes", {
            in_frame([&good[..], &skippable].concat())
        }),
        ("a skippable frame before", "something else than a zstd frame", {
            in_frame([&skippable[..], &good].concat())
        }),
        ("a frame of three bytes", "something else than a zstd frame", {
            in_frame(good[..3].to_vec())
        }),
        (
            "less in a frame",
            "less of a.txt",
            in_frame(by_hand(0, &[window(23)], &[(RAW, 4, b"some")])),
        ),
        ("a bomb in a frame", "more of a.txt", {
            in_frame(by_hand(0, &[window(23)], &vec![(RUN, 128 << 10, &b"0"[..]); 64]))
        }),
    ]
}

fn headers() -> Vec<Case> {
    let hidden_end = [b"PK\x05\x06".as_slice(), &[0; 18]].concat();
    vec![
        ("checksum", "wrong checksum", one(|part| part.both(|header| header.crc ^= 1))),
        (
            "checksum of a stored file",
            "wrong checksum",
            archive([Part::stored("a", b"1").both(|header| header.crc ^= 1)]),
        ),
        ("less than declared", "less of a.txt", one(|part| part.both(|header| header.size += 1))),
        ("more than declared", "more of a.txt", one(|part| part.both(|header| header.size -= 1))),
        (
            "stored in two sizes",
            "in two sizes",
            archive([Part::stored("a", b"12").both(|header| header.size = 1)]),
        ),
        (
            "damaged",
            "damaged compression",
            one(|part| Part { body: vec![0xff; part.body.len()], ..part }),
        ),
        (
            "cut off",
            "compression that is cut off",
            one(|mut part| {
                part.body.pop();
                part.both(|header| header.compressed -= 1)
            }),
        ),
        (
            "bytes behind the compression",
            "behind the compressed bytes",
            one(|mut part| {
                part.body.extend(b"hidden");
                part.both(|header| header.compressed += 6)
            }),
        ),
        (
            "another name",
            LOCAL_DIFFERS,
            one(|part| part.local(|header| header.name = b"b.txt".to_vec())),
        ),
        (
            "a longer name",
            LOCAL_DIFFERS,
            one(|part| part.local(|header| header.name = b"a.txt.py".to_vec())),
        ),
        ("another size", LOCAL_DIFFERS, one(|part| part.local(|header| header.size += 1))),
        (
            "another compressed size",
            LOCAL_DIFFERS,
            one(|part| part.local(|header| header.compressed -= 1)),
        ),
        ("another checksum", LOCAL_DIFFERS, one(|part| part.local(|header| header.crc ^= 1))),
        ("another method", LOCAL_DIFFERS, one(|part| part.local(|header| header.method = 0))),
        ("another flag", LOCAL_DIFFERS, one(|part| part.local(|header| header.flags |= 1))),
        (
            "later version inside",
            LOCAL_DIFFERS,
            one(|part| part.local(|header| header.needed = 99)),
        ),
        ("comment", "with a comment", one(|part| Part { comment: b"hello".to_vec(), ..part })),
        (
            "end record in a comment",
            "with a comment",
            one(|part| Part { comment: hidden_end.clone(), ..part }),
        ),
        (
            "end record in an extra field",
            "hidden in its extra",
            one(|part| part.central(|header| header.extra = field(0xcafe, &hidden_end))),
        ),
        (
            "second name",
            "second name",
            one(|part| part.both(|header| header.extra = field(0x7075, b"\x01\0\0\0\0b.txt"))),
        ),
        (
            "cut extra field",
            "damaged extra fields",
            one(|part| part.both(|header| header.extra = vec![0xfe, 0xca, 9, 0, 1])),
        ),
        (
            "half an extra field",
            "damaged extra fields",
            one(|part| part.both(|header| header.extra = vec![0xfe])),
        ),
        ("another disk", "another part", one(|part| Part { disk: 1, ..part })),
        ("no descriptor", STRAY, one(|part| Part { after: Vec::new(), ..part.described(true) })),
        (
            "descriptor that lies",
            STRAY,
            one(|part| {
                let mut part = part.described(true);
                part.after[8] ^= 1;
                part
            }),
        ),
        (
            "a checksum like a descriptor's signature",
            STRAY,
            archive([Part::stored("a.txt", b"\xac\x0a\x7a\xd5").described(false)]),
        ),
        ("64 bits in a small entry", STRAY, one(|part| part.described_in_64_bits(true))),
        ("64 bits in a small entry, unsigned", STRAY, one(|part| part.described_in_64_bits(false))),
        ("32 bits in a zip64 entry", STRAY, one(|part| part.described(true).announced_as_zip64())),
        (
            "32 bits in a zip64 entry, unsigned",
            STRAY,
            one(|part| part.described(false).announced_as_zip64()),
        ),
        (
            "unannounced descriptor",
            STRAY,
            one(|part| Part { after: part.clone().described(true).after, ..part }),
        ),
    ]
}

fn layout() -> Vec<Case> {
    let plain = || two("a", "b");
    let mut same_bytes = plain();
    same_bytes.parts[1].offset = Some(0);
    let mut nested = plain();
    // The second entry begins inside of the bytes of the first.
    let inner = archive([Part::stored("b", b"2")]).bytes();
    let local = inner[..32].to_vec();
    nested.parts = vec![Part::stored("a", &local), Part::stored("b", b"2")];
    let mut quoted = archive([nested.parts[0].clone(), nested.parts[1].clone()]);
    quoted.parts[1].offset = Some(31);
    let mut nowhere = plain();
    nowhere.parts[1].offset = Some(1 << 30);
    let mut into_directory = plain();
    into_directory.parts[1] = into_directory.parts[1].clone().both(|header| {
        (header.compressed, header.size) = (40, 40);
    });
    let mut gap = plain();
    gap.parts[0].after = b"hidden".to_vec();
    vec![
        (
            "prefix",
            "before its first entry",
            Archive { before: b"#!/bin/sh\n".to_vec(), ..plain() },
        ),
        (
            "executable prefix, offsets untouched",
            "does not end where its end record begins",
            Archive {
                before: b"MZ".to_vec(),
                end: End { at: Some(64), ..End::default() },
                ..plain()
            },
        ),
        ("one entry for two names", OVERLAP, same_bytes),
        ("entry in an entry", OVERLAP, quoted),
        ("entry that is not there", STRAY, nowhere),
        ("entry over the directory", OVERLAP, into_directory),
        ("gap", STRAY, gap),
        (
            "bytes before the directory",
            STRAY,
            Archive { around_directory: [b"hidden".to_vec(), Vec::new()], ..plain() },
        ),
        (
            "bytes behind the directory",
            "more in its directory",
            Archive { around_directory: [Vec::new(), b"hidden".to_vec()], ..plain() },
        ),
        (
            "trailing bytes",
            "ends with its end record",
            Archive { after: b"hidden".to_vec(), ..plain() },
        ),
        (
            "comment of the archive",
            "ends with its end record",
            Archive { comment_length: 6, after: b"hidden".to_vec(), ..plain() },
        ),
        (
            "comment that is announced",
            "ends with its end record",
            Archive { comment_length: 1, ..plain() },
        ),
    ]
}

fn ends() -> Vec<Case> {
    let plain = named("a").bytes();
    let end = plain[plain.len() - 22..].to_vec();
    vec![
        (
            "two end records",
            "does not end where its end record begins",
            Archive { after: end.clone(), ..named("a") },
        ),
        (
            "end record as comment",
            "does not end where its end record begins",
            Archive { comment_length: 22, after: end, ..named("a") },
        ),
        (
            "two archives",
            "does not end where its end record begins",
            Archive { before: plain, end: End { at: Some(32), ..End::default() }, ..named("b") },
        ),
        (
            "more entries than counted",
            "more in its directory",
            Archive {
                end: End { entries: Some(1), entries_here: Some(1), ..End::default() },
                ..two("a", "b")
            },
        ),
        (
            "fewer entries than counted",
            "damaged or cut off",
            ended(End { entries: Some(2), entries_here: Some(2), ..End::default() }),
        ),
        ("parts", "several parts", ended(End { disk: 1, ..End::default() })),
        (
            "entries elsewhere",
            "several parts",
            ended(End { entries_here: Some(0), ..End::default() }),
        ),
        (
            "directory elsewhere",
            "does not end where its end record begins",
            ended(End { at: Some(7), ..End::default() }),
        ),
        (
            "larger directory",
            "does not end where its end record begins",
            ended(End { size: Some(1 << 20), ..End::default() }),
        ),
        (
            "directory out of range",
            "does not end where its end record begins",
            ended(End { at: Some(u32::MAX - 1), ..End::default() }),
        ),
    ]
}

fn zip64() -> Vec<Case> {
    let changed = |change: fn(&mut [u8])| ended(End { zip64: Some(change), ..End::default() });
    let extra = |extra: Vec<u8>| one(|part| part.central(|header| header.extra = extra.clone()));
    vec![
        (
            "no zip64 end",
            "zip64 end record that is not there",
            ended(End { at: Some(u32::MAX), ..End::default() }),
        ),
        ("zip64 end elsewhere", "right before its end", changed(|records| records[64] ^= 1)),
        ("zip64 end of another length", "damaged zip64 end", changed(|records| records[4] += 1)),
        ("zip64 end, unsigned", "damaged zip64 end", changed(|records| records[0] = b'p')),
        (
            "zip64 end, another count",
            "contradict each other",
            changed(|records| {
                records[24] += 1;
                records[32] += 1;
            }),
        ),
        ("zip64 end, two counts", "several parts", changed(|records| records[24] += 1)),
        ("zip64 end, another place", "contradict each other", changed(|records| records[48] ^= 1)),
        ("zip64 end, several disks", "right before its end", changed(|records| records[72] = 2)),
        ("zip64 field without need", ZIP64_LIES, extra(field(1, &[0; 16]))),
        (
            "zip64 field too short",
            ZIP64_LIES,
            one(|part| {
                part.central(|header| {
                    header.size = u32::MAX;
                    header.extra = field(1, &[0; 4]);
                })
            }),
        ),
        (
            "zip64 field too long",
            ZIP64_LIES,
            one(|part| part.zip64().central(|header| header.extra = field(1, &[0; 28]))),
        ),
        (
            "zip64 field missing",
            ZIP64_LIES,
            one(|part| part.central(|header| header.size = u32::MAX)),
        ),
        (
            "two zip64 fields",
            "two zip64 fields",
            one(|part| part.zip64().both(|header| header.extra = header.extra.repeat(2))),
        ),
        (
            "zip64 field of the local header",
            ZIP64_LIES,
            one(|part| part.local(|header| header.extra = field(1, &[0; 16]))),
        ),
        (
            "zip64 size that differs",
            LOCAL_DIFFERS,
            one(|part| part.zip64().local(|header| header.extra[4] ^= 1)),
        ),
        (
            "zip64 size out of range",
            OVERLAP,
            one(|part| {
                part.zip64().both(|header| {
                    let size = header.extra[4..12].to_vec();
                    header.extra = field(1, &[size, vec![0xff; 8]].concat());
                })
            }),
        ),
    ]
}

#[test]
fn every_rule_has_an_archive_that_breaks_it() {
    for (name, says, archive) in cases() {
        let error = match strict(&archive.bytes()) {
            Ok(tree) => panic!("{name}: read as {:?}", tree.keys()),
            Err(error) => error,
        };
        assert_eq!(error.kind(), Kind::Integrity, "{name}: {error}");
        let text = error.to_string();
        assert!(text.starts_with(&format!("the pack {LABEL} ")), "{name}: {text}");
        assert!(text.contains(says), "{name}: {text}");
        assert!(text.ends_with("publish it again; none of it was used"), "{name}: {text}");
        assert!(!text.contains(char::is_control), "{name}: {text:?}");
    }
    println!("{} hostile archives refused, with the rule", cases().len());
}

#[test]
fn an_archive_holds_no_more_than_was_declared() {
    let bytes = two("a", "b").bytes();
    assert!(within(&bytes, &Limits { entries: 2, bytes: 2 }).is_ok());
    for (limits, says) in [
        (Limits { entries: 1, bytes: 2 }, "holds 2 entries, but 1 are declared"),
        (Limits { entries: 2, bytes: 1 }, "unpacks to 2 bytes, but 1 are declared"),
    ] {
        let error = within(&bytes, &limits).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity);
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn cut_anywhere_an_archive_is_refused() {
    let bytes = two("a", "b").bytes();
    for length in 0..bytes.len() {
        let error = strict(&bytes[..length]).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{length}: {error}");
    }
}
