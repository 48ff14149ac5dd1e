//! Asking for a newer manifest, and what it must pass before it is believed.
//!
//! ```text
//! bytes ─ signature ─ format ─ namespace ─ serial ─▶ blob ─▶ state
//! ```
//!
//! Whatever fails leaves everything as it was.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::asker::{LOOK, Turn, note_failure, places, turn};
use super::{ManifestSupply, Supply};
use crate::clock::{microseconds, now};
use crate::error::{Error, Kind, Result};
use crate::events::Event;
use crate::fetch::{Document, Freshness, Validator};
use crate::manifest::{Body, Manifest, SIZE_LIMIT};
use crate::name::{Digest, SafeUrl, UrlText};
use crate::sign::is_signature;
use crate::store::generation::{State, Yanked};

/// How far ahead of the clock a serial may be, in seconds.
const CLOCK_SKEW: u64 = 24 * 60 * 60;

/// The largest signature, in bytes.
const SIGNATURE_LIMIT: u64 = 16 << 10;

/// So often is it tried to write an answer down, for a second in all.
const ATTEMPTS: usize = 50;

const ASK_THE_AUTHOR: &str = "ask its author to publish it again";

impl ManifestSupply {
    /// Asks for a newer manifest than the one that is in use. Nothing that is active changes.
    pub(super) async fn refresh(
        &self,
        used: Option<Digest>,
        freshness: Freshness,
    ) -> Result<Option<Digest>> {
        self.policy().may_ask(&self.url, || self.what_is_missing())?;
        self.engine.store.may_write(|| self.what_is_missing())?;
        self.engine.store.create()?;
        self.folder.create()?;
        if freshness == Freshness::PastCaches {
            return self.ask(used, freshness).await;
        }
        let began = microseconds();
        if let Some(known) = self.told(used, began)? {
            return Ok(known);
        }
        let (lock, failed) = places(&self.folder.path);
        match turn(&lock, Some(&failed), || self.told(used, began)).await? {
            Turn::Told(known) => Ok(known),
            Turn::Ask(lock) => {
                let asked = self.ask(used, freshness).await;
                if lock.is_some() && asked.is_err() {
                    note_failure(&self.engine.store.tmp(), &failed);
                }
                asked
            }
        }
    }

    /// What another process was told who asked for the same, if that will do.
    fn told(&self, used: Option<Digest>, began: u64) -> Result<Option<Option<Digest>>> {
        let state = self.folder.state()?;
        let is_first =
            used.is_none() && state.asked.is_some() && self.asked.load(Ordering::Relaxed) == 0;
        let Some(digest) = state.manifest.filter(|digest| self.manifest(digest).is_ok()) else {
            return Ok(None);
        };
        if !self.is_vouched_for(&state) {
            return Ok(None);
        }
        if !is_first && !self.is_fresh(&state, began) {
            return Ok(None);
        }
        self.check_age(&digest)?;
        self.asked.store(now(), Ordering::Relaxed);
        self.set_yanked(state.yanked);
        Ok(Some(self.tell(used, Some(digest))))
    }

    /// True if a key of this mount has signed what the state says is the newest manifest: notes are not proof.
    pub(super) fn is_vouched_for(&self, state: &State) -> bool {
        let signed = || {
            let bytes = self.engine.store.blobs().read_verified(&state.manifest?, SIZE_LIMIT);
            Some(self.keys.accept(&bytes.ok()?, state.signature.as_ref()?.as_bytes()))
        };
        self.keys.is_empty() || signed() == Some(true)
    }

    /// Writes down what spares others a request. Where it cannot be written they ask again, and so they
    /// do where a process activates all the time: nobody's import waits for that one.
    async fn note(&self, change: impl FnOnce(&mut State)) {
        for _ in 0..ATTEMPTS {
            match self.folder.try_lock() {
                Ok(Some(lock)) => return drop(self.change_state(&lock, change)),
                Ok(None) => tokio::time::sleep(LOOK).await,
                Err(_) => return,
            }
        }
    }

