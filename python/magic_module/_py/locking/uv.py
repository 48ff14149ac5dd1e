"""Resolving with `uv pip compile`.

```text
names ─ stdin ─┐
files, project ├─▶ uv pip compile --format pylock.toml ─▶ the file aside, which began as a copy of the old lock
script ────────┘
                   uv pip compile --format requirements.txt --emit-index-annotation, held to the same versions
                   ─▶ which index each package came from: uv does not write that into the lock, so we do
```
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from magic_module import _native
from magic_module._py.locking import running, script
from magic_module._py.locking.changes import Lock, normal
from magic_module._py.locking.request import Request

OLDEST = (0, 6, 15)
"""The first that writes a `pylock.toml`."""

_VERSION = re.compile(r"\d+(?:\.\d+)*")
_OWN_INDEX = re.compile(r"^index = .*\n", re.MULTILINE)
_ENTRY = re.compile(r'^(name = "([^"\n]+)"\nversion = "([^"\n]+)"\n(?:marker = .*\n)?)', re.MULTILINE)
_PINNED = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+)")
_FROM = re.compile(r"\s+# from (\S+://\S+)$")


class Uv:
    """A `uv` that can be run."""

    def __init__(self, program: str, version: str) -> None:
        self.program = program
        self.name = f"uv {version}"

    def resolve(self, request: Request, aside: Path, old: Lock | None) -> tuple[str, list[str]]:
        """The text of a new lock, and what uv warns of.

        Args:
            request: what to lock.
            aside: a file beside the lock, which uv may write: paths in a lock are relative to its folder.
            old: the lock as it is, whose versions are preferred unless the request is to upgrade.
        """
        with tempfile.TemporaryDirectory(prefix="magic-module-") as folder:
            sources, more = _sources(request, Path(folder))
            options = [*sources, *_options(request), *more]
            keep: list[str] = []
            if old is not None and request.keeps():
                # With the index that uv does not write, it would not take the version for one of that index.
                aside.write_text(_OWN_INDEX.sub("", old.text), "utf-8")
                keep = [word for name in request.upgrade or () for word in ("--upgrade-package", name)]
            elif request.upgrade is not None:
                keep = ["--upgrade"]
            form = ["--format", "pylock.toml", "--output-file", str(aside)]
            header = ["--custom-compile-command", request.command()]
            _, said = self._compile(request, [*options, *form, *header, *keep])
            text = aside.read_text("utf-8")
            warnings = [line for line in said if line.startswith("warning:")]
            if not request.says_indexes:
                return text, warnings
            new = Lock(text, request.output)
            pins = Path(folder, "pins.txt")
            pins.write_text("".join(f"{pin}\n" for _, pin in new.pins()), "utf-8")
            form = ["--format", "requirements.txt", "--emit-index-annotation", "--no-header", "--no-annotate"]
            printed, _ = self._compile(request, [*options, *form, "--constraints", str(pins)])
        return _with_indexes(text, _indexes(printed)), warnings

    def _compile(self, request: Request, options: Sequence[str]) -> tuple[str, list[str]]:
        line = [self.program, "pip", "compile", "--no-progress", "--color", "never", *options]
        variables = dict(_index_variables(request))
        names = request.names
        if request.inputs is not None:
            names += request.inputs.nameless()
            variables |= request.inputs.git_logins()
        given = "".join(f"{name}\n" for name in names)
        return running.run(line, what="uv", given=given, changes=variables, hide=request.hide)


def find() -> Uv | str:
    """The uv of `UV` or of PATH; or why it cannot be used."""
    import shutil

    program = os.environ.get("UV") or shutil.which("uv")
    if not program:
        return "uv is not on PATH"
    said = running.ask([program, "--version"])
    found = _VERSION.search(said or "")
    if found is None:
        return f"{program} does not run"
    if tuple(int(part) for part in found.group().split(".")) < OLDEST:
        return f"uv {found.group()} is older than {'.'.join(map(str, OLDEST))}"
    return Uv(program, found.group())


def _sources(request: Request, folder: Path) -> tuple[list[str], list[str]]:
    """What uv is to read, and further options for it."""
    names = request.names or (request.inputs is not None and request.inputs.nameless())
    sources = [*(["-"] if names else []), *request.files]
    if request.inputs is not None:
        project = folder / "pyproject.toml"
        project.write_text(request.inputs.project(), "utf-8")
        return [*sources, str(project)], ["--project", str(folder)]
    if request.script is not None:
        project = folder / "pyproject.toml"
        project.write_text(script.as_project(request.script, str(folder)), "utf-8")
        return [*sources, str(project)], ["--project", str(folder)]
    if request.project is None:
        return sources, [word for group in request.groups for word in ("--group", group)]
    more = ["--project", os.path.dirname(request.project) or "."]
    if _has_project_table(request.project):
        sources.append(request.project)
    return sources, [*more, *(word for group in request.groups for word in ("--group", f"{request.project}:{group}"))]


def _has_project_table(path: str) -> bool:
    """Without one there are only dependency groups, and nothing for uv to read by itself."""
    return re.search(r"^\s*\[\s*project\s*\]", Path(path).read_text("utf-8", "replace"), re.MULTILINE) is not None


def _options(request: Request) -> Iterator[str]:
    yield from ("--index-strategy", "first-index")
    if _native._settings()["offline"]:
        yield "--offline"
    for file in request.constraints:
        yield from ("--constraints", file)
    for extra in request.extras:
        yield from ("--extra", extra)
    if request.exclude_newer is not None:
        yield from ("--exclude-newer", request.exclude_newer)
    if request.python is not None and not _VERSION.fullmatch(request.python):
        yield from ("--python", request.python)
        return
    if sys.executable:
        yield from ("--python", sys.executable)
    if request.python is not None:
        yield from ("--python-version", request.python)


def _index_variables(request: Request) -> Mapping[str, str | None]:
    """In the environment, where other users of the machine do not see the credentials."""
    variables: dict[str, str | None] = {}
    if request.index_url is not None:
        variables |= {"UV_DEFAULT_INDEX": request.index_url, "UV_INDEX_URL": None}
    if request.extra_index_urls:
        variables |= {"UV_INDEX": " ".join(request.extra_index_urls), "UV_EXTRA_INDEX_URL": None}
    return variables


def _indexes(printed: str) -> dict[tuple[str, str], str]:
    """By normal name and version: `name==version` is followed by `    # from https://…`."""
    found = {}
    current = None
    for line in printed.splitlines():
        if match := _PINNED.match(line):
            current = (normal(match.group(1)), match.group(2))
        elif current is not None and (source := _FROM.match(line)):
            found[current] = source.group(1)
    return found


def _with_indexes(text: str, indexes: Mapping[tuple[str, str], str]) -> str:
    """The lock with the index of each package, as PEP 751 has it."""

    def entry(found: re.Match[str]) -> str:
        index = indexes.get((normal(found.group(2)), found.group(3)))
        quotable = index is not None and not set(index) & set('"\\')
        return found.group(1) + (f'index = "{index}"\n' if quotable else "")

    return text if _OWN_INDEX.search(text) else _ENTRY.sub(entry, text)
