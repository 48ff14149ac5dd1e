//! Names that somebody may have meant who wrote another.

/// A slip of the keys apart, or the same but for case and underscores.
pub fn similar(a: &str, b: &str) -> bool {
    distance(a, b).is_some()
}

/// The name that comes closest, if any is close.
pub fn closest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = names.into_iter().filter_map(|it| Some((distance(name, it)?, it)));
    distances.min().map(|(_, it)| it)
}

/// How many slips, where there are few for names of this length.
fn distance(a: &str, b: &str) -> Option<usize> {
    let few = a.len().min(b.len()) / 3;
    // Nearly all names are told apart by their letters.
    if (letters(a) ^ letters(b)).count_ones() as usize > 2 * few {
        return None;
    }
    let plain = |text: &str| text.replace('_', "").to_lowercase();
    let (a, b) = (plain(a), plain(b));
    let distance = strsim::osa_distance(&a, &b);
    (distance <= a.len().min(b.len()) / 3).then_some(distance)
}

/// A bit for each letter or digit that is there.
fn letters(text: &str) -> u64 {
    let bits = text.bytes().filter(u8::is_ascii_alphanumeric);
    bits.fold(0, |all, byte| all | 1 << (byte.to_ascii_lowercase() & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_is_what_was_meant() {
        let names = ["requests", "request", "numpy", "PIL", "google", "yaml"];
        for (name, expected) in [
            ("reqeusts", Some("requests")),
            ("request_s", Some("requests")),
            ("nunpy", Some("numpy")),
            ("pil", Some("PIL")),
            ("x", None),
            ("tensorflow", None),
        ] {
            assert_eq!(closest(name, names), expected, "{name}");
        }
        assert!(similar("read_csv", "readcsv") && !similar("io", "os"));
    }
}
