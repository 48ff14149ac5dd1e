"""What a trace says of distributions, of optional imports, and of the files that were used."""

import ast
from collections.abc import Collection, Mapping

from magic_module import _native
from magic_module._py.cli.answer import count, table
from magic_module._py.progress import size
from magic_module._py.trace import Used

FILES_USED = "files of packages used:"
"""Follows the number of the lines after it, each the path of one, in a trace that is a file."""


def lines(used: Mapping[str, Used], by_children: Collection[str]) -> list[str]:
    """What is told of distributions, each by its name; children have used some of them."""
    rows = [(name, it.version, size(it.bytes), it.who) for name, it in sorted(used.items())]
    fetched = [it.bytes for it in used.values() if it.bytes]
    total = f"{count(len(used), 'package')} used, {len(fetched)} downloaded: {size(sum(fetched))}"
    return [*(table(rows, right=(2,)) if rows else []), total, *_optional(used, by_children)]


def _optional(used: Mapping[str, Used], by_children: Collection[str]) -> list[str]:
    """What was decided of optional imports, and those without which the program would have run as it did."""
    decided, spare = _native._imports()
    told = [f"{name} {'is' if found else 'is not'} found by optional imports" for name, found in decided]
    # How a child imports is not known.
    spare = [name for name in spare if name in used and name not in by_children]
    denied = [name for name in spare if _is_guarded(used[name].place)]
    if denied:
        told += ["not needed; to leave it out, write into the lock:", "", "[tool.magic-module.optional]"]
        told += [f'{_key(name)} = "deny"' for name in sorted(denied, key=str.lower)]
    return told


def files(paths: Collection[str]) -> list[str]:
    """Where an installer would have put these files."""
    inside = _native._paths_in_view(sorted(paths))
    return ["", f"{len(inside)} {FILES_USED}", *inside]


def _is_guarded(place: tuple[str, int] | None) -> bool:
    """True for an import under a `try` that goes on without it."""
    if place is None:
        return False
    try:
        with open(place[0], "rb") as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return False
    caught = ("ImportError", "ModuleNotFoundError", "Exception", "BaseException")
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and node.body[0].lineno <= place[1] <= (node.body[-1].end_lineno or 0):
            for handler in node.handlers:
                if handler.type is None or any(
                    isinstance(part, ast.Name) and part.id in caught for part in ast.walk(handler.type)
                ):
                    return True
    return False


def _key(name: str) -> str:
    """A name as a key of TOML."""
    return f'"{name}"' if "." in name else name
