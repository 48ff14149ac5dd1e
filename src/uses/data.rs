//! Single data files. A lazy one lies outside of its unit's tree, and is fetched when it is wanted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::assemble::{link, make_executable};
use crate::error::{Error, Kind, Result};
use crate::events::Progress;
use crate::fetch::Artifact;
use crate::manifest::{File, Place};
use crate::mount::Mount;
use crate::session::Session;
use crate::store::blob::Admission;
use crate::store::disk;
use crate::store::tree::has_mode;
use crate::store::{Reuse, aside, create_file, make_folders, rename_onto};
use crate::unit::Unit;
use crate::uses::activate::Member;

impl Session {
    /// A data file of the unit called `name`, on disk and verified.
    pub async fn data_path_of(
        &self,
        mount: &Arc<Mount>,
        name: &str,
        path: &str,
    ) -> Result<PathBuf> {
        let unit = self.unit(mount, name).await?;
        let module = name.replace('.', "/");
        let site = mount.supply.site();
        let in_site = format!("{site}/{module}");
        let below = [unit.name.to_path(), module, site.to_owned(), in_site];
        let place = || self.place_of(mount, &unit, &below, path);
        self.or_newer(mount, mount.known(), place).await
    }

    /// The same for the unit that is called so, whatever module bears its name.
    pub async fn data_path_in(
        &self,
        mount: &Arc<Mount>,
        name: &str,
        path: &str,
    ) -> Result<PathBuf> {
        match self.unit_without_module(mount, name).await? {
            Some(unit) => self.data_path(mount, &unit, path).await,
            None => self.data_path_of(mount, name, path).await,
        }
    }

    /// The same by the place that it would have in a tree; `None`: nothing of ours is there.
    pub async fn data_path_at(&self, origin: &Path) -> Result<Option<PathBuf>> {
        let Some((unit, path)) = self.unit_of_file(origin) else { return Ok(None) };
        self.data_path(&unit.mount()?, &unit, &path).await.map(Some)
    }

    /// A data file of a unit, on disk and verified; fetched if it is lazy.
    pub async fn data_path(
        &self,
        mount: &Arc<Mount>,
        unit: &Arc<Unit>,
        path: &str,
    ) -> Result<PathBuf> {
        let below = [unit.name.to_path()];
        let place = || self.place_of(mount, unit, &below, path);
        self.or_newer(mount, mount.known(), place).await
    }

    /// The same, where the path may be meant below any of these folders.
    async fn place_of(
        &self,
        mount: &Arc<Mount>,
        unit: &Arc<Unit>,
        folders: &[String],
        path: &str,
    ) -> Result<PathBuf> {
        let mut members: Vec<_> = self.closure(unit).await?.into_iter().take(1).collect();
        let in_one = |it: &Member| {
            let mut below = folders.iter().map(|folder| format!("{folder}/{path}"));
            let named = it.record.file(path);
            let file = named.or_else(|| below.find_map(|path| it.record.file(&path)))?;
            Some((it.unit.clone(), file.clone()))
        };
        let mut found = members.iter().find_map(in_one);
        if found.is_none() {
            self.add_rests(mount, &mut members)?;
            found = members.iter().find_map(in_one);
        }
        let full = &unit.full_name;
        let Some((unit, file)) = found else {
            return Err(Error::new(Kind::UnitNotFound, format!("{full} has no file {path}"))
                .name(full)
                .path(path)
                .hint(format!("`magic-module info {full}` tells what it holds")));
        };
        if file.lazy {
            return self.lazy(mount, &unit, &file).await;
        }
        self.make_ready(mount, &unit).await?;
        match unit.verify_file(file.path.as_str()) {
            // The cache was emptied or damaged since the unit was made ready.
            Err(error) if matches!(error.kind(), Kind::Store | Kind::Integrity) => {
                unit.reset();
                self.make_ready(mount, &unit).await?;
                unit.verify_file(file.path.as_str())
            }
            done => done,
        }
    }

    async fn make_ready(&self, mount: &Arc<Mount>, unit: &Arc<Unit>) -> Result<()> {
        if !self.is_ready(unit)? {
            let members = self.closure(unit).await?;
            self.fetch(mount, &members, &unit.full_name).await?;
        }
        Ok(())
    }

    /// The place of a lazy file: outside the tree, under its own name. The same bytes may be
    /// a tool elsewhere; no file can have the name of the folder that keeps the two apart.
    fn lazy_place(&self, file: &File) -> PathBuf {
        let mut place = self.engine.store.lazy().join(file.sha256.to_hex());
        if file.executable {
            place.push("executable.");
        }
        place.join(file.path.file_name())
    }

