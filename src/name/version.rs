//! Versions: compared for equality wherever one is wanted, and ordered for people.
//!
//! Newer is what PEP 440 says (1.10 after 1.9, 1.0rc1 before 1.0). Local labels come last,
//! after the time of publishing: `0+3f5b…` is made from content, and tells nothing of age.
//! What is not a version of PEP 440 is older than all that are, newer by time, then by number.

use serde::{Deserialize, Serialize};

use super::{BadName, bad, text_type};

/// A version as its author wrote it. Equal are those only that are written alike.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(String);
text_type!(Version);

impl Version {
    /// Takes 1 to 100 ASCII letters, digits and `._-+!`, whether PEP 440 knows them or not.
    pub fn new(text: &str) -> Result<Self, BadName> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-+!".contains(c);
        if text.is_empty() || text.len() > 100 || !text.chars().all(allowed) {
            return bad(format!(
                "version {text:?} must be 1 to 100 ASCII letters, digits, or any of . _ - + !"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// What tells which of two versions is newer: the greater one.
    pub fn age(&self, published: Option<u64>) -> Age {
        let text = self.0.to_ascii_lowercase();
        let (public, local) = text.split_once('+').unwrap_or((&text, ""));
        let public = public_of(public);
        let rest = if public.is_some() { local } else { &text };
        Age(public, published, segments(rest), self.0.clone())
    }
}

/// See [`Version::age`]. The text comes last, so that no two versions are of one age.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age(Option<Public>, Option<u64>, Vec<Segment>, String);

/// The parts of a public version, so that the derived order is that of PEP 440
/// (<https://packaging.python.org/en/latest/specifications/version-specifiers/>).
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Public {
    pub(super) epoch: Number,
    /// Without the zeros at its end.
    pub(super) release: Vec<Number>,
    phase: Phase,
    pub(super) post: Option<Number>,
    /// Development comes before what it leads to.
    dev: (bool, Number),
}

impl Public {
    /// True for a pre-release, and while something is developed.
    pub(super) fn leads_to_another(&self) -> bool {
        self.phase != Phase::Final || !self.dev.0
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// A development release of no pre-release and no post-release.
    Dev,
    Alpha(Number),
    Beta(Number),
    Candidate(Number),
    Final,
}

/// Digits, of any length: the longer number is the greater one.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(usize, String);

impl Number {
    fn new(digits: &str) -> Self {
        let digits = digits.trim_start_matches('0');
        Self(digits.len(), digits.to_owned())
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Text(String),
    Number(Number),
}

/// `abc.10` as `abc` and 10.
fn segments(text: &str) -> Vec<Segment> {
    let parts = text.split(['.', '-', '_', '+', '!']).filter(|part| !part.is_empty());
    let mut segments = Vec::new();
    for mut part in parts {
        while let Some(first) = part.bytes().next() {
            let digits = first.is_ascii_digit();
            let end = part.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(part.len());
            let (segment, rest) = part.split_at(end);
            segments.push(match digits {
                true => Segment::Number(Number::new(segment)),
                false => Segment::Text(segment.to_owned()),
            });
            part = rest;
        }
    }
    segments
}

/// Parses a public version in lower case; `None` is none of PEP 440.
pub(super) fn public_of(text: &str) -> Option<Public> {
    let mut rest = text.strip_prefix('v').unwrap_or(text);
    let mut epoch = Number::default();
    if let Some((number, after)) = rest.split_once('!') {
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        (epoch, rest) = (Number::new(number), after);
    }
    let mut release = vec![take_number(&mut rest)?];
    while let Some(mut after) = rest.strip_prefix('.') {
        let Some(number) = take_number(&mut after) else { break };
        release.push(number);
        rest = after;
    }
    while release.last().is_some_and(|number| number.0 == 0) {
        release.pop();
    }
    let pre = [
        ("alpha", Phase::Alpha as fn(Number) -> Phase),
        ("a", Phase::Alpha),
        ("beta", Phase::Beta),
        ("b", Phase::Beta),
        ("preview", Phase::Candidate),
        ("pre", Phase::Candidate),
        ("rc", Phase::Candidate),
        ("c", Phase::Candidate),
    ];
    let pre = pre.into_iter().find_map(|(word, phase)| Some(phase(take(&mut rest, word)?)));
    let mut post = ["post", "rev", "r"].into_iter().find_map(|word| take(&mut rest, word));
    if post.is_none()
        && let Some(mut after) = rest.strip_prefix('-')
        && let Some(number) = take_number(&mut after)
    {
        (post, rest) = (Some(number), after);
    }
    let dev = take(&mut rest, "dev");
    let phase = match (pre, &post, &dev) {
        (Some(phase), _, _) => phase,
        (None, None, Some(_)) => Phase::Dev,
        _ => Phase::Final,
    };
    let dev = dev.map_or((true, Number::default()), |number| (false, number));
    rest.is_empty().then_some(Public { epoch, release, phase, post, dev })
}

/// Takes `.word1`, `-word-1`, `word`: the number behind it, or 0.
fn take(rest: &mut &str, word: &str) -> Option<Number> {
    let separators = ['.', '-', '_'];
    let mut after = rest.strip_prefix(separators).unwrap_or(rest).strip_prefix(word)?;
    let mut numbered = after.strip_prefix(separators).unwrap_or(after);
    let number = take_number(&mut numbered);
    if number.is_some() {
        after = numbered;
    }
    *rest = after;
    Some(number.unwrap_or_default())
}

fn take_number(rest: &mut &str) -> Option<Number> {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    if digits.is_empty() {
        return None;
    }
    *rest = after;
    Some(Number::new(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(text: &str) -> Age {
        Version::new(text).unwrap().age(None)
    }

    #[test]
    fn newer_is_what_pep_440_says() {
        // No two of these are equal, and each is newer than the one before it.
        let ordered = [
            "final",
            "release-9",
            "release-10",
            "0",
            "0.9",
            "1.0.dev9",
            "1.0.dev10",
            "1.0a1.dev1",
            "1.0a1",
            "1.0a2",
            "1.0a10",
            "1.0b1",
            "1.0rc1.dev1",
            "1.0rc1",
            "1.0rc1.post1",
            "1.0rc2",
            "1.0",
            "1.0+abc",
            "1.0+abc.2",
            "1.0+5",
            "1.0+10",
            "1.0.post1.dev1",
            "1.0.post1",
            "1.0-2",
            "1.0.1",
            "1.9",
            "1.10",
            "1.10.0.1",
            "2024.1.9",
            "2024.10.1",
            "99999999999999999999.9",
            "99999999999999999999.10",
            "1!0.1",
            "2!0",
        ];
        for pair in ordered.windows(2) {
            assert!(age(pair[0]) < age(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn spellings_of_one_version_are_of_one_age_but_for_their_text() {
        for (one, other) in [
            ("1.0", "v1.0.0"),
            ("1.0rc1", "1.0-C.1"),
            ("1.0a0", "1.0.ALPHA"),
            ("1.0-1", "1.0.post1"),
            ("1.0.r3", "1.0_rev-3"),
            ("01.002", "1.2"),
            ("1.0dev", "1.0.DEV0"),
        ] {
            assert_eq!(age(one).0, age(other).0, "{one} {other}");
            assert!(age(one).0.is_some(), "{one}");
        }
        for text in
            ["1.0x", "1..0", "a1", "1.0-", "1!", "!1", "1.0rc1rc2", "1.0.dev1.post1", "1-2-3"]
        {
            assert_eq!(age(text).0, None, "{text}");
        }
    }

    #[test]
    fn content_is_newer_by_the_time_of_its_publishing() {
        let age = |text: &str, time| Version::new(text).unwrap().age(Some(time));
        assert!(age("0+ffff00000000", 1) < age("0+000000000001", 2));
        assert!(age("2.0", 1) > age("1.10", 2));
        assert!(age("nightly-2", 1) < age("nightly-1", 2));
    }
}
