//! What tools read of units that are not imported: stubs, and the sources of modules without one.
//!
//! ```text
//! record ─ without what tools do not read ─ another, smaller tree: fetched, verified, built as any
//! ```
//!
//! No generation lists that tree: nothing imports from it, and `prune` removes it. Of a large wheel, only
//! these files are asked for, unless a rule, a login or a bundle concerns the whole wheel.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::audit::{Act, permit};
use crate::engine::Engine;
use crate::error::Result;
use crate::events::Progress;
use crate::fetch::has_login;
use crate::inspect;
use crate::layout::Suffixes;
use crate::manifest::{File, PackFormat, Record};
use crate::mount::Mount;
use crate::name::FilePath;
use crate::plan::{Packs, plan};
use crate::session::Session;
use crate::store::Reuse;
use crate::unit::Unit;
use crate::uses::activate::Member;
use crate::wheel::Wheel;

/// What a tool can read of one unit.
#[derive(Debug, Clone)]
pub struct Sources {
    /// As it follows `import`; of a distribution of a lock its own.
    pub name: String,
    /// Of what was read.
    pub version: String,
    /// What the paths below are relative to.
    pub folder: PathBuf,
    /// Stubs and sources.
    pub texts: Vec<String>,
    /// Extension modules without a stub, named as a stub of theirs would be.
    pub opaque: Vec<String>,
}

impl Session {
    /// Fetches what tools can read of units, each perhaps in a version of its own.
    pub async fn sources(&self, mount: &Arc<Mount>, names: &[String]) -> Result<Vec<Sources>> {
        let _kept = self.keep().await?;
        let progress = Progress::new("stubs", self.engine.events.clone());
        let site = mount.supply.site().to_owned();
        let mut found = Vec::with_capacity(names.len());
        let mut members = Vec::with_capacity(names.len());
        for name in names {
            let held = name.split_once("==");
            let (plain, version) = held.map_or((name.as_str(), None), |(it, at)| (it, Some(at)));
            let Some(whole) = self.wanted(mount, plain, version).await?.into_iter().next() else {
                continue;
            };
            let (texts, opaque) = readable(&whole.record, &site, &self.python.suffixes);
            let record = of_files(&whole.record, &texts);
            let below = |path: &str| path[site.len()..].trim_start_matches('/').to_owned();
            let Unit { name, key, full_name, version, .. } = &*whole.unit;
            let unit = Unit::of_record(mount, name, key.clone(), whole.manifest, &record);
            found.push(Sources {
                name: full_name.clone(),
                version: version.to_string(),
                folder: unit.folder.join(&site),
                texts: texts.iter().map(|file| below(file.path.as_str())).collect(),
                opaque: opaque.iter().map(|path| below(path)).collect(),
            });
            if !texts.is_empty() {
                members.push(Member {
                    unit: Arc::new(unit),
                    record: Arc::new(record),
                    manifest: whole.manifest,
                });
            }
        }
        for member in &members {
            self.bring_from_wheel(mount, member, &progress).await?;
        }
        self.materialize(&members, &progress, Reuse::WhatIsHere).await?;
        Ok(found)
    }

    /// Brings the files of a wheel that is not here one by one, if that is less than all of it.
    async fn bring_from_wheel(
        &self,
        mount: &Arc<Mount>,
        member: &Member,
        progress: &Arc<Progress>,
    ) -> Result<()> {
        let Engine { store, fetcher, events, administrator, places, settings, .. } = &*self.engine;
        let packs = &member.record.packs;
        let Some(pack) = packs.iter().find(|it| it.format == PackFormat::Wheel) else {
            return Ok(());
        };
        let blobs = store.blobs();
        let reusable = self.reusable(member)?;
        let planned = plan(&member.record, blobs, &reusable, Reuse::WhatIsHere, Packs::Needed);
        let url = mount.supply.resolve(&pack.url)?;
        if !planned.wanted.iter().any(|wanted| wanted.sha256 == pack.sha256)
            || url.scheme() == "file"
            || administrator.rules()?.is_some()
            || !fetcher.bundles.is_empty(events)
            || mount.supply.may_fetch(&url, &String::new).is_err()
            || store.may_write(String::new).is_err()
            || has_login(places, settings.netrc.as_deref(), &url).await
        {
            return Ok(());
        }
        let fits = |file: &&File| !file.lazy && !blobs.has(&file.sha256, file.size);
        let wanted: Vec<File> = member.record.files.iter().filter(fits).cloned().collect();
        let wheel =
            Wheel { url: pack.url.clone(), size: Some(pack.size), sha256: Some(pack.sha256) };
        permit(vec![Act::Resolve { url }]).await;
        let brought =
            inspect::files(fetcher, &wheel, wanted, mount.supply.policy(), progress).await;
        for bytes in
            brought.map_err(|error| error.or_name(&member.unit.full_name))?.into_iter().flatten()
        {
            store.create()?;
            blobs.insert(&bytes)?;
        }
        Ok(())
    }
}

