"""`run --trace`: who pulled what, told when the program ends.

```text
audit events (PEP 578)   magic_module.fetch    what is about to be downloaded, with its size
                         magic_module.verify   what is used: follows what was fetched for it
                         magic_module.load     a module, by its file
                         open                  any other file of a package
os.stat                                        a file of a package that is looked at
```

An import fetches what it is about and all that this requires at once, and uses the one that it is about: what else was
fetched came because that requires it.

Children of a process that writes its trace to a file note each thing at once, a line each, because they may be killed:

```text
child, forked    the hook of its parent    ┐
child, started   the start line begins one ┴─▶ FILE.children ─▶ heard again by the parent when it tells
```
"""

import atexit
import contextlib
import json
import os
import sys
from _thread import get_ident
from types import FrameType
from typing import Any

from magic_module import _native
from magic_module._py import looking

OPTION = "magic_module_trace"
"""`-X magic_module_trace` tells on stderr, `-X magic_module_trace=FILE` in a file."""

VARIABLE = "MAGIC_MODULE_TRACE_PART"
"""Tells children where they note what they use."""

_MACHINERY = (
    *("importlib", "_frozen_importlib", "_frozen_importlib_external"),
    *("magic_module", "pkgutil", "runpy", "site"),
)
"""Modules, each with those below it."""
COMMAND_LINE = "the command line"


class Used:
    """One distribution."""

    def __init__(self) -> None:
        self.version = ""
        self.sizes: dict[str, int] = {}
        """What was downloaded, by its digest: an attempt that fails is made again."""
        self.who = ""
        self.place: tuple[str, int] | None = None
        """The file and the line that `who` tells."""

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())


