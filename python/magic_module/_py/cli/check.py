"""What scripts need, and whether that is here: `check`, and the names that `fetch --imports-of` fetches."""

from __future__ import annotations

import argparse

from magic_module import _native
from magic_module._py.cli.answer import Answer
from magic_module.errors import MagicModuleError

TYPE_CHECKING = False  # as type checkers know it; importing `typing` is a tenth of what a command takes
if TYPE_CHECKING:
    from typing import Any


def check(options: argparse.Namespace) -> Answer:
    """Reads scripts, notebooks and folders, and says what of their imports is missing; nothing of them runs."""
    provide_lock(options)
    scripts: list[dict[str, Any]] = []
    lines: list[str] = []
    for path in options.paths:
        try:
            report = _native.check_script(_Path(path))
        except MagicModuleError as error:
            if len(options.paths) == 1:
                raise
            # The others are told all the same.
            scripts.append({"path": path, "ok": False, "error": error.to_dict()})
            lines.append(str(error))
            continue
        scripts.append(
            {
                "path": path,
                "ok": report.ok,
                "missing": report.missing,
                "available": report.available,
                "needs": report.needs,
                "problems": report.problems,
                "unclear": report.unclear,
                "install": report.command,
                "metadata": report.metadata,
            }
        )
        lines.append(report.message())
    ok = all(script["ok"] for script in scripts)
    return Answer({"ok": ok, "scripts": scripts}, lines, status=0 if ok else 1)


def provided(script: str) -> list[str]:
    """The names that a script imports and that a mount provides."""
    return [need["import"] for need in _native.check_script(_Path(script)).needs if need["state"] == "provided"]


def provide_lock(options: argparse.Namespace) -> None:
    """Mounts what the options name, so that what it has counts; without a lock or a manifest nothing has to be."""
    settings = _native._settings()
    if (options.lock, options.manifest_url) != (None, None) or settings["lock"] or settings["mounts"] != "[]":
        from magic_module._py.cli.mounting import provide

        provide(options, needed=False)


class _Path:
    """A path, whatever it looks like: `check_script` takes some texts for sources."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return self._path
