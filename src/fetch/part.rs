//! A part of an artifact into memory, by a ranged request.
//!
//! ```text
//! 206, and it is the part that was asked for    its bytes, and how large the whole is
//! 200, no larger than what was asked for        the same: all of it
//! anything larger, another part, 416, 501       only how large the whole is, if it was said
//! ```
//!
//! Never more is read than was asked for: if a server has no ranges, only the head of its answer is
//! read.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::lane::Lane;
use super::retry::{Attempts, Failure, Pace};
use super::room::{Place, Room, crowded};
use super::{Fetcher, Freshness, failed, late};
use crate::error::Result;
use crate::events::Progress;
use crate::name::SafeUrl;
use crate::origin::{OriginError, Part, PartOf, Request, Response, Status};
use crate::policy::Policy;

/// Which bytes are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// From an offset on, and how many; at least one.
    At(u64, u64),
    /// So many at the end, or all where there are fewer; at least one.
    Last(u64),
}

/// What came of asking for a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The part, which may be shorter only where the whole is.
    Part {
        /// The offset of its first byte.
        first: u64,
        /// Its bytes.
        bytes: Vec<u8>,
        /// The size of the whole.
        total: u64,
    },
    /// Only the whole is to be had.
    Whole {
        /// Its size, where the server says so.
        total: Option<u64>,
    },
}

/// How the attempts ended that did not fail.
enum Asked {
    Piece(Piece),
    /// The server serves others now; the place in the room was given up. To be tried again.
    Crowded(Duration),
}

impl Range {
    /// How many bytes it asks for.
    pub fn count(self) -> u64 {
        match self {
            Self::At(_, count) | Self::Last(count) => count,
        }
    }

    /// True for the part that it asks for of `total` bytes.
    fn is(self, part: PartOf, total: u64) -> bool {
        let (first, end) = match self {
            Self::At(first, count) => (first, first.saturating_add(count).min(total)),
            Self::Last(count) => (total.saturating_sub(count), total),
        };
        part.first == first && part.last.checked_add(1) == Some(end) && first < end
    }
}

impl Fetcher {
    /// Asks for a part of what is behind `url`, and reads no more than that into memory.
    pub async fn part(
        &self,
        url: &SafeUrl,
        range: Range,
        policy: Policy,
        progress: &Progress,
    ) -> Result<Piece> {
        let shared = self.shared().clone();
        let room = shared.rooms.enter(self.concurrency);
        let time = self.limits.time_for(range.count());
        let piece = loop {
            let mut place = room.place().await;
            let turn = shared.lane.turn(range.count()).await;
            let asking = self.ask(&shared.lane, url, range, policy, &room, &mut place);
            let asked = tokio::time::timeout(time, asking).await;
            match asked.unwrap_or_else(|_| Err(late(url, time)))? {
                Asked::Piece(piece) => break piece,
                Asked::Crowded(pause) => {
                    drop((turn, place));
                    tokio::time::sleep(pause).await;
                }
            }
        };
        if let Piece::Part { bytes, .. } = &piece {
            progress.advance(url.file_name(), bytes.len() as u64);
        }
        Ok(piece)
    }

    async fn ask(
        &self,
        lane: &Lane,
        url: &SafeUrl,
        range: Range,
        policy: Policy,
        room: &Room,
        place: &mut Place<'_>,
    ) -> Result<Asked> {
        let sent = AtomicU64::new(0);
        let part = match range {
            Range::At(first, count) => Part::At(first, count),
            Range::Last(count) => Part::Last(count),
        };
        let (part, freshness) = (Some(part), Freshness::AsCached);
        let request = Request { url, policy, part, unless: None, freshness, sent: &sent };
        let mut attempts = Attempts::new(&self.limits);
        loop {
            place.begin();
            let failure = match self.read_part(lane, request, range).await {
                Ok(piece) => return Ok(Asked::Piece(piece)),
                Err(failure) => failure,
            };
            if let Some(pause) = crowded(&failure, 0, &self.limits)
                && place.give_up()
            {
                return Ok(Asked::Crowded(pause));
            }
            attempts.again(failure, 0).await.map_err(|mut last| {
                if let Failure::Broken(error) | Failure::Slow(error) = &mut last {
                    room.advise(error, &self.limits);
                }
                failed(url, last)
            })?;
        }
    }

    async fn read_part(
        &self,
        lane: &Lane,
        request: Request<'_>,
        range: Range,
    ) -> Result<Piece, Failure> {
        let answer = self.shared().origin(lane, request.url)?.get(request).await;
        let response = match answer {
            // Not satisfiable, not implemented: the whole may be.
            Err(error) if matches!(error.status, Some(416 | 501)) => {
                return Ok(Piece::Whole { total: None });
            }
            answer => answer?,
        };
        let Some((first, count, total)) = bounds(&response, range) else {
            let total = match response.status {
                Status::Part(part) => part.and_then(|part| part.total),
                // Of bytes that were encoded, the length says nothing.
                _ if response.coding.is_some() => None,
                Status::Whole | Status::NotModified => response.length,
            };
            return Ok(Piece::Whole { total });
        };
        let mut body = response.body;
        let mut pace = Pace::new(&self.limits);
        let mut bytes = Vec::new();
        while let Some(chunk) = pace.next(&mut *body).await? {
            if (bytes.len() + chunk.len()) as u64 > count {
                return Ok(Piece::Whole { total: Some(total) });
            }
            bytes.extend_from_slice(&chunk);
        }
        if (bytes.len() as u64) < count {
            let got = format!("the body ended after {} of {count} bytes", bytes.len());
            return Err(OriginError::temporary(got).into());
        }
        Ok(Piece::Part { first, bytes, total })
    }
}

/// Where the body begins, how long it is, and how large the whole is; `None` for an answer to
/// something else than was asked.
fn bounds(response: &Response, range: Range) -> Option<(u64, u64, u64)> {
    let (first, count, total) = match response.status {
        Status::Part(part) => {
            let part = part?;
            let total = part.total.filter(|total| range.is(part, *total))?;
            (part.first, part.last - part.first + 1, total)
        }
        // Little enough to be taken for the part.
        Status::Whole => (0, response.length?, response.length?),
        Status::NotModified => return None,
    };
    let fits = count > 0 && count <= range.count() && response.coding.is_none();
    (fits && response.length.is_none_or(|length| length == count)).then_some((first, count, total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_that_was_asked_for_is_one() {
        let is = |range: Range, first, last, total| {
            range.is(PartOf { first, last, total: Some(total) }, total)
        };
        assert!(is(Range::At(10, 5), 10, 14, 100));
        assert!(is(Range::At(98, 5), 98, 99, 100));
        assert!(is(Range::Last(5), 95, 99, 100));
        assert!(is(Range::Last(500), 0, 99, 100));
        for wrong in [
            is(Range::At(10, 5), 9, 13, 100),
            is(Range::At(10, 5), 10, 13, 100),
            is(Range::At(100, 5), 100, 99, 100),
            is(Range::Last(5), 94, 98, 100),
            is(Range::Last(5), 95, u64::MAX, 100),
            is(Range::At(0, u64::MAX), 0, u64::MAX, u64::MAX),
        ] {
            assert!(!wrong);
        }
    }
}
