"""What is imported and downloaded: made from a seed, the same on every machine."""

from __future__ import annotations

import marshal
import random
import shutil
from pathlib import Path

SEED = 20261121

WORDS = ("alpha", "bravo", "delta", "echo", "gamma", "kilo", "lima", "omega", "sierra", "tango")


def module_source(chance: random.Random, bytecode: int) -> str:
    """Functions and constants, until the compiled module has about `bytecode` bytes."""
    lines = ['"""A module that was made up."""\n']
    while len(marshal.dumps(compile("\n".join(lines), "module.py", "exec"))) < bytecode:
        name = f"{chance.choice(WORDS)}_{len(lines)}"
        first, second, third = (chance.randrange(1 << 16) for _ in range(3))
        lines.append(
            f"def {name}(value, other={first}):\n"
            f'    """Return a number that nobody needs."""\n'
            f"    total = value * {second} + other\n"
            f"    for step in range({first % 7 + 1}):\n"
            f"        total ^= (step << {third % 11}) + {third}\n"
            f"    return total if total % {second % 13 + 2} else -total\n\n"
        )
    return "\n".join(lines)


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


def publish(source: Path, site: Path, namespace: str = "magic_module") -> None:
    """Publishes `source` and removes it."""
    from magic_module import _native

    _native._publish(str(source), str(site), namespace, None)
    shutil.rmtree(source)