    /// The folder above a lazy file that is a link, or that others own or may write to.
    fn stranger_above(&self, place: &Path) -> Option<PathBuf> {
        let lazy = self.engine.store.lazy();
        let folders = place.ancestors().skip(1).take_while(|folder| *folder != lazy);
        let is_strange = |folder: &&Path| {
            fs_err::symlink_metadata(folder).is_ok_and(|it| !self.engine.store.is_own_folder(&it))
        };
        folders.filter(is_strange).last().map(Path::to_path_buf)
    }

    /// Where it would be in further caches.
    fn lazy_behind(&self, place: &Path) -> Vec<PathBuf> {
        let store = &self.engine.store;
        let below = place.parent().and_then(|folder| folder.strip_prefix(store.root()).ok());
        let folders = below.map(|below| store.folders_behind(below)).unwrap_or_default();
        let name = place.file_name().unwrap_or_default();
        folders.into_iter().map(|folder| folder.join(name)).collect()
    }

    fn lazy_artifact(&self, mount: &Mount, unit: &Unit, file: &File) -> Result<Artifact> {
        let Place::Url(url) = &file.place else {
            let why = format!("{} is lazy, but has no URL of its own", file.path);
            return Err(Error::new(Kind::Manifest, why).name(unit.full_name.clone()));
        };
        let (label, url) = (unit.full_name.clone(), mount.supply.resolve(url)?);
        Ok(Artifact { label, url, size: file.size, sha256: file.sha256 })
    }

    async fn lazy(&self, mount: &Arc<Mount>, unit: &Arc<Unit>, file: &File) -> Result<PathBuf> {
        let place = self.lazy_place(file);
        let progress = Progress::new(unit.full_name.clone(), self.engine.events.clone());
        if self.engine.store.blobs().admission(&file.sha256, None) != Admission::Open {
            let artifact = self.lazy_artifact(mount, unit, file)?;
            self.allow_file(unit, &artifact)?;
            self.engine.admit(&artifact, mount.supply.policy(), &progress).await?;
        }
        let whole = || disk::digest(&place, file.size).is_ok_and(|digest| digest == file.sha256);
        let fit = fs_err::symlink_metadata(&place).is_ok_and(|it| has_mode(&it, file.executable));
        self.engine.store.check_folder(&self.engine.store.lazy())?;
        let strange = self.stranger_above(&place);
        if strange.is_none() && fit && whole() {
            return Ok(place);
        }
        let is_it = |place: &PathBuf| {
            fs_err::symlink_metadata(place).is_ok_and(|it| has_mode(&it, file.executable))
                && disk::digest(place, file.size).is_ok_and(|digest| digest == file.sha256)
        };
        if let Some(place) = self.lazy_behind(&place).into_iter().find(is_it) {
            return Ok(place);
        }
        let _kept = self.keep().await?;
        let blobs = self.engine.store.blobs();
        if !blobs.is_whole(&file.sha256, file.size)? {
            let artifact = self.lazy_artifact(mount, unit, file)?;
            let what = || format!("{} of {} is not in the cache", file.path, unit.full_name);
            let may_fetch = mount.supply.may_fetch(&artifact.url, &what);
            may_fetch.map_err(|error| error.name(unit.full_name.clone()))?;
            self.allow_file(unit, &artifact)?;
            let _ = blobs.remove(&file.sha256);
            self.engine
                .fetcher
                .blobs(&[artifact], mount.supply.policy(), &progress, Reuse::WhatIsHere)
                .await?;
            progress.finish(file.path.file_name());
        }
        let cannot =
            |error: std::io::Error| Error::store("cannot write a data file", &place, &error);
        let aside = aside(&self.engine.store.tmp(), file.sha256, "lazy");
        if let Some(folder) = strange {
            disk::remove(&folder).map_err(cannot)?;
        }
        if let Some(folder) = place.parent() {
            make_folders(folder).map_err(cannot)?;
        }
        let blob = blobs.path(&file.sha256);
        // All names of a file have one mode, and a blob is never run.
        let stays = file.executable || !self.engine.store.owns(&blob);
        if stays || link(&blob, &aside).is_err() {
            disk::copy(&blob, file.size, &mut create_file(&aside, 0o644).map_err(cannot)?)
                .map_err(cannot)?;
        }
        if file.executable {
            make_executable(&aside).map_err(cannot)?;
        }
        rename_onto(&aside, &place).map_err(cannot)?;
        // Two names of one file: a rename onto the other changes nothing and leaves `aside`.
        let _ = fs_err::remove_file(&aside);
        Ok(place)
    }
}
