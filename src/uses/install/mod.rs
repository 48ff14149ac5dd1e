//! Installing for real: wheels of a lock become plain files, where any tool finds them.
//!
//! ```text
//! names ─ closure ─ what is already there? ─ the rest: fetched, verified, trees
//!   ─ laid out aside: copies, never other names of the store's files (copying.rs)
//!   ─ a new folder is renamed; into one that is there, one distribution after the other (placing.rs)
//! ```
//!
//! An edit there never reaches the store. Nothing half-made is ever seen as installed: the metadata of a
//! distribution comes last.

mod copying;
mod placing;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::events::Progress;
use crate::files;
use crate::furnish::{self, Plain};
use crate::mount::Mount;
use crate::name::{Digest, FilePath, UnitName};
use crate::resolved::Distribution;
use crate::session::Session;
use crate::store::lock::Exclusive;
use crate::store::{Reuse, aside, disk, wheels};
use crate::supply::View;
use crate::threads;
use crate::uses::activate::Member;
use copying::Work;
use placing::Staged;

pub use target::Target;

/// The largest script that is given its interpreter, in bytes.
const SCRIPT_LIMIT: u64 = 64 << 20;

/// What happened to one distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// As its author writes it.
    pub name: String,
    /// As its author writes it.
    pub version: String,
    /// It was there already, in this version.
    pub already: bool,
}

/// What is to be installed.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Distributions; none means all of the lock.
    pub names: Vec<String>,
    /// Where to.
    pub target: Target,
    /// The interpreter that scripts begin with.
    pub python: String,
}

impl Session {
    /// Installs what is wanted of a lock, and what that requires.
    pub async fn install(&self, mount: &Arc<Mount>, wanted: Wanted) -> Result<Vec<Installed>> {
        let view = mount.supply.view().cloned().ok_or_else(|| {
            Error::new(Kind::Configuration, "only packages of a lock can be installed")
                .hint("make a lock: magic-module lock NAME")
        })?;
        if !view.resolved.packs.is_empty() {
            let what = "cannot install from a site that has wheels in parts";
            return Err(Error::new(Kind::Configuration, what)
                .hint("set MAGIC_MODULE_VERIFY=full, which fetches whole wheels"));
        }
        let requested = requested(mount, &view, &wanted.names)?;
        let units = closure(&view, &requested);
        let there = placing::distributions(&wanted.target.site)?;
        let is_there = |it: &Distribution| there.iter().any(|there| there.is(it));
        let mut missing = Vec::new();
        let mut done = Vec::new();
        for name in &units {
            let Some(it) = view.resolved.units.get(name) else { continue };
            let already = is_there(it);
            done.push(Installed {
                name: it.name.clone(),
                version: it.version.to_string(),
                already,
            });
            if !already {
                missing.push(name.clone());
            }
        }
        if missing.is_empty() {
            return Ok(done);
        }
        let _kept = self.keep().await?;
        // What is wanted by itself comes first: whoever allows fetching looks at it so.
        missing.reverse();
        let members = self.members(mount, &view, &missing).await?;
        let progress = Progress::new("install", self.engine.events.clone());
        self.materialize(&members, &progress, Reuse::WhatIsHere).await?;
        let store = self.engine.store.clone();
        let lock = store.tmp().join(format!(
            "{}.install",
            Digest::of(wanted.target.site.as_os_str().as_encoded_bytes())
        ));
        let work = move || {
            let _alone = Exclusive::wait(&lock)?;
            let read = |unit: &UnitName| view.resolved.units.get(unit);
            let mut laid = Vec::new();
            for member in &members {
                let Some(it) = read(&member.unit.name) else { continue };
                let Some(contents) = wheels::read(&store, &it.sha256)? else {
                    let what =
                        format!("what the cache knew about the wheel of {} is gone", it.name);
                    return Err(Error::new(Kind::Store, what).hint("install it again"));
                };
                let from = member.unit.folder.clone();
                let asked = requested.contains(&member.unit.name);
                let plain = plain(&view, &wanted, &contents, &from, asked)?;
                laid.push(Laid { name: it.name.clone(), from, plain });
            }
            put(&view, &wanted.target, laid)
        };
        let ended = || Error::new(Kind::Store, "installing ended unexpectedly");
        threads::beside(work).await.ok_or_else(ended)??;
        Ok(done)
    }

