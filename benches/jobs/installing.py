"""`magic-module install` of a lock into a folder, against `uv pip install --target` with copies.

The wheels are served from this machine without delay. Both read the same lock, both copy out of their cache, and
neither compiles. Cold: both caches are empty. Warm: both have all wheels, and the folder is new. With resolving: both
are given the names and ask the package index that uv is set to, each time for all of it, with their caches full.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import measure
from measure import Ended, Row, Side, interleave, milliseconds
from stack import Stack
from workplace import Workplace, remove

NAMES = ["pandas", "matplotlib", "requests", "httpx", "attrs", "click", "openpyxl"]
FEWER = ["requests", "httpx", "attrs", "click"]
AGAINST = "`uv pip install --target --link-mode copy`"


def row() -> Row:
    return Row("`install --lock` of about 20 wheels, cold", AGAINST, "≤ 1.0×")


def run(workplace: Workplace) -> list[Row]:
    names = FEWER if workplace.quick else NAMES
    workplace.size("packages named in the lock that is installed", len(NAMES), len(FEWER))
    stack = Stack(workplace, names)
    with stack.served(0.0, 0.0):
        rows = [cold(stack), warm(stack)]
    rows.append(resolving(stack, names))
    return rows


def cold(stack: Stack) -> Row:
    def ours() -> Ended:
        cache = stack.workplace.folder("cache")
        ended = install(stack, cache, "--lock", str(stack.lock))
        remove(cache)
        return ended

    def theirs() -> Ended:
        cache = stack.workplace.folder("uv-cache")
        ended = uv_install(stack, cache, "-r", str(stack.lock))
        remove(cache)
        return ended

    return compared(stack, row(), ours, theirs, 1.0)


def warm(stack: Stack) -> Row:
    cache, uv_cache = stack.workplace.folder("cache"), stack.workplace.folder("uv-cache")
    return compared(
        stack,
        Row("the same, warm, into a new folder", AGAINST, "≤ 1.0×"),
        lambda: install(stack, cache, "--lock", str(stack.lock)),
        lambda: uv_install(stack, uv_cache, "-r", str(stack.lock)),
        1.0,
    )


def resolving(stack: Stack, names: list[str]) -> Row:
    cache, uv_cache = stack.workplace.folder("cache"), stack.workplace.folder("uv-cache")
    return compared(
        stack,
        Row("the same with resolving, warm", AGAINST, "≤ 1.2×"),
        lambda: install(stack, cache, *names, UV_CACHE_DIR=str(uv_cache)),
        lambda: uv_install(stack, uv_cache, *names),
        1.2,
    )


def compared(stack: Stack, empty: Row, ours, theirs, most: float) -> Row:  # type: ignore[no-untyped-def]
    ours(), theirs()
    results = interleave(stack.workplace.rounds(7, 3), ours, theirs)
    one, other = (Side([ended.wall for ended in side]) for side in results)
    return empty.compared(one, other, most, milliseconds, [f"{stack.count} wheels"])


def install(stack: Stack, cache: Path, *words: str, **more: str) -> Ended:
    target = stack.workplace.folder("target")
    shutil.rmtree(target, ignore_errors=True)
    line = [stack.workplace.python("")[0], "-m", "magic_module", "install", *words, "--into", str(target)]
    environment = stack.environment(UV=stack.uv, MAGIC_MODULE_CACHE_DIR=str(cache), **more)
    ended = measure.run(line, environment)
    remove(target)
    return ended


def uv_install(stack: Stack, cache: Path, *words: str) -> Ended:
    target = stack.workplace.folder("target")
    shutil.rmtree(target, ignore_errors=True)
    python = stack.workplace.python("")[0]
    line = [stack.uv, "pip", "install", "--quiet", "--python", python, "--target", str(target), "--link-mode", "copy"]
    ended = measure.run([*line, *words], stack.environment(UV_CACHE_DIR=str(cache)))
    remove(target)
    return ended
