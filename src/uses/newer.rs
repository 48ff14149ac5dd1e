//! "Perhaps something newer was published": the one place that decides whether to ask, and asks.
//!
//! | what was found wanting                             | asked                           | no answer    |
//! |----------------------------------------------------|---------------------------------|--------------|
//! | a record that is refused: a requirement, a pin,    | unless the attempt has just     | the refusal  |
//! | a version taken back, an address, a bad field      | asked                           | stands       |
//! | an artifact or a part of a catalogue that is gone, | past every cache on the way     | the failure  |
//! | or is not what was pinned                          |                                 | stands       |
//! | a name that the manifest does not have             | once per process, and not again | it is absent |
//! |                                                    | within an hour                  |              |
//! | what is listed, after a refusal                    | once for each list              | the old list |
//! | a version in use that no known manifest has        | always                          | is the error |
//! | a manifest that is older than it should be         | once after it has expired       | the old one  |
//! |                                                    |                                 | decides      |
//!
//! Whatever was found wanting is then looked up once more, in the newest manifest. Only the
//! first manifest of a mount (ask.rs, describe.rs) and an upgrade (upgrade.rs) are asked for
//! elsewhere: there nothing was found wanting.

use std::future::Future;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::fetch::Freshness;
use crate::mount::{Known, Mount};
use crate::session::{Doubt, Session};
use crate::unit::Unit;

impl Session {
    /// True if this process knows a newer manifest than at `known`; perhaps it is asked for.
    pub async fn newer(&self, mount: &Arc<Mount>, doubt: Doubt, known: Known) -> Result<bool> {
        let moved = || {
            let moved = mount.known().manifest != known.manifest;
            if doubt == Doubt::Refused && !moved {
                mount.supply.remember_refused();
            }
            moved
        };
        if doubt == Doubt::Refused && mount.known().answers != known.answers {
            return Ok(moved());
        }
        let freshness = match doubt {
            Doubt::Gone => Freshness::PastCaches,
            _ => Freshness::AsCached,
        };
        match mount.refresh(freshness).await {
            // A server that is behind what is known here has nothing to say.
            Err(error) if doubt == Doubt::Unknown && !error.is_of_serial() => Err(error),
            _ => Ok(moved()),
        }
    }

    /// Does `act`, and once more if it fails for something that was mended since `known`.
    pub async fn or_newer<T, F>(
        &self,
        mount: &Arc<Mount>,
        known: Known,
        act: impl Fn() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let done = act().await;
        match done.as_ref().err().and_then(|error| Doubt::of(error.kind())) {
            Some(doubt) if self.newer(mount, doubt, known).await? => act().await,
            _ => done,
        }
    }

    /// True if the newest manifest has no version of the unit with this tree.
    pub async fn is_replaced(&self, mount: &Arc<Mount>, unit: &Arc<Unit>) -> Result<bool> {
        let Some(newest) = mount.known().manifest else { return Ok(false) };
        mount.supply.fetch_parts(&newest, unit.name.as_str()).await?;
        Ok(self.member_of_tree(mount, &newest, unit).is_none())
    }

    /// Says why a failed import is to be tried once more.
    pub fn replaced(&self, unit: &Unit, error: Error) -> Error {
        error.hint(format!(
            "another version of {} was published meanwhile, which cannot take its place while it \
             is being imported: import it again",
            unit.full_name
        ))
    }
}
