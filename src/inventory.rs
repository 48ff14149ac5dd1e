//! What there is: listing, describing, verifying, and single data files.

use std::path::PathBuf;
use std::sync::Arc;

use crate::activate::Member;
use crate::assemble::link;
use crate::error::{Error, Kind, Result};
use crate::fetch::Artifact;
use crate::manifest::{Body, Record};
use crate::mount::{Answer, Mount, reason_of};
use crate::name::FilePath;
use crate::progress::Progress;
use crate::session::{Located, Lookup, Session};
use crate::store::generation::unit_of_key;
use crate::store::tree::{Tree, hash_file};
use crate::store::{make_folders, rename_onto};
use crate::unit::{Readiness, Unit};

/// What is known of a unit without downloading it.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    pub name: String,
    pub version: String,
    /// Every version that can be pinned, the newest first.
    pub versions: Vec<String>,
    pub summary: Option<String>,
    /// Bytes of its files; lazy ones are not counted.
    pub size: u64,
    pub cached: bool,
    /// Why its author took this version back.
    pub yanked: Option<String>,
}

/// The outcome of a check of the cache.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verified {
    pub units: u64,
    pub files: u64,
    pub bytes: u64,
    pub problems: Vec<String>,
    /// Every problem was mended.
    pub healed: bool,
}

impl Session {
    /// All units of a mount, by name. Asks for the manifest if none is known.
    pub async fn available(&self, mount: &Arc<Mount>) -> Result<Vec<Description>> {
        let manifest = self.known_manifest(mount).await?;
        let modules = mount.all_records(&self.context(), &manifest).await?;
        Ok(modules
            .0
            .iter()
            .map(|(name, record)| self.describe(mount, name.as_str(), record))
            .collect())
    }

    pub async fn info(&self, mount: &Arc<Mount>, name: &str) -> Result<Description> {
        let record = self.record_or_refresh(mount, name).await?;
        Ok(self.describe(mount, name, &record))
    }

    /// Asks for the manifest, whatever is known, and counts its units.
    pub async fn available_now(&self, mount: &Arc<Mount>) -> Result<u64> {
        mount.refresh(&self.context(), false).await?;
        let manifest = self.known_manifest(mount).await?;
        let document = mount.manifest(&self.store, &manifest)?;
        Ok(match &document.body {
            Body::Modules(modules) => modules.0.len() as u64,
            Body::Catalogue(catalogue) => catalogue.units,
        })
    }

    /// `(name, folder)` of every `.dist-info` in an active tree.
    pub fn distributions(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for mount in self.mounts() {
            let Some(bound) = mount.bound() else { continue };
            for active in bound.generation.active.values() {
                let Ok(Some(tree)) = Tree::open(&self.store, &active.tree) else { continue };
                for file in &tree.files {
                    let Some(folder) = file.path.as_str().strip_suffix(".dist-info/METADATA")
                    else {
                        continue;
                    };
                    let name = folder.split('-').next().unwrap_or(folder).to_owned();
                    let place = tree.folder.join(file.path.parent());
                    found.push((name, place.to_string_lossy().into_owned()));
                }
            }
        }
        found
    }

    async fn known_manifest(&self, mount: &Arc<Mount>) -> Result<crate::name::Digest> {
        let known = |mount: &Mount| {
            mount
                .bound()
                .and_then(|bound| bound.manifest)
                .filter(|digest| mount.manifest(&self.store, digest).is_ok())
        };
        if let Some(manifest) = known(mount) {
            return Ok(manifest);
        }
        mount.refresh(&self.context(), false).await?;
        known(mount).ok_or_else(|| {
            Error::new(Kind::Manifest, format!("no manifest is known for {}", mount.describe()))
        })
    }

    async fn record_or_refresh(&self, mount: &Arc<Mount>, name: &str) -> Result<Arc<Record>> {
        let mut manifest = self.known_manifest(mount).await?;
        for again in [true, false] {
            mount.fetch_parts(&self.context(), &manifest, name).await?;
            if let Answer::Record(record) = mount.record(&self.store, &manifest, name)? {
                return Ok(record);
            }
            if !again
                || !mount.may_ask_for(name)
                || mount.refresh(&self.context(), false).await.is_err()
            {
                break;
            }
            manifest = self.known_manifest(mount).await?;
        }
        Err(self.not_in_manifest(mount, &manifest, name))
    }

