//! The rest of wheels that were published in parts: fetched once the first part is in use.

use std::sync::Arc;

use crate::error::Result;
use crate::events::{Events, Progress};
use crate::mount::Mount;
use crate::name::UnitName;
use crate::session::Session;
use crate::store::tree::Tree;
use crate::supply::View;
use crate::uses::activate::Member;

impl Session {
    /// Fetches the rest of every wheel whose first part is here; nobody is shown how far it is.
    pub async fn bring_rests(&self) -> Result<()> {
        for mount in self.mounts() {
            let Some(view) = mount.supply.view().cloned() else { continue };
            let members = self.missing_rests(&mount, &view)?;
            if !members.is_empty() {
                let progress = Progress::new("the rest", Arc::new(Events::default()));
                self.fetch_with(&mount, &members, &progress).await?;
            }
        }
        Ok(())
    }

    fn missing_rests(&self, mount: &Arc<Mount>, view: &Arc<View>) -> Result<Vec<Member>> {
        let resolved = &view.resolved;
        let is_here = |name: &UnitName| {
            let known = resolved.units.get(name);
            known.is_some_and(|it| Tree::is_visible(&self.engine.store, &it.tree))
        };
        let mut members = Vec::new();
        for (name, _) in resolved.wheels().filter(|(name, _)| is_here(name)) {
            if let Some(rest) = resolved.rest_of(name).filter(|rest| !is_here(rest)) {
                let unit = self.unit_in_view(mount, view, &rest)?;
                members.extend(self.member_of_tree(mount, &unit.manifest, &unit));
            }
        }
        Ok(members)
    }

    /// Adds the rest of each wheel of which `members` have the first part.
    pub fn add_rests(&self, mount: &Arc<Mount>, members: &mut Vec<Member>) -> Result<()> {
        let Some(view) = mount.supply.view().cloned() else { return Ok(()) };
        let rests: Vec<_> =
            members.iter().filter_map(|it| view.resolved.rest_of(&it.unit.name)).collect();
        for rest in rests {
            let unit = self.unit_in_view(mount, &view, &rest)?;
            members.extend(self.member_of_tree(mount, &unit.manifest, &unit));
        }
        Ok(())
    }
}
