"""What is published under torture: four units in three versions, and the right answers for each.

Every module says all that it holds through `values()`, so that one wrong byte anywhere shows in the answer.
"""

from __future__ import annotations

import json
import random
import shutil
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


def module(version: int, seed: str, data: list[str] = [], lazy: list[str] = [], more: str = "", extra: str = "") -> str:  # noqa: B006
    random_ = random.Random(f"{seed} {version}")
    text = "".join(random_.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(400))
    return MODULE.format(
        version=f"{version}.0",
        data=data,
        lazy=lazy,
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
        "magic-module.toml": '[tool]\nrequires = ["base"]\n[late]\nlazy = ["*.bin"]\n'
        + "".join(f'[{name}]\nversion = "{version}.0"\n' for name in ("alpha", "base"))
        + "",
    }
    toml = f'[alpha]\nversion = "{version}.0"\n[base]\nversion = "{version}.0"\n'
    toml += f'[tool]\nversion = "{version}.0"\nrequires = ["base"]\n[late]\nversion = "{version}.0"\nlazy = ["*.bin"]\n'
    files["magic-module.toml"] = toml
    return {path: content.encode() if isinstance(content, str) else content for path, content in files.items()}


class Site:
    """A published folder, whose manifest is at one version at a time."""

    def __init__(self, folder: Path, packs: bool = True) -> None:
        from magic_module import _native

        self.folder = folder / "site"
        self.manifests: dict[int, bytes] = {}
        for version in VERSIONS:
            source = folder / f"sources-{version}" / "acme"
            for path, content in sources(version).items():
                target = source / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            _native._publish(str(source), str(self.folder), "acme")
            text = (self.folder / "manifest.json").read_bytes()
            self.manifests[version] = text if packs else without_packs(text)
        self.url = (self.folder / "manifest.json").as_uri()

    def show(self, version: int) -> None:
        """Readers see the whole of one manifest or of the other."""
        aside = self.folder / "manifest.json.new"
        aside.write_bytes(self.manifests[version])
        aside.replace(self.folder / "manifest.json")


def without_packs(manifest: bytes) -> bytes:
    document = json.loads(manifest)
    for record in document["modules"].values():
        for each in (record, *record.get("versions", {}).values()):
            each.pop("packs", None)
    return json.dumps(document).encode()


def right_answers(folder: Path, child: Child) -> dict[str, dict[str, str]]:
    """For each version as it calls itself, the digest that each unit has to tell: from the plain sources."""
    answers = {}
    for version in VERSIONS:
        plain = folder / "plain" / str(version)
        for path, content in sources(version).items():
            target = plain / "acme" / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        (report,) = child.run(folder / "no-cache", "", "report", packages=plain).answers
        answers[f"{version}.0"] = {name: entry["digest"] for name, entry in report.items()}
    shutil.rmtree(folder / "plain")
    return answers