    fn describe(&self, mount: &Arc<Mount>, name: &str, record: &Record) -> Description {
        let active = mount.bound().and_then(|bound| {
            self.active_entry(mount, &bound, name).map(|(_, active)| active.clone())
        });
        let mut versions = vec![record.version.to_string()];
        let mut older: Vec<(&Option<u64>, String)> = record
            .versions
            .values()
            .map(|record| (&record.published, record.version.to_string()))
            .collect();
        older.sort_by(|a, b| b.cmp(a));
        versions.extend(older.into_iter().map(|(_, version)| version));
        let cached = active
            .as_ref()
            .is_some_and(|active| matches!(Tree::open(&self.store, &active.tree), Ok(Some(_))));
        let version = active
            .filter(|_| cached)
            .map_or_else(|| record.version.clone(), |active| active.version.clone());
        let published =
            if record.version == version { Some(record) } else { record.versions.get(&version) };
        Description {
            name: mount.namespace.join(name),
            yanked: published.and_then(|record| reason_of(record, mount.yanked(name, &version))),
            version: version.to_string(),
            versions,
            summary: record.summary.clone(),
            size: record.select(self.python.tags.get().map_or(&[], Vec::as_slice)).0.size(),
            cached,
        }
    }

    /// The unit called `name`, or the one that holds the module `name`.
    pub async fn unit(&self, mount: &Arc<Mount>, name: &str) -> Result<Arc<Unit>> {
        let mut looked = self.lookup_in(mount, name)?;
        if let Lookup::Ask { required, .. } = looked {
            looked = self.ask(mount, name, required).await?;
        }
        match looked {
            Lookup::Located(Located { unit, .. }) => Ok(unit),
            _ => {
                let manifest = self.known_manifest(mount).await?;
                Err(self.not_in_manifest(mount, &manifest, name))
            }
        }
    }

    /// The members that `name`, perhaps in another version than the active one, needs.
    pub async fn wanted(
        &self,
        mount: &Arc<Mount>,
        name: &str,
        version: Option<&str>,
    ) -> Result<Vec<Member>> {
        let Some(version) = version else {
            let unit = self.unit(mount, name).await?;
            return self.closure(&unit).await;
        };
        let manifest = self.known_manifest(mount).await?;
        let record = self.record_or_refresh(mount, name).await?;
        let active = self.unit(mount, name).await?;
        if active.version.as_str() == version {
            return self.closure(&active).await;
        }
        let chosen = if record.version.as_str() == version {
            Some((*record).clone())
        } else {
            record.versions.get(version).cloned()
        };
        let chosen = chosen.ok_or_else(|| {
            let mut have = vec![record.version.to_string()];
            have.extend(record.versions.keys().map(ToString::to_string));
            Error::new(
                Kind::Requirement,
                format!("{} has no version {version}", mount.namespace.join(name)),
            )
            .name(mount.namespace.join(name))
            .expected(version)
            .got(have.join(", "))
            .hint(format!("choose one of {}", have.join(", ")))
        })?;
        let selected = self.select(&mount.namespace.join(name), name, &chosen)?;
        let mut key = format!("{name}=={version}");
        if !chosen.variants.is_empty() {
            key = self.tagged(&key);
        }
        let parsed = crate::name::UnitName::new(name).map_err(|error| {
            Error::new(Kind::UnitNotFound, "no such unit").name(name).caused_by(&error)
        })?;
        let unit = Unit::of_record(mount, &self.store, &parsed, key, manifest, &selected);
        let mut members =
            vec![Member { unit: Arc::new(unit), record: Arc::new(selected), manifest }];
        self.add_required(mount, &mut members).await?;
        Ok(members)
    }