    async fn ask(&self, used: Option<Digest>, freshness: Freshness) -> Result<Option<Digest>> {
        self.asked.store(now(), Ordering::Relaxed);
        let at = microseconds();
        let state = self.seen(used)?;
        let document = self.download(state.validator.as_ref(), freshness).await?;
        let (bytes, signature, validator, fresh_for) = match document {
            (Document::NotModified { fresh_for }, _) => {
                state.manifest.map_or(Ok(()), |known| self.check_age(&known))?;
                let known = state.manifest;
                self.note(|now| {
                    if now.manifest == known {
                        (now.asked, now.fresh_for) = (Some(at), fresh_for);
                    }
                })
                .await;
                return Ok(self.tell(state.manifest, state.manifest));
            }
            (Document::Body { bytes, validator, fresh_for }, signature) => {
                (bytes, signature, validator, fresh_for)
            }
        };
        let digest = Digest::of(&bytes);
        if state.manifest == Some(digest)
            && self.is_vouched_for(&state)
            && let Ok(known) = self.manifest(&digest)
        {
            self.check_age_of(&known)?;
            self.update_state(|now| {
                if *now.manifest.get_or_insert(digest) == digest {
                    now.validator = validator;
                    (now.asked, now.fresh_for) = (Some(at), fresh_for);
                    now.yanked = all_yanked(&known);
                    self.set_yanked(now.yanked.clone());
                }
                now.highest_serial = now.highest_serial.max(state.highest_serial);
            })?;
            return Ok(self.tell(state.manifest, state.manifest));
        }
        let signature = self.check_signature(&bytes, &digest, signature).await?;
        let manifest = Manifest::parse(&bytes)
            .and_then(|manifest| self.check_urls(&manifest).map(|()| manifest))
            .map_err(|error| self.with_address(error))?;
        self.check_manifest(&manifest)?;
        self.check_serial(&manifest, &digest, &state)?;
        self.check_age_of(&manifest)?;
        let said = (signature, validator, at, fresh_for);
        let accepted = self.accept(&bytes, manifest, said, &state, used)?;
        Ok(self.tell(state.manifest, Some(accepted)))
    }

    /// For a sentence about what nobody may be asked for.
    fn what_is_missing(&self) -> String {
        let of = self.namespace.described();
        let known = self.folder.state().ok().and_then(|state| state.manifest);
        if known.is_some_and(|digest| self.manifest(&digest).is_ok()) {
            format!("only the server knows the newest manifest of {of}")
        } else {
            format!("the manifest of {of} is not in the cache")
        }
    }

    /// What was seen before. A state that is damaged is made up for by the manifest that
    /// this process is bound to; where that cannot be read, the whole of it is asked for.
    fn seen(&self, used: Option<Digest>) -> Result<State> {
        let mut state = self.folder.state()?;
        let manifest = state.manifest.or(used);
        if !self.is_vouched_for(&state) {
            state.validator = None;
        }
        match manifest.and_then(|digest| self.manifest(&digest).ok()) {
            Some(known) => state.highest_serial = state.highest_serial.max(known.serial),
            None => state.validator = None,
        }
        Ok(State { manifest, ..state })
    }

    /// Writes down what passed every check. Returns the manifest that holds from now on:
    /// another process may have taken a newer one since this one was asked for.
    fn accept(
        &self,
        bytes: &[u8],
        manifest: Manifest,
        (signature, validator, at, fresh_for): (
            Option<String>,
            Option<Validator>,
            u64,
            Option<u64>,
        ),
        before: &State,
        used: Option<Digest>,
    ) -> Result<Digest> {
        let _kept = self.engine.store.keep()?;
        let _lock = self.folder.lock()?;
        let digest = Digest::of(bytes);
        let mut state = self.folder.state()?;
        if state.manifest != before.manifest
            && self.is_vouched_for(&state)
            && let Some(newest) = state.manifest
        {
            if state.highest_serial > manifest.serial {
                self.set_yanked(state.yanked);
                return Ok(newest);
            }
            self.check_serial(&manifest, &digest, &state)?;
        }
        self.engine.store.blobs().insert(bytes)?;
        self.folder.describe(&serde_json::json!({
            "namespace": self.namespace, "manifest_url": self.url.to_string(),
            "public_keys": self.keys.texts().collect::<Vec<_>>(),
            "space": self.engine.settings.space.as_ref().map(|space| &space.folder),
        }))?;
        if state.manifest != Some(digest) {
            state.absent.clear();
            state.refused = false;
        }
        state.manifest = Some(digest);
        (state.signature, state.validator) = (signature, validator);
        (state.asked, state.fresh_for) = (Some(at), fresh_for);
        state.highest_serial = state.highest_serial.max(before.highest_serial).max(manifest.serial);
        state.yanked = all_yanked(&manifest);
        self.folder.write_state(&state)?;
        self.set_yanked(state.yanked);
        let mut manifests = self.manifests.lock();
        // Others are read again where somebody needs them: a process may upgrade for years.
        manifests.retain(|known, _| Some(*known) == used);
        manifests.insert(digest, Arc::new(manifest));
        Ok(digest)
    }

    async fn download(
        &self,
        validator: Option<&Validator>,
        freshness: Freshness,
    ) -> Result<(Document, Option<Result<Document>>)> {
        let fetcher = &self.engine.fetcher;
        let manifest = fetcher.document(&self.url, SIZE_LIMIT, validator, freshness, self.policy);
        let signature = async {
            if self.keys.is_empty() {
                return None;
            }
            Some(self.signature(&self.url.with_suffix(".minisig"), freshness).await)
        };
        let (manifest, signature) = tokio::join!(manifest, signature);
        let hint = "check the manifest's address and the network, then try again";
        Ok((manifest.map_err(|error| error.or_hint(hint))?, signature))
    }

    async fn signature(&self, url: &SafeUrl, freshness: Freshness) -> Result<Document> {
        self.engine.fetcher.document(url, SIGNATURE_LIMIT, None, freshness, self.policy).await
    }