    async fn members(
        &self,
        mount: &Arc<Mount>,
        view: &Arc<View>,
        units: &[UnitName],
    ) -> Result<Vec<Member>> {
        let Some(document) = mount.supply.newest()? else { return Ok(Vec::new()) };
        let mut members = Vec::with_capacity(units.len());
        for name in units {
            mount.supply.fetch_parts(&document, name.as_str()).await?;
            members.extend(self.member_in_view(mount, view, name)?);
        }
        Ok(members)
    }
}

/// One distribution, ready to be copied.
struct Laid {
    name: String,
    from: PathBuf,
    plain: Plain,
}

fn requested(mount: &Mount, view: &View, names: &[String]) -> Result<BTreeSet<UnitName>> {
    if names.is_empty() {
        return Ok(view.resolved.units.keys().cloned().collect());
    }
    let find = |name: &String| {
        mount.supply.unit_called(name).ok_or_else(|| {
            let what = format!("the lock {} does not have {name}", mount.supply.url());
            Error::new(Kind::UnitNotFound, what)
                .name(name.clone())
                .hint(format!("lock it: magic-module lock {name}"))
        })
    };
    names.iter().map(find).collect()
}

/// What is requested, and all that it requires; what is required comes first.
fn closure(view: &View, requested: &BTreeSet<UnitName>) -> Vec<UnitName> {
    let seen: BTreeSet<UnitName> =
        requested.iter().flat_map(|it| view.resolved.closure(it)).cloned().collect();
    let (own, needed): (Vec<_>, Vec<_>) = seen.into_iter().partition(|it| requested.contains(it));
    needed.into_iter().chain(own).collect()
}

fn plain(
    view: &View,
    wanted: &Wanted,
    contents: &crate::wheel::Contents,
    from: &Path,
    requested: bool,
) -> Result<Plain> {
    let scheme = &view.resolved.scheme;
    let read = |path: &FilePath| {
        let path = from.join(path.as_str());
        disk::read(&path, SCRIPT_LIMIT)
            .map_err(|error| Error::store("cannot read from the cache", &path, &error))
    };
    let seen = |path: &FilePath| wanted.target.seen(scheme, path);
    furnish::plain(contents, scheme, &wanted.python, requested, read, &seen)
}

/// Copies everything aside, and puts it where it belongs.
fn put(view: &View, target: &Target, laid: Vec<Laid>) -> Result<()> {
    let scheme = &view.resolved.scheme;
    let failed = |path: &Path, error: &std::io::Error| {
        Error::store(format!("cannot install into {}", target.site.display()), path, error)
            .hint("check that the folder may be written to, or give another one with --into")
    };
    let fresh = target.folder().filter(|folder| !folder.exists());
    if let Some(folder) = fresh {
        let above = folder.parent().unwrap_or(Path::new("."));
        fs_err::create_dir_all(above).map_err(|error| failed(above, &error))?;
        let made = aside(above, ".magic-module", "install");
        let work = Work::new(laid.into_iter().map(|it| (it, Target::of_folder(&made))), scheme);
        let put = work.run().and_then(|()| files::rename_folder(&made, folder));
        return put.map_err(|error| {
            let _ = fs_err::remove_dir_all(&made);
            failed(folder, &error)
        });
    }
    fs_err::create_dir_all(&target.site).map_err(|error| failed(&target.site, &error))?;
    let stage = aside(&target.site, ".magic-module", "install");
    let staged: Vec<Staged> = laid
        .iter()
        .enumerate()
        .map(|(at, it)| Staged::new(&it.name, stage.join(at.to_string())))
        .collect();
    let names: BTreeMap<String, Vec<PathBuf>> = laid
        .iter()
        .map(|it| {
            let copied = it.plain.copied.iter().map(|it| &it.path);
            let all = copied.chain(it.plain.written.iter().map(|(path, _)| path));
            (it.name.clone(), all.map(|path| target.at(scheme, path)).collect())
        })
        .collect();
    let targets = staged.iter().map(Staged::target);
    let work = Work::new(laid.into_iter().zip(targets), scheme);
    let done = work.run().map_err(|error| failed(&stage, &error)).and_then(|()| {
        // None of them has the name of another: what one finds there the others do not change.
        let there = placing::distributions(&target.site)?;
        let place = |it: &Staged| {
            let files = names.get(&it.name).map_or(&[][..], Vec::as_slice);
            it.place(target, files, &there, &stage.join("old"))
        };
        staged.iter().try_for_each(place)
    });
    let _ = fs_err::remove_dir_all(&stage);
    done
}
