//! `__version__` of a module, read without running it.
//!
//! Only an assignment of one plain string at the left margin counts; of several,
//! the last one does, as it would if the module ran. Anything computed is no
//! version, and the content then gives one.

use crate::name::{UnitName, Version};

/// The version that the module file of `unit` declares. `text` yields the text of a
/// file of the unit by its path.
pub(super) fn declared(unit: &UnitName, text: impl Fn(&str) -> Option<String>) -> Option<Version> {
    let stem = unit.to_path();
    if let Some(module) = text(&format!("{stem}.py")) {
        return Version::new(&assigned(&module, "__version__")?).ok();
    }
    let module = text(&format!("{stem}/__init__.py"))?;
    let found = assigned(&module, "__version__").or_else(|| {
        // `from ._version import version as __version__`, as build tools write it.
        let (file, name) = imported(&module, unit)?;
        assigned(&text(&format!("{stem}/{file}.py"))?, &name)
    })?;
    Version::new(&found).ok()
}

/// The literal that `name` holds after the module's last top-level assignment to it.
fn assigned(source: &str, name: &str) -> Option<String> {
    let mut value = None;
    for line in logical_lines(source) {
        let mut rest = line.as_str();
        let mut mentioned = false;
        while let Some((target, after)) = target(rest) {
            mentioned |= target == name;
            rest = after;
        }
        if mentioned {
            value = literal(rest);
        }
    }
    value
}

/// The submodule, and the name in it, that `__version__` is imported from.
fn imported(source: &str, unit: &UnitName) -> Option<(String, String)> {
    let absolute = format!("{unit}.");
    for line in logical_lines(source) {
        let Some(rest) = line.strip_prefix("from ") else { continue };
        let Some((module, names)) = rest.split_once(" import ") else { continue };
        let module = module.trim();
        let file = module.strip_prefix(&absolute).or_else(|| module.strip_prefix('.'));
        let Some(file) = file.filter(|file| crate::name::is_identifier(file)) else { continue };
        let names = names.split('#').next().unwrap_or(names);
        for part in names.trim().trim_matches(['(', ')']).split(',') {
            let words: Vec<&str> = part.split_whitespace().collect();
            if let [name @ "__version__"] | [name, "as", "__version__"] = words[..] {
                return Some((file.to_owned(), name.to_owned()));
            }
        }
    }
    None
}

/// Splits `name = rest` or `name: annotation = rest`.
fn target(line: &str) -> Option<(&str, &str)> {
    let (left, right) = line.split_once('=')?;
    if right.starts_with('=') {
        return None;
    }
    let (name, annotation) = left.split_once(':').unwrap_or((left, "str"));
    let plain = |c: char| c.is_alphanumeric() || "_.[], |".contains(c);
    (crate::name::is_identifier(name.trim()) && annotation.chars().all(plain))
        .then(|| (name.trim(), right.trim_start()))
}

/// The text of one plain string literal with nothing behind it but a comment.
fn literal(text: &str) -> Option<String> {
    let text = text.strip_prefix(['u', 'r']).unwrap_or(text);
    let quote = text.chars().next().filter(|c| *c == '"' || *c == '\'')?;
    let body = &text[1..];
    let end = body.find(quote)?;
    let (value, after) = (&body[..end], body[end + 1..].trim_start());
    let alone = after.is_empty() || after.starts_with(['#', ';']);
    (alone && !value.contains('\\')).then(|| value.to_owned())
}

/// Lines at the left margin, with brackets joined and multi-line strings left out.
fn logical_lines(source: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut depth = 0_usize;
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let triple = ["\"\"\"", "'''"].into_iter().find(|quote| rest.starts_with(quote));
        if let Some(quote) = triple {
            let length = 3 + closing(&rest[3..], quote);
            // Stands for the string: a literal on one line may be a version.
            line.push_str(if rest[..length].contains('\n') { "…" } else { &rest[..length] });
            rest = &rest[length..];
        } else if c == '"' || c == '\'' {
            let quote = if c == '"' { "\"" } else { "'" };
            let length = 1 + closing(&rest[1..], quote);
            line.push_str(&rest[..length]);
            rest = &rest[length..];
        } else if c == '#' {
            let end = rest.find('\n').unwrap_or(rest.len());
            rest = &rest[end..];
        } else if let Some(after) = rest.strip_prefix("\\\n") {
            rest = after;
        } else if c == '\n' && depth == 0 {
            lines.push(std::mem::take(&mut line));
            rest = &rest[1..];
        } else {
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            line.push(if c == '\n' { ' ' } else { c });
            rest = &rest[c.len_utf8()..];
        }
    }
    lines.push(line);
    lines.retain(|line| !line.starts_with([' ', '\t']) && !line.trim().is_empty());
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// The length up to and including the closing quote; a string of one line ends with it.
fn closing(text: &str, quote: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if quote.len() == 1 && c == '\n' {
            return at;
        } else if text[at..].starts_with(quote) {
            return at + quote.len();
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(source: &str) -> Option<String> {
        assigned(source, "__version__")
    }

    #[test]
    fn literals_are_read() {
        for source in [
            "__version__ = '1.0'",
            "'''doc\n__version__ = \"9\"\n'''\n__version__: str = \"1.0\"  # now\n",
            "__version__ = version = '1.0'\r\n",
            "x = (\n'__version__ = 9')\n__version__='1.0';y=1\n",
            "__version__ = '0'\n__version__ = '1.0'\nif x:\n    __version__ = '2'\n",
            "# it's\n__version__ = \\\n '1.0'\n",
            "__version__: \\\n  Final[str] = u'1.0'",
        ] {
            assert_eq!(of(source).as_deref(), Some("1.0"), "{source}");
        }
    }

    #[test]
    fn what_is_computed_is_no_version() {
        for source in [
            "",
            "__version__ = version('x')",
            "__version__ = '1' + '2'",
            "__version__ = '1' '2'",
            "__version__ = f'1'",
            "__version__ == '1'",
            "def f():\n    __version__ = '1'",
            "'''\n__version__ = '1'\n'''",
            "__version__ = '1'\n__version__ = read()",
            "x = '__version__ = 1'",
            "__version__ = '1",
            "__version__ = '''",
        ] {
            assert_eq!(of(source), None, "{source}");
        }
    }

    #[test]
    fn a_version_module_is_followed() {
        let unit = UnitName::new("x").unwrap();
        let text = |init: &'static str, file: &'static str, body: &'static str| {
            move |path: &str| match path {
                "x/__init__.py" => Some(init.to_owned()),
                path if path == format!("x/{file}.py") => Some(body.to_owned()),
                _ => None,
            }
        };
        let version = |init, file, body| declared(&unit, text(init, file, body));
        let expected = Version::new("1.2").ok();
        let body = "__version__ = version = '1.2'";
        assert_eq!(version("from ._version import __version__", "_version", body), expected);
        assert_eq!(
            version("from x.about import (\n a,\n version as __version__)", "about", body),
            expected
        );
        assert_eq!(version("from .other import version", "other", body), None);
        assert_eq!(version("from importlib import metadata", "_version", body), None);
    }
}
