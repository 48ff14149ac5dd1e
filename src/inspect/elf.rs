//! Which libraries a shared library needs, and where it looks for them (ELF).
//!
//! ```text
//! header ─ program headers ─▶ PT_LOAD     which part of the file an address is
//!                          └▶ PT_DYNAMIC  DT_NEEDED, DT_RPATH, DT_RUNPATH ─ DT_STRTAB ─▶ texts
//! ```
//!
//! Only this much of the format is read, a few kilobytes of a file of any size; whatever is odd in
//! it comes to the same as a file that needs nothing.
//!
//! <https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html>

use std::io::{self, Read, Seek, SeekFrom};

/// What a library says of others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Libraries {
    /// File names, such as `libx.so.1`.
    pub needed: Vec<String>,
    /// Where it looks first, such as `$ORIGIN/../x.libs`.
    pub search: Vec<String>,
}

/// The largest dynamic section and table of texts that are read, in bytes.
const LIMIT: u64 = 8 << 20;
const HEADERS: usize = 256;

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;

impl Libraries {
    /// `None`: it is no such file, or not one that can be read.
    pub fn read(file: &mut (impl Read + Seek)) -> Option<Self> {
        let head = bytes(file, 0, 64).ok()?;
        let format = Format::of(&head)?;
        let wide = format.wide;
        let (at, size, count) = match wide {
            true => (format.word(&head, 32)?, format.half(&head, 54)?, format.half(&head, 56)?),
            false => (format.word(&head, 28)?, format.half(&head, 42)?, format.half(&head, 44)?),
        };
        let (size, count) = (usize::from(size), usize::from(count).min(HEADERS));
        let table = bytes(file, at, (size * count) as u64).ok()?;
        let mut loaded = Vec::new();
        let mut dynamic = None;
        for header in table.chunks_exact(size.max(1)) {
            let kind = u64::from(format.double(header, 0)?);
            let (offset, address, length) = match wide {
                true => {
                    (format.word(header, 8)?, format.word(header, 16)?, format.word(header, 32)?)
                }
                false => {
                    (format.word(header, 4)?, format.word(header, 8)?, format.word(header, 16)?)
                }
            };
            match kind {
                PT_LOAD => loaded.push((address, offset, length)),
                PT_DYNAMIC => dynamic = Some((offset, length)),
                _ => {}
            }
        }
        let (offset, length) = dynamic?;
        let section = bytes(file, offset, length).ok()?;
        let step = if wide { 16 } else { 8 };
        let entries = section.chunks_exact(step).map_while(|entry| {
            let (tag, value) = (format.word(entry, 0)?, format.word(entry, step / 2)?);
            (tag != 0).then_some((tag, value))
        });
        let entries: Vec<(u64, u64)> = entries.collect();
        let one = |wanted| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
        let (at, length) = (one(DT_STRTAB)?, one(DT_STRSZ)?);
        let (address, offset, _) = loaded
            .iter()
            .find(|(from, _, length)| (*from..from.saturating_add(*length)).contains(&at))?;
        let texts = bytes(file, offset.checked_add(at - address)?, length).ok()?;
        let text = |at: u64| {
            let rest = texts.get(usize::try_from(at).ok()?..)?;
            let end = rest.iter().position(|byte| *byte == 0)?;
            std::str::from_utf8(&rest[..end]).ok().map(str::to_owned)
        };
        let all = |wanted| entries.iter().filter(move |(tag, _)| *tag == wanted);
        // Where there is a RUNPATH, the RPATH does not count.
        let search = one(DT_RUNPATH).or_else(|| one(DT_RPATH)).and_then(text).unwrap_or_default();
        let search = search.split(':').filter(|it| !it.is_empty()).map(str::to_owned).collect();
        Some(Self { needed: all(DT_NEEDED).filter_map(|(_, at)| text(*at)).collect(), search })
    }
}

fn bytes(file: &mut (impl Read + Seek), at: u64, length: u64) -> io::Result<Vec<u8>> {
    if length > LIMIT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// How numbers are written.
#[derive(Clone, Copy)]
struct Format {
    /// 64 bits.
    wide: bool,
    little: bool,
}

impl Format {
    fn of(head: &[u8]) -> Option<Self> {
        let rest = head.strip_prefix(b"\x7fELF")?;
        let wide = match rest.first()? {
            1 => false,
            2 => true,
            _ => return None,
        };
        let little = match rest.get(1)? {
            1 => true,
            2 => false,
            _ => return None,
        };
        Some(Self { wide, little })
    }

    fn half(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn double(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }

    /// As long as an address is.
    fn word(self, bytes: &[u8], at: usize) -> Option<u64> {
        if !self.wide {
            return self.double(bytes, at).map(u64::from);
        }
        let bytes = bytes.get(at..at + 8)?.try_into().ok()?;
        Some(if self.little { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A library with one segment, which is the file itself.
    fn library(wide: bool, little: bool, search: u64) -> Vec<u8> {
        let texts = b"\0libx.so.1\0$ORIGIN/../x.libs:/opt\0";
        let number = |value: u64, bytes: usize| {
            let all = value.to_le_bytes();
            let mut number = all[..bytes].to_vec();
            if !little {
                number.reverse();
            }
            number
        };
        let word = if wide { 8 } else { 4 };
        let (head, entry) = if wide { (64, 56) } else { (52, 32) };
        let dynamic = head + 2 * entry;
        let size = 5 * 2 * word as u64;
        let strings = dynamic + size;
        let end = strings + texts.len() as u64;
        let mut file = vec![0x7f, b'E', b'L', b'F', 1 + u8::from(wide), 2 - u8::from(little), 1];
        file.resize(16, 0);
        file.extend([number(3, 2), number(62, 2), number(1, 4), number(0, word)].concat());
        file.extend([number(head, word), number(0, word), number(0, 4)].concat());
        file.extend([number(head, 2), number(entry, 2), number(2, 2)].concat());
        file.resize(head as usize, 0);
        for (kind, at, length) in [(PT_LOAD, 0, end), (PT_DYNAMIC, dynamic, size)] {
            let place = [number(at, word), number(at, word)].concat();
            let begin = file.len();
            file.extend(number(kind, 4));
            if wide {
                file.extend(number(0, 4));
            }
            file.extend(
                [place, number(at, word), number(length, word), number(length, word)].concat(),
            );
            file.resize(begin + entry as usize, 0);
        }
        for (tag, value) in [
            (DT_NEEDED, 1),
            (search, 11),
            (DT_STRTAB, strings),
            (DT_STRSZ, texts.len() as u64),
            (0, 0),
        ] {
            file.extend([number(tag, word), number(value, word)].concat());
        }
        file.extend(texts);
        file
    }

    #[test]
    fn what_a_library_needs_is_read_in_every_format() {
        for (wide, little) in [(true, true), (true, false), (false, true), (false, false)] {
            for search in [DT_RPATH, DT_RUNPATH] {
                let bytes = library(wide, little, search);
                let found = Libraries::read(&mut io::Cursor::new(bytes)).unwrap();
                assert_eq!(found.needed, ["libx.so.1"]);
                assert_eq!(found.search, ["$ORIGIN/../x.libs", "/opt"]);
            }
        }
    }

    #[test]
    fn what_is_cut_off_or_changed_needs_nothing_and_is_no_failure() {
        let whole = library(true, true, DT_RPATH);
        for end in 0..whole.len() {
            assert_eq!(Libraries::read(&mut io::Cursor::new(&whole[..end])), None, "{end}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] = 0xff;
            let _ = Libraries::read(&mut io::Cursor::new(changed));
        }
    }
}
