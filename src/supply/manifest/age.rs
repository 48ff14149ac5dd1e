//! `created + max_age`: how long a manifest counts as fresh.
//!
//! A server that never shows anything new (a freeze) is noticed here. What counts is
//! whether something is *decided* by an old manifest: an answer to "is there a newer
//! one", or bytes that are about to be downloaded. What is in the cache always loads.

use std::sync::atomic::Ordering;

use super::{ManifestSupply, WhenOld};
use crate::clock::now;
use crate::error::{Error, Kind, Result};
use crate::events::{Notice, NoticeKind};
use crate::manifest::Manifest;

impl ManifestSupply {
    /// True if it has expired since this process last asked: it may have a successor by now.
    pub(super) fn has_expired(&self, manifest: &Manifest) -> bool {
        is_old(manifest) && manifest.expires() >= Some(self.asked.load(Ordering::Relaxed))
    }

    pub(super) fn check_age_of(&self, manifest: &Manifest) -> Result<()> {
        if !is_old(manifest) {
            return Ok(());
        }
        let created = manifest.created.as_deref().unwrap_or_default();
        let max_age = manifest.max_age.unwrap_or_default();
        let what = format!(
            "the manifest {} is from {created}, and older than the {max_age} seconds that it counts as fresh",
            self.url
        );
        let hint = "ask the author to publish again, and check this machine's clock";
        match self.max_age {
            WhenOld::Fail => Err(Error::new(Kind::Policy, what)
                .url(&self.url)
                .path("max_age")
                .expected(format!("at most {max_age} seconds"))
                .got(created)
                .hint(hint)),
            WhenOld::Warn => {
                self.engine.events.notice(Notice {
                    kind: NoticeKind::OldManifest,
                    subject: self.identity.to_hex(),
                    text: format!("{what}; {hint}"),
                });
                Ok(())
            }
        }
    }
}

fn is_old(manifest: &Manifest) -> bool {
    manifest.expires().is_some_and(|expires| expires < now())
}
