//! A lock becomes a site: the lock, what it means for this interpreter, and every wheel of that.
//!
//! ```text
//! lock, mounted ─▶ Resolved, contents ─▶ locks/<sha256>.json.zst ┐
//!               └▶ wheels: of the site, of the cache, fetched ───┴▶ manifest.json
//! ```
//!
//! Each interpreter that publishes adds its document; those of others stay while the lock does.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::site::Site;
use super::target::{PublishedTarget, compared, needed};
use super::wheels::Wheel;
use super::{
    ATTEMPTS, OTHER_FOLDER, Options, Published, PublishedUnit, history, overtaken, pack, refused,
    signatures, used,
};
use crate::error::{Error, Kind, Result};
use crate::events::Progress;
use crate::fetch::Artifact;
use crate::manifest::{
    Body, FORMAT, Facts, LOCK, Manifest, Modules, Part, PublishedDocument, PublishedLock, rfc3339,
};
use crate::mount::Mount;
use crate::name::{Digest, SafeUrl, UnitName};
use crate::pylock::{Pylock, SIZE_LIMIT};
use crate::resolved::{Distribution, Resolved};
use crate::session::Session;
use crate::store::{Reuse, disk, wheels};
use crate::supply::lock::site::{Document, wheel_url};
use crate::threads;
use crate::wheel::Contents;

/// What the site held before, as far as it is of the same lock.
struct Before {
    manifest: Option<Manifest>,
    documents: Vec<Held>,
}

/// A document that the site held.
struct Held {
    said: PublishedDocument,
    document: Document,
    packed: Option<Document>,
}

impl Session {
    /// Publishes a lock that is mounted into the folder `output`.
    pub async fn publish_lock(
        &self,
        mount: &Arc<Mount>,
        facts: &Facts,
        output: &Path,
        options: &Options,
    ) -> Result<Published> {
        let Some(source) = mount.request.source.as_lock().filter(|lock| lock.site.is_none()) else {
            return Err(refused(mount.supply.url(), "it is not a lock", "name a pylock.toml"));
        };
        let _kept = self.keep().await?;
        let text = disk::read(&source.path, SIZE_LIMIT)
            .map_err(|error| super::unreadable(source.path.display(), &error))?;
        let lock = Pylock::parse(&source.path, &text)?;
        let (resolved, contents) = self.meaning(mount, &source.path).await?;
        let names: Vec<String> = resolved.units.values().map(file_name).collect();
        let target = PublishedTarget {
            interpreter: facts.interpreter.clone(),
            platform: facts.platform.clone(),
            system: needed(names.iter().map(String::as_str), facts.system.as_ref()),
            markers: compared(&lock, &text, &contents, facts),
        };
        let output = super::resolve(output)?;
        let meaning = Meaning { text, target, resolved, contents };
        for _ in 0..ATTEMPTS {
            let (place, reach) = (output.clone(), options.clone());
            let mut site = beside(move || Site::open(&place, &reach)).await?;
            let before = before(&mut site)?;
            let reads = options.compiler.is_some() || options.packs_for.is_some();
            self.bring_wheels(mount, &meaning.resolved, &mut site, reads).await?;
            let (meaning, options) = (meaning.clone(), options.clone());
            let done = beside(move || finish(&mut site, &before, meaning, &options)).await?;
            if let Some(done) = done {
                return Ok(done);
            }
        }
        Err(overtaken(&output))
    }

    /// What a lock means for this interpreter, as everybody may have it.
    async fn meaning(&self, mount: &Arc<Mount>, lock: &Path) -> Result<(Resolved, Vec<Contents>)> {
        let lacking = || Error::new(Kind::Store, "the lock was not compiled").hint("try again");
        let document = mount.supply.newest()?.ok_or_else(lacking)?;
        mount.supply.all_records(&document).await?;
        let resolved = mount.supply.view().ok_or_else(lacking)?.resolved.clone();
        if let Some(folder) = resolved.projects.keys().next() {
            let why = format!("the project {folder} is imported as it lies here");
            let hint = "lock a wheel of it (`uv build --wheel`), or lock without it (`uv export --no-emit-project`)";
            return Err(refused(lock.display(), why, hint));
        }
        let mut contents = Vec::new();
        for it in resolved.units.values() {
            let known = wheels::read(&self.engine.store, &it.sha256)?;
            contents.push(known.ok_or_else(lacking)?);
        }
        Ok((resolved, contents))
    }

