//! The two headers of an entry: in the central directory, and before its bytes. What
//! both say must be the same.

use std::borrow::Cow;
use std::io::{Read, Seek};

use super::archive::{Entry, Refusal, read_at};
use super::fields::{ALL_32, Fields, zip64_of};
use crate::name::FilePath;

const CENTRAL: usize = 46;
pub(super) const LOCAL: usize = 30;

/// Flags that change nothing in what an entry means: how hard deflate tried (1, 2),
/// sizes that follow the bytes (3), and a name in UTF-8 (11).
const HARMLESS: u64 = 1 << 1 | 1 << 2 | DESCRIPTOR | UTF_8;
pub(super) const DESCRIPTOR: u64 = 1 << 3;
const UTF_8: u64 = 1 << 11;
const ENCRYPTED: u64 = 1 | 1 << 6 | 1 << 13;

/// The newest version of the format that Python's zipfile reads.
const NEWEST: u64 = 63;

/// Nothing, deflated: some writers give it to folders.
pub(super) const EMPTY: [u8; 2] = [3, 0];

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Folder,
}

/// How the bytes of an entry are kept (APPNOTE 4.4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Stored,
    Deflated,
    Zstd,
}

impl Method {
    /// The one with this number, if it is known.
    pub(super) fn of(number: u64) -> Option<Self> {
        [Self::Stored, Self::Deflated, Self::Zstd].into_iter().find(|it| it.number() == number)
    }

    fn number(self) -> u64 {
        match self {
            Self::Stored => 0,
            Self::Deflated => 8,
            Self::Zstd => 93,
        }
    }
}

/// An entry as the central directory tells it.
#[derive(Debug)]
pub(super) struct Central {
    pub path: FilePath,
    pub kind: EntryKind,
    pub method: Method,
    pub crc: u64,
    pub compressed: u64,
    pub size: u64,
    pub offset: u64,
    pub has_descriptor: bool,
    /// Somebody may run it, as far as a Unix mode tells.
    pub executable: bool,
    flags: u64,
}

/// What is known only from the header before an entry.
pub(super) struct Local {
    /// Where the bytes begin.
    pub at: u64,
    /// Sizes that follow the bytes have 64 bits.
    pub is_zip64: bool,
}

impl Central {
    /// Takes one header off the front of `bytes`.
    pub fn take(bytes: &mut &[u8]) -> Result<Self, Refusal> {
        let cut = || Refusal::Rule("has a directory that is damaged or cut off".to_owned());
        let (head, rest) = bytes.split_at_checked(CENTRAL).ok_or_else(cut)?;
        if !head.starts_with(b"PK\x01\x02") {
            return Err(cut());
        }
        let fields = Fields(head);
        let (raw_name, rest) = rest.split_at_checked(fields.u16(28) as usize).ok_or_else(cut)?;
        let (extra, rest) = rest.split_at_checked(fields.u16(30) as usize).ok_or_else(cut)?;
        *bytes = rest;

        let flags = fields.u16(8);
        let name = text_of(raw_name, flags)?;
        let refuse = |why: &str| Err(Refusal::Rule(format!("holds {name:?} {why}")));
        let kind = if name.ends_with('/') { EntryKind::Folder } else { EntryKind::File };
        let path = FilePath::new(name.strip_suffix('/').unwrap_or(name))
            .and_then(|path| path.is_composed().map(|()| path))
            .map_err(|why| Refusal::Rule(format!("holds a name that is not allowed: {why}")))?;
        if flags & ENCRYPTED != 0 {
            return refuse("encrypted");
        }
        if flags & !HARMLESS != 0 {
            return refuse(&format!("with flags that are not known ({flags:#06x})"));
        }
        if fields.u16(32) != 0 {
            return refuse("with a comment, in which anything could hide");
        }
        if fields.u16(6) & 0xff > NEWEST || fields.u16(34) != 0 {
            return refuse("in a form of a later version, or in another part");
        }
        if let Err(why) = check_kind(fields.u32(38), kind) {
            return refuse(why);
        }
        let number = fields.u16(10);
        let Some(method) = Method::of(number) else {
            return refuse(&format!("in an unknown compression (method {number})"));
        };
        let (size, compressed, offset) =
            exact(zip64_of(extra, name)?, fields.u32(24), fields.u32(20), fields.u32(42))
                .ok_or_else(|| {
                    Refusal::Rule(format!("holds {name:?} with a zip64 field that lies"))
                })?;
        if method == Method::Stored && size != compressed {
            return refuse("stored, but in two sizes");
        }
        let (crc, has_descriptor) = (fields.u32(16), flags & DESCRIPTOR != 0);
        if kind == EntryKind::Folder && (size != 0 || crc != 0 || compressed > EMPTY.len() as u64) {
            return refuse("as a folder that has bytes");
        }
        Ok(Self {
            path,
            kind,
            method,
            crc,
            compressed,
            size,
            offset,
            has_descriptor,
            executable: fields.u32(38) >> 16 & 0o111 != 0,
            flags,
        })
    }

