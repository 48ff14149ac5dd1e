//! Signatures of the manifest, in an order in which no reader sees a false alarm.
//!
//! ```text
//! signatures/<sha256 of manifest.json>.<key id>.minisig   one for each key, never changes
//! manifest.json.minisig                                   the first key's, changes before
//! manifest.json                                           the manifest itself
//! ```
//!
//! A reader who meets a manifest and the signature of another one asks for the
//! immutable one, which was there before both.

use std::collections::BTreeSet;

use super::site::{MANIFEST, Site};
use crate::error::{Error, Kind, Result};
use crate::name::Digest;
use crate::sign::secret::Signer;

pub(super) const FOLDER: &str = "signatures";
const BESIDE: &str = "manifest.json.minisig";

/// Puts what is missing of the signatures of `manifest` into the site. False: nothing was.
pub(super) fn put(
    site: &mut Site,
    manifest: &[u8],
    signers: &[Signer],
    comment: &str,
) -> Result<bool> {
    let digest = Digest::of(manifest);
    let (mut first, mut changed) = (None, false);
    for signer in signers {
        let relative = format!("{FOLDER}/{digest}.{}.minisig", signer.id());
        let there = site.read(&relative)?.filter(|there| signer.made(manifest, there));
        let signature = match there {
            Some(there) => there,
            None => {
                let made = signer.sign(manifest, comment)?;
                site.replace(&relative, &made)?;
                changed = true;
                made
            }
        };
        first.get_or_insert(signature);
    }
    if let Some(first) = first
        && site.read(BESIDE)?.as_deref() != Some(&first)
    {
        site.replace(BESIDE, &first)?;
        changed = true;
    }
    Ok(changed)
}

/// A site that is signed stays signed: clients with a key would refuse the next manifest.
pub(super) fn refuse_unsigned(site: &Site) -> Result<()> {
    if site.read(BESIDE)?.is_none() {
        return Ok(());
    }
    let what = "cannot publish: the output folder is signed, and its readers would refuse an unsigned manifest";
    Err(Error::new(Kind::Configuration, what)
        .path(BESIDE)
        .hint(format!("pass --sign KEY, or remove {BESIDE} first")))
}

/// The paths of the signatures of the manifest that is served now.
pub(super) fn current(site: &Site) -> Result<BTreeSet<String>> {
    let Some(manifest) = site.read(MANIFEST)? else { return Ok(BTreeSet::new()) };
    let start = Digest::of(&manifest).to_hex();
    let names = site.names(FOLDER)?.into_iter().filter(|name| name.starts_with(&start));
    Ok(names.map(|name| format!("{FOLDER}/{name}")).collect())
}