    /// Fetches `members` and makes them active.
    pub async fn fetch(&self, mount: &Arc<Mount>, members: &[Member], label: &str) -> Result<u64> {
        let _kept = self.keep().await?;
        let progress = Progress::new(label, self.events.clone());
        let moved = match self.materialize(members, &progress, false).await {
            Ok(moved) => moved,
            Err(error) if error.kind() == Kind::Fetch || error.kind() == Kind::Integrity => {
                self.after_a_miss(mount, members, &progress, error).await?
            }
            Err(error) => return Err(error),
        };
        match self.activate(mount, members) {
            // A cache that cannot be written serves what it has.
            Err(error) if error.kind() == Kind::Store && moved.bytes == 0 => Ok(0),
            Err(error) => Err(error),
            Ok(()) => Ok(moved.bytes),
        }
    }

    /// An artifact is gone, or is not what was pinned: the manifest may have moved on.
    async fn after_a_miss(
        &self,
        mount: &Arc<Mount>,
        members: &[Member],
        progress: &Arc<Progress>,
        error: Error,
    ) -> Result<crate::activate::Moved> {
        let context = self.context();
        if mount.refresh(&context, true).await.is_err() {
            return Err(error);
        }
        let manifest = mount.bound().and_then(|bound| bound.manifest);
        let moved_on = |member: &Member| Some(member.manifest) != manifest;
        let (Some(manifest), true) = (manifest, members.iter().any(moved_on)) else {
            return Err(error);
        };
        let mut again = Vec::new();
        for member in members {
            mount.fetch_parts(&context, &manifest, member.unit.name.as_str()).await?;
            match self.member_of_tree(mount, &manifest, &member.unit) {
                Some(member) => again.push(member),
                None => {
                    let name = &member.unit.full_name;
                    return Err(error.hint(format!(
                        "another version of {name} was published meanwhile, which cannot take its \
                         place while it is being imported: import it again"
                    )));
                }
            }
        }
        self.materialize(&again, progress, false).await
    }

    /// Hashes every file of the units, and mends what can be mended.
    pub async fn verify(&self, mount: &Arc<Mount>, names: &[String]) -> Result<Verified> {
        let mut verified = Verified { healed: true, ..Verified::default() };
        let Some(bound) = mount.bound() else { return Ok(verified) };
        for name in names {
            let is_it = |key: &String| unit_of_key(key) == name;
            if !bound.generation.active.keys().any(is_it) {
                let full = mount.namespace.join(name);
                return Err(Error::new(Kind::UnitNotFound, format!("{full} is not in the cache"))
                    .hint(format!("run `magic-module fetch {full}`"))
                    .name(full));
            }
        }
        // Every entry: pinned versions and other interpreters' variants, too.
        for (key, active) in &bound.generation.active {
            if names.is_empty() || names.iter().any(|name| unit_of_key(key) == name) {
                let unit = self.active_entry_unit(mount, key, active)?;
                verified.units += 1;
                self.verify_unit(mount, &unit, &mut verified).await?;
            }
        }
        Ok(verified)
    }

    async fn verify_unit(
        &self,
        mount: &Arc<Mount>,
        unit: &Arc<Unit>,
        verified: &mut Verified,
    ) -> Result<()> {
        let mut sources_whole = true;
        match Tree::open(&self.store, &unit.digest)? {
            Some(mut tree) => {
                let damaged = tree.check(true).damaged;
                verified.problems.extend(damaged.iter().map(|at| {
                    format!(
                        "{} is damaged",
                        tree.folder.join(tree.files[*at].path.as_str()).display()
                    )
                }));
                verified.files += tree.files.iter().filter(|file| !file.lazy).count() as u64;
                verified.bytes +=
                    tree.files.iter().filter(|file| !file.lazy).map(|file| file.size).sum::<u64>();
                for source in &tree.sources {
                    if self.store.blobs().verify(source).is_err() {
                        verified.problems.push(format!("blob {source} is damaged or gone"));
                        let _ = self.store.blobs().remove(source);
                        sources_whole = false;
                    }
                }
            }
            None => verified.problems.push(format!("the tree of {} is gone", unit.full_name)),
        }
        unit.reset();
        if sources_whole
            && matches!(unit.prepare(&self.store, true, &self.events), Ok(Readiness::Ready))
        {
            return Ok(());
        }
        unit.reset();
        let mended = self.mend(mount, unit, !sources_whole).await;
        if let Err(error) = mended {
            verified.healed = false;
            verified.problems.push(error.to_string());
        }
        Ok(())
    }