    /// Reads the local header and compares it.
    pub fn check_local<R: Read + Seek>(&self, reader: &mut R) -> Result<Local, Refusal> {
        let refuse = |why: &str| Err(Refusal::Rule(format!("holds {} {why}", self.path)));
        let mut head = [0; LOCAL];
        read_at(reader, self.offset, &mut head)?;
        if !head.starts_with(b"PK\x03\x04") {
            return refuse("at another place than its directory says");
        }
        let fields = Fields(&head);
        let (name_length, extra_length) = (fields.u16(26), fields.u16(28));
        let own_name = self.raw_name();
        if name_length as usize != own_name.len() {
            return refuse("under another name than its directory says");
        }
        let mut more = vec![0; (name_length + extra_length) as usize];
        // Directly behind the header; `read_at` would seek, and drop what is buffered.
        reader.read_exact(&mut more).map_err(Refusal::from_read)?;
        let (raw_name, extra) = more.split_at(own_name.len());
        if raw_name != own_name.as_bytes() {
            return refuse("under another name than its directory says");
        }
        let is_same = fields.u16(6) == self.flags && fields.u16(8) == self.method.number();
        if !is_same || fields.u16(4) & 0xff > NEWEST {
            return refuse("in another form than its directory says");
        }
        let zip64 = zip64_of(extra, self.path.as_str())?;
        let Some((size, compressed)) = local_sizes(zip64, fields.u32(22), fields.u32(18)) else {
            return refuse("with a zip64 field that lies");
        };
        let same =
            |local: u64, central: u64| local == central || (self.has_descriptor && local == 0);
        if !same(size, self.size)
            || !same(compressed, self.compressed)
            || !same(fields.u32(14), self.crc)
        {
            return refuse("in another size or with another checksum than its directory says");
        }
        // Some writers leave the field out where they do not know yet that they need it.
        let is_zip64 = zip64.is_some() || self.size >= ALL_32 || self.compressed >= ALL_32;
        Ok(Local { at: self.offset + LOCAL as u64 + name_length + extra_length, is_zip64 })
    }

    /// The path as the archive spells it: that of a folder ends in a slash.
    fn raw_name(&self) -> Cow<'_, str> {
        match self.kind {
            EntryKind::File => Cow::Borrowed(self.path.as_str()),
            EntryKind::Folder => Cow::Owned(format!("{}/", self.path)),
        }
    }

    /// Where its bytes are, which begin at `at`.
    pub fn entry(&self, at: u64) -> Entry {
        Entry {
            size: self.size,
            executable: self.executable,
            method: self.method,
            crc: self.crc as u32,
            compressed: self.compressed,
            at,
        }
    }

    /// True for what may follow the bytes of an entry that has a descriptor: checksum and
    /// sizes once more, with or without a signature. Who reads from the front knows only by
    /// `local` where it ends, and by its first bytes whether there is a signature.
    pub fn is_descriptor(&self, bytes: &[u8], local: &Local) -> bool {
        let numbers = bytes.strip_prefix(b"PK\x07\x08").unwrap_or(bytes);
        let fields = Fields(numbers);
        let (compressed, size) = match (numbers.len(), local.is_zip64) {
            (12, false) => (fields.u32(4), fields.u32(8)),
            (20, true) => (fields.u64(4), fields.u64(12)),
            _ => return false,
        };
        (fields.u32(0), compressed, size) == (self.crc, self.compressed, self.size)
    }
}

/// The name as text. Without the flag for UTF-8, a name is in a code page that readers
/// do not agree on, so that it must be ASCII.
fn text_of(raw: &[u8], flags: u64) -> Result<&str, Refusal> {
    let shown = raw.escape_ascii();
    match std::str::from_utf8(raw) {
        Ok(text) if flags & UTF_8 != 0 || text.is_ascii() => Ok(text),
        Ok(_) => Err(Refusal::Rule(format!(
            "holds the name \"{shown}\" without saying how it is written"
        ))),
        Err(_) => Err(Refusal::Rule(format!("holds a name that is not UTF-8: \"{shown}\""))),
    }
}

/// Permissions are never looked at, but what claims to be a link or a device is not
/// passed off as a file.
fn check_kind(attributes: u64, kind: EntryKind) -> Result<(), &'static str> {
    const DOS_LABEL: u64 = 0x08;
    const DOS_FOLDER: u64 = 0x10;
    const WINDOWS_LINK: u64 = 0x400;
    let unix = attributes >> 28;
    let unix_kind = match kind {
        EntryKind::Folder => 0o04,
        EntryKind::File => 0o10,
    };
    if unix == 0o12 || attributes & WINDOWS_LINK != 0 {
        return Err("as a symbolic link");
    }
    if (unix != 0 && unix != unix_kind)
        || attributes & DOS_LABEL != 0
        || (kind == EntryKind::File && attributes & DOS_FOLDER != 0)
    {
        return Err("as something other than a plain file");
    }
    Ok(())
}

/// Size, compressed size and offset of a central header: the zip64 field holds exactly
/// those that do not fit, in this order.
fn exact(zip64: Option<&[u8]>, size: u64, compressed: u64, offset: u64) -> Option<(u64, u64, u64)> {
    let mut rest = zip64.unwrap_or_default();
    let mut next = |small: u64| {
        if small != ALL_32 {
            return Some(small);
        }
        let (value, after) = rest.split_at_checked(8)?;
        rest = after;
        Some(Fields(value).u64(0))
    };
    let numbers = (next(size)?, next(compressed)?, next(offset)?);
    rest.is_empty().then_some(numbers)
}

/// Size and compressed size of a local header: the zip64 field holds both or neither. Some
/// writers say them in both places, and then must not contradict themselves.
fn local_sizes(zip64: Option<&[u8]>, size: u64, compressed: u64) -> Option<(u64, u64)> {
    let Some(field) = zip64 else {
        return (size != ALL_32 && compressed != ALL_32).then_some((size, compressed));
    };
    let numbers = (Fields(field).u64(0), Fields(field).u64(8));
    let agrees = |small: u64, exact: u64| small == ALL_32 || small == exact;
    (field.len() == 16 && agrees(size, numbers.0) && agrees(compressed, numbers.1))
        .then_some(numbers)
}
