//! Whom a document of a lock is for: an interpreter, a platform, and what its markers compare.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::manifest::{Facts, Part, PublishedDocument, System};
use crate::pylock::Pylock;
use crate::wheel::Contents;

/// Markers whose values neither the interpreter's name nor the platform's tells.
const FINE_MARKERS: [&str; 4] =
    ["python_full_version", "implementation_version", "platform_release", "platform_version"];

/// Whom a document is for.
#[derive(Clone, PartialEq)]
pub(super) struct PublishedTarget {
    pub interpreter: String,
    pub platform: String,
    pub system: Option<System>,
    pub markers: BTreeMap<String, String>,
}

impl PublishedTarget {
    pub fn of(document: &PublishedDocument) -> Self {
        let PublishedDocument { interpreter, platform, system, markers, .. } = document.clone();
        Self { interpreter, platform, system, markers }
    }

    /// What a manifest says of a document for these.
    pub fn document(self, part: Part, packed: Option<Part>) -> PublishedDocument {
        let Self { interpreter, platform, system, markers } = self;
        PublishedDocument { interpreter, platform, system, markers, part, packed }
    }
}

/// The oldest system library that all wheels run with, as their names say.
pub(super) fn needed<'a>(
    names: impl Iterator<Item = &'a str>,
    here: Option<&System>,
) -> Option<System> {
    let family = here?;
    let of_wheel = |name: &str| {
        let tags = name.strip_suffix(".whl")?.rsplit('-').next()?;
        // It runs wherever one of its tags does.
        tags.split('.').filter_map(|tag| asked_by(tag, &family.name)).min().flatten()
    };
    let most = names.filter_map(of_wheel).max()?;
    Some(System { name: family.name.clone(), major: most.0, minor: most.1 })
}

/// The version that a platform's tag asks for, if it asks for one. `None`: it is for another family.
fn asked_by(tag: &str, family: &str) -> Option<Option<(u32, u32)>> {
    let fixed = match tag.split('_').next().unwrap_or(tag) {
        "manylinux1" => (2, 5),
        "manylinux2010" => (2, 12),
        "manylinux2014" => (2, 17),
        kind @ ("manylinux" | "macosx" | "musllinux") => {
            let is_own =
                (kind, family) == ("manylinux", "glibc") || (kind, family) == ("macosx", "macos");
            let mut numbers = tag.split('_').skip(1).map(|part| part.parse().ok());
            let version = numbers.next().flatten().zip(numbers.next().flatten());
            return is_own.then_some(version);
        }
        _ => return Some(None),
    };
    (family == "glibc").then_some(Some(fixed))
}

/// Those of the markers that somebody compares, with their values here.
pub(super) fn compared(
    lock: &Pylock,
    text: &[u8],
    contents: &[Contents],
    facts: &Facts,
) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(text);
    let metadata = contents.iter().filter_map(|it| it.texts.get("METADATA"));
    let lines =
        metadata.flat_map(|it| it.lines().filter(|line| line.starts_with("Requires-Dist:")));
    let lines: Vec<&str> = text.lines().chain(lines).collect();
    // A bound such as `>=3.12.4` tells releases of one version apart.
    let document = lock.document();
    let packages = document.get("packages").and_then(Value::as_array).into_iter().flatten();
    let bounds = std::iter::once(document).chain(packages);
    let bounds = bounds.filter_map(|it| it.get("requires-python")?.as_str());
    let is_fine = bounds
        .flat_map(|bound| bound.split(','))
        .any(|part| part.trim().trim_end_matches(".*").matches('.').count() > 1);
    let is_compared = |name: &&str| {
        (*name == "python_full_version" && is_fine) || lines.iter().any(|line| line.contains(name))
    };
    let named = FINE_MARKERS.into_iter().filter(is_compared);
    named.map(|it| (it.to_owned(), facts.markers.get(it).cloned().unwrap_or_default())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_system_is_the_one_that_every_wheel_runs_on() {
        let on = |family: &str, names: &[&str]| {
            let here = System { name: family.to_owned(), major: 99, minor: 0 };
            needed(names.iter().copied(), Some(&here)).map(|it| (it.major, it.minor))
        };
        let pure = "a-1-py3-none-any.whl";
        assert_eq!(on("glibc", &[pure, "b-1-cp312-cp312-linux_x86_64.whl"]), None);
        let both = "c-1-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl";
        let newer = "d-1-cp312-cp312-manylinux_2_28_x86_64.whl";
        let two = "e-1-cp312-cp312-manylinux_2_34_x86_64.musllinux_1_2_x86_64.whl";
        assert_eq!(on("glibc", &[pure, both]), Some((2, 17)));
        assert_eq!(on("glibc", &[newer, both, pure]), Some((2, 28)));
        assert_eq!(on("glibc", &[two]), Some((2, 34)));
        assert_eq!(on("glibc", &["f-1-cp36-abi3-manylinux1_x86_64.whl"]), Some((2, 5)));
        assert_eq!(on("macos", &["g-1-cp312-cp312-macosx_11_0_arm64.whl"]), Some((11, 0)));
        assert_eq!(needed([newer].into_iter(), None), None);
    }
}