    /// Afterwards the site has every wheel; where it `reads` them, this machine has them, too.
    async fn bring_wheels(
        &self,
        mount: &Mount,
        resolved: &Resolved,
        site: &mut Site,
        reads: bool,
    ) -> Result<()> {
        let mut missing = Vec::new();
        let is_read = reads && site.is_remote();
        let wanted = |it: &&Distribution| is_read || !site.holds_wheel(&it.sha256, it.size);
        for it in resolved.units.values().filter(wanted) {
            missing.push(artifact_of(mount, it)?);
        }
        let blobs = self.engine.store.blobs();
        for it in missing.iter().filter(|it| !blobs.has(&it.sha256, it.size)) {
            let may = mount.supply.may_fetch(&it.url, &|| format!("{} is not here", it.label));
            may.and_then(|()| self.engine.may_come_from(&it.url))
                .map_err(|error| error.or_name(it.label.clone()))?;
        }
        let progress = Progress::new("publish", self.engine.events.clone());
        let (fetcher, policy) = (&self.engine.fetcher, mount.supply.policy());
        fetcher.blobs(&missing, policy, &progress, Reuse::WhatIsHere).await?;
        for it in &missing {
            site.keep_wheel(&blobs.path(&it.sha256), &it.sha256, it.size)?;
        }
        Ok(())
    }
}

/// All that is to be published, beside the wheels.
#[derive(Clone)]
struct Meaning {
    text: Vec<u8>,
    target: PublishedTarget,
    resolved: Resolved,
    contents: Vec<Contents>,
}

fn artifact_of(mount: &Mount, it: &Distribution) -> Result<Artifact> {
    let (label, url) = (it.name.clone(), mount.supply.resolve(&it.url)?);
    Ok(Artifact { label, url, size: it.size, sha256: it.sha256 })
}

fn file_name(it: &Distribution) -> String {
    SafeUrl::new(it.url.as_str()).map_or_else(|_| String::new(), |url| url.file_name().to_owned())
}

/// What the site holds. What is damaged is never overwritten.
fn before(site: &mut Site) -> Result<Before> {
    let previous = history::previous(site, &Default::default())?;
    let Some(manifest) = previous.manifest else {
        return Ok(Before { manifest: None, documents: Vec::new() });
    };
    let Some(lock) = &manifest.lock else {
        let path = site.manifest_path();
        return Err(refused(path.display(), "it has units, and no lock", OTHER_FOLDER));
    };
    let mut documents = Vec::new();
    for it in &lock.documents {
        // One that is lost or damaged is not served any more.
        let Some(document) = held(site, &it.part)? else { continue };
        let packed = match &it.packed {
            Some(part) => held(site, part)?,
            None => None,
        };
        let it = Held { said: it.clone(), document, packed };
        site.know(it.references());
        site.know([lock.text.url.as_str().to_owned()].into());
        documents.push(it);
    }
    Ok(Before { manifest: Some(manifest), documents })
}

fn held(site: &Site, part: &Part) -> Result<Option<Document>> {
    let bytes = site.read(part.url.as_str())?.filter(|bytes| Digest::of(bytes) == part.sha256);
    Ok(bytes.and_then(|bytes| Document::parse("before", &bytes).ok()))
}

impl Held {
    /// The paths of all that it needs.
    fn references(&self) -> BTreeSet<String> {
        let mut all = references_of(&self.document, [&self.said.part]);
        if let (Some(packed), Some(part)) = (&self.packed, &self.said.packed) {
            all.extend(references_of(packed, [part]));
        }
        all
    }
}

