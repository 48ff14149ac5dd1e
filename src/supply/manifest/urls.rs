//! Where a manifest may send its readers.
//!
//! | the manifest came by | its artifacts may come by                         |
//! |----------------------|---------------------------------------------------|
//! | https                | https                                             |
//! | http                 | https; http as far as the mount allows plain HTTP |
//! | file                 | https; files below the manifest's own folder      |
//! | s3, gs, az           | https; the same object store                      |

use std::path::Component;

use super::ManifestSupply;
use crate::error::{Error, Kind, Result};
use crate::manifest::{Body, File, Manifest, Pack, place_of, wrong};
use crate::name::{SafeUrl, UrlText};

const REMEDY: &str = "ask the author to publish it beside the manifest or over https";

impl ManifestSupply {
    /// A URL of the manifest, relative to the URL that was given.
    pub(super) fn resolve(&self, url: &UrlText) -> Result<SafeUrl> {
        let absolute = self.admit(url).map_err(|why| {
            Error::new(Kind::Policy, format!("the manifest names {url:?}, {why}"))
                .url(&self.url)
                .hint(REMEDY)
        })?;
        self.policy.may_come_from(&absolute).map(|()| absolute)
    }

    fn admit(&self, url: &UrlText) -> std::result::Result<SafeUrl, String> {
        let no_url = |error: url::ParseError| format!("which is not a URL: {error}");
        let absolute = self.url.join(url.as_str()).map_err(no_url)?;
        match (self.url.scheme(), absolute.scheme()) {
            (_, "https") | ("http", "http") => Ok(absolute),
            (own, other) if own == other && absolute.is_in_object_store() => Ok(absolute),
            ("file", "file") if is_below(&absolute, &self.url) => Ok(absolute),
            ("file", "file") => Err("which is not below its own folder".to_owned()),
            _ => Err("whose scheme it may not use".to_owned()),
        }
    }

    /// Refuses a manifest that sends its readers where it may not, before it takes the
    /// place of a good one. Plain HTTP is between the reader and the one unit.
    pub(super) fn check_urls(&self, manifest: &Manifest) -> Result<()> {
        for part in manifest.lock.iter().flat_map(|lock| lock.parts()) {
            self.admit(&part.url).map_err(|why| {
                wrong("lock", format!("it names {:?}, {why}", part.url)).hint(REMEDY)
            })?;
        }
        let Body::Modules(modules) = &manifest.body else { return Ok(()) };
        for (name, record) in &modules.0 {
            let unit = place_of(name);
            let older = record.versions.iter();
            let older =
                older.map(|(version, record)| (format!("{unit}.versions.{version}"), record));
            for (place, record) in std::iter::once((unit.clone(), record)).chain(older) {
                self.check_lists(&place, &record.files, &record.packs)?;
                for (at, variant) in record.variants.iter().enumerate() {
                    let place = format!("{place}.variants[{at}]");
                    self.check_lists(&place, &variant.files, &variant.packs)?;
                }
            }
        }
        Ok(())
    }

    fn check_lists(&self, place: &str, files: &[File], packs: &[Pack]) -> Result<()> {
        let files = files.iter().enumerate().filter_map(|(at, file)| Some((at, file.url()?)));
        let packs = packs.iter().map(|pack| &pack.url).enumerate();
        let named = files.map(|it| ("files", it)).chain(packs.map(|it| ("packs", it)));
        for (list, (at, url)) in named.filter(|(_, (_, url))| !self.is_surely_beside(url)) {
            self.admit(url).map_err(|why| {
                let place = format!("{place}.{list}[{at}].url");
                wrong(&place, format!("it names {url:?}, {why}")).hint(REMEDY)
            })?;
        }
        Ok(())
    }

    /// Nearly every URL is a plain relative path, and needs no parser to be told so.
    fn is_surely_beside(&self, url: &UrlText) -> bool {
        let url = url.as_str();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        url.starts_with(|c: char| c.is_ascii_alphanumeric())
            && url.chars().all(plain)
            && !url.contains("..")
    }
}

/// True if `file` lies below the folder of `manifest`, also where an escaped slash hides a `..`.
fn is_below(file: &SafeUrl, manifest: &SafeUrl) -> bool {
    let (file, manifest) = (file.real(), manifest.real());
    let (Ok(file_path), Ok(manifest_path)) = (file.to_file_path(), manifest.to_file_path()) else {
        return false;
    };
    file.host_str() == manifest.host_str()
        && !file_path.components().any(|part| part == Component::ParentDir)
        && manifest_path.parent().is_some_and(|folder| file_path.starts_with(folder))
}
