"""What is published under torture: four units in three versions, and the right answers for each.

Every module says all that it holds through `values()`, so that one wrong byte anywhere shows in the answer.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from child import Child

VERSIONS = (1, 2, 3)

MODULE = """
VERSION = {version!r}
DATA = {data!r}
LAZY = {lazy!r}
TEXT = {text!r}
{more}

def total(numbers):
    result = {number}
    for value in numbers:
        result += value * {number}
    return result


class Holder:
    \"\"\"{text}\"\"\"

    field = {number}


def values():
    return [
        VERSION, DATA, LAZY, TEXT, total(range(9)), Holder.__doc__, Holder.field, total.__code__.co_consts,
        total.__code__.co_names, __name__.rpartition(".")[2], {extra}
    ]
"""


def module(
    version: int,
    seed: str,
    data: Sequence[str] = (),
    lazy: Sequence[str] = (),
    more: str = "",
    extra: str = "",
    letters: int = 400,
) -> str:
    random_ = random.Random(f"{seed} {version}")
    text = "".join(random_.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(letters))
    return MODULE.format(
        version=f"{version}.0",
        data=list(data),
        lazy=list(lazy),
        text=text,
        number=random_.randrange(2, 999),
        more=more,
        extra=extra,
    ).lstrip()


def sources(version: int) -> dict[str, bytes]:
    noise = random.Random(version)
    files: dict[str, str | bytes] = {
        "alpha.py": module(version, "alpha", ["alpha.csv"]),
        "alpha.csv": "".join(f"{version},{noise.random()}\n" for _ in range(50)),
        "base.py": module(version, "base"),
        "tool/__init__.py": module(
            version,
            "tool",
            ["data.bin", "same.bin", "empty.txt"],
            more="from acme.base import VERSION as BASE\nfrom . import part\nfrom .inner import leaf",
            extra="BASE, part.TEXT, leaf.TEXT",
        ),
        "tool/part.py": module(version, "part"),
        "tool/inner/__init__.py": module(1, "inner"),
        "tool/inner/leaf.py": module(version, "leaf"),
        # Large enough to share its blocks with the blob, and one that no version changes.
        "tool/data.bin": noise.randbytes(100_000),
        "tool/same.bin": random.Random("same").randbytes(80_000),
        "tool/empty.txt": b"",
        "late/__init__.py": module(version, "late", lazy=["big.bin"]),
        "late/big.bin": noise.randbytes(9_000),
    }
    toml = f'[alpha]\nversion = "{version}.0"\n[base]\nversion = "{version}.0"\n'
    toml += f'[tool]\nversion = "{version}.0"\nrequires = ["base"]\n[late]\nversion = "{version}.0"\nlazy = ["*.bin"]\n'
    files["magic-module.toml"] = toml
    return {path: content.encode() if isinstance(content, str) else content for path, content in files.items()}


@dataclass(frozen=True)
class Content:
    """What an author publishes."""

    sources: Callable[[int], dict[str, bytes]]
    units: tuple[str, ...]
    """Those that a report is about."""
    compiled: tuple[str, ...] | None = None
    """With a key: the manifest is signed, and units of these names are published with their code."""

    def settings(self, key: str | None = None) -> dict[str, str]:
        """What `inside.py` has to know of it."""
        return {"TORTURE_UNITS": " ".join(self.units)} | ({"TORTURE_KEY": key} if key else {})


FOUR = Content(sources, ("alpha", "base", "tool", "late"))


class Site:
    """A published folder, whose manifest is at one version at a time."""

    def __init__(
        self, folder: Path, packs: bool = True, versions: Sequence[int] = VERSIONS, content: Content = FOUR
    ) -> None:
        from magic_module import _native

        self.folder = folder / "site"
        self.folder.mkdir(parents=True)
        self.manifests: dict[int, bytes] = {}
        self.key: str | None = None
        keys: list[tuple[str, None]] = []
        if content.compiled is not None:
            pair = _native._keygen(str(folder / "author"))
            self.key, keys = pair["public_key"], [(pair["secret"], None)]
        for version in versions:
            source = folder / f"sources-{version}" / "acme"
            write(source, content.sources(version))
            compiler = partial(code_of, content.compiled) if content.compiled is not None else None
            _native._publish(str(source), str(self.folder), "acme", None, keys, compile=compiler)
            text = (self.folder / "manifest.json").read_bytes()
            self.manifests[version] = text if packs else without_packs(text)
        self.url = (self.folder / "manifest.json").as_uri()

    def show(self, version: int) -> None:
        """Readers see the whole of one manifest or of the other."""
        aside = self.folder / "manifest.json.new"
        aside.write_bytes(self.manifests[version])
        aside.replace(self.folder / "manifest.json")


def write(folder: Path, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def code_of(units: tuple[str, ...], path: str, source: bytes) -> bytes | None:
    """As `publish --compile`, but some units are as if another interpreter had published them."""
    from magic_module._py.compiling import compiled

    return compiled(path, source) if path.partition("/")[0].removesuffix(".py") in units else None


def without_packs(manifest: bytes) -> bytes:
    document = json.loads(manifest)
    for record in document["modules"].values():
        for each in (record, *record.get("versions", {}).values()):
            each.pop("packs", None)
    return json.dumps(document).encode()


def right_answers(
    folder: Path, child: Child, versions: Sequence[int] = VERSIONS, content: Content = FOUR
) -> dict[str, dict[str, str]]:
    """For each version as it calls itself, the digest that each unit has to tell: from the plain sources."""
    answers = {}
    for version in versions:
        plain = folder / "plain" / str(version)
        write(plain / "acme", content.sources(version))
        said = child.run(folder / "no-cache", "", "report", packages=plain, **content.settings())
        (report,) = said.answers
        answers[f"{version}.0"] = {name: entry["digest"] for name, entry in report.items()}
    shutil.rmtree(folder / "plain")
    return answers
