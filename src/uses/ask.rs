//! Asking for what a lookup could not tell: the manifest, or parts of a catalogue.

use std::sync::Arc;
use std::time::Instant;

use crate::error::{Error, Kind, Result};
use crate::mount::Mount;
use crate::name::Digest;
use crate::session::{Doubt, Lookup, Session, Silence, may_be_mended};
use crate::supply::Answer;

impl Session {
    /// Asks what [`Lookup::Ask`] could not tell, and looks again.
    pub async fn ask(
        &self,
        mount: &Arc<Mount>,
        relative: &str,
        silence: Silence,
    ) -> Result<Lookup> {
        let known = mount.known();
        let readable = known.manifest.filter(|digest| mount.supply.document(digest).is_ok());
        if let (Some(digest), Silence::IsAnError) = (readable, silence) {
            if mount.supply.should_ask_first(&digest) {
                // If there is no answer, the old one decides; its age is judged once more
                // before anything is downloaded.
                let _ = self.newer(mount, Doubt::Old, known).await;
            }
            let digest = mount.known().manifest.unwrap_or(digest);
            self.ask_parts(mount, &digest, relative).await?;
        } else {
            match self.refresh_in_turn(mount, relative).await {
                Err(error) if silence == Silence::IsAnError => {
                    return Err(error.or_name(mount.namespace.join(relative)));
                }
                Err(_) => return Ok(Lookup::Absent),
                Ok(Some(known)) => return Ok(known),
                Ok(None) => {}
            }
            if let Some(digest) = mount.known().manifest {
                self.ask_parts(mount, &digest, relative).await?;
            }
        }
        let looked = match self.lookup_in(mount, relative) {
            Err(error) if may_be_mended(mount, relative, &error) => {
                if mount.known().answers != known.answers {
                    mount.supply.remember_refused();
                    return Err(error);
                }
                Box::pin(self.ask_again(mount, relative, error)).await?
            }
            looked => looked?,
        };
        match &looked {
            Lookup::Located(found) if mount.known().answers != known.answers => {
                found.unit.set_asked();
            }
            Lookup::Ask { silence: Silence::IsAnError, .. } => {
                return Err(self.unreadable(mount, mount.known().manifest, relative));
            }
            Lookup::Absent | Lookup::Ask { .. } if !mount.namespace.is_empty() => {
                mount.remember_absent(relative);
                return Ok(Lookup::Absent);
            }
            _ => {}
        }
        Ok(looked)
    }

    /// As [`Lookup::Refused`] says; what was mended meanwhile is looked up again.
    pub async fn ask_again(
        &self,
        mount: &Arc<Mount>,
        relative: &str,
        refusal: Error,
    ) -> Result<Lookup> {
        let known = mount.known();
        if !self.newer(mount, Doubt::Refused, known).await? {
            return Err(refusal);
        }
        match self.lookup_in(mount, relative)? {
            Lookup::Ask { silence, .. } => self.ask(mount, relative, silence).await,
            looked => {
                if let Lookup::Located(found) = &looked {
                    found.unit.set_asked();
                }
                Ok(looked)
            }
        }
    }

    /// All that decides was fetched. A name is not absent because it cannot be read back.
    pub fn unreadable(&self, mount: &Mount, manifest: Option<Digest>, relative: &str) -> Error {
        let read = |digest: Digest| {
            mount.supply.document(&digest)?;
            let mut units = mount.supply.units_for(relative);
            units.try_for_each(|name| mount.supply.read_parts(&digest, name))
        };
        let name = mount.namespace.join(relative);
        let why = format!("what the manifest says of {name} cannot be read from the cache");
        let error = Error::new(Kind::Store, why).name(name);
        match manifest.map(read) {
            Some(Err(cause)) => {
                let hint = cause.details().hint.clone();
                error.caused_by(&cause).hint(hint.unwrap_or_else(|| "try again".to_owned()))
            }
            _ => error.hint("try again"),
        }
    }

    /// Many threads that need the same manifest ask for it once. `Some`: another one's
    /// answer told already what `relative` is.
    async fn refresh_in_turn(&self, mount: &Arc<Mount>, relative: &str) -> Result<Option<Lookup>> {
        let began = Instant::now();
        let mut failed = mount.turn().lock().await;
        if let Some((at, error)) = &*failed
            && *at >= began
        {
            return Err(error.clone());
        }
        match self.lookup_in(mount, relative)? {
            Lookup::Ask { .. } => {}
            known => return Ok(Some(known)),
        }
        if let Err(error) = mount.refresh_unknown().await {
            *failed = Some((Instant::now(), error.clone()));
            return Err(error);
        }
        Ok(None)
    }

    /// Part of an older catalogue may be gone from the site.
    async fn ask_parts(&self, mount: &Arc<Mount>, known: &Digest, relative: &str) -> Result<()> {
        self.or_newer(mount, mount.known(), || async {
            let newest = mount.known().manifest.unwrap_or(*known);
            self.parts(mount, &newest, relative).await
        })
        .await
    }

    async fn parts(&self, mount: &Arc<Mount>, manifest: &Digest, relative: &str) -> Result<()> {
        for name in mount.supply.units_for(relative) {
            mount.supply.fetch_parts(manifest, name).await?;
            if let Ok(Answer::Record(record)) = mount.record(manifest, name) {
                self.know_tags_for(&record).await;
                break;
            }
        }
        Ok(())
    }
}
