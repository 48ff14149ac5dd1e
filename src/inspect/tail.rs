//! The last bytes of a wheel, in as few requests as it takes.
//!
//! ```text
//! … │ .dist-info: METADATA … RECORD │ central directory │ end record │
//!   │                               │      └────── 1st: 16 KB ───────┤
//!   └───── 2nd: what of the directory is missing, and what is likely before it
//!  3rd: where `.dist-info` is scattered, what of it is missing still
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use super::Asked;
use super::contents::{DistInfo, Record, TEXT_LIMIT, contradicts, text_of};
use super::pieces::Pieces;
use crate::error::{Error, Result};
use crate::events::Progress;
use crate::fetch::{Fetcher, Member, Piece, Range as Wanted};
use crate::name::Digest;
use crate::policy::Policy;
use crate::threads;
use crate::unpack::{Outline, Refusal};
use crate::wheel::{Contents, WheelFile};

/// What is asked for first.
const TAIL: u64 = 16 << 10;

/// The texts beside the `RECORD` are rarely larger; the `RECORD` itself has about 0.6 of the
/// directory's size.
const TEXTS: u64 = 16 << 10;

/// What lies closer together is asked for as one.
const GAP: u64 = 16 << 10;

/// The most that is asked for of one wheel.
const MOST: u64 = 32 << 20;

/// What came of asking for a tail.
pub(super) enum Tail {
    Contents(Box<Contents>),
    /// The wheel has to be had whole; its size, if it is known.
    Whole {
        size: Option<u64>,
        has_ranges: bool,
    },
}

/// Why a tail does not do.
pub(super) enum Odd {
    /// It has something that only the whole wheel can explain.
    Strange,
    /// The server has no ranges; the size that it told.
    NoRanges(Option<u64>),
    Failed(Error),
}

impl From<Refusal> for Odd {
    fn from(_: Refusal) -> Self {
        Self::Strange
    }
}

impl From<Error> for Odd {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// One wheel that is asked.
pub(super) struct Asking<'a> {
    pub fetcher: &'a Fetcher,
    pub asked: &'a Asked,
    /// Where it lies in a bundle: nobody is asked then.
    pub member: Option<&'a Member>,
    pub policy: Policy,
    pub progress: &'a Progress,
}

/// Reads what is in a wheel from its end.
pub(super) async fn read(
    fetcher: &Fetcher,
    asked: &Asked,
    member: Option<&Member>,
    policy: Policy,
    progress: &Progress,
) -> Result<Tail> {
    let mut size = asked.wheel.size;
    let Some(sha256) = asked.wheel.sha256 else {
        return Ok(Tail::Whole { size, has_ranges: true });
    };
    let asking = Asking { fetcher, asked, member, policy, progress };
    let has_ranges = match asking.contents(sha256, &mut size).await {
        Ok(contents) => return Ok(Tail::Contents(Box::new(contents))),
        Err(Odd::Failed(error)) => return Err(error),
        Err(Odd::Strange) => true,
        Err(Odd::NoRanges(total)) => {
            size = size.or(total);
            false
        }
    };
    Ok(Tail::Whole { size, has_ranges })
}

