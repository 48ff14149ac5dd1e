//! Parts of a file that is not here, read as if it were.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::ops::Range;

/// The parts that are known. Reading anything else is an error.
#[derive(Debug)]
pub struct Pieces {
    /// By the offset of the first byte; none touches another.
    parts: BTreeMap<u64, Vec<u8>>,
    length: u64,
    at: u64,
}

impl Pieces {
    /// Nothing is known of a file of `length` bytes.
    pub fn new(length: u64) -> Self {
        Self { parts: BTreeMap::new(), length, at: 0 }
    }

    /// Adds a part that no other one covers.
    pub fn add(&mut self, first: u64, mut bytes: Vec<u8>) {
        if let Some(after) = self.parts.remove(&(first + bytes.len() as u64)) {
            bytes.extend(after);
        }
        match self.parts.range_mut(..first).next_back() {
            Some((at, before)) if at + before.len() as u64 == first => before.extend(bytes),
            _ => drop(self.parts.insert(first, bytes)),
        }
    }

    /// Where the part begins that reaches to the end.
    pub fn tail(&self) -> u64 {
        self.parts.last_key_value().map_or(self.length, |(first, _)| *first)
    }

    /// True if all of `span` is known.
    pub fn has(&self, span: &Range<u64>) -> bool {
        self.from(span.start).is_some_and(|rest| rest.len() as u64 >= span.end - span.start)
    }

    /// What of `span` is not known.
    pub fn gaps(&self, span: &Range<u64>) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = span.start;
        while at < span.end {
            if let Some(known) = self.from(at) {
                at += known.len() as u64;
                continue;
            }
            let next = self.parts.range(at..).next().map_or(span.end, |(first, _)| *first);
            gaps.push(at..next.min(span.end));
            at = next;
        }
        gaps
    }

    /// The size of the whole.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How much of it is known.
    pub fn known(&self) -> u64 {
        self.parts.values().map(|part| part.len() as u64).sum()
    }

    /// What is known from an offset on.
    fn from(&self, at: u64) -> Option<&[u8]> {
        let (first, bytes) = self.parts.range(..=at).next_back()?;
        bytes.get(usize::try_from(at - first).ok()?..).filter(|rest| !rest.is_empty())
    }
}

impl Read for Pieces {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let known = self.fill_buf()?;
        let count = known.len().min(target.len());
        target[..count].copy_from_slice(&known[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.from(self.at) {
            Some(known) => Ok(known),
            None if self.at >= self.length => Ok(&[]),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "this part is not known")),
        }
    }

    fn consume(&mut self, count: usize) {
        self.at += count as u64;
    }
}

impl Seek for Pieces {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_touch_are_one() {
        let mut pieces = Pieces::new(10);
        pieces.add(7, b"789".to_vec());
        pieces.add(1, b"12".to_vec());
        assert_eq!(pieces.tail(), 7);
        assert!(pieces.has(&(1..3)) && !pieces.has(&(2..4)) && !pieces.has(&(0..2)));
        pieces.add(3, b"3456".to_vec());
        assert_eq!(pieces.tail(), 1);
        let mut text = String::new();
        pieces.seek(SeekFrom::Start(2)).unwrap();
        pieces.read_to_string(&mut text).unwrap();
        assert_eq!(text, "23456789");
        pieces.seek(SeekFrom::Start(0)).unwrap();
        assert_eq!(pieces.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(pieces.seek(SeekFrom::End(5)).unwrap(), 15);
        assert_eq!(pieces.read(&mut [0]).unwrap(), 0);
    }
}
