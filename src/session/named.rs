//! Mounts, as people and the command line name them.

use std::sync::Arc;

use super::{OWN, Session};
use crate::error::{Error, Kind, Result};
use crate::mount::Mount;

impl Session {
    /// Every mount, the environment's included.
    pub fn all_mounts(&self) -> Vec<Arc<Mount>> {
        // Without one, there are the others.
        let _ = self.own_mount();
        self.mounts()
    }

    /// The mounts that have units in use which can be moved one by one.
    pub fn mounts_in_use(&self) -> Result<Vec<Arc<Mount>>> {
        let mut found = Vec::new();
        for mount in self.all_mounts() {
            if mount.request.source.as_lock().is_none()
                && mount.supply.may_move().is_ok()
                && mount.bind()?.is_some_and(|bound| !bound.generation.active.is_empty())
            {
                found.push(mount);
            }
        }
        Ok(found)
    }

    /// The mounts of a namespace: of top-level names there may be several.
    pub fn mounts_at(&self, namespace: &str) -> Result<Vec<Arc<Mount>>> {
        if namespace == OWN {
            self.own_mount()?;
        }
        let mut found = self.mounts();
        found.retain(|mount| mount.namespace.as_str() == namespace);
        if found.is_empty() {
            let why = format!("nothing is mounted at {namespace:?}");
            return Err(Error::new(Kind::Configuration, why)
                .name(namespace)
                .hint("call magic_module.mount(namespace, url) first"));
        }
        Ok(found)
    }

    /// Names by the mount that each belongs to, and relative to it. What follows `==` goes along.
    pub fn by_mount(&self, names: &[String]) -> Result<Vec<(Arc<Mount>, Vec<String>)>> {
        let mut groups: Vec<(Arc<Mount>, Vec<String>)> = Vec::new();
        for name in names {
            let plain = name.split_once("==").map_or(name.as_str(), |(plain, _)| plain);
            let (mount, mut relative) = self.mount_of(plain)?;
            relative.push_str(&name[plain.len()..]);
            match groups.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &mount)) {
                Some((_, all)) => all.push(relative),
                None => groups.push((mount, vec![relative])),
            }
        }
        Ok(groups)
    }
}
