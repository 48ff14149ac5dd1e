//! What nothing needs is removed; what the cache holds, and for whom.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::activate::commit;
use crate::error::{Error, Kind, Result};
use crate::mount::Mount;
use crate::name::UnitName;
use crate::session::Session;
use crate::store::generation::Generation;
use crate::store::prune::{Pruned, Usage as Used, mount_folders, prune, usage};

/// What the cache holds.
pub struct Usage {
    /// That of the setting.
    pub directory: PathBuf,
    /// Further caches of the setting, which nothing of this is in.
    pub behind: Vec<PathBuf>,
    /// All files of the cache.
    pub used: Used,
    /// In bytes, if the environment sets one.
    pub limit: Option<u64>,
    /// One for each identity.
    pub mounts: Vec<KnownMount>,
}

/// A mount that was used at some time, by whatever process.
pub struct KnownMount {
    /// Empty for top-level names; `None`, if it is not written down.
    pub namespace: Option<String>,
    /// Without secrets; `None`, if it is not written down, or there is a lock.
    pub manifest_url: Option<String>,
    /// The file of a lock.
    pub lock: Option<String>,
    /// The folder of the space that it belongs to.
    pub space: Option<String>,
    /// 64 hexadecimal digits, which name its folder.
    pub identity: String,
    /// The number of the newest one; `None` before a unit was in use.
    pub generation: Option<u64>,
    /// Where its generations and code are.
    pub directory: PathBuf,
    /// In seconds since 1970.
    pub changed: Option<u64>,
}

impl Session {
    /// Removes what no version in use, or before it, needs; above `limit` bytes, or that of the
    /// environment, also what previous versions could be rebuilt from. Tells what is left of a
    /// problem, too.
    pub fn prune(&self, limit: Option<u64>) -> Result<(Pruned, Option<String>)> {
        let limit = limit.or(self.engine.settings.cache_limit);
        let pruned = prune(&self.engine.store, limit)?;
        let Some(limit) = limit else { return Ok((pruned, None)) };
        let kept = usage(&self.engine.store)?.bytes;
        let over = (kept > limit).then(|| {
            format!(
                "what is in use, or was before, takes {kept} bytes: more than the limit of {limit}"
            )
        });
        Ok((pruned, over))
    }

    /// Lets go of what is in use of the locks, but for these distributions and what they require:
    /// the next time that the cache is pruned, the rest goes. A process keeps what it is bound to.
    pub fn keep_only(&self, names: &[String]) -> Result<()> {
        self.engine.store.may_remove()?;
        let mounts = self.mounts();
        let locks: Vec<_> =
            mounts.iter().filter(|it| it.request.source.as_lock().is_some()).collect();
        for name in names {
            if !locks.iter().any(|mount| mount.supply.unit_called(name).is_some()) {
                let what = format!("no package of the lock is called {name}");
                return Err(Error::new(Kind::UnitNotFound, what)
                    .name(name)
                    .hint("give the lock that the trace was made with"));
            }
        }
        for mount in locks {
            let units = names.iter().filter_map(|name| mount.supply.unit_called(name)).collect();
            keep_units(mount, &units)?;
        }
        Ok(())
    }

    /// What the cache holds.
    pub fn usage(&self) -> Result<Usage> {
        let used = usage(&self.engine.store)?;
        let mut mounts = Vec::new();
        for folder in mount_folders(&self.engine.store)? {
            let described = folder.described()?;
            let said = |what: &str| described[what].as_str().map(str::to_owned);
            mounts.push(KnownMount {
                namespace: said("namespace"),
                manifest_url: said("manifest_url"),
                lock: said("lock"),
                space: said("space"),
                identity: folder.path.file_name().unwrap_or_default().to_string_lossy().into(),
                generation: folder.current()?,
                changed: folder.changed(),
                directory: folder.path,
            });
        }
        Ok(Usage {
            directory: self.engine.store.cache().to_path_buf(),
            behind: self.engine.settings.further_caches.clone(),
            used,
            limit: self.engine.settings.cache_limit,
            mounts,
        })
    }
}

fn keep_units(mount: &Arc<Mount>, named: &BTreeSet<UnitName>) -> Result<()> {
    let (folder, Some(view)) = (&mount.folder, mount.supply.view()) else { return Ok(()) };
    let _lock = folder.lock()?;
    let Some(base) = folder.find(folder.current()?)? else { return Ok(()) };
    let mut wanted: BTreeSet<&UnitName> =
        named.iter().flat_map(|unit| view.resolved.closure(unit)).collect();
    // What libraries need besides: no metadata says so.
    let ties = folder.state()?.ties;
    let meets = |group: &&BTreeSet<UnitName>| group.iter().any(|it| wanted.contains(it));
    let tied: Vec<&UnitName> = ties.iter().filter(meets).flatten().collect();
    wanted.extend(tied.into_iter().flat_map(|unit| view.resolved.closure(unit)));
    let wanted: BTreeSet<&str> = wanted.into_iter().map(UnitName::as_str).collect();
    let mut active = base.active.clone();
    active.retain(|key, _| wanted.contains(key.unit()));
    if active.len() == base.active.len() {
        return Ok(());
    }
    let number = folder.numbers()?.pop().unwrap_or(0).max(base.number) + 1;
    let manifest = base.manifest;
    let next = Generation { number, manifest, active, ..Generation::default() };
    commit(mount, next, base.number)
}