    /// Where the mount has keys, one of them must have signed `bytes`: the signature that proves it.
    async fn check_signature(
        &self,
        bytes: &[u8],
        digest: &Digest,
        signature: Option<Result<Document>>,
    ) -> Result<Option<String>> {
        let Some(signature) = signature else { return Ok(None) };
        let accepted = |signature: &Result<Document>| match signature {
            Ok(Document::Body { bytes: signature, .. }) if self.keys.accept(bytes, signature) => {
                Some(String::from_utf8_lossy(signature).into_owned())
            }
            _ => None,
        };
        if let Some(proof) = accepted(&signature) {
            return Ok(Some(proof));
        }
        // A cache of two ages may give a manifest and the signature of another one.
        for id in self.keys.ids() {
            let url = self.resolve(&UrlText::new(format!("signatures/{digest}.{id}.minisig")))?;
            if let Some(proof) = accepted(&self.signature(&url, Freshness::AsCached).await) {
                return Ok(Some(proof));
            }
        }
        let why = format!("the manifest {} is not signed by a key of this mount", self.url);
        let hint =
            "ask the author for the current key, or wait until a signed manifest is published";
        let error = Error::new(Kind::Signature, why)
            .url(&self.url)
            .expected(self.keys.ids().collect::<Vec<_>>().join(", "))
            .hint(hint);
        Err(match signature {
            Err(cause) => error.caused_by(&cause),
            Ok(Document::Body { bytes, .. }) if !is_signature(&bytes) => {
                let beside = self.url.with_suffix(".minisig");
                let what = format!("{beside} is not a signature in minisign's format");
                error
                    .caused_by(&Error::new(Kind::Signature, what))
                    .hint("ask the author to publish that file as it was written, byte for byte")
            }
            Ok(_) => error,
        })
    }

    fn check_manifest(&self, manifest: &Manifest) -> Result<()> {
        if manifest.namespace != self.namespace {
            let (its, ours) = (manifest.namespace.as_str(), self.namespace.as_str());
            let why = format!("the manifest is for namespace {its:?}, not for {ours:?}");
            return Err(Error::new(Kind::Manifest, why)
                .url(&self.url)
                .path("namespace")
                .expected(ours)
                .got(its)
                .hint(format!("mount it as {its:?}, or publish it with --namespace {ours:?}")));
        }
        if !self.keys.is_empty() && manifest.serial.is_none() {
            return Err(self
                .refuse("is signed but has no serial")
                .hint("ask the author to publish it with magic-module"));
        }
        Ok(())
    }

    fn refuse(&self, why: &str) -> Error {
        Error::new(Kind::Integrity, format!("the manifest {} {why}", self.url))
            .url(&self.url)
            .path("serial")
    }

    fn forget(&self, highest: u64) -> String {
        format!(
            "ask the author to publish again with a serial above {highest}, or remove {} to forget what was seen",
            self.folder.path.display()
        )
    }

    /// Nobody is led back to an older manifest, or to two of the same age.
    fn check_serial(&self, manifest: &Manifest, digest: &Digest, seen: &State) -> Result<()> {
        let Some(serial) = manifest.serial else {
            // Leaving the serial out would lead back to anything.
            return match seen.highest_serial.filter(|_| seen.manifest != Some(*digest)) {
                Some(highest) => Err(self
                    .refuse("has no serial, but one seen before had")
                    .expected(format!("more than {highest}"))
                    .hint(self.forget(highest))),
                None => Ok(()),
            };
        };
        if let Some(highest) = seen.highest_serial
            && serial <= highest
            && seen.manifest != Some(*digest)
        {
            let why = if serial < highest {
                "is older than one seen before"
            } else {
                "has the serial of another one seen before"
            };
            return Err(self
                .refuse(why)
                .expected(format!("more than {highest}"))
                .got(serial.to_string())
                .hint(self.forget(highest)));
        }
        let latest = now() + CLOCK_SKEW;
        if serial > latest {
            return Err(self
                .refuse("has a serial more than a day ahead of this machine's clock")
                .expected(format!("at most {latest}"))
                .got(serial.to_string())
                .hint("check this machine's clock, or ask the author to publish again"));
        }
        Ok(())
    }

    /// A process may have several mounts: the sentence says whose manifest is wrong.
    fn with_address(&self, error: Error) -> Error {
        let url = &self.url;
        let named = format!("the manifest {url}");
        let message = error.details().message.replacen("the manifest", &named, 1);
        error.message(message).url(url).or_hint(ASK_THE_AUTHOR)
    }

    /// What came of asking is told to whoever listens, and to the caller.
    fn tell(&self, before: Option<Digest>, newest: Option<Digest>) -> Option<Digest> {
        self.engine.events.emit(|| Event::Resolve {
            namespace: self.namespace.to_string(),
            url: self.url.clone(),
            changed: before != newest,
        });
        newest
    }
}

/// Every version that a manifest takes back.
fn all_yanked(manifest: &Manifest) -> Yanked {
    match &manifest.body {
        Body::Modules(modules) => modules.yanked(),
        Body::Catalogue(catalogue) => catalogue.yanked.clone(),
    }
}
