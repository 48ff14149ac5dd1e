"""Stubs of units in a folder where type checkers look for them.

```text
typings/acme-stubs/py.typed       "partial": what is not here, checkers look for in `acme` itself
                   heavy.pyi      begins with a line that says which unit it is of
```
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from magic_module import _native
from magic_module._py.stubs.outline import UNKNOWN, outline

TYPE_CHECKING = False  # as type checkers know it; importing `typing` is a tenth of what a command takes
if TYPE_CHECKING:
    from collections.abc import Iterable

_OURS = "# Made by `magic-module stubs` from "
_ANYTHING = f"import _typeshed\ndef __getattr__(name: str) -> {UNKNOWN}: ...\n"


class Written:
    """The stubs of one unit: how many, and which files others wrote in their places."""

    def __init__(self, name: str, version: str) -> None:
        self.name = name
        self.version = version
        self.files = 0
        self.kept: list[str] = []


def write(names: Iterable[str], output: Path) -> list[Written]:
    """Writes the stubs of units into a folder, in the place of those that were made of them before."""
    written = []
    for namespace, name, version, folder, texts, opaque in _native._sources(list(names)):
        stubs = {_place(namespace, path): _stub(folder / path) for path in texts}
        stubs |= {_place(namespace, path): _ANYTHING for path in opaque}
        written.append(_put(output, Written(name, version), stubs))
        package = namespace.partition(".")[0]
        if package and stubs:
            _put(output, Written(package, "as installed"), _own(package))
    return written


def _put(output: Path, unit: Written, stubs: dict[Path, str]) -> Written:
    for top in sorted({output / place.parts[0] for place in stubs}):
        _drop(top, unit.name)
    for place, text in sorted(stubs.items()):
        path = output / place
        if path.exists():
            unit.kept.append(str(path))
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{_OURS}{unit.name} {unit.version}\n{text}", "utf-8", newline="\n")
        (output / place.parts[0] / "py.typed").write_text("partial\n", "utf-8")
        unit.files += 1
    return unit


def _own(package: str) -> dict[Path, str]:
    """The stubs that the namespace's installed package ships: beside others, Pyright does not see them there."""
    spec = importlib.util.find_spec(package)
    stubs = {}
    for folder in map(Path, (spec and spec.submodule_search_locations) or ()):
        for path in folder.rglob("*.pyi"):
            stubs[_place(package, path.relative_to(folder).as_posix())] = path.read_text("utf-8")
    return stubs


def _place(namespace: str, path: str) -> Path:
    """Where the stub of a file belongs, below a folder of stub packages."""
    parts = [*filter(None, namespace.split(".")), *path.split("/")]
    parts[-1] = parts[-1].rpartition(".")[0] + ".pyi"
    if len(parts) == 1:
        parts = [parts[0].removesuffix(".pyi"), "__init__.pyi"]
    if not parts[0].endswith("-stubs"):
        parts[0] += "-stubs"
    return Path(*parts)


def _stub(path: Path) -> str:
    source = path.read_bytes()
    try:
        return source.decode() if path.suffix == ".pyi" else outline(source)
    except (SyntaxError, ValueError, RecursionError):
        return _ANYTHING


def _drop(top: Path, name: str) -> None:
    """Removes the stubs that were made of a unit before, in whatever version."""
    for path in top.rglob("*.pyi"):
        with path.open("rb") as file:
            first = file.readline().decode("utf-8", "replace")
        if first.startswith(f"{_OURS}{name} "):
            path.unlink()
