//! Units and records: what is active, and what a manifest has for this mount and interpreter.

use std::sync::Arc;

use super::Session;
use crate::audit;
use crate::error::{Error, Kind, Result};
use crate::layout::Layout;
use crate::manifest::Record;
use crate::mount::{Bound as Binding, Mount};
use crate::name::{Digest, Key, UnitName, Version};
use crate::store::generation::Active;
use crate::supply::Answer;
use crate::unit::Unit;

impl Session {
    /// The active unit called `name`, as its tree on disk or its record tells.
    pub fn active_unit(
        &self,
        mount: &Arc<Mount>,
        bound: &Binding,
        name: &str,
    ) -> Result<Option<Arc<Unit>>> {
        let Some((key, active)) = self.active_entry(mount, bound, name) else { return Ok(None) };
        let Ok(name) = UnitName::new(name) else { return Ok(None) };
        self.unit_of_entry(mount, bound.manifest, &name, key, active)
    }

    /// The unit of an entry of a generation; `None` if neither its tree nor its record is here.
    pub fn unit_of_entry(
        &self,
        mount: &Arc<Mount>,
        newest: Option<Digest>,
        name: &UnitName,
        key: Key,
        active: &Active,
    ) -> Result<Option<Arc<Unit>>> {
        if let Some(unit) = self.units.get(mount, name, &active.tree) {
            return Ok(Some(unit));
        }
        if let Some(unit) = Unit::of_tree(mount, name, key.clone(), active)? {
            return Ok(Some(self.units.add(unit)));
        }
        // The tree is gone, or its index is damaged: the manifest still knows what it was, or
        // the newest one, after a rollback to what was pruned.
        let unit = [Some(active.manifest), newest].into_iter().flatten().find_map(|manifest| {
            let record = self.record_of_tree(mount, &manifest, name.as_str(), &active.tree)?;
            Some(Unit::of_record(mount, name, key.clone(), manifest, &record))
        });
        Ok(unit.map(|unit| self.units.add(unit)))
    }

    /// The entry of a generation that holds for this mount's pins and this interpreter.
    pub fn active_entry<'a>(
        &self,
        mount: &Mount,
        bound: &'a Binding,
        name: &str,
    ) -> Option<(Key, &'a Active)> {
        // Most names that are asked for are modules inside of a unit: no key is made for them.
        if !bound.generation.has_key_of(name) {
            return None;
        }
        let locked = mount.locked(name).ok()?;
        let held = mount.key_of(name);
        let mut keys = vec![self.tagged(&held), held];
        if locked.is_some() {
            // The tree is what counts, whoever made it active.
            let free = Key::of(name);
            keys.extend([self.tagged(&free), free]);
        }
        keys.into_iter().find_map(|key| {
            let active = bound.generation.active.get(&key)?;
            locked.is_none_or(|locked| locked.allows(&active.tree)).then_some((key, active))
        })
    }

    /// The key of the variant for this interpreter.
    pub fn tagged(&self, key: &Key) -> Key {
        key.variant(self.python.suffix())
    }

    /// The unit of a record that stands in `manifest`, under `key`, and the record for this platform.
    pub async fn unit_of(
        &self,
        mount: &Arc<Mount>,
        name: &str,
        key: Key,
        manifest: Digest,
        record: &Record,
    ) -> Result<(Unit, Record)> {
        self.know_tags_for(record).await;
        self.unit_for_tags(mount, name, key, manifest, record)
    }

    /// The same for who knows the tags that decide.
    pub fn unit_for_tags(
        &self,
        mount: &Arc<Mount>,
        name: &str,
        mut key: Key,
        manifest: Digest,
        record: &Record,
    ) -> Result<(Unit, Record)> {
        let unit_name = UnitName::new(name).map_err(|error| {
            Error::new(Kind::UnitNotFound, "no such unit").name(name).caused_by(&error)
        })?;
        if !record.variants.is_empty() {
            key = self.tagged(&key);
        }
        let selected = self.select_for_tags(&mount.namespace.join(name), name, record)?;
        Ok((Unit::of_record(mount, &unit_name, key, manifest, &selected), selected))
    }

    /// True unless the interpreter's wheel tags decide, and are not known.
    pub fn knows_tags_for(&self, record: &Record) -> bool {
        record.variants.is_empty() || self.python.tags.get().is_some()
    }

    /// Asks the interpreter for its wheel tags, if a record's variants need them.
    pub async fn know_tags_for(&self, record: &Record) {
        if !self.knows_tags_for(record) {
            audit::know_tags().await;
        }
    }

    fn select_for_tags(&self, full: &str, name: &str, record: &Record) -> Result<Record> {
        if record.variants.is_empty() {
            return Ok(record.clone());
        }
        let tags = self.python.known_tags();
        let (selected, tag) = record.select(tags);
        let paths = selected.files.iter().map(|file| file.path.as_str());
        if tag.is_none() && Layout::new(paths).find(name, &self.python.suffixes).is_none() {
            let offered: Vec<_> = record.variants.iter().map(|it| it.tag.as_str()).collect();
            let why = format!("{full} has no variant for this interpreter and platform");
            return Err(Error::new(Kind::Requirement, why)
                .name(full)
                .expected(offered.join(", "))
                .got(tags.first().map_or("", String::as_str))
                .hint("use a platform that its author publishes for, or ask for a variant"));
        }
        Ok(selected)
    }

    /// A record by its manifest, in a given version.
    pub fn record_of(
        &self,
        mount: &Mount,
        manifest: &Digest,
        name: &str,
        version: Option<&Version>,
    ) -> Result<Option<Record>> {
        let answer = match version {
            None => mount.record(manifest, name)?,
            // This version is in use already, whatever is pinned by now.
            Some(_) => mount.supply.record(manifest, name)?,
        };
        let Answer::Record(record) = answer else { return Ok(None) };
        let version = version.unwrap_or(&record.version);
        let mut found = record.in_version(version.as_str()).cloned();
        if let (Some(record), Ok(Some(locked))) = (&mut found, mount.locked(name)) {
            locked.narrow(record);
        }
        Ok(found)
    }
}
