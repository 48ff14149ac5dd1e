//! From what is in a wheel to a unit's record: its files are entries of the wheel, and of
//! nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::LockSupply;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::inspect::inspect;
use crate::manifest::{File, Modules, Pack, PackFormat, Place, Record};
use crate::name::{FilePath, UnitName, UrlText, Version};
use crate::store::wheels;
use crate::supply::{Answer, Supply};
use crate::wheel::{Contents, Scheme, Wheel};

impl LockSupply {
    /// What the lock has for `unit`, without a request.
    pub(super) fn record(&self, unit: &str) -> Result<Answer> {
        let Some(view) = self.view() else { return Ok(Answer::NotHere) };
        let Some(it) = view.resolved.units.get(unit) else { return Ok(Answer::Absent) };
        let Some(contents) = wheels::read(&self.engine.store, &it.sha256)? else {
            return Ok(Answer::NotHere);
        };
        let mut record = record_of(&contents, &view.resolved.scheme, &it.url, &it.version)?;
        if let Some(packs) = view.resolved.packs.get(unit) {
            record = part_of(record, packs);
        }
        record.requires.clone_from(&it.requires);
        record.packs.extend(view.resolved.code.get(unit).into_iter().flatten().cloned());
        Ok(Answer::Record(Arc::new(record)))
    }

    /// The record of a wheel that was published in parts, as if it had not been.
    pub(super) fn whole_record(&self, unit: &str) -> Result<Option<Record>> {
        let Some(view) = self.view() else { return Ok(None) };
        let is_part = view.resolved.packs.contains_key(unit);
        let Some(it) = view.resolved.units.get(unit).filter(|_| is_part) else { return Ok(None) };
        let contents = wheels::read(&self.engine.store, &it.sha256)?;
        let record = |contents| record_of(&contents, &view.resolved.scheme, &it.url, &it.version);
        contents.map(record).transpose()
    }

    /// Looks into the wheel of `unit` once more: what was known of it was pruned.
    pub(super) async fn fetch_parts(&self, unit: &str) -> Result<()> {
        if !matches!(self.record(unit)?, Answer::NotHere) {
            return Ok(());
        }
        let Some(it) = self.view().and_then(|view| view.resolved.units.get(unit)) else {
            return Ok(());
        };
        let wheel = Wheel { url: it.url.clone(), size: Some(it.size), sha256: Some(it.sha256) };
        self.contents(&[wheel]).await.map(drop)
    }

    /// What is in wheels, in their order.
    pub(super) async fn contents(&self, wheels: &[Wheel]) -> Result<Vec<Contents>> {
        let Engine { fetcher, store, events, administrator, .. } = &*self.engine;
        if administrator.rules()?.is_some() {
            let kept = |sha256: &_| matches!(wheels::read(store, sha256), Ok(Some(_)));
            let is_known = |wheel: &&Wheel| wheel.sha256.as_ref().is_some_and(kept);
            for wheel in wheels.iter().filter(|it| !is_known(it)) {
                self.engine.may_come_from(&self.resolve(&wheel.url)?)?;
            }
        }
        inspect(fetcher, store, wheels, self.policy(), events).await
    }

    /// Every unit of the lock.
    pub(super) async fn all_records(&self) -> Result<Modules> {
        let mut all = BTreeMap::new();
        let names: Vec<UnitName> =
            self.view().map(|it| it.resolved.units.keys().cloned().collect()).unwrap_or_default();
        for name in names {
            self.fetch_parts(name.as_str()).await?;
            if let Answer::Record(record) = self.record(name.as_str())? {
                all.insert(name, Box::new(Arc::unwrap_or_clone(record)));
            }
        }
        Ok(Modules(all))
    }
}

/// What a wheel becomes in an environment of this shape.
pub fn record_of(
    contents: &Contents,
    scheme: &Scheme,
    url: &UrlText,
    version: &Version,
) -> Result<Record> {
    let wrong = |why: String| {
        Error::new(Kind::Integrity, format!("the wheel {url} cannot be installed: {why}"))
            .hint("choose another version, or ask its author to build it again")
    };
    let mut seen = BTreeSet::new();
    let mut files = Vec::with_capacity(contents.files.len());
    for file in &contents.files {
        let path = contents.place(scheme, &file.entry).map_err(|why| wrong(why.to_string()))?;
        if !seen.insert(path.clone()) {
            return Err(wrong(format!("it puts two files at {path}")));
        }
        // An installer makes a script one that can be run, whatever the archive says.
        let is_script = path.parent() == scheme.scripts;
        files.push(File {
            path,
            place: Place::InPack { entry: file.entry.clone() },
            size: file.size,
            sha256: file.sha256,
            lazy: false,
            executable: file.executable || is_script,
        });
    }
    let wheel = Pack {
        format: PackFormat::Wheel,
        tag: None,
        url: url.clone(),
        size: contents.size,
        sha256: contents.sha256,
        paths: files.iter().map(|file| file.path.clone()).collect(),
    };
    Ok(Record {
        version: version.clone(),
        summary: None,
        requires_python: None,
        dependencies: Vec::new(),
        requires: BTreeSet::new(),
        yanked: None,
        files,
        packs: vec![wheel],
        variants: Vec::new(),
        versions: BTreeMap::new(),
        published: None,
    })
}

/// What of a wheel is in packs: these files, from these packs, and nothing else.
pub fn part_of(whole: Record, packs: &[Pack]) -> Record {
    let paths: BTreeSet<&FilePath> = packs.iter().flat_map(|pack| &pack.paths).collect();
    let mut files = whole.files;
    files.retain(|file| paths.contains(&file.path));
    for file in &mut files {
        file.place = Place::InPack { entry: file.path.clone() };
    }
    Record { files, packs: packs.to_vec(), ..whole }
}
