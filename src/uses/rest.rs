//! The rest of wheels that were published in parts: fetched once the first part is in use.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::error::Result;
use crate::events::{Events, Progress};
use crate::mount::Mount;
use crate::name::UnitName;
use crate::session::Session;
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

    /// Whether some of what lies below a folder of a view is in a second part that is not here.
    pub fn lacks_rest(&self, folder: &Path) -> bool {
        let Some((_, view, inside)) = self.in_store(folder).and_then(|it| self.view_at(&it)) else {
            return false;
        };
        let owners = view.resolved.owners.below(&inside);
        let rests: BTreeSet<_> = owners.filter(|unit| unit.is_rest()).collect();
        rests.into_iter().any(|rest| !view.is_here(&self.engine.store, rest))
    }

    fn missing_rests(&self, mount: &Arc<Mount>, view: &Arc<View>) -> Result<Vec<Member>> {
        let resolved = &view.resolved;
        let is_here = |name: &UnitName| view.is_here(&self.engine.store, name);
        let mut members = Vec::new();
        for (name, _) in resolved.wheels().filter(|(name, _)| is_here(name)) {
            if let Some(rest) = resolved.rest_of(name).filter(|rest| !is_here(rest)) {
                members.extend(self.member_in_view(mount, view, &rest)?);
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
            members.extend(self.member_in_view(mount, &view, &rest)?);
        }
        Ok(())
    }
}
