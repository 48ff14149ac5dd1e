//! Notebooks: the cells that are Python, and what the others and the magic lines say of packages.

use ruff_python_parser::Mode;
use serde::Deserialize;

use super::guards::Facts;
use super::{Problem, Script, metadata, refused, source};
use crate::error::Result;

#[derive(Deserialize)]
struct Notebook {
    #[serde(default)]
    cells: Vec<Cell>,
    /// Where version 3 of the format has the cells.
    #[serde(default)]
    worksheets: Vec<Worksheet>,
    #[serde(default)]
    metadata: About,
}

#[derive(Deserialize)]
struct Worksheet {
    #[serde(default)]
    cells: Vec<Cell>,
}

#[derive(Deserialize)]
struct Cell {
    #[serde(default)]
    cell_type: String,
    #[serde(default, alias = "input")]
    source: Source,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Source {
    Text(String),
    Lines(Vec<String>),
}

impl Default for Source {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

#[derive(Deserialize, Default)]
struct About {
    #[serde(default)]
    language_info: Named,
    #[serde(default)]
    kernelspec: Kernel,
}

#[derive(Deserialize, Default)]
struct Named {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize, Default)]
struct Kernel {
    #[serde(default)]
    language: String,
}

/// Cell magics whose cells are Python all the same.
const PYTHON_CELLS: [&str; 9] =
    ["capture", "prun", "py", "python", "python3", "pypy", "time", "timeit", "debug"];

/// Extensions that IPython has itself.
const OWN_EXTENSIONS: [&str; 3] = ["autoreload", "storemagic", "cythonmagic"];

/// Reads the cells of a notebook; those of other languages, and of the shell, import nothing.
pub fn scan(name: &str, bytes: &[u8], facts: &Facts) -> Result<Script> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let no_notebook =
        || refused(name, "it is not a notebook").hint("open it in Jupyter and save it again");
    // Of a list, serde would take the first element for the first field.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(no_notebook());
    }
    let notebook: Notebook =
        serde_json::from_slice(bytes).map_err(|error| no_notebook().caused_by(&error))?;
    let mut script = Script::default();
    let about = notebook.metadata;
    let language = [about.language_info.name, about.kernelspec.language]
        .into_iter()
        .find(|name| !name.is_empty())
        .unwrap_or_else(|| "python".to_owned());
    if !matches!(language.to_ascii_lowercase().as_str(), "python" | "ipython" | "python3" | "sage")
    {
        let message = format!("its language is {language}, whose packages are not known here");
        script.problems.push(Problem { place: None, message });
        return Ok(script);
    }
    let sheets = notebook.worksheets.into_iter().flat_map(|sheet| sheet.cells);
    for (number, cell) in notebook.cells.into_iter().chain(sheets).enumerate() {
        if cell.cell_type != "code" {
            continue;
        }
        let text = match cell.source {
            Source::Text(text) => text,
            Source::Lines(lines) => lines.concat(),
        };
        let cell = number + 1;
        if script.metadata.is_none() {
            match metadata::read(&text) {
                Ok(found) => script.metadata = found,
                Err(mut problem) => {
                    if let Some(place) = &mut problem.place {
                        place.cell = Some(cell);
                    }
                    script.problems.push(problem);
                }
            }
        }
        if let Some(text) = python_of(&text) {
            source(&text, Mode::Ipython, Some(cell), facts, &mut script);
        }
    }
    Ok(script)
}

/// What of a cell is Python: a magic word at its head may say that it is something else.
fn python_of(text: &str) -> Option<std::borrow::Cow<'_, str>> {
    let Some(rest) = text.trim_start().strip_prefix("%%") else { return Some(text.into()) };
    let word = rest.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    if !PYTHON_CELLS.contains(&word) {
        return None;
    }
    // The line stays, empty, so that the others keep their numbers.
    let head = text.len() - text.trim_start().len();
    let end = text[head..].find('\n').map_or(text.len(), |at| head + at);
    Some(format!("{}{}", &text[..head], &text[end..]).into())
}

/// The module that `load_ext name` loads, unless IPython has it.
pub fn loaded_extension(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    let extension = (words.next()? == "load_ext").then(|| words.next())??;
    (!OWN_EXTENSIONS.contains(&extension)).then_some(extension)
}

/// The requirements that a line of the shell, or a magic one, installs.
pub fn installed(line: &str) -> Vec<String> {
    let mut words = line.split_whitespace().skip_while(|word| {
        !matches!(
            word.rsplit(['/', '{']).next().unwrap_or_default(),
            "pip" | "pip3" | "conda" | "mamba" | "micromamba"
        )
    });
    let (Some(_), Some("install")) = (words.next(), words.next()) else { return Vec::new() };
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "&&" | ";" | "|" | "||" | ">" | "2>" => break,
            "-r" | "--requirement" | "-c" | "--constraint" | "-i" | "--index-url"
            | "--extra-index-url" | "-f" | "--find-links" | "-t" | "--target" | "--channel" => {
                words.next();
            }
            option if option.starts_with('-') => {}
            requirement => {
                let bare = requirement.trim_matches(['"', '\'']);
                let begins = bare.starts_with(|letter: char| letter.is_ascii_alphanumeric());
                if begins && !bare.contains("://") && !bare.contains('{') {
                    found.push(bare.to_owned());
                }
            }
        }
    }
    found
}
