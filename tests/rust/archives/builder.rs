//! Archives written field by field, so that each field can lie by itself.

use std::io::Write as _;

/// What both headers of an entry say.
#[derive(Clone)]
pub struct Header {
    pub needed: u16,
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub compressed: u32,
    pub size: u32,
    pub name: Vec<u8>,
    pub extra: Vec<u8>,
}

#[derive(Clone)]
pub struct Part {
    pub local: Header,
    pub central: Header,
    pub made_by: u16,
    pub disk: u16,
    pub attributes: u32,
    pub comment: Vec<u8>,
    /// Where the directory says that the entry is; else where it is.
    pub offset: Option<u32>,
    pub body: Vec<u8>,
    /// Follows the body.
    pub after: Vec<u8>,
}

pub const UTF_8: u16 = 1 << 11;
pub const DESCRIPTOR: u16 = 1 << 3;

impl Part {
    pub fn stored(name: &str, data: &[u8]) -> Self {
        Self::new(name, 0, data, data.to_vec())
    }

    pub fn deflated(name: &str, data: &[u8]) -> Self {
        Self::new(name, 8, data, deflate(data))
    }

    pub fn zstd(name: &str, data: &[u8]) -> Self {
        let frame = by_hand(0, &[window(23)], &[(RAW, data.len() as u32, data)]);
        Self::new(name, 93, data, frame)
    }

    pub fn folder(name: &str) -> Self {
        Self { attributes: 0o040_755 << 16 | 0x10, ..Self::stored(name, b"") }
    }

    fn new(name: &str, method: u16, data: &[u8], body: Vec<u8>) -> Self {
        let mut crc = flate2::Crc::new();
        crc.update(data);
        let header = Header {
            needed: 20,
            flags: if name.is_ascii() { 0 } else { UTF_8 },
            method,
            crc: crc.sum(),
            compressed: body.len() as u32,
            size: data.len() as u32,
            name: name.as_bytes().to_vec(),
            extra: Vec::new(),
        };
        Self {
            local: header.clone(),
            central: header,
            made_by: 3 << 8 | 20,
            disk: 0,
            attributes: 0o100_644 << 16,
            comment: Vec::new(),
            offset: None,
            body,
            after: Vec::new(),
        }
    }

    /// The same change in both headers.
    pub fn both(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.local);
        change(&mut self.central);
        self
    }

    pub fn local(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.local);
        self
    }

    pub fn central(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.central);
        self
    }

    pub fn attributes(self, attributes: u32) -> Self {
        Self { attributes, ..self }
    }

    /// Checksum and sizes follow the bytes, as a writer does that cannot go back.
    pub fn described(self, signed: bool) -> Self {
        let mut part = self.both(|header| header.flags |= DESCRIPTOR).local(|header| {
            (header.crc, header.compressed, header.size) = (0, 0, 0);
        });
        let Header { crc, compressed, size, .. } = part.central;
        part.after = if signed { b"PK\x07\x08".to_vec() } else { Vec::new() };
        for number in [crc, compressed, size] {
            part.after.extend(number.to_le_bytes());
        }
        part
    }

    /// The same with sizes of 64 bits in what follows.
    pub fn described_in_64_bits(self, signed: bool) -> Self {
        let Header { crc, compressed, size, .. } = self.central;
        let mut part = self.described(signed);
        part.after.truncate(part.after.len() - 12);
        part.after.extend(crc.to_le_bytes());
        for number in [compressed, size] {
            part.after.extend(u64::from(number).to_le_bytes());
        }
        part
    }

    /// A zip64 field before the bytes, whose sizes follow: a writer that cannot go back does
    /// not know yet what it will need.
    pub fn announced_as_zip64(self) -> Self {
        self.local(|header| {
            (header.size, header.compressed) = (u32::MAX, u32::MAX);
            header.extra = field(1, &[0; 16]);
        })
    }

    /// Sizes in zip64 fields, where 32 bits would do.
    pub fn zip64(self) -> Self {
        let (size, compressed) = (u64::from(self.local.size), u64::from(self.local.compressed));
        self.both(|header| {
            (header.size, header.compressed) = (u32::MAX, u32::MAX);
            let numbers = [size.to_le_bytes(), compressed.to_le_bytes()].concat();
            header.extra = field(1, &numbers);
        })
    }
}

pub fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub const RAW: u32 = 0;
pub const RUN: u32 = 1;