class Trace:
    """What this process fetches and uses; called by `sys.audit`."""

    def __init__(self, target: str | None, part: str | None = None) -> None:
        self._target = target
        self._process = os.getpid()
        self._part = part
        """Where a child notes what it uses."""
        self._is_child = target is None and part is not None
        self._by_children: set[str] = set()
        self._here = os.getcwd()
        self._used: dict[str, Used] = {}
        self._fetched: dict[int, list[str]] = {}
        """By thread: what was fetched and is not used yet."""
        self._files: set[str] = set()
        """What was read of packages; kept for a file, which has room for it."""
        self._folders = () if target is None and part is None else _folders()

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Heeds what is fetched and used, and nothing else."""
        if event == "magic_module.fetch":
            unit, url, size, digest = arguments
            who = "" if unit in self._used else self._place(sys._getframe(1))
            self._hear("fetch", unit, _version_in(url), size, digest, who)
            self._fetched.setdefault(get_ident(), []).append(unit)
        elif event == "magic_module.verify":
            unit, version, _ = arguments
            used = self._used.get(unit)
            if used is None or used.place is None or used.version != version:
                frame = sys._getframe(1)
                self._hear("use", unit, version, self._place(frame), _line(frame))
            for name in self._fetched.pop(get_ident(), ()):
                if name != unit:
                    self._hear("require", name, unit)
        elif event == "magic_module.load" and self._folders:
            self._hear("file", arguments[1])
        elif event == "open" and isinstance(arguments[0], str):
            self.note_file(arguments[0])
        elif event == "os.exec":
            # Another program takes this process: nothing of this one runs at its end.
            self.tell()

    def _hear(self, kind: str, name: str, *more: Any) -> None:
        """Keeps what happened here; or, in a child, notes it for the parent."""
        if kind == "file":
            if name in self._files:
                return
            self._files.add(name)
        else:
            used = self._used.setdefault(name, Used())
            if kind == "fetch":
                version, size, digest, who = more
                used.sizes[digest] = size
                used.version = used.version or version
                used.who = used.who or who
            elif kind == "use":
                used.version, who, place = more
                used.who = used.who or who
                used.place = used.place or (place and tuple(place))
            else:
                used.who = f"required by {more[0]}"
        if self._part is not None and (self._is_child or os.getpid() != self._process):
            line = json.dumps([kind, name, *more]) + "\n"
            with contextlib.suppress(OSError):
                # Never made here: who waits for it has made it, and removes it when its trace is told.
                descriptor = os.open(self._part, os.O_WRONLY | os.O_APPEND)
                try:
                    os.write(descriptor, line.encode())
                finally:
                    os.close(descriptor)

    @property
    def notes_files(self) -> bool:
        """Whether anybody is told of files."""
        return bool(self._folders)

    def gather(self) -> None:
        """From now on, children note what they use."""
        part = f"{self._target}.children"
        with contextlib.suppress(OSError), open(part, "w", encoding="utf-8"):
            self._part = os.environ[VARIABLE] = part

    def _hear_children(self) -> None:
        if self._part is None:
            return
        part, self._part = self._part, None
        with contextlib.suppress(OSError):
            with open(part, encoding="utf-8") as file:
                lines = file.readlines()
            os.unlink(part)
            for line in lines:
                # One that was not written whole is the last of a disk that is full.
                with contextlib.suppress(ValueError):
                    kind, name, *more = json.loads(line)
                    self._hear(kind, name, *more)
                    if kind != "file":
                        self._by_children.add(name)

    def note_file(self, path: str) -> None:
        """A file that is opened or looked at, if it is one of a package."""
        if path.startswith(self._folders):
            self._hear("file", path)

    def note_libraries(self) -> None:
        """At the end of a child: what it has in memory."""
        for path in _libraries(self._folders):
            self._hear("file", path)

    def _place(self, frame: FrameType | None) -> str:
        """The line that imports: of the program or of a package, not of what makes imports work."""
        place = _line(frame)
        return COMMAND_LINE if place is None else f"{self._shown(place[0])}:{place[1]}"

    def _shown(self, file: str) -> str:
        """Relative to the environment, or to where the program began."""
        folders = [entry for entry in sys.path if entry.startswith(sys.prefix) and entry.endswith("site-packages")]
        for folder in (*folders, self._here):
            file = file.removeprefix(os.path.join(folder, ""))
        return file

    def tell(self) -> None:
        """Tells it; a child, which has noted it, tells nothing."""
        if self._is_child or os.getpid() != self._process:
            return
        from magic_module._py import trace_text
        from magic_module._py.progress import say

        self._hear_children()
        lines = trace_text.lines(self._used, self._by_children)
        if self._target is None:
            say(sys.stderr, "".join(f"{line}\n" for line in lines))
            return
        lines += trace_text.files({*self._files, *_libraries(self._folders)})
        try:
            with open(self._target, "w", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
        except OSError as error:
            say(sys.stderr, f"magic-module: cannot write the trace to {self._target}: {error.strerror or error}\n")


def _line(frame: FrameType | None) -> tuple[str, int] | None:
    """Where something is imported, in a file that is not part of what makes imports work."""
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if not isinstance(name, str) or name.partition(".")[0] not in _MACHINERY:
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None


def _folders() -> tuple[str, ...]:
    """Where files of packages are; the system tells the real paths of libraries."""
    cache = str(_native.cache_dir())
    return tuple(os.path.join(folder, "") for folder in {sys.prefix, cache, os.path.realpath(cache)})


def _libraries(folders: tuple[str, ...]) -> list[str]:
    """Shared libraries below these folders that are loaded, where the system tells."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\n").split(None, 5) for line in file]
    except OSError:
        return []
    return [line[5] for line in lines if len(line) == 6 and line[5].startswith(folders)]


def _version_in(url: str) -> str:
    """Of a wheel: the second part of its name."""
    parts = url.rpartition("/")[2].split("-")
    return parts[1] if len(parts) > 4 else ""


def begin() -> None:
    """From now on, if the interpreter was started with the option, or by one that was."""
    # Since 3.14, children that `multiprocessing` starts are given the options of their parent.
    target = sys._xoptions.pop(OPTION, None)
    if target is None:
        from magic_module._py.preloading import OPTION as PRELOADS

        if PRELOADS in sys._xoptions:
            return  # it uses nothing of what it fetches
        trace = Trace(None, _native._settings()["trace_part"])
        atexit.register(trace.note_libraries)
    else:
        trace = Trace(None if target is True else target)
        if target is not True:
            trace.gather()
        _native._watch_imports()
        atexit.register(trace.tell)
    sys.addaudithook(trace)
    if trace.notes_files:
        looking.watch(trace.note_file)
