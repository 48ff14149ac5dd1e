//! The globs of `lazy`: `*` and `?` stay within a folder, `**` does not, `[a-c]` is a set.

/// True if all of `path` matches.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let patterns: Vec<&str> = pattern.split('/').collect();
    let parts: Vec<&str> = path.split('/').collect();
    folders(&patterns, &parts)
}

fn folders(patterns: &[&str], parts: &[&str]) -> bool {
    match (patterns.split_first(), parts.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            folders(rest, parts) || (!parts.is_empty() && folders(patterns, &parts[1..]))
        }
        (Some((first, rest)), Some((part, others))) => {
            let pattern: Vec<char> = first.chars().collect();
            let text: Vec<char> = part.chars().collect();
            name(&pattern, &text) && folders(rest, others)
        }
        _ => false,
    }
}

fn name(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) => {
            name(rest, text) || (!text.is_empty() && name(pattern, &text[1..]))
        }
        (Some(('?', rest)), Some((_, others))) => name(rest, others),
        (Some(('[', rest)), Some((c, others))) => {
            // Without its bracket it is a character like others.
            let Some(end) = rest.iter().skip(1).position(|c| *c == ']').map(|at| at + 1) else {
                return *c == '[' && name(rest, others);
            };
            let (negated, set) = match &rest[..end] {
                ['!', set @ ..] => (true, set),
                set => (false, set),
            };
            in_set(set, *c) != negated && name(&rest[end + 1..], others)
        }
        (Some((expected, rest)), Some((c, others))) => expected == c && name(rest, others),
        _ => false,
    }
}

fn in_set(set: &[char], c: char) -> bool {
    match set {
        [from, '-', to, rest @ ..] => (*from..=*to).contains(&c) || in_set(rest, c),
        [first, rest @ ..] => *first == c || in_set(rest, c),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_sets() {
        for (pattern, path) in [
            ("*.bin", "a.bin"),
            ("data/*.csv", "data/x.csv"),
            ("**/*.csv", "x.csv"),
            ("**/*.csv", "a/b/x.csv"),
            ("data/**", "data/a/b"),
            ("x?[0-9].[!t]xt", "xa7.ext"),
            ("[", "["),
            ("größe*", "größe.txt"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("*.bin", "a/a.bin"),
            ("data/*.csv", "data/a/x.csv"),
            ("data", "data/x"),
            ("[a-c]", "d"),
            ("", "x"),
            ("a?", "a"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }
}