    async fn mend(&self, mount: &Arc<Mount>, unit: &Arc<Unit>, force: bool) -> Result<()> {
        let _kept = self.keep().await?;
        let members = self.closure(unit).await?;
        if !force {
            return self.fetch(mount, &members, &unit.full_name).await.map(drop);
        }
        let progress = Progress::new(unit.full_name.clone(), self.events.clone());
        self.materialize(&members, &progress, true).await.map(drop)
    }

    /// A data file of a unit, on disk and verified; fetched if it is lazy.
    pub async fn data_path(
        &self,
        mount: &Arc<Mount>,
        unit: &Arc<Unit>,
        path: &str,
    ) -> Result<PathBuf> {
        let record = self.closure(unit).await?.into_iter().next().map(|member| member.record);
        let inside = format!("{}/{path}", unit.name.to_path());
        let file =
            record.as_ref().and_then(|record| record.file(path).or_else(|| record.file(&inside)));
        let Some(file) = file else {
            return Err(Error::new(
                Kind::UnitNotFound,
                format!("{} has no file {path}", unit.full_name),
            )
            .name(unit.full_name.clone())
            .path(path)
            .hint(format!("`magic-module info {}` tells what it holds", unit.full_name)));
        };
        if file.lazy {
            return self.lazy(mount, unit, file).await;
        }
        if !self.is_ready(unit)? {
            let members = self.closure(unit).await?;
            self.fetch(mount, &members, &unit.full_name).await?;
        }
        unit.verify_file(&self.store, file.path.as_str())
    }

    /// The place of a lazy file: outside the tree, under its own name.
    pub fn lazy_place(&self, sha256: &crate::name::Digest, path: &FilePath) -> PathBuf {
        self.store.root().join("lazy").join(sha256.to_hex()).join(path.file_name())
    }

    async fn lazy(
        &self,
        mount: &Arc<Mount>,
        unit: &Arc<Unit>,
        file: &crate::manifest::File,
    ) -> Result<PathBuf> {
        let place = self.lazy_place(&file.sha256, &file.path);
        let whole = || hash_file(&place, file.size).is_ok_and(|digest| digest == file.sha256);
        if place.exists() && whole() {
            return Ok(place);
        }
        let _kept = self.keep().await?;
        let blobs = self.store.blobs();
        if !blobs.has(&file.sha256, file.size) || blobs.verify(&file.sha256).is_err() {
            if self.settings.offline {
                return Err(mount
                    .offline(&format!("{} of {} is not in the cache", file.path, unit.full_name))
                    .name(unit.full_name.clone()));
            }
            let _ = blobs.remove(&file.sha256);
            let artifact = Artifact {
                label: unit.full_name.clone(),
                url: mount.resolve(&file.url)?,
                size: file.size,
                sha256: file.sha256,
            };
            let progress = Progress::new(unit.full_name.clone(), self.events.clone());
            self.context().fetcher.blobs(&[artifact], mount.transport(), &progress, false).await?;
            progress.finish(file.path.file_name());
        }
        let cannot =
            |error: std::io::Error| Error::store("cannot write a data file", &place, &error);
        let aside = self.store.tmp().join(format!(
            "{}.{}.{}.lazy",
            file.sha256,
            std::process::id(),
            crate::store::unique()
        ));
        if let Some(folder) = place.parent() {
            make_folders(folder).map_err(cannot)?;
        }
        let blob = blobs.path(&file.sha256);
        if link(&blob, &aside).is_err() {
            fs_err::copy(&blob, &aside).map_err(cannot)?;
        }
        rename_onto(&aside, &place).map_err(cannot)?;
        // Two names of one file: a rename onto the other changes nothing and leaves `aside`.
        let _ = fs_err::remove_file(&aside);
        Ok(place)
    }
}
