//! A name that nobody knows and that is nearly a popular one: whoever takes it for a distribution
//! installs what somebody put there for those who mistype.

use super::generated::table;
use super::reviewed;

/// The popular name that an unknown one may be a misspelling of.
pub fn meant(name: &str) -> Option<String> {
    let length = name.chars().count();
    // In a short name every letter makes another word.
    let allowed = match length {
        0..=4 => return None,
        5..=8 => 1,
        _ => 2,
    };
    let popular = table().popular().chain(reviewed::names());
    let near = popular
        .filter(|other| !other.contains('.') && other.len().abs_diff(name.len()) <= allowed)
        .map(|other| (strsim::osa_distance(name, other), other))
        .filter(|(distance, other)| *distance <= allowed && *other != name);
    near.min().map(|(_, other)| other.to_owned())
}
