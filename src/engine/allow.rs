//! Carries out what the rules say: asks whoever is to be asked, and writes every decision down.

use super::Engine;
use crate::audit::{Request, Verdict, asker, consent};
use crate::error::{Error, Result};
use crate::journal::{Decision, Entry};
use crate::name::{SafeUrl, Version};
use crate::policy::{Asked, Audit, Judgement, Rules};

impl Engine {
    /// The rule that allows it, once whoever is to be asked has said so. `size` is what comes, in
    /// bytes, and `requires` what comes with it.
    pub async fn allowed(
        &self,
        rules: &Rules,
        asked: &Asked<'_>,
        size: u64,
        requires: Vec<String>,
    ) -> Result<String> {
        let rule = match rules.judge(asked)? {
            Judgement::Allowed(rule) => return Ok(rule),
            Judgement::Ask(rule) => rule,
        };
        let verdict = consent(Request {
            distribution: asked.name.to_owned(),
            version: asked.version.to_string(),
            source: source(asked),
            size,
            requires,
            rule: rule.clone(),
            asker: asker(),
        });
        match verdict.await {
            Some(Verdict::Once | Verdict::Always) => Ok("on_request".to_owned()),
            Some(Verdict::Deny) => {
                Err(rules.refused(asked, &rule, "the person who was asked said no"))
            }
            None => Err(rules.unasked(asked, &rule)),
        }
    }

    /// Whether bytes may come from there. What was built here was asked about before.
    pub fn may_come_from(&self, url: &SafeUrl) -> Result<()> {
        match self.administrator.rules()? {
            Some(rules) if !self.store.has_built(url) => rules.may_ask(url),
            _ => Ok(()),
        }
    }

    /// Whether a source may be fetched and built. The wheel that is built of it lies in the cache, and
    /// is not asked about once more.
    pub async fn may_build(&self, name: &str, version: &Version, url: SafeUrl) -> Result<()> {
        let Some(rules) = self.administrator.rules()? else { return Ok(()) };
        let files = [(url, 0)];
        let asked = Asked { name, version, files: &files, required_by: None };
        let judged = self.allowed(&rules, &asked, 0, Vec::new()).await;
        self.note_judged(&rules, &asked, "", &judged)?;
        judged.map(drop)
    }

    /// Writes down which rule allowed it, or which error refused it.
    pub fn note_judged(
        &self,
        rules: &Rules,
        asked: &Asked<'_>,
        sha256: &str,
        judged: &Result<String>,
    ) -> Result<()> {
        match judged {
            Ok(rule) => self.note(rules, asked, sha256, Decision::Allowed, rule, None),
            Err(error) => {
                let rule = error.details().path.as_deref().unwrap_or_default();
                self.note(rules, asked, sha256, Decision::Refused, rule, Some(error))
            }
        }
    }

    /// Writes a decision down; that it cannot be is an error if the rules say so.
    pub fn note(
        &self,
        rules: &Rules,
        asked: &Asked<'_>,
        sha256: &str,
        decision: Decision,
        rule: &str,
        error: Option<&Error>,
    ) -> Result<()> {
        let written = self.journal.write(
            &asker(),
            Entry {
                decision,
                distribution: asked.name,
                version: asked.version.as_str(),
                source: source(asked),
                sha256: sha256.to_owned(),
                bytes: asked.files.iter().map(|(_, size)| *size).sum(),
                rule,
                error: error.map(Error::without_hint).unwrap_or_default(),
            },
        );
        match written {
            Err(error) if rules.audit == Audit::Required => {
                Err(rules.refused(asked, "policy.audit", &error.to_string()))
            }
            _ => Ok(()),
        }
    }
}

fn source(asked: &Asked<'_>) -> String {
    asked.files.first().map(|(url, _)| url.to_string()).unwrap_or_default()
}
