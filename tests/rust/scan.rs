//! What is read out of scripts: imports with what stands around them, and what is not a script.

#![expect(clippy::unwrap_used, reason = "a test may")]

use magic_module::scan::{Facts, Import, Script, scan};

fn facts() -> Facts {
    Facts {
        version: (3, 12),
        platform: "linux".into(),
        os_name: "posix".into(),
        system: "Linux".into(),
    }
}

fn read(text: &str) -> Script {
    scan("a.py", text.as_bytes(), &facts()).unwrap()
}

/// `name`, with what is said of it: `?` it may fail, `~` not for here, `+` later.
fn shown(import: &Import) -> String {
    let mut text = import.module.clone();
    for name in &import.names {
        text.push(':');
        text.push_str(name);
    }
    for (holds, mark) in
        [(import.optional, '?'), (import.only.is_some(), '~'), (import.deferred, '+')]
    {
        if holds {
            text.push(mark);
        }
    }
    text
}

fn imports(text: &str) -> String {
    let script = read(text);
    script.imports.iter().map(shown).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_form_of_import_is_found() {
    for (text, found) in [
        ("import a, b.c as d\nfrom e.f import g, h as i\nfrom j import *", "a b.c e.f:g:h j:*"),
        ("from . import a\nfrom .b import c\nfrom ..d.e import f", ""),
        ("def f():\n  import a\n  class B:\n    import b\nclass C:\n  import c", "a+ b+ c"),
        (
            "if x: import a\nelif y: import b\nelse: import c\nwhile 1: import d\nfor e in f: import g",
            "a b c d g",
        ),
        ("with f() as g: import a\nmatch x:\n  case 1: import b", "a b"),
        ("'import a'\n# import b\nx = '''\nimport c\n'''", ""),
        ("lazy import a\nlazy from b import c\nlazy = 1", "a+ b:c+"),
        ("import a; import b\nif 1: pass; import c", "a b c"),
    ] {
        assert_eq!(imports(text), found, "{text}");
    }
}

#[test]
fn what_may_fail_is_optional() {
    for (text, found) in [
        ("try: import a\nexcept ImportError: import b", "a? b?"),
        (
            "try: import a\nexcept (ValueError, ModuleNotFoundError): a = None\nelse: import c",
            "a? c?",
        ),
        ("try: import a\nexcept: pass\nfinally: import b", "a? b"),
        ("try: import a\nexcept ValueError: pass", "a"),
        ("try: import a\nexcept ImportError as e: raise SystemExit('install a') from e", "a"),
        ("try: import a\nexcept ImportError:\n  print('no')\n  sys.exit(1)", "a"),
        (
            "from contextlib import suppress as s\nwith s(ImportError): import a",
            "contextlib:suppress a?",
        ),
        ("import contextlib\nwith contextlib.suppress(ValueError): import a", "contextlib a"),
        ("try:\n  def f():\n    import a\nexcept Exception: pass", "a?+"),
    ] {
        assert_eq!(imports(text), found, "{text}");
    }
}

#[test]
fn conditions_are_weighed_for_this_interpreter() {
    for (text, found) in [
        ("if TYPE_CHECKING: import a\nelse: import b", "a~ b"),
        ("if not typing.TYPE_CHECKING: import a\nelse: import b", "a b~"),
        (
            "if sys.platform == 'win32': import a\nelif sys.platform == 'linux': import b\nelse: import c",
            "a~ b c~",
        ),
        (
            "if sys.platform.startswith('win'): import a\nif sys.platform.startswith('linux'): import b",
            "a~ b",
        ),
        ("if os.name in ('nt', 'ce'): import a\nelse: import b", "a~ b"),
        ("if platform.system() != 'Windows': import a\nelse: import b", "a b~"),
        ("if sys.version_info >= (3, 11): import a\nelse: import b", "a b~"),
        ("if sys.version_info[:2] < (3, 12): import a", "a~"),
        ("if sys.version_info > (3,): import a\nelse: import b", "a b~"),
        (
            "if sys.version_info < (3, 12): import a\nif sys.version_info > (3, 12): import b",
            "a~ b",
        ),
        ("if sys.version_info[0] == 2: import a\nif sys.version_info.major >= 3: import b", "a~ b"),
        (
            "if sys.platform == 'darwin' and x: import a\nif sys.platform == 'darwin' or x: import b",
            "a~ b",
        ),
        ("if x and sys.platform == 'linux': import a\nelse: import b", "a b"),
        ("if DEBUG: import a\nelse: import b", "a b"),
    ] {
        assert_eq!(imports(text), found, "{text}");
    }
    let only = read("if TYPE_CHECKING:\n  pass\nelif sys.platform == 'win32':\n  import a\n");
    assert_eq!(only.imports[0].only.as_deref(), Some("sys.platform == 'win32'"));
}

#[test]
fn calls_that_import_are_found_by_whatever_name_they_have() {
    for (text, found) in [
        ("import importlib\nimportlib.import_module('a.b')", "importlib a.b"),
        ("import importlib as il\nx = f(il.import_module(name='a'))", "importlib a"),
        (
            "from importlib import import_module as load\nload('a')\nload('.b', __package__)",
            "importlib:import_module a",
        ),
        ("x = __import__('a')", "a"),
        (
            "import importlib.util\nif importlib.util.find_spec('a'):\n  import a.b\n  import c",
            "importlib.util a? a.b? c",
        ),
        ("import pytest\na = pytest.importorskip('a')", "pytest a?"),
        ("other.import_module('a')\nfind('b')", ""),
    ] {
        assert_eq!(imports(text), found, "{text}");
    }
    let unclear = read("import importlib\nimportlib.import_module(name)\n__import__(f'a{x}')");
    assert_eq!(unclear.unclear.iter().map(|place| place.line).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn behind_an_error_the_rest_is_read() {
    for (text, found, line) in [
        ("import a\nx = = 1\nimport b\n", "a b", 2),
        ("import a\nprint 'x'\nfrom b import c\n", "a b:c", 2),
        ("import a\ndef f(:\n  import b\nimport c\n", "a b+ c", 2),
        ("import a\n  import b\nimport c", "a b c", 2),
        ("import a\nx = 'open\nimport b", "a b", 2),
        ("try:\n  import a\nexcept ImportError, e:\n  import b\n", "a? b?", 3),
    ] {
        let script = read(text);
        assert_eq!(script.imports.iter().map(shown).collect::<Vec<_>>().join(" "), found, "{text}");
        assert_eq!(script.problems[0].place.unwrap().line, line, "{text}: {:?}", script.problems);
    }
}

#[test]
fn places_are_those_of_editors() {
    let script = read("import a\r\nif 1:\r  import b\n\u{fc} = 1; import c\n");
    let places = script.imports.iter().map(|it| (it.place.line, it.place.column));
    assert_eq!(places.collect::<Vec<_>>(), [(1, 8), (3, 10), (4, 15)]);
}

#[test]
fn what_is_nested_deep_neither_ends_the_process_nor_takes_its_memory() {
    let deep = |text: String| scan("a.py", text.as_bytes(), &facts()).unwrap();
    for (open, close) in
        [("(", ")"), ("[", "]"), ("-", ""), ("not ", ""), ("lambda: ", ""), ("f(", ")")]
    {
        for count in [5_000, 200_000] {
            let text = format!("import a\nx = {}1{}\n", open.repeat(count), close.repeat(count));
            let script = deep(text);
            let refused = script.problems.iter().any(|it| it.message.contains("nested too deep"));
            assert_eq!(refused, count > 20_000, "{open}");
            assert_eq!(script.imports.len(), usize::from(!refused), "{open}");
        }
    }
    let sums = format!("import a\nx = {}1\n", "1 + ".repeat(15_000));
    assert_eq!(deep(sums).imports.len(), 1);
    let blocks: String = (0..90).map(|level| format!("{}if x:\n", " ".repeat(level))).collect();
    assert_eq!(deep(format!("{blocks}{}import a\n", " ".repeat(90))).imports.len(), 1);
    let rows = format!("import a\nx = [{}]\n", "{'a': -1.5, 'b': [not c]},\n".repeat(40_000));
    assert_eq!(deep(rows).problems, []);
}

fn notebook(cells: &str, language: &str) -> Script {
    let about = format!(r#"{{"language_info": {{"name": "{language}"}}}}"#);
    let text = format!(r#"{{"cells": [{cells}], "metadata": {about}, "nbformat": 4}}"#);
    scan("a.ipynb", text.as_bytes(), &facts()).unwrap()
}

fn cell(text: &str) -> String {
    format!(r#"{{"cell_type": "code", "source": {}}}"#, serde_json::Value::from(text))
}

#[test]
fn of_a_notebook_the_cells_of_python_are_read() {
    let cells = [
        cell(
            "%matplotlib inline\n!ls -l\nimport a\nx = !pip list\n%load_ext autoreload\n%load_ext sql",
        ),
        r##"{"cell_type": "markdown", "source": ["# Title\n", "import b"]}"##.to_owned(),
        cell("%%bash\nimport c"),
        cell("\n%%time\nimport d"),
        cell("%%R -i x\nlibrary(e)"),
        r#"{"cell_type": "code", "source": ["import f\n", "f?"]}"#.to_owned(),
        cell(
            "!pip install -q 'g>=1' h==2 -r r.txt && echo i\n%pip install --upgrade j\n!{sys.executable} -m pip install k",
        ),
        cell("%conda install -c conda-forge l"),
    ];
    let script = notebook(&cells.join(","), "python");
    assert_eq!(script.problems, []);
    let found = script.imports.iter().map(|it| (it.module.as_str(), it.place.cell, it.place.line));
    let expected = [("a", Some(1), 3), ("sql", Some(1), 6), ("d", Some(4), 3), ("f", Some(6), 1)];
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let installs: Vec<&str> = script.installs.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(installs, ["g>=1", "h==2", "j", "k", "l"]);
}

#[test]
fn notebooks_without_cells_or_of_another_language_say_so() {
    assert_eq!(notebook("", "python"), Script::default());
    let script = notebook(&cell("library(a)"), "R");
    assert_eq!(script.imports, []);
    assert_eq!(script.problems[0].message, "its language is R, whose packages are not known here");
    for wrong in ["[]", "{\"cells\": 1}", "import a"] {
        let error = scan("a.ipynb", wrong.as_bytes(), &facts()).unwrap_err();
        assert!(error.to_string().contains("a.ipynb as a script: it is not a notebook"), "{error}");
    }
    let old = r#"{"worksheets": [{"cells": [{"cell_type": "code", "input": "import a"}]}]}"#;
    assert_eq!(scan("a.ipynb", old.as_bytes(), &facts()).unwrap().imports.len(), 1);
}

#[test]
fn metadata_is_read_and_written() {
    let text = "#!/usr/bin/env python\n# /// script\n# requires-python = \">=3.11\"\n# dependencies = [\n#   \"a<2\", # why\n#   'b',\n# ]\n# ///\nimport a\n";
    let metadata = read(text).metadata.unwrap();
    assert_eq!(metadata.dependencies, ["a<2", "b"]);
    assert_eq!(metadata.requires_python.as_deref(), Some(">=3.11"));
    let again = read(&metadata.written()).metadata.unwrap();
    assert_eq!(again, metadata);
    for (wrong, sentence) in [
        ("# /// script\n# dependencies = [\n# ///\n", "its metadata is wrong"),
        ("# /// script\n# dependencies = 1\n# ///\n", "its metadata is wrong"),
        ("# /// script\n# dependencies = []\n", "has no end"),
        ("# /// script\n# ///\n\n# /// script\n# ///\n", "a second block"),
    ] {
        let script = read(wrong);
        assert!(script.problems[0].message.contains(sentence), "{:?}", script.problems);
        assert!(script.problems[0].place.is_some());
    }
}
