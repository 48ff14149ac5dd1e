"""Which distribution an import name is of: makes the generated table, and holds both tables against real wheels.

    python tools/names.py generate    src/known/generated.tsv.zlib, from the package pyimport2pkg
    python tools/names.py check       every entry of src/known/reviewed.toml and of the hard names

Wheels show it: those of the environments and folders that are named by --wheels, else what pyimport2pkg read out of
the wheels of the 15,000 most downloaded distributions. No index is asked.
Needs pyimport2pkg (`pip install --no-deps pyimport2pkg==1.0.0`); `src/known/generated.md` tells of it.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import re
import sqlite3
import sys
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KNOWN = ROOT / "src" / "known"
HARD = ROOT / "tests" / "fixtures" / "hard_names.toml"
VERSION = "1.0.0"
POPULAR = 2500

MISTAKES = set(
    """
_version assets benchmark benchmarks bin build build_tools config conftest contrib data demo demos deploy dist doc docs
etc example examples images include integration integration_tests lib lib64 libs licenses misc node_modules notebooks
package_readme perf resources sample samples script scripts setup share site_packages src static templates test
test_utils testing tests third_party tool tools tutorials unit_tests util utils vendor wheelhouse
""".split()  # noqa: SIM905
)
"""Folders beside the packages of a project that wheels contain because nobody left them out."""


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def database() -> sqlite3.Connection:
    """The table that pyimport2pkg carries."""
    distribution = importlib.metadata.distribution("pyimport2pkg")
    if distribution.version != VERSION:
        sys.exit(f"pyimport2pkg {distribution.version} is installed, and {VERSION} is what the table is made from")
    path = distribution.locate_file("pyimport2pkg/data/mapping.db")
    return sqlite3.connect(f"file:{path}?mode=ro", uri=True)


def generate() -> None:
    tables = database()
    downloads = {
        normalized(name): count for name, count in tables.execute("SELECT package_name, download_count FROM packages")
    }
    owners: dict[str, set[str]] = defaultdict(set)
    listed = set()
    for module, distribution in tables.execute("SELECT module_name, package_name FROM mappings"):
        listed.add(normalized(distribution))
        if module.isidentifier() and module not in MISTAKES and module not in sys.stdlib_module_names:
            owners[module].add(normalized(distribution))
    popular = set(sorted(owners, key=lambda name: -max(downloads[owner] for owner in owners[name]))[:POPULAR])
    lines = []
    for name in sorted(owners):
        ranked = rank(name, owners[name], downloads)
        same = ranked == [name.replace("_", "-").lower()]
        lines.append(name + "*" * (name in popular) + ("" if same else "\t" + " ".join(ranked)))
    # By their code points, as Rust compares them.
    text = "\n".join(lines) + "\n\n" + "\n".join(sorted(set(downloads) - listed)) + "\n"
    packed = zlib.compress(text.encode(), 9)
    (KNOWN / "generated.tsv.zlib").write_bytes(packed)
    print(f"{len(lines)} names of {len(downloads)} distributions, {len(text) >> 10} KB, packed {len(packed) >> 10} KB")


def rank(name: str, owners: Iterable[str], downloads: dict[str, int]) -> list[str]:
    """The likeliest first: what is downloaded most, or is called like it and not much rarer."""
    ranked = sorted(owners, key=lambda owner: (-downloads[owner], owner))
    own = name.replace("_", "-").lower()
    if own in ranked and downloads[own] * 10 >= downloads[ranked[0]]:
        ranked.remove(own)
        ranked.insert(0, own)
    return ranked


def check(folders: list[Path]) -> int:
    """What nothing shows, one line each."""
    tomllib: Any = importlib.import_module("tomllib")  # from Python 3.11 on
    shown = evidence(folders)
    reviewed = tomllib.loads((KNOWN / "reviewed.toml").read_text("utf-8"))
    wanted = [(name, entry.get("distribution", ""), entry["seen"]) for name, entry in reviewed.items()]
    for name, right in tomllib.loads(HARD.read_text("utf-8")).items():
        wanted += [(name, each, "hard names") for each in ([right] if isinstance(right, str) else right)]
    open_questions = 0
    for name, distribution, seen in wanted:
        if not distribution or distribution.endswith("*"):
            continue
        if not any(part in shown[normalized(distribution)] for part in prefixes(name)):
            open_questions += 1
            print(f"{name}: nothing here shows that {distribution} has it ({seen})")
    print(f"{len(wanted)} entries, {open_questions} that nothing here shows")
    return 0


def prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)]


def evidence(folders: list[Path]) -> dict[str, set[str]]:
    """Dotted names of folders and modules by distribution."""
    shown: dict[str, set[str]] = defaultdict(set)
    for module, distribution in database().execute("SELECT module_name, package_name FROM mappings"):
        shown[normalized(distribution)].add(module)
    for folder in folders:
        for wheel in folder.rglob("*.whl"):
            if wheel.is_file() and zipfile.is_zipfile(wheel):
                with zipfile.ZipFile(wheel) as archive:
                    shown[normalized(wheel.name.split("-")[0])].update(dotted(archive.namelist()))
        for record in folder.rglob("*.dist-info/RECORD"):
            paths = (line.split(",")[0] for line in record.read_text("utf-8", "replace").splitlines())
            shown[normalized(record.parent.name.split("-")[0])].update(dotted(paths))
    return shown


def dotted(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        parts = path.split("/")
        if re.search(r"\.(py|so|pyd)$", parts[-1]) and ".." not in parts:
            yield from prefixes(".".join([*parts[:-1], parts[-1].split(".")[0]]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["generate", "check"])
    parser.add_argument(
        "--wheels", type=Path, action="append", default=[], help="a folder of wheels, or an environment"
    )
    options = parser.parse_args()
    if options.what == "check":
        return check(options.wheels)
    generate()
    return 0


if __name__ == "__main__":
    sys.exit(main())
