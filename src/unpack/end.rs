//! The end of an archive: one end record, with its zip64 form before it where it is
//! needed, and not a byte behind.
//!
//! ```text
//! entries │ directory │ [zip64 end, 56 bytes │ locator, 20 bytes] │ end, 22 bytes
//!                     └ where the directory must end
//! ```

use std::io::{Read, Seek};

use super::archive::{Refusal, read_at, rule};
use super::fields::{ALL_16, ALL_32, Fields};

const END: u64 = 22;
const LOCATOR: u64 = 20;
const ZIP64_END: u64 = 56;

pub(super) struct End {
    pub entries: u64,
    pub directory_at: u64,
    pub directory_size: u64,
}

impl End {
    pub fn read<R: Read + Seek>(reader: &mut R, length: u64) -> Result<Self, Refusal> {
        let Some(at) = length.checked_sub(END) else {
            return rule("is not a zip archive: it is too short");
        };
        let mut bytes = [0; END as usize];
        read_at(reader, at, &mut bytes)?;
        if !bytes.starts_with(b"PK\x05\x06") || bytes[20..] != [0, 0] {
            return rule(
                "is not a zip archive that ends with its end record: something else, a comment perhaps, follows it",
            );
        }
        let end = Fields(&bytes);
        let small =
            Self { entries: end.u16(10), directory_size: end.u32(12), directory_at: end.u32(16) };
        let disks = [end.u16(4), end.u16(6)];
        let (exact, from) = match Self::read_zip64(reader, at)? {
            None => {
                if small.entries == ALL_16
                    || small.directory_size == ALL_32
                    || small.directory_at == ALL_32
                {
                    return rule("refers to a zip64 end record that is not there");
                }
                if disks != [0, 0] || end.u16(8) != small.entries {
                    return rule("is one of several parts");
                }
                (small, at)
            }
            Some((exact, from)) => {
                let agrees = |small: u64, exact: u64, all: u64| small == all || small == exact;
                if disks[0] != disks[1]
                    || end.u16(8) != small.entries
                    || !agrees(disks[0], 0, ALL_16)
                    || !agrees(small.entries, exact.entries, ALL_16)
                    || !agrees(small.directory_size, exact.directory_size, ALL_32)
                    || !agrees(small.directory_at, exact.directory_at, ALL_32)
                {
                    return rule("has two end records that contradict each other");
                }
                (exact, from)
            }
        };
        if exact.directory_at.checked_add(exact.directory_size) != Some(from) {
            return rule("has a directory that does not end where its end record begins");
        }
        Ok(exact)
    }

    /// The zip64 end record and where it begins, if its locator stands before the end record at `at`.
    fn read_zip64<R: Read + Seek>(reader: &mut R, at: u64) -> Result<Option<(Self, u64)>, Refusal> {
        let mut locator = [0; LOCATOR as usize];
        let Some(locator_at) = at.checked_sub(LOCATOR) else { return Ok(None) };
        read_at(reader, locator_at, &mut locator)?;
        if !locator.starts_with(b"PK\x06\x07") {
            return Ok(None);
        }
        let from = Fields(&locator).u64(8);
        if from.checked_add(ZIP64_END) != Some(locator_at)
            || Fields(&locator).u32(4) != 0
            || Fields(&locator).u32(16) > 1
        {
            return rule("has a zip64 end record that is not right before its end");
        }
        let mut bytes = [0; ZIP64_END as usize];
        read_at(reader, from, &mut bytes)?;
        let end = Fields(&bytes);
        if !bytes.starts_with(b"PK\x06\x06") || end.u64(4) != ZIP64_END - 12 {
            return rule("has a damaged zip64 end record");
        }
        if end.u32(16) != 0 || end.u32(20) != 0 || end.u64(24) != end.u64(32) {
            return rule("is one of several parts");
        }
        let exact =
            Self { entries: end.u64(32), directory_size: end.u64(40), directory_at: end.u64(48) };
        Ok(Some((exact, from)))
    }
}
