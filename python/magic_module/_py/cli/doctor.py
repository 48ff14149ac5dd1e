"""`doctor`: what may be wrong with this installation, and how to mend it.

The engine examines its own ground (directory, permissions, manifest, units). Here is what Python sees: the
environment's spelling and whether the engine can start at all.
"""

import argparse
import difflib
import os
import platform
import site
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from magic_module import _native
from magic_module._py.cli.answer import Answer, WrongUsage, table
from magic_module._py.cli.mounting import provide
from magic_module._py.progress import styled
from magic_module.errors import MagicModuleError

PREFIX = "MAGIC_MODULE_"
START = "magic_module.pth"
"""Python reads it whenever an interpreter starts in the environment."""


@dataclass
class Finding:
    """One thing that was looked at."""

    check: str
    ok: bool
    message: str
    hint: str | None = None


def doctor(options: argparse.Namespace) -> Answer:
    """What is wrong, and how to mend it."""
    if options.package is not None:
        from magic_module._py.cli import selftest

        return selftest.tried(options)
    if options.use is not None:
        raise WrongUsage("--use needs --package NAME, which is used")
    findings = examine(lambda: provide(options, needed=False))
    ok = all(finding.ok for finding in findings)
    lines = []
    for row, finding in zip(
        table([("ok" if f.ok else "no", f.check, f.message) for f in findings]), findings, strict=True
    ):
        lines.append(row if finding.ok else styled(row, "31", sys.stdout))
        if finding.hint and not finding.ok:
            lines.append(f"    {finding.hint}")
    lines.append("everything is well" if ok else "something is wrong")
    return Answer({"ok": ok, "findings": [vars(finding) for finding in findings]}, lines, 0 if ok else 1)


def examine(provide: Callable[[], object]) -> list[Finding]:
    """Looks at everything; `provide` mounts what the command line names. Nothing is raised."""
    findings = [Finding("python", True, f"magic_module {_native.__version__} on {_interpreter()}")]
    findings += _unknown_variables()
    for check, act in (("settings", _native._settings), ("manifest", provide)):
        try:
            act()
        except MagicModuleError as error:
            # What follows would only fail for the same reason.
            return [*findings, _from_error(check, error)]
    findings.append(_start_line())
    try:
        findings += [Finding(**finding) for finding in _native._diagnose()]
    except MagicModuleError as error:
        findings.append(_from_error("manifest", error))
    return findings


def _interpreter() -> str:
    return f"{platform.python_implementation()} {platform.python_version()} ({sys.executable or 'embedded'})"


def _unknown_variables() -> Iterator[Finding]:
    """A misspelt variable changes nothing, silently: only its name is looked at, never its value."""
    try:
        known = [PREFIX + name.upper() for name in _native._settings()]
    except MagicModuleError:
        return
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else f"unset it; there are {', '.join(known)}"
            yield Finding("settings", False, f"{name} is not a setting", hint)


def _start_line() -> Finding:
    """Whether what the environment names is mounted in every interpreter that starts, and by what."""
    named = [name for name in (PREFIX + "LOCK", PREFIX + "MOUNTS") if os.environ.get(name)]
    # Of the folders on `sys.path`, only in these are such files heeded.
    folders = [*site.getsitepackages(), site.getusersitepackages()]
    line = next(filter(_starts, (os.path.join(folder, START) for folder in folders)), None)
    if line is None:
        message = "interpreters that start do not mount what MAGIC_MODULE_LOCK and MAGIC_MODULE_MOUNTS name"
        hint = f"install the wheel of magic_module, which has {START}: an editable install does not have it"
        return Finding("start", not named, message, hint)
    if named and os.environ.get(PREFIX + "START") == "0":
        return Finding("start", True, f"{line} mounts nothing, because MAGIC_MODULE_START is 0")
    what = " and ".join(named) or "MAGIC_MODULE_LOCK and MAGIC_MODULE_MOUNTS"
    return Finding("start", True, f"{line} makes every interpreter mount what is in {what}")


def _starts(file: str) -> bool:
    """Whether it is ours: an editable install has another file of that name, which says where it lies."""
    try:
        with open(file, encoding="utf-8", errors="replace") as text:
            return "magic_module._py.start" in text.read()
    except OSError:
        return False


def _from_error(check: str, error: MagicModuleError) -> Finding:
    message = str(error)
    return Finding(check, False, message.removesuffix(f"; {error.hint}"), error.hint)
