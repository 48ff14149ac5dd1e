//! What is in wheels, learnt from their last bytes.
//!
//! ```text
//! kept by its sha256 ──────────────────────────────────────────────▶ Contents
//! else its tail by range (tail.rs) ─ the directory, the RECORD ────▶ Contents ─▶ kept
//! else, where that is not to be had or odd, the wheel (whole.rs) ──▶ Contents ─▶ kept
//! ```
//!
//! What a tail tells is a hint: it was not hashed, and a server may lie. It is held against the
//! wheel when that is unpacked. Of a wheel that was taken whole, each file was hashed.

mod contents;
pub mod elf;
mod files;
mod pieces;
mod tail;
mod whole;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::audit::{Act, permit};
use crate::error::{Error, Kind, Result};
use crate::events::{Events, Notice, NoticeKind, Progress};
use crate::fetch::{Fetcher, Member, Sought};
use crate::name::{DistributionName, SafeUrl};
use crate::policy::Policy;
use crate::store::{Store, wheels as kept};
use crate::threads;
use crate::wheel::{Contents, Wheel, distribution_of};
pub use files::files;
use tail::Tail;

/// A wheel that is looked into, with its place among those that were asked about.
type Placed = (usize, Asked);

/// The same, of which the store has all; its size, if it is known.
type Whole = (usize, Asked, Option<u64>);

/// So many wheels are asked for their tails at a time.
const AT_A_TIME: usize = 16;

/// A wheel, and what it is called.
#[derive(Debug, Clone)]
struct Asked {
    url: SafeUrl,
    wheel: Wheel,
    /// `numpy`; not every URL tells.
    name: Option<DistributionName>,
}

/// Tells what is in each of `wheels`, in their order.
pub async fn inspect(
    fetcher: &Fetcher,
    store: &Store,
    wheels: &[Wheel],
    policy: Policy,
    events: &Arc<Events>,
) -> Result<Vec<Contents>> {
    let is_kept = store.check()? && store.check_folder(&store.wheels())?;
    let is_kept = is_kept || !store.behind().is_empty();
    let mut found = Vec::with_capacity(wheels.len());
    let mut missing = Vec::new();
    for (at, wheel) in wheels.iter().enumerate() {
        let known = match &wheel.sha256 {
            Some(digest) if is_kept => kept::read(store, digest)?,
            _ => None,
        };
        match &known {
            Some(contents) => Asked::new(wheel)?.check_size(contents.size)?,
            None => missing.push((at, Asked::new(wheel)?)),
        }
        found.push(known);
    }
    if !missing.is_empty() {
        let seen = ask(fetcher, store, missing, policy, events).await?;
        for (at, contents) in seen {
            found[at] = Some(contents);
        }
    }
    Ok(found.into_iter().flatten().collect())
}

/// True if somebody's facts may be those of `wheel`: they agree with the lock and with themselves.
pub fn agrees(wheel: &Wheel, contents: &Contents) -> bool {
    let Ok(asked) = Asked::new(wheel) else { return false };
    let is_it = wheel.sha256 == Some(contents.sha256) && asked.check_size(contents.size).is_ok();
    is_it && contents::is_whole(&asked, contents)
}

/// Asks servers, and keeps what they tell.
async fn ask(
    fetcher: &Fetcher,
    store: &Store,
    missing: Vec<Placed>,
    policy: Policy,
    events: &Arc<Events>,
) -> Result<Vec<(usize, Contents)>> {
    let (mut rest, missing) = whole_here(fetcher, missing);
    let (carried, missing) = carried(fetcher, missing, events).await?;
    let mut acts = Vec::new();
    for (_, Asked { url, .. }) in &missing {
        if url.scheme() != "file" {
            policy.may_ask(url, || format!("the content of {} is not known", url.file_name()))?;
        }
        policy.may_come_from(url)?;
        acts.push(Act::Resolve { url: url.clone() });
    }
    permit(acts).await;
    store.create()?;
    let _keep = store.keep()?;
    let progress = Progress::new(label(missing.len()), events.clone());
    let mut seen = Vec::new();
    let mut odd = Vec::new();
    let others = missing.into_iter().map(|(at, asked)| (at, asked, None));
    let mut waiting =
        carried.into_iter().map(|(at, asked, member)| (at, asked, Some(member))).chain(others);
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < AT_A_TIME
            && let Some((at, asked, member)) = waiting.next()
        {
            let (progress, store) = (&progress, store.clone());
            running.push(async move {
                let read = tail::read(fetcher, &asked, member.as_ref(), policy, progress);
                let tail = match read.await? {
                    Tail::Contents(contents) => {
                        let keep = move || kept::keep(&store, &contents).map(|()| contents);
                        Tail::Contents(threads::beside(keep).await.unwrap_or_else(|| Err(ended()))?)
                    }
                    whole @ Tail::Whole { .. } => whole,
                };
                Ok::<_, Error>((at, asked, member.is_some(), tail))
            });
        }
        let Some(done) = running.next().await else { break };
        match done? {
            (at, _, _, Tail::Contents(contents)) => seen.push((at, *contents)),
            (at, asked, is_carried, Tail::Whole { size, has_ranges }) => {
                if is_carried {
                    odd.extend(asked.sought());
                } else if !has_ranges {
                    events.notice(no_ranges(&asked.url));
                }
                rest.push((at, asked, size));
            }
        }
    }
    bring(fetcher, odd, events).await?;
    let files = whole::fetch(fetcher, &rest, policy, &progress).await?;
    for ((at, asked, _), (sha256, size)) in rest.into_iter().zip(files) {
        let path = fetcher.store().path(&sha256);
        let read = move || whole::read(&path, &asked, sha256, size);
        let contents = threads::beside(read).await.unwrap_or_else(|| Err(ended()))?;
        kept::keep(store, &contents)?;
        seen.push((at, contents));
    }
    progress.finish("");
    Ok(seen)
}

