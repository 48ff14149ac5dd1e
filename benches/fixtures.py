"""What is imported and downloaded: made from a seed, the same on every machine."""

from __future__ import annotations

import json
import marshal
import random
import shutil
import subprocess
import sys
from pathlib import Path

from measure import Failure, sha256_of

SEED = 20261121

WORDS = ("alpha", "bravo", "delta", "echo", "gamma", "kilo", "lima", "omega", "sierra", "tango")
SYLLABLES = ("ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu")
NOUNS = tuple(first + second for first in SYLLABLES for second in WORDS)


def module_source(chance: random.Random, bytecode: int) -> str:
    """Functions and constants, as many as make about `bytecode` bytes of compiled module."""
    lines = ['"""A module that was made up."""\n']
    for number in range(round((bytecode - size_of("")) / BLOCK) if bytecode > size_of("") else 0):
        lines.append(block(chance, f"{chance.choice(WORDS)}_{number}"))
    return "\n".join(lines)


def block(chance: random.Random, name: str) -> str:
    first, second, third = (chance.randrange(1 << 16) for _ in range(3))
    return (
        f"def {name}(value, other={first}):\n"
        f'    """Return a number that nobody needs."""\n'
        f"    total = value * {second} + other\n"
        f"    for step in range({first % 7 + 1}):\n"
        f"        total ^= (step << {third % 11}) + {third}\n"
        f"    return total if total % {second % 13 + 2} else -total\n\n"
    )


def size_of(source: str) -> int:
    return len(marshal.dumps(compile(source, "module.py", "exec")))


def _size_of_a_block() -> float:
    chance = random.Random(SEED)
    return (size_of("\n".join(block(chance, f"alpha_{number}") for number in range(20))) - size_of("")) / 20


BLOCK = _size_of_a_block()


def realistic_source(chance: random.Random, size: int) -> str:
    """About `size` bytes as people write them: classes, docstrings, calls, few repeated lines."""
    name = lambda: f"{chance.choice(WORDS)}_{chance.choice(NOUNS)}"  # noqa: E731
    lines, length = ['"""What nobody ever wrote, in the size of what somebody did."""\n'], 60
    while length < size:
        kind, first, second, third = chance.random(), name(), name(), name()
        number = chance.randrange(1 << chance.randrange(1, 20))
        if kind < 0.1:
            text = f"class {first.title().replace('_', '')}{number}:\n    {second} = {number}\n    {third} = None\n"
        elif kind < 0.35:
            prose = " ".join(chance.choice(NOUNS) for _ in range(chance.randrange(8, 40)))
            text = f'def {first}_{number}(self, {second}, other=None):\n    """{prose}."""\n    return {second}\n'
        elif kind < 0.6:
            text = f"def {first}_{number}({second}, *args):\n    if {second} is None or len(args) > {number}:\n"
            text += (
                f"        raise ValueError(f'{third}: {{{second}}}')\n    {first} = [{second}.{third}(each, {number})"
            )
            text += f" for each in args if each != '{third}']\n    return {first} or {second}({third}={number})\n"
        elif kind < 0.8:
            text = f"{first}_{number} = lambda {second}: ({second} + {number}) * {second}.{third} - {number % 97}\n"
        else:
            items = ", ".join(
                f"'{name()}': ({chance.randrange(9999)}, '{name()}')" for _ in range(chance.randrange(2, 9))
            )
            text = f"{first}_{number} = {{{items}}}\n"
        lines.append(text)
        length += len(text) + 1
    return "\n".join(lines)


def realistic(folder: Path, name: str, modules: int, used: int) -> None:
    """A package whose modules are as large as sympy's: half below 7 KB, a tenth above 42, 17 on average; importing it
    imports `used` of them, each of which imports up to three others."""
    chance = random.Random(f"{SEED} {name}")
    target = folder / name
    target.mkdir(parents=True)
    sources = []
    for _ in range(modules):
        size = min(round(chance.lognormvariate(8.8, 1.35)), 440_000)
        sources.append(realistic_source(chance, size))
    chosen = chance.sample(range(modules), used)
    for at, number in enumerate(chosen):
        imports = "".join(f"from . import module_{other:04}\n" for other in chosen[3 * at + 1 : 3 * at + 4])
        sources[number] = imports + sources[number]
    for number, source in enumerate(sources):
        (target / f"module_{number:04}.py").write_text(source)
    (target / "__init__.py").write_text(f"from . import module_{chosen[0]:04}\n" if chosen else "")


def package(folder: Path, name: str, modules: int, bytecode: int) -> list[str]:
    """Writes a package below `folder`; returns the names of its modules, the package first."""
    chance = random.Random(f"{SEED} {name}")
    target = folder / name
    target.mkdir(parents=True)
    (target / "__init__.py").write_text('"""A package that was made up."""\n')
    names = [name]
    for number in range(modules):
        stem = f"module_{number:04}"
        (target / f"{stem}.py").write_text(module_source(chance, bytecode))
        names.append(f"{name}.{stem}")
    return names


def noise(path: Path, size: int, seed: str) -> None:
    """A file without holes that nothing can compress."""
    chance = random.Random(f"{SEED} {seed}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        left = size
        while left:
            block = min(left, 16 << 20)
            file.write(chance.randbytes(block))
            left -= block


def publish(source: Path, site: Path, namespace: str = "magic_module", *options: str) -> None:
    """Publishes `source` and removes it."""
    publish_again(source, site, namespace, *options)
    shutil.rmtree(source)


def publish_again(source: Path, site: Path, namespace: str = "magic_module", *options: str) -> None:
    command = [sys.executable, "-m", "magic_module", "publish", str(source), str(site), "--namespace", namespace]
    ended = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise Failure(f"cannot publish: {ended.stderr.strip().splitlines()[-1]}")


def can_publish(option: str) -> bool:
    """Whether `publish` has this option."""
    command = [sys.executable, "-m", "magic_module", "publish", "--help"]
    return option in subprocess.run(command, capture_output=True, text=True, check=False).stdout


def manifest(site: Path, unit: str, namespace: str = "magic_module") -> None:
    """A manifest of single files, without packs, for the one unit below `site/files`."""
    files = []
    for path in sorted(path for path in (site / "files").rglob("*") if path.is_file()):
        inside = path.relative_to(site / "files").as_posix()
        entry = {"path": inside, "url": f"files/{inside}", "size": path.stat().st_size, "sha256": sha256_of(path)}
        files.append(entry)
    document = {"manifest": 1, "namespace": namespace, "modules": {unit: {"version": "1", "files": files}}}
    (site / "manifest.json").write_text(json.dumps(document))