/// The files of a record that tools read, and the extension modules that have none.
fn readable(record: &Record, site: &str, suffixes: &Suffixes) -> (Vec<File>, Vec<String>) {
    let inside = |file: &&File| {
        let below = file.path.as_str().strip_prefix(site);
        below.is_some_and(|it| site.is_empty() || it.starts_with('/')) && !file.lazy
    };
    let files: Vec<&File> = record.files.iter().filter(inside).collect();
    let stems = |suffix: &str| -> BTreeSet<&str> {
        files.iter().filter_map(|file| file.path.as_str().strip_suffix(suffix)).collect()
    };
    let (stubs, sources) = (stems(".pyi"), stems(".py"));
    let is_text = |path: &str| {
        path.ends_with(".pyi") || path.strip_suffix(".py").is_some_and(|it| !stubs.contains(it))
    };
    let texts = files.iter().filter(|file| is_text(file.path.as_str())).map(|it| (*it).clone());
    let extensions = files.iter().filter_map(|file| {
        suffixes.0.iter().find_map(|suffix| file.path.as_str().strip_suffix(suffix.as_str()))
    });
    let opaque: BTreeSet<&str> =
        extensions.filter(|stem| !stubs.contains(stem) && !sources.contains(stem)).collect();
    (texts.collect(), opaque.into_iter().map(|stem| format!("{stem}.pyi")).collect())
}

/// A record whose other files are all lazy: they are listed, because packs hold them, and not fetched.
fn of_files(record: &Record, files: &[File]) -> Record {
    let wanted: BTreeSet<&FilePath> = files.iter().map(|file| &file.path).collect();
    let lazy = |file: &File| File { lazy: !wanted.contains(&file.path), ..file.clone() };
    let packs = record.packs.iter().filter(|pack| pack.format.holds_files()).cloned().collect();
    Record { files: record.files.iter().map(lazy).collect(), packs, ..record.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    #[test]
    fn a_stub_is_read_instead_of_a_source_and_extensions_without_either_are_opaque() {
        let paths = [
            "a/__init__.py",
            "a/b.py",
            "a/b.pyi",
            "a/c.abi3.so",
            "a/d.abi3.so",
            "a/d.pyi",
            "a/e.txt",
        ];
        let file = |path: &&str| {
            let digest = crate::name::Digest::of(path.as_bytes());
            format!(r#"{{"path":"{path}","url":"u/{path}","size":1,"sha256":"{digest}"}}"#)
        };
        let files = paths.iter().map(file).collect::<Vec<_>>().join(",");
        let text = format!(
            r#"{{"manifest":1,"namespace":"","modules":{{"a":{{"version":"1","files":[{files}]}}}}}}"#
        );
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        let record = &manifest.modules().unwrap().0["a"];
        let suffixes = Suffixes(vec![".abi3.so".to_owned(), ".so".to_owned()]);
        let (texts, opaque) = readable(record, "", &suffixes);
        let texts: Vec<&str> = texts.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(texts, ["a/__init__.py", "a/b.pyi", "a/d.pyi"]);
        assert_eq!(opaque, ["a/c.pyi"]);
    }
}
