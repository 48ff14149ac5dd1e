"""`run --trace`: who pulled what, told when the program ends.

```text
audit events (PEP 578)   magic_module.fetch    what is about to be downloaded, with its size
                         magic_module.verify   what is used: follows what was fetched for it
```

An import fetches what it is about and all that this requires at once, and uses the one that it is about: what else was
fetched came because that requires it.
"""

import atexit
import os
import sys
from _thread import get_ident
from types import FrameType
from typing import Any

OPTION = "magic_module_trace"
"""`-X magic_module_trace` tells on stderr, `-X magic_module_trace=FILE` in a file."""

_MACHINERY = (
    *("importlib", "_frozen_importlib", "_frozen_importlib_external"),
    *("magic_module", "pkgutil", "runpy", "site"),
)
"""Modules, each with those below it."""
COMMAND_LINE = "the command line"


class _Used:
    """One distribution."""

    def __init__(self) -> None:
        self.version = ""
        self.sizes: dict[str, int] = {}
        """What was downloaded, by its digest: an attempt that fails is made again."""
        self.who = ""

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())


class Trace:
    """What this process fetches and uses; called by `sys.audit`."""

    def __init__(self, target: str | None) -> None:
        self._target = target
        self._process = os.getpid()
        self._here = os.getcwd()
        self._used: dict[str, _Used] = {}
        self._fetched: dict[int, list[str]] = {}
        """By thread: what was fetched and is not used yet."""

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Heeds what is fetched and used, and nothing else."""
        if event == "magic_module.fetch":
            unit, url, size, digest = arguments
            used = self._used.setdefault(unit, _Used())
            used.sizes[digest] = size
            used.version = used.version or _version_in(url)
            used.who = used.who or self._place(sys._getframe(1))
            self._fetched.setdefault(get_ident(), []).append(unit)
        elif event == "magic_module.verify":
            unit, version, _ = arguments
            used = self._used.setdefault(unit, _Used())
            used.version = version
            used.who = used.who or self._place(sys._getframe(1))
            for name in self._fetched.pop(get_ident(), ()):
                if name != unit:
                    self._used[name].who = f"required by {unit}"
        elif event == "os.exec":
            # Another program takes this process: nothing of this one runs at its end.
            self.tell()

    def _place(self, frame: FrameType | None) -> str:
        """The line that imports: of the program or of a package, not of what makes imports work."""
        while frame is not None:
            name = frame.f_globals.get("__name__")
            if not isinstance(name, str) or name.partition(".")[0] not in _MACHINERY:
                return f"{self._shown(frame.f_code.co_filename)}:{frame.f_lineno}"
            frame = frame.f_back
        return COMMAND_LINE

    def _shown(self, file: str) -> str:
        """Relative to the environment, or to where the program began."""
        folders = [entry for entry in sys.path if entry.startswith(sys.prefix) and entry.endswith("site-packages")]
        for folder in (*folders, self._here):
            file = file.removeprefix(os.path.join(folder, ""))
        return file

    def lines(self) -> list[str]:
        """What is told: a line for each distribution, and one for all."""
        from magic_module._py.cli.answer import count, table
        from magic_module._py.progress import size

        used = sorted(self._used.items())
        rows = [(name, it.version, size(it.bytes), it.who) for name, it in used]
        fetched = [it.bytes for _, it in used if it.bytes]
        total = f"{count(len(used), 'package')} used, {len(fetched)} downloaded: {size(sum(fetched))}"
        return [*(table(rows, right=(2,)) if rows else []), total]

    def tell(self) -> None:
        """Tells it; a forked child, which did not begin it, tells nothing."""
        from magic_module._py.progress import say

        if os.getpid() != self._process:
            return
        text = "".join(f"{line}\n" for line in self.lines())
        if self._target is None:
            say(sys.stderr, text)
            return
        try:
            with open(self._target, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            say(sys.stderr, f"magic-module: cannot write the trace to {self._target}: {error.strerror or error}\n")


def _version_in(url: str) -> str:
    """Of a wheel: the second part of its name."""
    parts = url.rpartition("/")[2].split("-")
    return parts[1] if len(parts) > 4 else ""


def begin() -> None:
    """From now on, if the interpreter was started with the option."""
    target = sys._xoptions.get(OPTION)
    if target is None:
        return
    trace = Trace(None if target is True else target)
    sys.addaudithook(trace)
    atexit.register(trace.tell)