/// Writes what is small, and the manifest last. `None`: somebody else published meanwhile.
fn finish(
    site: &mut Site,
    before: &Before,
    meaning: Meaning,
    options: &Options,
) -> Result<Option<Published>> {
    let Meaning { text, target, mut resolved, contents } = meaning;
    for it in resolved.units.values_mut() {
        it.url = wheel_url(&it.sha256);
    }
    let of_target = |it: &&Held| {
        it.said.interpreter == target.interpreter && it.said.platform == target.platform
    };
    let old = before.documents.iter().find(of_target);
    let units = units(old.map(|it| &it.document.resolved), &resolved);
    let known = before.manifest.as_ref();
    let lock_text = site.keep_lock_part(".toml", &text)?;
    let is_same_lock = known
        .and_then(|manifest| manifest.lock.as_ref())
        .is_some_and(|lock| lock.text.sha256 == lock_text.sha256);
    let same = before.documents.iter().find(|it| PublishedTarget::of(&it.said) == target);
    let parted = match &options.packs_for {
        Some(packs_for) => {
            let known = same.and_then(|it| it.packed.as_ref()).map(|it| &it.resolved);
            Some(used::parted(&resolved, &contents, known, packs_for, options, site)?)
        }
        None => None,
    };
    add_code(&mut resolved, &contents, parted.as_ref(), same, options, site)?;
    let document = Document { resolved, contents };
    let part = keep_document(&document, site)?;
    let mut references = references_of(&document, [&lock_text, &part]);
    let mut packed = None;
    if let (Some(mut resolved), Some(packs_for)) = (parted, &options.packs_for) {
        let whole = document.resolved.code.iter();
        let whole = whole.filter(|(unit, _)| !resolved.packs.contains_key(*unit));
        resolved.code.extend(whole.map(|(unit, packs)| (unit.clone(), packs.clone())));
        let document = Document { resolved, contents: document.contents.clone() };
        let part = keep_document(&document, site)?;
        // What is as it was has been tried.
        if same.and_then(|it| it.said.packed.as_ref()) != Some(&part) {
            used::prove(&text, target.clone(), &document, packs_for, options, site)?;
        }
        references.extend(references_of(&document, [&part]));
        packed = Some(part);
    }
    let mut documents = Vec::new();
    for it in &before.documents {
        if is_same_lock && PublishedTarget::of(&it.said) != target {
            references.extend(it.references());
            documents.push(it.said.clone());
        }
    }
    documents.push(target.document(part, packed));
    documents.sort_by(|a, b| {
        (&a.interpreter, &a.platform, &a.part.sha256).cmp(&(
            &b.interpreter,
            &b.platform,
            &b.part.sha256,
        ))
    });
    let text = lock_text;
    let lock = PublishedLock { text, documents };
    let is_same = known.is_some_and(|manifest| manifest.lock.as_ref() == Some(&lock));
    let (serial, signed) = match known.filter(|_| is_same) {
        Some(manifest) => {
            let serial = manifest.serial.unwrap_or_default();
            (serial, super::sign_again(site, serial, options)?)
        }
        None => match write(site, before, lock, &references, options)? {
            Some(written) => written,
            None => return Ok(None),
        },
    };
    let sweep = |days| site.sweep(&references, days, options.clock);
    Ok(Some(Published {
        changed: !is_same,
        signed,
        serial,
        manifest: site.manifest_path(),
        removed: removed(old.map(|it| &it.document.resolved), &document.resolved),
        units,
        dropped_versions: 0,
        dropped: options.drop_older_than.map_or(Ok(0), sweep)?,
        left_out: Vec::new(),
    }))
}