/// A zstd frame, field by field: the descriptor, the fields behind it, and blocks of
/// (kind, size, bytes).
pub fn by_hand(descriptor: u8, fields: &[u8], blocks: &[(u32, u32, &[u8])]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, descriptor];
    frame.extend(fields);
    for (at, (kind, size, bytes)) in blocks.iter().enumerate() {
        let last = u32::from(at + 1 == blocks.len());
        frame.extend(&(last | kind << 1 | size << 3).to_le_bytes()[..3]);
        frame.extend(*bytes);
    }
    frame
}

/// The field of a frame that looks back 2 to the power of `log` bytes.
pub fn window(log: u8) -> u8 {
    (log - 10) << 3
}

/// An extra field.
pub fn field(kind: u16, body: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &(body.len() as u16).to_le_bytes(), body].concat()
}

/// What the end records say; `None`: the truth.
#[derive(Clone, Default)]
pub struct End {
    pub disk: u16,
    pub entries_here: Option<u16>,
    pub entries: Option<u16>,
    pub size: Option<u32>,
    pub at: Option<u32>,
    /// With a zip64 end record; the change is made to its 56 bytes and the 20 of its locator.
    pub zip64: Option<fn(&mut [u8])>,
}

#[derive(Clone, Default)]
pub struct Archive {
    pub before: Vec<u8>,
    pub parts: Vec<Part>,
    /// Between the entries and the directory, and behind the directory.
    pub around_directory: [Vec<u8>; 2],
    pub end: End,
    /// Set as the comment's length, whatever follows.
    pub comment_length: u16,
    pub after: Vec<u8>,
}

pub fn archive(parts: impl IntoIterator<Item = Part>) -> Archive {
    Archive { parts: parts.into_iter().collect(), ..Archive::default() }
}

impl Archive {
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = self.before.clone();
        let mut offsets = Vec::new();
        for part in &self.parts {
            offsets.push(out.len() as u32);
            out.extend(b"PK\x03\x04");
            put_header(&mut out, &part.local);
            out.extend(&part.local.name);
            out.extend(&part.local.extra);
            out.extend(&part.body);
            out.extend(&part.after);
        }
        out.extend(&self.around_directory[0]);
        let directory_at = out.len();
        for (part, offset) in self.parts.iter().zip(offsets) {
            out.extend(b"PK\x01\x02");
            out.extend(part.made_by.to_le_bytes());
            put_header(&mut out, &part.central);
            out.extend((part.comment.len() as u16).to_le_bytes());
            out.extend(part.disk.to_le_bytes());
            out.extend([0, 0]);
            out.extend(part.attributes.to_le_bytes());
            out.extend(part.offset.unwrap_or(offset).to_le_bytes());
            out.extend(&part.central.name);
            out.extend(&part.central.extra);
            out.extend(&part.comment);
        }
        out.extend(&self.around_directory[1]);
        self.put_end(&mut out, directory_at);
        out.extend(&self.after);
        out
    }

    fn put_end(&self, out: &mut Vec<u8>, directory_at: usize) {
        let size = out.len() - directory_at;
        if let Some(change) = self.end.zip64 {
            let at = out.len() as u64;
            let mut records = b"PK\x06\x06".to_vec();
            records.extend(44_u64.to_le_bytes());
            records.extend([45, 3, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            for number in [self.parts.len(), self.parts.len(), size, directory_at] {
                records.extend((number as u64).to_le_bytes());
            }
            records.extend(b"PK\x06\x07\0\0\0\0");
            records.extend(at.to_le_bytes());
            records.extend(1_u32.to_le_bytes());
            change(&mut records);
            out.extend(records);
        }
        let entries = self.parts.len() as u16;
        out.extend(b"PK\x05\x06");
        out.extend(self.end.disk.to_le_bytes());
        out.extend([0, 0]);
        out.extend(self.end.entries_here.unwrap_or(entries).to_le_bytes());
        out.extend(self.end.entries.unwrap_or(entries).to_le_bytes());
        out.extend(self.end.size.unwrap_or(size as u32).to_le_bytes());
        out.extend(self.end.at.unwrap_or(directory_at as u32).to_le_bytes());
        out.extend(self.comment_length.to_le_bytes());
    }
}

/// The fields that both kinds of headers have, in the same order, up to the lengths.
fn put_header(out: &mut Vec<u8>, header: &Header) {
    for number in [header.needed, header.flags, header.method, 0, 0x21] {
        out.extend(number.to_le_bytes());
    }
    for number in [header.crc, header.compressed, header.size] {
        out.extend(number.to_le_bytes());
    }
    out.extend((header.name.len() as u16).to_le_bytes());
    out.extend((header.extra.len() as u16).to_le_bytes());
}
