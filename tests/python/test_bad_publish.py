"""Folders that cannot be published: refused with one sentence, and the site stays as it was."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit import sentences
from kit.interpreter import Interpreter, command_line

pytestmark = pytest.mark.once

Spoil = Callable[[Path], object]


def text(name: str, content: str = "X = 1\n") -> Spoil:
    """A file of this name."""

    def spoil(source: Path) -> None:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(content, "utf-8")

    return spoil


def both(*spoils: Spoil) -> Spoil:
    """One after the other."""
    return lambda source: [spoil(source) for spoil in spoils]


SPOILT: dict[str, Spoil] = {
    "keyword": text("class.py"),
    "keyword-folder": text("import/__init__.py"),
    "not-an-identifier": text("not-a-name.py"),
    "digit-first": text("1a.py"),
    "name-of-the-api": text("mount.py"),
    "name-of-the-api-folder": text("errors/__init__.py"),
    "underscore": text("_hidden.py"),
    "only-in-case": both(text("alpha.py"), text("Alpha.py")),
    "reserved-on-windows": text("con.py"),
    "reserved-on-windows-inside": both(text("alpha/__init__.py"), text("alpha/aux.txt")),
    "module-and-package": both(text("alpha.py"), text("alpha/__init__.py")),
    "stray-file": text("notes.txt"),
    "backslash": both(text("alpha/__init__.py"), text("alpha/a\\b.txt")),
    "colon": both(text("alpha/__init__.py"), text("alpha/a:b.txt")),
    "case-inside": both(text("alpha/__init__.py"), text("alpha/Data.txt"), text("alpha/data.txt")),
    "bad-toml": text("magic-module.toml", "[alpha\n"),
    "unknown-unit-in-toml": text("magic-module.toml", "[ghost]\nversion = '1'\n"),
    "bad-version-in-toml": text("magic-module.toml", "[alpha]\nversion = '1 / 2'\n"),
    "requires-absent": text("magic-module.toml", "[alpha]\nrequires = ['ghost']\n"),
    "link-out": lambda source: (source / "leak.py").symlink_to("/etc/passwd"),
    "link-to-nothing": lambda source: (source / "leak.py").symlink_to("/nonexistent/leak.py"),
    "link-loop": lambda source: (source / "loop").symlink_to(source),
    "pipe": lambda source: os.mkfifo(source / "pipe.py"),
    "bad-name-bytes": lambda source: (source / os.fsdecode(b"al\xffpha.py")).write_text("X = 1\n"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="names that other file systems refuse themselves")
@pytest.mark.parametrize("case", SPOILT)
def test_refused(tmp_path: Path, case: str) -> None:
    source, site, cache = tmp_path / "source", tmp_path / "site", tmp_path / "cache"
    source.mkdir()
    (source / "good.py").write_text("VALUE = 1\n")
    assert command_line("publish", str(source), str(site), cache=cache).status == 0
    before = {path: path.read_bytes() for path in site.rglob("*") if path.is_file()}
    (source / "good.py").write_text("VALUE = 2\n")
    if "toml" in case or "requires" in case:
        (source / "alpha.py").write_text("X = 1\n")
    SPOILT[case](source)
    ended = command_line("publish", str(source), str(site), cache=cache)
    assert ended.status == 1, ended
    assert "Traceback" not in ended.stderr
    lines = ended.stderr.splitlines()
    assert len(lines) == 1
    sentences.check("publish", case, lines[0], source=source, site=site)
    for path, data in before.items():
        assert path.read_bytes() == data, "what was published is served as before"
    with Interpreter(cache, (site / "manifest.json").as_uri()) as python:
        assert python.do("import magic_module.good as good; result = good.VALUE") == 1


@pytest.mark.parametrize(
    "case", ["no-source", "source-is-a-file", "site-is-a-file", "site-in-source", "foreign-manifest"]
)
def test_wrong_folders(tmp_path: Path, case: str) -> None:
    source, site, cache = tmp_path / "source", tmp_path / "site", tmp_path / "cache"
    if case == "source-is-a-file":
        source.write_text("X = 1\n")
    elif case != "no-source":
        source.mkdir()
        (source / "good.py").write_text("VALUE = 1\n")
    if case == "site-is-a-file":
        site.write_text("precious")
    elif case == "site-in-source":
        site = source / "site"
    elif case == "foreign-manifest":
        site.mkdir()
        (site / "manifest.json").write_text('{"name": "a web app"}')
    ended = command_line("publish", str(source), str(site), cache=cache)
    assert ended.status == 1, ended
    assert "Traceback" not in ended.stderr
    lines = ended.stderr.splitlines()
    assert len(lines) == 1
    sentences.check("publish", case, lines[0], source=source, site=site)
    if case == "site-is-a-file":
        assert site.read_text() == "precious"
    if case == "foreign-manifest":
        assert (site / "manifest.json").read_text() == '{"name": "a web app"}'


@pytest.mark.parametrize(
    ("arguments", "status"),
    [([], 2), (["publish"], 2), (["fetch"], 2), (["nonsense"], 2), (["publish", "a", "b", "c", "d"], 2),
     (["info", "not a name"], 1)],
)  # fmt: skip
def test_wrong_usage(tmp_path: Path, arguments: list[str], status: int) -> None:
    ended = command_line(*arguments, cache=tmp_path / "cache")
    assert ended.status == status
    assert "Traceback" not in ended.stderr
    assert ended.stderr.strip()