fn write(
    site: &mut Site,
    before: &Before,
    lock: PublishedLock,
    references: &BTreeSet<String>,
    options: &Options,
) -> Result<Option<(u64, bool)>> {
    if options.sign.is_empty() {
        signatures::refuse_unsigned(site)?;
    }
    let serial = history::next_serial(
        before.manifest.as_ref().and_then(|manifest| manifest.serial),
        options,
    )?;
    let manifest = Manifest {
        manifest: FORMAT,
        namespace: options.namespace.clone(),
        serial: Some(serial),
        created: Some(rfc3339(options.clock)),
        max_age: None,
        needs: vec![LOCK.to_owned()],
        body: Body::Modules(Modules::default()),
        lock: Some(lock),
    };
    let bytes = super::to_json(&manifest)?;
    // What a client would refuse is never published.
    Manifest::parse(&bytes)?;
    let mut old = signatures::current(site)?;
    let lock = before.manifest.as_ref().and_then(|manifest| manifest.lock.as_ref());
    old.extend(lock.map(|lock| lock.text.url.as_str().to_owned()));
    old.extend(before.documents.iter().flat_map(Held::references));
    let signed = signatures::put(site, &bytes, &options.sign, &super::comment(serial, options))?;
    let is_ours = site.commit(&bytes, &old, references)?;
    Ok(is_ours.then_some((serial, signed)))
}

/// The code of every wheel; that of one in parts is the code of both.
fn add_code(
    resolved: &mut Resolved,
    contents: &[Contents],
    parted: Option<&Resolved>,
    known: Option<&Held>,
    options: &Options,
    site: &mut Site,
) -> Result<()> {
    let known = known.map(|it| &it.document.resolved);
    for it in contents {
        let unit = resolved.units.iter().find(|(_, unit)| unit.sha256 == it.sha256);
        let Some((unit, distribution)) = unit.map(|(unit, it)| (unit.clone(), it.clone())) else {
            continue;
        };
        let packs = match parted.filter(|parted| parted.packs.contains_key(&unit)) {
            Some(parted) => {
                let parts = [Some(unit.clone()), unit.rest()];
                let code = parts.iter().flatten().filter_map(|part| parted.code.get(part));
                code.flatten().cloned().collect()
            }
            None => {
                let wheel = Wheel::of(&distribution, it, &resolved.scheme, site)?;
                let is_same = |known: &&Resolved| {
                    known.units.get(&unit).is_some_and(|old| old.sha256 == it.sha256)
                };
                let old = known.filter(is_same).and_then(|known| known.code.get(&unit));
                wheel.code(&wheel.files(|_| true), old, options, site)?
            }
        };
        if !packs.is_empty() {
            resolved.code.insert(unit, packs);
        }
    }
    Ok(())
}

pub(super) fn keep_document(document: &Document, site: &mut Site) -> Result<Part> {
    site.keep_lock_part(".json.zst", &pack::compress(&document.to_bytes()?)?)
}

/// The paths of what a document needs.
fn references_of<'a>(
    document: &Document,
    parts: impl IntoIterator<Item = &'a Part>,
) -> BTreeSet<String> {
    let wheels = document.resolved.units.values().map(|it| it.url.as_str().to_owned());
    let parts = parts.into_iter().map(|part| part.url.as_str().to_owned());
    let packs = document.resolved.code.values().chain(document.resolved.packs.values()).flatten();
    let packs = packs.map(|pack| pack.url.as_str().to_owned());
    wheels.chain(parts).chain(packs).collect()
}

fn units(before: Option<&Resolved>, now: &Resolved) -> Vec<PublishedUnit> {
    let unit = |(name, it): (&UnitName, &Distribution)| {
        let old = before.and_then(|before| before.units.get(name));
        PublishedUnit {
            name: name.clone(),
            old_version: old.map(|old| old.version.clone()),
            version: it.version.clone(),
            files: 1,
            bytes: it.size,
            changed: old.is_none_or(|old| old.sha256 != it.sha256),
        }
    };
    now.units.iter().map(unit).collect()
}

fn removed(before: Option<&Resolved>, now: &Resolved) -> Vec<UnitName> {
    let old = before.into_iter().flat_map(|before| before.units.keys());
    old.filter(|name| !now.units.contains_key(*name)).cloned().collect()
}

async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let ended = || Error::new(Kind::Store, "publishing a lock ended unexpectedly");
    threads::beside(work).await.ok_or_else(ended)?
}
