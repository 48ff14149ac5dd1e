//! The doctor's findings that need no Python.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::mount::Mount;
use crate::name::SafeUrl;
use crate::session::Session;
use crate::settings::Settings;
use crate::store::sealed;
use crate::store::tree::Tree;
use crate::supply::View;

/// One thing that was looked at.
pub struct Finding {
    /// `settings`, `directory` or another heading.
    pub check: &'static str,
    /// Nothing is wrong with it.
    pub ok: bool,
    /// What was seen, in a sentence without the remedy.
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
}

impl Finding {
    fn new(check: &'static str, outcome: Result<String>) -> Self {
        let error = match outcome {
            Ok(message) => return Self { check, ok: true, message, hint: None },
            Err(error) => error,
        };
        let (whole, hint) = (error.to_string(), error.details().hint.clone());
        let bare = hint.as_ref().and_then(|hint| whole.strip_suffix(&format!("; {hint}")));
        Self { check, ok: false, message: bare.map_or(whole.clone(), str::to_owned), hint }
    }

    /// A unit that something else wins over.
    pub fn hidden(name: &str, by: &str) -> Self {
        Self::new("hidden", Ok(format!("{name} is hidden by {by}")))
    }
}

/// What is wrong with the environment: without it there is no session to look at.
pub fn environment() -> Option<Finding> {
    Settings::from_env().err().map(|error| Finding::new("settings", Err(error)))
}

impl Session {
    /// The settings, and the cache's folder.
    pub fn diagnose(&self) -> Vec<Finding> {
        let mounted = self.mounts().len() as u64;
        let manifest = match self.engine.settings.require_manifest_url() {
            Ok(url) => Ok(SafeUrl::new(url.as_str()).map_or_else(
                |_| "the manifest URL is set".to_owned(),
                |url| format!("the manifest is {url}"),
            )),
            // Whoever mounts by other means needs no variable.
            Err(_) if mounted > 0 => {
                Ok(format!("{} mounted without the environment", count(mounted, "namespace")))
            }
            Err(error) => Err(error),
        };
        let store = &self.engine.store;
        let folder = store.create().map(|()| format!("the cache is {}", store.cache().display()));
        let mut findings = vec![
            Finding::new("settings", manifest),
            Finding::new("directory", folder),
            Finding::new("permissions", store.check().map(|_| "only you may write to it".into())),
        ];
        let broken = self.engine.settings.broken_mounts.iter();
        findings.extend(broken.map(|it| Finding::new("settings", Err(it.why.clone()))));
        findings.extend(self.diagnose_seal(store.root()));
        for (cache, root) in self.engine.settings.further_caches.iter().zip(store.behind()) {
            let cache = cache.display();
            let found = store.check_behind(root).map(|is_there| match is_there {
                true => format!("what is not there is looked for in {cache}"),
                false => format!("nothing is in {cache}, which is to be looked into"),
            });
            findings.push(Finding::new("behind", found));
            findings.extend(self.diagnose_seal(root));
        }
        findings
    }

    /// Whether a sealed cache is as it was sealed; nothing of one that is not sealed.
    fn diagnose_seal(&self, root: &Path) -> Option<Finding> {
        let cache = root.parent().unwrap_or(root).display();
        let found = self.engine.store.doubt(root).transpose()?.and_then(|difference| {
            if difference.is_empty() {
                return Ok(format!("{cache} is sealed, and has the files that were sealed"));
            }
            let what =
                format!("{cache} is not as it was sealed, so all of it is checked each time");
            let cause = std::io::Error::other(difference);
            Err(Error::new(Kind::Integrity, what).caused_by(&cause).hint(sealed::PUT_A_COPY))
        });
        Some(Finding::new("sealed", found))
    }

    /// Whether the manifest of a mount can be read, and its units in use are whole.
    pub async fn diagnose_mount(&self, mount: &Arc<Mount>) -> Vec<Finding> {
        if let (Some(view), Some(lock)) = (mount.supply.view(), mount.request.source.as_lock()) {
            return self.diagnose_lock(mount, view, &lock.path).await;
        }
        let cache = self.engine.store.cache().display();
        if sealed::is_sealed(self.engine.store.root()) {
            let answer = format!("{} is not asked: {cache} is sealed", mount.supply.url());
            return vec![
                Finding::new("manifest", Ok(answer)),
                Finding::new("units", self.whole(mount)),
            ];
        }
        let answer = self
            .available_now(mount)
            .await
            .map(|units| format!("{} answers with {}", mount.supply.url(), count(units, "unit")));
        vec![Finding::new("manifest", answer), Finding::new("units", self.whole(mount))]
    }

    /// What a lock has, whose packages cannot live together, and whether its view is as it was made.
    async fn diagnose_lock(&self, mount: &Mount, view: &View, lock: &Path) -> Vec<Finding> {
        let (lock, units) = (lock.display(), &view.resolved.units);
        let here = units.values().filter(|it| self.is_cached(it)).count();
        let there = count(units.len() as u64, "package");
        let mut findings =
            vec![Finding::new("lock", Ok(format!("{lock} has {there}, {here} of them cached")))];
        for (path, names) in &view.resolved.owners.disputed {
            let what = format!("{} each bring another {path}", view.titles(names));
            findings.push(Finding::new("disputed", Ok(what)));
        }
        let folder = view.folder.display();
        let as_made = mount.supply.mend_view().await.and_then(|changed| match &*changed {
            [] => Ok(format!("the view {folder} is as it was made")),
            changed => {
                let what = format!("the view {folder} was changed at {}", changed.join(", "));
                let what = format!("{what}; it was made again");
                let hint = "its packages come from the lock: magic-module lock";
                Err(Error::new(Kind::Integrity, what).hint(hint))
            }
        });
        findings.push(Finding::new("view", as_made));
        findings.push(Finding::new("units", self.whole(mount)));
        findings
    }

    fn whole(&self, mount: &Mount) -> Result<String> {
        let mut broken = 0;
        for active in mount.bind()?.iter().flat_map(|bound| bound.generation.active.values()) {
            broken += u64::from(Tree::open(&self.engine.store, &active.tree)?.is_none());
        }
        let of = mount.namespace.described();
        if broken == 0 {
            return Ok(format!("the cached units of {of} are complete"));
        }
        Err(Error::new(Kind::Integrity, format!("{broken} cached units of {of} are damaged"))
            .hint("run `magic-module verify`"))
    }
}

fn count(number: u64, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}
