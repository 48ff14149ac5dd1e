//! Bytes that came with another space's login: used only once their server accepted this one's.
//!
//! ```text
//! a blob that is here ─ came with a login? ─ of this space? ─ the same URL: one byte is asked for
//!                                                           ─ another URL: all of it is fetched from there
//! ```
//!
//! That another server answers proves nothing: whoever has the bytes behind a URL of their own gets
//! them. What was accepted is noted, so that nobody is asked twice.

use std::sync::Arc;

use super::Engine;
use crate::audit::{Act, permit};
use crate::error::{Error, Result};
use crate::events::Progress;
use crate::fetch::{Artifact, Range};
use crate::policy::Policy;
use crate::store::Reuse;
use crate::store::blob::Admission;

impl Engine {
    /// Makes sure that an artifact, if it is here, may be used.
    pub async fn admit(
        &self,
        artifact: &Artifact,
        policy: Policy,
        progress: &Arc<Progress>,
    ) -> Result<()> {
        let blobs = self.store.blobs();
        let admission = blobs.admission(&artifact.sha256, Some(&artifact.url));
        if admission == Admission::Open {
            return Ok(());
        }
        let label = &artifact.label;
        let what = || format!("{label} came with another login");
        let may =
            policy.may_ask(&artifact.url, what).and_then(|()| self.may_come_from(&artifact.url));
        may.map_err(|error| error.or_name(label))?;
        let refused = |error: Error| {
            error.message(format!("cannot use {label}, which came with another login")).name(label)
        };
        if admission == Admission::Ask {
            permit(vec![Act::Resolve { url: artifact.url.clone() }]).await;
            let asked = self.fetcher.part(&artifact.url, Range::At(0, 1), policy, progress);
            asked.await.map_err(refused)?;
        } else {
            let again = [artifact.clone()];
            let fetched = self.fetcher.blobs(&again, policy, progress, Reuse::Nothing);
            fetched.await.map_err(refused)?;
        }
        blobs.admit(&artifact.sha256, &artifact.url)
    }
}
