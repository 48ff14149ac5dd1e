//! Whether what is missing may be fetched. Whoever fetches (an import, `prefetch`, `upgrade`,
//! `fetch`, `run`) asks this once, before the first byte of a closure.
//!
//! ```text
//! closure ─ what is missing ─ rules ─▶ allowed ─ written down ─▶ on with it
//!                              │ ask ─▶ whoever waits ─▶ once, always ─┘
//!                              └──────▶ refused ─ written down ─▶ error
//! ```
//!
//! What something allowed requires comes with it, unless a rule forbids it. What is whole in the
//! cache is not asked about, except in a space: what others have fetched is not in use there yet.

use crate::error::{Error, Kind, Result};
use crate::fetch::Artifact;
use crate::journal::Decision;
use crate::name::{SafeUrl, UnitName};
use crate::plan::{Plan, Wanted};
use crate::policy::{Asked, Judgement, Rules};
use crate::session::Session;
use crate::unit::Unit;
use crate::uses::activate::Member;

/// What one member lacks.
struct Lacking<'a> {
    unit: &'a Unit,
    files: Vec<(SafeUrl, u64)>,
    /// Of the first file.
    sha256: String,
    required_by: Option<&'a str>,
}

impl<'a> Lacking<'a> {
    fn asked(&'a self) -> Asked<'a> {
        Asked {
            name: &self.unit.full_name,
            version: &self.unit.version,
            files: &self.files,
            required_by: self.required_by,
        }
    }

    fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, size)| *size).sum()
    }
}

impl Session {
    /// Whether `missing`, a part of `closure`, may be fetched as planned.
    pub(super) async fn allow(
        &self,
        closure: &[Member],
        missing: &[Member],
        plans: &[Plan],
    ) -> Result<()> {
        let Some(rules) = self.engine.administrator.rules()? else { return Ok(()) };
        let mut lacking = Vec::with_capacity(missing.len());
        for (member, plan) in missing.iter().zip(plans) {
            let mount = member.unit.mount()?;
            let url = |wanted: &Wanted| Ok((mount.supply.resolve(&wanted.url)?, wanted.size));
            let files = plan.wanted.iter().map(url).collect::<Result<Vec<_>>>()?;
            // Asked about before it was built.
            if !files.is_empty() && files.iter().all(|(url, _)| self.engine.store.has_built(url)) {
                continue;
            }
            lacking.push(Lacking {
                unit: &member.unit,
                files,
                sha256: plan.wanted.first().map(|it| it.sha256.to_hex()).unwrap_or_default(),
                required_by: required_by(closure, &member.unit.name),
            });
        }
        let mut allowed = Vec::with_capacity(lacking.len());
        for one in &lacking {
            match self.judge(&rules, one, &lacking).await {
                Ok(rule) => allowed.push(Ok(rule)),
                refused => {
                    self.engine.note_judged(&rules, &one.asked(), &one.sha256, &refused)?;
                    return refused.map(drop);
                }
            }
        }
        for (one, rule) in lacking.iter().zip(&allowed) {
            self.engine.note_judged(&rules, &one.asked(), &one.sha256, rule)?;
        }
        Ok(())
    }

    /// The rule that allows it.
    async fn judge(&self, rules: &Rules, one: &Lacking<'_>, all: &[Lacking<'_>]) -> Result<String> {
        let asked = one.asked();
        let total = all.iter().map(Lacking::bytes).sum();
        rules.may_total(&asked, total)?;
        let others = all.iter().filter(|it| it.required_by.is_some());
        let requires = others.map(|it| it.unit.full_name.clone()).collect();
        self.engine.allowed(rules, &asked, total, requires).await
    }

    /// Whether a unit may be fetched without anybody being asked.
    pub(super) fn is_allowed_unasked(&self, member: &Member) -> bool {
        let rules = match self.engine.administrator.rules() {
            Ok(Some(rules)) => rules,
            Ok(None) => return true,
            Err(_) => return false,
        };
        let unit = &member.unit;
        let asked =
            Asked { name: &unit.full_name, version: &unit.version, files: &[], required_by: None };
        matches!(rules.judge(&asked), Ok(Judgement::Allowed(_)))
    }

    /// Whether one more file of a unit that is in use may be fetched.
    pub(super) fn allow_file(&self, unit: &Unit, artifact: &Artifact) -> Result<()> {
        let Some(rules) = self.engine.administrator.rules()? else { return Ok(()) };
        let one = Lacking {
            unit,
            files: vec![(artifact.url.clone(), artifact.size)],
            sha256: artifact.sha256.to_hex(),
            required_by: Some(&unit.full_name),
        };
        // Whoever is to be asked was, when the unit came.
        let judged = rules.judge(&one.asked()).map(|judgement| match judgement {
            Judgement::Allowed(rule) | Judgement::Ask(rule) => rule,
        });
        self.engine.note_judged(&rules, &one.asked(), &one.sha256, &judged)?;
        judged.map(drop)
    }

    /// Writes down that what was allowed did not come.
    pub(super) fn note_failure(&self, missing: &[Member], error: &Error) {
        let Ok(Some(rules)) = self.engine.administrator.rules() else { return };
        // A refusal is written down where it is made.
        if error.kind() == Kind::Policy {
            return;
        }
        let name = error.details().name.as_deref();
        let named = missing.iter().find(|it| Some(it.unit.full_name.as_str()) == name);
        let Some(member) = named.or(missing.first()) else { return };
        let one = Lacking {
            unit: &member.unit,
            files: Vec::new(),
            sha256: String::new(),
            required_by: None,
        };
        let _ = self.engine.note(&rules, &one.asked(), "", Decision::Failed, "", Some(error));
    }
}

/// What requires a unit that nobody asked for by itself.
fn required_by<'a>(closure: &'a [Member], name: &UnitName) -> Option<&'a str> {
    if closure.first().is_some_and(|first| first.unit.name == *name) {
        return None;
    }
    let requiring = closure.iter().find(|member| member.record.requires.contains(name))?;
    Some(&requiring.unit.full_name)
}
