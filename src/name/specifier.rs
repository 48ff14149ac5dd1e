//! Which versions are meant: `>=1.26,<3` (PEP 440).
//! <https://packaging.python.org/en/latest/specifications/version-specifiers/>
//!
//! Pre-releases count like all others: what is forbidden below 2 is so in 2.0rc1, too.

use super::version::{Number, Public, Version, public_of};
use super::{BadName, bad};

/// Conditions that all hold; none is every version.
#[derive(Debug, Default)]
pub struct Specifiers(Vec<Specifier>);

#[derive(Debug)]
struct Specifier {
    operator: Operator,
    text: String,
    /// `None` for what is compared by its letters.
    public: Option<Public>,
    /// How many numbers of a release are compared where it ends in `.*`, or begins with `~=`.
    numbers: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Compatible,
    Letters,
    Equal,
    Beginning,
    Other,
    OtherBeginning,
    AtMost,
    AtLeast,
    Below,
    Above,
}

/// The longer first: `===` begins like `==`.
const OPERATORS: [(&str, Operator); 8] = [
    ("===", Operator::Letters),
    ("~=", Operator::Compatible),
    ("==", Operator::Equal),
    ("!=", Operator::Other),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("<", Operator::Below),
    (">", Operator::Above),
];

impl Specifiers {
    /// Takes conditions with commas between them.
    pub fn new(text: &str) -> Result<Self, BadName> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(Specifier::new).collect::<Result<_, _>>().map(Self)
    }

    /// True if every version is meant.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all hold; `None` for a version that PEP 440 does not know and that cannot be compared.
    pub fn hold(&self, version: &Version) -> Option<bool> {
        let text = version.as_str().to_ascii_lowercase();
        let (bare, local) = text.split_once('+').unwrap_or((&text, ""));
        let public = public_of(bare);
        let mut all = Some(true);
        for specifier in &self.0 {
            match specifier.holds(&text, local, public.as_ref()) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => all = None,
            }
        }
        all
    }
}

impl Specifier {
    fn new(part: &str) -> Result<Self, BadName> {
        let Some((sign, operator)) = OPERATORS.into_iter().find(|(sign, _)| part.starts_with(sign))
        else {
            return bad(format!("{part:?} is not a condition such as >=1.26 or ==2.*"));
        };
        let text = part[sign.len()..].trim().to_ascii_lowercase();
        Version::new(text.trim_end_matches(".*"))?;
        let bare = text.split('+').next().unwrap_or_default();
        let (bare, operator) = match (bare.strip_suffix(".*"), operator) {
            (Some(beginning), Operator::Equal) => (beginning, Operator::Beginning),
            (Some(beginning), Operator::Other) => (beginning, Operator::OtherBeginning),
            (Some(_), _) => return bad(format!("{part:?}: .* follows == and != only")),
            (None, operator) => (bare, operator),
        };
        if operator == Operator::Letters {
            return Ok(Self { operator, text, public: None, numbers: 0 });
        }
        let Some(public) = public_of(bare) else {
            return bad(format!("{part:?} has no version that PEP 440 knows"));
        };
        let release = bare.rsplit('!').next().unwrap_or_default();
        let is_number = |it: &&str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
        let mut numbers = release.trim_start_matches('v').split('.').take_while(is_number).count();
        if operator == Operator::Compatible {
            if numbers < 2 {
                return bad(format!("{part:?} needs a version of two numbers"));
            }
            numbers -= 1;
        }
        Ok(Self { operator, text, public: Some(public), numbers })
    }

    fn holds(&self, text: &str, local: &str, public: Option<&Public>) -> Option<bool> {
        let Some(own) = &self.public else { return Some(self.text == text) };
        let Some(public) = public else {
            return match self.operator {
                Operator::Equal => Some(false),
                Operator::Other => Some(true),
                _ => None,
            };
        };
        let equal = || public == own && self.text.split_once('+').is_none_or(|it| it.1 == local);
        let begins = || {
            let none = Number::default();
            let at = |release: &[Number], at: usize| release.get(at).unwrap_or(&none).clone();
            let same = |it: usize| at(&public.release, it) == at(&own.release, it);
            public.epoch == own.epoch && (0..self.numbers).all(same)
        };
        let alike = public.epoch == own.epoch && public.release == own.release;
        Some(match self.operator {
            Operator::Letters | Operator::Equal => equal(),
            Operator::Other => !equal(),
            Operator::Beginning => begins(),
            Operator::OtherBeginning => !begins(),
            Operator::Compatible => public >= own && begins(),
            Operator::AtMost => public <= own,
            Operator::AtLeast => public >= own,
            // What leads to a version is not below it, nor what follows it above.
            Operator::Below => {
                public < own && !(alike && public.leads_to_another() && !own.leads_to_another())
            }
            Operator::Above => {
                public > own && !(alike && public.post.is_some() && own.post.is_none())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_packaging_does() {
        for (text, inside, outside) in [
            ("", "1.0 2.0rc1", ""),
            (">=1.26,<3", "1.26 1.26.0 2.9.9 2.0rc1 1.26+local", "1.25 3 3.0 3.0rc1 1.26rc1"),
            ("==1.0", "1.0 1.0.0 v1 1.0+local", "1.0.1 1.0rc1 1.0.post1"),
            ("==1.0+a", "1.0+a", "1.0 1.0+b"),
            ("==1.0.*", "1.0 1.0.5 1 1.0rc1 1.0.post1", "1.1 2.0 1!1.0"),
            ("!=1.0.*", "1.1", "1.0.5 1"),
            ("!=1.0", "1.1 1.0rc1", "1.0.0"),
            ("~=1.4", "1.4 1.9", "2.0 1.3"),
            ("~=1.4.2", "1.4.2 1.4.9", "1.5 1.4.1"),
            (">1.0", "1.0.1 2", "1.0 1.0+local 1.0.post1"),
            (">1.0.post1", "1.0.post2", "1.0.post1"),
            ("<1.0rc2", "1.0rc1 0.9", "1.0rc2"),
            ("<=2", "2.0 1", "2.0.1"),
            ("===1.0", "1.0", "1.0.0"),
            ("> 1 , < 2", "1.5", "2"),
        ] {
            let specifiers = Specifiers::new(text).unwrap();
            let holds = |version: &str| specifiers.hold(&Version::new(version).unwrap());
            for version in inside.split_whitespace() {
                assert_eq!(holds(version), Some(true), "{version} {text}");
            }
            for version in outside.split_whitespace() {
                assert_eq!(holds(version), Some(false), "{version} {text}");
            }
        }
    }

    #[test]
    fn what_is_no_version_is_neither_in_nor_out_of_a_range() {
        let holds =
            |text: &str| Specifiers::new(text).unwrap().hold(&Version::new("nightly").unwrap());
        assert_eq!(holds(">=1"), None);
        assert_eq!(
            (holds("==1"), holds("===nightly"), holds("")),
            (Some(false), Some(true), Some(true))
        );
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in ["1.0", ">=", "=1", ">=1.*", "~=1", ">=a b", "==1..0"] {
            assert!(Specifiers::new(text).is_err(), "{text}");
        }
    }
}