impl Asking<'_> {
    async fn contents(&self, sha256: Digest, size: &mut Option<u64>) -> Result<Contents, Odd> {
        let mut pieces = self.last(*size).await?;
        *size = Some(pieces.length());
        let directory = Outline::place(&mut pieces)?;
        if directory.start < pieces.tail() {
            let likely = (directory.end - directory.start) / 5 * 3 + TEXTS;
            let from = directory.start.saturating_sub(likely);
            let until = pieces.tail();
            self.add(&mut pieces, from..until).await?;
        }
        let outline = Outline::read(&mut pieces)?;
        let paths = outline.files().map(|file| file.path);
        let dist_info = DistInfo::find(self.asked, paths).map_err(|_| Odd::Strange)?;
        let spans = dist_info.texts.values().filter_map(|path| outline.span(path));
        for span in together(spans.filter(|span| !pieces.has(span)).collect()) {
            for missing in pieces.gaps(&span) {
                self.add(&mut pieces, missing).await?;
            }
        }
        // Reading it takes longer than asking for it: other wheels are asked for meanwhile.
        let read = move || contents(pieces, &outline, dist_info, sha256);
        threads::beside(read).await.unwrap_or(Err(Odd::Strange))
    }

    /// The first request.
    pub async fn last(&self, size: Option<u64>) -> Result<Pieces, Odd> {
        // Not every server knows the end of a file without its size.
        let wanted = match size {
            Some(0) => return Err(Odd::Strange),
            Some(size) => Wanted::At(size.saturating_sub(TAIL), size.min(TAIL)),
            None => Wanted::Last(TAIL),
        };
        match self.part(wanted).await? {
            Piece::Part { first, bytes, total } => {
                self.asked.check_size(total)?;
                let mut pieces = Pieces::new(total);
                pieces.add(first, bytes);
                Ok(pieces)
            }
            Piece::Whole { total } => {
                total.map_or(Ok(()), |total| self.asked.check_size(total))?;
                Err(Odd::NoRanges(total))
            }
        }
    }

    /// Every further one.
    pub async fn add(&self, pieces: &mut Pieces, span: Range<u64>) -> Result<(), Odd> {
        if span.end - span.start + pieces.known() > MOST {
            return Err(Odd::Strange);
        }
        let bytes = self.exactly(span.clone(), pieces.length()).await?;
        pieces.add(span.start, bytes);
        Ok(())
    }

    /// The bytes of a span, of a wheel of this length.
    pub async fn exactly(&self, span: Range<u64>, length: u64) -> Result<Vec<u8>, Odd> {
        let count = span.end - span.start;
        match self.part(Wanted::At(span.start, count)).await? {
            Piece::Part { first, bytes, total }
                if first == span.start && bytes.len() as u64 == count && total == length =>
            {
                Ok(bytes)
            }
            _ => Err(Odd::Strange),
        }
    }

    async fn part(&self, wanted: Wanted) -> Result<Piece> {
        if let Some(member) = self.member {
            let total = member.size();
            let first = match wanted {
                Wanted::At(first, _) => first,
                Wanted::Last(count) => total.saturating_sub(count),
            };
            let bytes = member.read(first..first.saturating_add(wanted.count()))?;
            return Ok(Piece::Part { first, bytes, total });
        }
        self.progress.expect(wanted.count());
        self.fetcher.part(&self.asked.url, wanted, self.policy, self.progress).await
    }
}

/// Spans that lie close together become one.
pub(super) fn together(mut spans: Vec<Range<u64>>) -> Vec<Range<u64>> {
    spans.sort_by_key(|span| span.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start <= last.end.saturating_add(GAP) => {
                last.end = last.end.max(span.end);
            }
            _ => merged.push(span),
        }
    }
    merged
}

/// What is in a wheel of which all is here that tells it.
fn contents(
    mut pieces: Pieces,
    outline: &Outline,
    dist_info: DistInfo,
    sha256: Digest,
) -> Result<Contents, Odd> {
    let mut texts = BTreeMap::new();
    for (name, path) in &dist_info.texts {
        texts.insert(*name, outline.extract(&mut pieces, path, TEXT_LIMIT)?);
    }
    joined(outline, &dist_info, &texts).map(|files| Contents {
        sha256,
        size: pieces.length(),
        dist_info: dist_info.folder,
        files,
        texts: texts.iter().map(|(name, it)| ((*name).to_owned(), text_of(it))).collect(),
    })
}

/// Every file with its digest. Where directory and `RECORD` do not agree in all, the wheel itself
/// has to tell.
fn joined(
    outline: &Outline,
    dist_info: &DistInfo,
    texts: &BTreeMap<&str, Vec<u8>>,
) -> Result<Vec<WheelFile>, Odd> {
    let (Some(path), Some(bytes)) = (dist_info.record(), texts.get("RECORD")) else {
        return Err(Odd::Strange);
    };
    let record = Record::parse(&text_of(bytes)).map_err(|_| Odd::Strange)?;
    let hashed = |path| {
        let found = dist_info.texts.iter().find(|(_, text)| *text == path);
        found.and_then(|(name, _)| texts.get(name)).map(|bytes| Digest::of(bytes))
    };
    let mut files = Vec::new();
    let mut named = 0;
    for file in outline.files() {
        let row = record.of(file.path);
        named += usize::from(row.is_some());
        let said = row.and_then(|row| row.sha256);
        let Some(sha256) =
            hashed(file.path).filter(|_| said.is_some() || file.path == path).or(said)
        else {
            return Err(Odd::Strange);
        };
        if row.is_some_and(|row| contradicts(row, file.size, &sha256)) {
            return Err(Odd::Strange);
        }
        let (entry, size, executable) = (file.path.clone(), file.size, file.executable);
        files.push(WheelFile { entry, size, sha256, executable });
    }
    if named < record.len() { Err(Odd::Strange) } else { Ok(files) }
}
