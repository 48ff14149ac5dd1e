"""Progress, as people and machines see it.

```text
renderer("auto")   a bar in a notebook or on a terminal, else nothing
renderer("bar")    a bar, also where stderr is not a terminal
renderer("json")   every event as one line of JSON on stderr
renderer("off")    nothing
```

A renderer is called with every event, on the thread that waits. A bar appears half a second after the first byte
was asked for, so that a quick import stays silent, and goes away with the last event of the operation. Whatever
stderr or the notebook do with it, nothing that shows progress ends what it shows.
"""

import contextlib
import html
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TextIO

Event = Mapping[str, Any]
Renderer = Callable[[dict[str, Any]], None]

PATIENCE = 0.5
"""Seconds before a bar appears."""


def renderer(mode: str) -> Renderer | None:
    """What shows progress here; None if nothing does."""
    if mode == "json":
        return json_lines
    if mode == "off":
        return None
    if in_notebook():
        return Bar(Notebook())
    stream = sys.stderr
    if stream is None or not (mode == "bar" or is_terminal(stream)):
        return None
    return Bar(Terminal(stream))


def json_lines(event: dict[str, Any]) -> None:
    """One event as one line of JSON on stderr."""
    say(sys.stderr, json.dumps(event) + "\n")


def say(stream: TextIO | None, text: str) -> None:
    """Writes what nothing depends on: a stream that is closed, full or of another kind does not get it."""
    # A program may put any object in the place of stderr, and it may raise anything.
    with contextlib.suppress(Exception):
        if stream is not None:
            stream.write(text)
            stream.flush()


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at it; a stream that cannot tell is none."""
    try:
        return stream.isatty()
    except Exception:
        return False


def in_notebook() -> bool:
    """Whether output goes to a kernel's front end. Nothing is imported for this: who has a kernel has IPython."""
    ipython = sys.modules.get("IPython")
    try:
        shell = getattr(ipython, "get_ipython", lambda: None)()
        return getattr(shell, "kernel", None) is not None
    except Exception:
        return False


def size(count: float) -> str:
    """Bytes for people: `812 B`, `44.0 KiB`, `1.2 MiB`."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB"):
        count /= 1024
        if count < 1023.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} GiB"


def styled(text: str, code: str, stream: TextIO) -> str:
    """The text in a terminal's style, unless the stream is not a terminal or `NO_COLOR` is set."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not is_terminal(stream):
        return text
    return f"\x1b[{code}m{text}\x1b[0m"


class Surface(Protocol):
    """Where a bar is drawn."""

    def show(self, label: str, done: int, total: int) -> None:
        """Draws the bar over the last one."""

    def clear(self) -> None:
        """Leaves nothing of it."""


class Bar:
    """One bar over all operations of the process that are under way."""

    def __init__(self, surface: Surface, clock: Callable[[], float] = time.monotonic) -> None:
        self._surface = surface
        self._clock = clock
        self._lock = threading.Lock()
        self._active: dict[str, tuple[int, int]] = {}
        self._since = 0.0
        self._shown = False

    def __call__(self, event: dict[str, Any]) -> None:
        """Takes one event; only those of fetching move the bar."""
        if event.get("event") != "fetch":
            return
        with self._lock:
            if not self._active:
                self._since = self._clock()
            unit = str(event.get("unit", ""))
            if event.get("status") == "done":
                self._active.pop(unit, None)
            else:
                self._active[unit] = (int(event.get("bytes", 0)), int(event.get("total", 0)))
            if not self._active:
                self._clear()
            elif self._shown or self._clock() - self._since >= PATIENCE:
                self._draw()

    def fail(self) -> None:
        """Clears the bar: whatever is printed about the failure must start on a clean line.

        Operations of other threads draw it again with their next event.
        """
        with self._lock:
            self._active.clear()
            self._clear()

    def _draw(self) -> None:
        names = [name for name in self._active if name]
        label = names[0] if len(names) == 1 else f"{len(names)} units" if names else ""
        done = sum(done for done, _ in self._active.values())
        total = sum(total for _, total in self._active.values())
        self._surface.show(label, min(done, total), total)
        self._shown = True

    def _clear(self) -> None:
        if self._shown:
            self._surface.clear()
            self._shown = False


class Terminal:
    """A bar in the last line of a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        encoding = str(getattr(stream, "encoding", None) or "ascii").lower()
        self._full, self._empty = ("━", "─") if encoding.startswith("utf") else ("#", "-")

    def show(self, label: str, done: int, total: int) -> None:
        """Draws the bar over the last one."""
        columns = shutil.get_terminal_size().columns - 1
        percentage = f"{done * 100 // total if total else 0:3d} %"
        numbers = f"{percentage}  {size(done)} of {size(total)}"
        label = label.encode("ascii", "replace").decode() if self._full == "#" else label
        label = label[: max(0, columns - len(numbers) - 4)]
        width = min(30, columns - len(label) - len(numbers) - 4)
        bar = ""
        if width >= 5:
            full = done * width // total if total else 0
            bar = styled(self._full * full, "36", self._stream) + self._empty * (width - full)
        self._write("\r" + "  ".join(part for part in (label, bar, numbers) if part) + self._rest())

    def clear(self) -> None:
        """Leaves an empty line, the cursor at its start."""
        if is_terminal(self._stream):
            self._write("\r" + self._rest())
        else:
            self._write("\n")

    def _rest(self) -> str:
        """Removes what an older and longer line left behind."""
        return "\x1b[K" if is_terminal(self._stream) else ""

    def _write(self, text: str) -> None:
        say(self._stream, text)


class Notebook:
    """A bar in the output of a notebook's cell: one display that is updated."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, label: str, done: int, total: int) -> None:
        """Draws the bar over the last one."""
        self._update(
            f"<div><code>{html.escape(label)}</code> "
            f'<progress value="{done}" max="{max(total, 1)}" style="width: 20em; vertical-align: middle"></progress> '
            f"{size(done)} of {size(total)}</div>"
        )

    def clear(self) -> None:
        """Empties the display; the next operation has its own, in the cell that runs then."""
        self._update("")
        self._handle = None

    def _update(self, text: str) -> None:
        with contextlib.suppress(Exception):
            display = sys.modules["IPython"].display
            if self._handle is None:
                self._handle = display.display(display.HTML(text), display_id=True)
            else:
                self._handle.update(display.HTML(text))
