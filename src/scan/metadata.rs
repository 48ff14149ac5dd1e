//! A script's own metadata (PEP 723): what it says that it needs, and how that is written.
//!
//! ```text
//! # /// script
//! # requires-python = ">=3.10"
//! # dependencies = ["requests<3"]
//! # ///
//! ```

use serde::Deserialize;

use super::Problem;
use super::place::{Lines, Place};

/// What the block says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Requirements, as they are written.
    pub dependencies: Vec<String>,
    /// Which versions of Python it is for.
    pub requires_python: Option<String>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(rename = "requires-python")]
    requires_python: Option<String>,
}

/// The block of a script; a script need not have one.
pub fn read(text: &str) -> Result<Option<Metadata>, Problem> {
    // Nearly no script has one.
    if !text.contains("# /// script") {
        return Ok(None);
    }
    let problem = |line: usize, message: &str| Problem {
        place: Some(Place { cell: None, line: line + 1, column: 1 }),
        message: message.to_owned(),
    };
    let lines: Vec<&str> = text.lines().collect();
    let mut heads = lines.iter().enumerate().filter(|(_, line)| line.trim_end() == "# /// script");
    let Some((head, _)) = heads.next() else { return Ok(None) };
    if let Some((second, _)) = heads.next() {
        return Err(problem(
            second,
            "there is a second block of metadata, but only one is allowed",
        ));
    }
    let inside: Vec<&str> = lines[head + 1..]
        .iter()
        .take_while(|line| **line == "#" || line.starts_with("# "))
        .copied()
        .collect();
    let Some(end) = inside.iter().rposition(|line| line.trim_end() == "# ///") else {
        return Err(problem(head, "the block of metadata has no end: the line `# ///`"));
    };
    let content: Vec<&str> =
        inside[..end].iter().map(|line| line.get(2..).unwrap_or_default()).collect();
    let content = content.join("\n");
    match toml::from_str::<Block>(&content) {
        Ok(block) => Ok(Some(Metadata {
            dependencies: block.dependencies,
            requires_python: block.requires_python,
        })),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let line = head + Lines::new(&content, None).place(at).line;
            Err(problem(line, &format!("its metadata is wrong: {}", error.message())))
        }
    }
}

impl Metadata {
    /// The block as it is written into a script.
    pub fn written(&self) -> String {
        let quoted = |text: &str| serde_json::Value::from(text).to_string(); // also TOML
        let mut lines = vec!["# /// script".to_owned()];
        if let Some(python) = &self.requires_python {
            lines.push(format!("# requires-python = {}", quoted(python)));
        }
        lines.push("# dependencies = [".to_owned());
        let each = self.dependencies.iter().map(|one| format!("#   {},", quoted(one)));
        lines.extend(each);
        lines.extend(["# ]".to_owned(), "# ///".to_owned()]);
        lines.join("\n")
    }
}
