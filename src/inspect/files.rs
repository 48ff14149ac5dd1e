//! Some files of a wheel, by range: what lies close together comes in one request.
//!
//! What comes is compared with the known digests of the files, not with that of the wheel.

use std::ops::Range;

use futures_util::{StreamExt, stream};

use super::Asked;
use super::tail::{Asking, Odd, together};
use crate::error::Result;
use crate::events::Progress;
use crate::fetch::Fetcher;
use crate::manifest::File;
use crate::name::Digest;
use crate::policy::Policy;
use crate::threads;
use crate::unpack::Outline;
use crate::wheel::Wheel;

/// So many are made at a time.
const AT_A_TIME: usize = 8;

/// The most that is asked for.
const MOST: u64 = 64 << 20;

/// More requests than these cost more than the whole wheel.
const REQUESTS: usize = 32;

/// The bytes of `wanted`, in this order; `None` where the whole wheel is as cheap, or has to tell.
pub async fn files(
    fetcher: &Fetcher,
    wheel: &Wheel,
    wanted: Vec<File>,
    policy: Policy,
    progress: &Progress,
) -> Result<Option<Vec<Vec<u8>>>> {
    let asked = Asked::new(wheel)?;
    let asking = Asking { fetcher, asked: &asked, member: None, policy, progress };
    match asking.files(wheel.size, wanted).await {
        Ok(files) => Ok(Some(files)),
        Err(Odd::Strange | Odd::NoRanges(_)) => Ok(None),
        Err(Odd::Failed(error)) => Err(error),
    }
}

impl Asking<'_> {
    async fn files(&self, size: Option<u64>, wanted: Vec<File>) -> Result<Vec<Vec<u8>>, Odd> {
        let mut pieces = self.last(size).await?;
        let directory = Outline::place(&mut pieces)?;
        if directory.start < pieces.tail() {
            let until = pieces.tail();
            self.add(&mut pieces, directory.start..until).await?;
        }
        let outline = Outline::read(&mut pieces)?;
        let spans = wanted.iter().map(|file| outline.span(file.entry()).ok_or(Odd::Strange));
        let spans = together(spans.collect::<Result<Vec<_>, Odd>>()?);
        let missing: Vec<Range<u64>> = spans.iter().flat_map(|span| pieces.gaps(span)).collect();
        let bytes: u64 = missing.iter().map(|span| span.end - span.start).sum();
        if missing.len() > REQUESTS || bytes > MOST.min(pieces.length() / 2) {
            return Err(Odd::Strange);
        }
        let length = pieces.length();
        let ask = |span: Range<u64>| async move {
            self.exactly(span.clone(), length).await.map(|bytes| (span.start, bytes))
        };
        let mut coming = stream::iter(missing).map(ask).buffer_unordered(AT_A_TIME);
        while let Some(part) = coming.next().await {
            let (first, bytes) = part?;
            pieces.add(first, bytes);
        }
        drop(coming);
        let read = move || {
            let one = |file: &File| {
                let bytes = outline.extract(&mut pieces, file.entry(), file.size)?;
                if Digest::of(&bytes) == file.sha256 { Ok(bytes) } else { Err(Odd::Strange) }
            };
            wanted.iter().map(one).collect()
        };
        threads::beside(read).await.unwrap_or(Err(Odd::Strange))
    }
}