/// Those that the store has whole, with their sizes; and the others.
fn whole_here(fetcher: &Fetcher, missing: Vec<Placed>) -> (Vec<Whole>, Vec<Placed>) {
    let (mut here, mut others) = (vec![], vec![]);
    let blobs = fetcher.store();
    for (at, asked) in missing {
        let size = asked.wheel.sha256.and_then(|sha256| match asked.wheel.size {
            Some(size) => blobs.has(&sha256, size).then_some(size),
            // Not every lock tells sizes: what is here counts if it is whole.
            None => blobs.size(&sha256).filter(|size| blobs.is_whole(&sha256, *size) == Ok(true)),
        });
        match size {
            Some(size) => here.push((at, asked, Some(size))),
            None => others.push((at, asked)),
        }
    }
    (here, others)
}

/// Those that lie in a bundle, and the others.
async fn carried(
    fetcher: &Fetcher,
    missing: Vec<Placed>,
    events: &Arc<Events>,
) -> Result<(Vec<(usize, Asked, Member)>, Vec<Placed>)> {
    if fetcher.bundles.is_empty(events) {
        return Ok((vec![], missing));
    }
    let (pinned, mut others): (Vec<_>, Vec<_>) =
        missing.into_iter().partition(|(_, asked)| asked.wheel.sha256.is_some());
    let sought: Vec<Sought> = pinned.iter().filter_map(|(_, asked)| asked.sought()).collect();
    let (bundles, told) = (fetcher.bundles.clone(), events.clone());
    let find = threads::beside(move || bundles.find(&sought, &told)).await;
    let mut found: BTreeMap<usize, Member> = find.ok_or_else(ended)?.into_iter().collect();
    let mut carried = Vec::new();
    for (place, (at, asked)) in pinned.into_iter().enumerate() {
        match found.remove(&place) {
            Some(member) => carried.push((at, asked, member)),
            None => others.push((at, asked)),
        }
    }
    Ok((carried, others))
}

/// Copies out of bundles what has to be looked into as a whole.
async fn bring(fetcher: &Fetcher, odd: Vec<Sought>, events: &Arc<Events>) -> Result<()> {
    if odd.is_empty() {
        return Ok(());
    }
    let (bundles, blobs) = (fetcher.bundles.clone(), fetcher.store().clone());
    let told = events.clone();
    let work = threads::beside(move || bundles.bring(&blobs, &odd, &told)).await;
    work.unwrap_or_else(|| Err(ended())).map(drop)
}

/// What progress calls it.
fn label(count: usize) -> String {
    if count == 1 { "index of 1 wheel".to_owned() } else { format!("index of {count} wheels") }
}

fn no_ranges(url: &SafeUrl) -> Notice {
    let server = url.real().host_str().unwrap_or_default().to_owned();
    let text = format!(
        "{server} cannot send parts of files: {} was downloaded as a whole to learn what is in it, \
         and so is every wheel of that server",
        url.file_name()
    );
    Notice { kind: NoticeKind::Costly, subject: server, text }
}

fn ended() -> Error {
    Error::new(Kind::Store, "cannot read a wheel: a thread ended unexpectedly").hint("try again")
}

impl Asked {
    fn new(wheel: &Wheel) -> Result<Self> {
        let url = SafeUrl::new(wheel.url.as_str()).map_err(|error| {
            Error::new(Kind::Configuration, format!("{} is not the URL of a wheel", wheel.url))
                .caused_by(&error)
                .hint("write it in full: https, http or file")
        })?;
        let name = distribution_of(url.file_name());
        Ok(Self { url, wheel: wheel.clone(), name })
    }

    /// The wheel as people know it.
    fn label(&self) -> &str {
        self.url.file_name()
    }

    /// How a bundle is asked for it; nothing for a wheel that the lock does not pin.
    fn sought(&self) -> Option<Sought> {
        let Wheel { sha256, size, .. } = self.wheel;
        sha256.map(|sha256| Sought { sha256, size, file_name: self.label().to_owned() })
    }

    /// Whether the server has what the lock means, as far as the size tells.
    fn check_size(&self, size: u64) -> Result<()> {
        match self.wheel.size {
            Some(pinned) if pinned != size => Err(self
                .broken(&format!("has {size} bytes, but the lock says {pinned}"))
                .expected(format!("{pinned} bytes"))
                .got(format!("{size} bytes"))),
            _ => Ok(()),
        }
    }

    fn broken(&self, rule: &str) -> Error {
        Error::new(Kind::Integrity, format!("the wheel {} {rule}", self.label()))
            .url(&self.url)
            .hint("none of it was used; lock another version, or tell its author")
    }
}
