//! Imports that are calls: `importlib.import_module("x")`, `__import__("x")`, `find_spec("x")` and
//! `pytest.importorskip("x")`, under whatever name the script has them.

use std::collections::HashMap;

use ruff_python_ast::{Expr, ExprCall};

/// What the names of a script stand for: `il` for `importlib`.
#[derive(Default)]
pub struct Aliases(HashMap<String, String>);

/// A call that imports.
pub struct Called {
    /// The name; `None` where only a running script knows it.
    pub module: Option<String>,
    /// It is only looked for, or the test is skipped without it.
    pub optional: bool,
}

/// Those that import, by their whole name.
const IMPORTING: [(&str, bool); 8] = [
    ("importlib.import_module", false),
    ("importlib.__import__", false),
    ("builtins.__import__", false),
    ("__import__", false),
    ("importlib.util.find_spec", true),
    ("importlib.find_loader", true),
    ("pkgutil.find_loader", true),
    ("pytest.importorskip", true),
];

impl Aliases {
    /// `import a.b as c`, `from a import b as c`: what the name is from here on.
    pub fn add(&mut self, name: &str, stands_for: String) {
        let first = stands_for.split('.').next();
        if matches!(first, Some("importlib" | "pytest" | "pkgutil" | "builtins" | "contextlib")) {
            self.0.insert(name.to_owned(), stands_for);
        }
    }

    /// The whole name of what an expression names.
    pub fn whole(&self, expression: &Expr) -> Option<String> {
        let name = dotted(expression)?;
        let (first, rest) = match name.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (name.as_str(), None),
        };
        Some(match (self.0.get(first), rest) {
            (None, _) => name,
            (Some(known), None) => known.clone(),
            (Some(known), Some(rest)) => format!("{known}.{rest}"),
        })
    }

    /// What a call imports, if it does.
    pub fn called(&self, call: &ExprCall) -> Option<Called> {
        // Most calls are of something else; their names are not put together.
        let last = match &*call.func {
            Expr::Name(name) => name.id.as_str(),
            Expr::Attribute(attribute) => attribute.attr.as_str(),
            _ => return None,
        };
        let known = |(whole, _): &(&str, _)| whole.rsplit('.').next() == Some(last);
        if !self.0.contains_key(last) && !IMPORTING.iter().any(known) {
            return None;
        }
        let name = self.whole(&call.func)?;
        let (_, optional) = *IMPORTING.iter().find(|(whole, _)| *whole == name)?;
        let keyword = |wanted: &str| {
            let named = |it: &&ruff_python_ast::Keyword| {
                it.arg.as_ref().is_some_and(|arg| arg.as_str() == wanted)
            };
            call.arguments.keywords.iter().find(named).map(|it| &it.value)
        };
        let argument = call.arguments.args.first().or_else(|| keyword("name"))?;
        let module = match argument {
            Expr::StringLiteral(text) => Some(text.value.to_str().to_owned()),
            _ => None,
        };
        Some(Called { module, optional })
    }
}

/// `a.b.c` as it is written.
pub fn dotted(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Name(name) => Some(name.id.to_string()),
        Expr::Attribute(attribute) => {
            // The value of a long chain of calls is not a name; its depth does not matter.
            let mut parts = vec![attribute.attr.as_str()];
            let mut value = &*attribute.value;
            loop {
                match value {
                    Expr::Attribute(next) => {
                        parts.push(next.attr.as_str());
                        value = &next.value;
                    }
                    Expr::Name(name) => {
                        parts.push(name.id.as_str());
                        break;
                    }
                    _ => return None,
                }
            }
            parts.reverse();
            Some(parts.join("."))
        }
        _ => None,
    }
}
