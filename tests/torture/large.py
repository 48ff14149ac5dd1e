"""What is published where there is much of it, so that threads and helper interpreters take part.

    SIGNED       a signed manifest; `wide` has a hundred files in several packs, and its code is published;
                 `deep` is compiled where it is imported, and is enough for helpers
    CATALOGUE    more units than a manifest holds itself; one requires enough others for fetching by several threads

One version of each: what they are for comes before the first import has ended.
"""

from __future__ import annotations

import random

from sites import Content, module

MODULES = 70
DATA = 30
DEEP = 24
PARTS = 16
FILLERS = 200

# Some 12 KB, most of it functions: a helper is worth its start.
BODY = "\n".join(
    f"def function_{number}(first, *rest, key='value'):\n    assert first, 'needed'\n"
    f"    return [item * {number} for item in rest if item != first], f'{{key!r:>10}} {{first}}', __debug__\n"
    for number in range(70)
)


def signed(version: int) -> dict[str, bytes]:
    noise = random.Random(version)
    names = [f"part_{number:02}" for number in range(MODULES)]
    data = {f"data_{number:02}.bin": noise.randbytes(75_000) for number in range(DATA)}
    files = {"alpha.py": module(version, "alpha")}
    files["wide/__init__.py"] = module(version, "wide", list(data), more=f"from . import {', '.join(names)}")
    # Long texts cost nothing to compile.
    files |= {f"wide/{name}.py": module(version, name, letters=2000) for name in names}
    leaves = [f"leaf_{number:02}" for number in range(DEEP)]
    files["deep/__init__.py"] = module(version, "deep", more=f"from . import {', '.join(leaves)}")
    files |= {f"deep/{leaf}.py": module(version, leaf, more=BODY) for leaf in leaves}
    toml = "".join(f'[{name}]\nversion = "{version}.0"\n' for name in ("alpha", "wide", "deep"))
    written = {path: text.encode() for path, text in (files | {"magic-module.toml": toml}).items()}
    return written | {f"wide/{name}": content for name, content in data.items()}


def catalogue(version: int) -> dict[str, bytes]:
    names = [f"part_{number:02}" for number in range(PARTS)]
    imports = "\n".join(f"from acme.{name} import TEXT as {name}" for name in names)
    files = {
        "alpha.py": module(version, "alpha"),
        "hub.py": module(version, "hub", more=imports, extra=", ".join(names)),
    }
    files |= {f"{name}.py": module(version, name) for name in names}
    files |= {f"filler_{number:03}.py": f"NUMBER = {number}\n" for number in range(FILLERS)}
    files["magic-module.toml"] = f"[hub]\nrequires = {names}\n"
    return {path: text.encode() for path, text in files.items()}


SIGNED = Content(signed, ("alpha", "wide", "deep"), compiled=("alpha", "wide"))
CATALOGUE = Content(catalogue, ("alpha", "hub", "part_00"))
