"""How progress looks: terminal, notebook, lines of JSON, nothing."""

import io
import json
import sys
import textwrap
import types
from typing import Any

import pytest

from kit.world import World
from magic_module._py import progress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Screen(io.TextIOWrapper):
    """A stream that is a terminal, or not."""

    def __init__(self, terminal: bool = True, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding, newline="\n")
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def take(self) -> str:
        self.flush()
        raw = self.buffer
        assert isinstance(raw, io.BytesIO)
        text = raw.getvalue().decode(self.encoding)
        raw.seek(0)
        raw.truncate()
        return text


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delitem(sys.modules, "IPython", raising=False)


def fetch(done: int, total: int = 1000, unit: str = "alpha", status: str = "") -> dict[str, Any]:
    percentage = done * 100 / total
    event = {"event": "fetch", "unit": unit, "artifact": "alpha.csv", "url": "", "status": status}
    return {**event, "bytes": done, "total": total, "percentage": percentage}


def test_a_bar_comes_after_half_a_second_and_goes_with_the_operation() -> None:
    clock, screen = Clock(), Screen()
    bar = progress.Bar(progress.Terminal(screen), clock)
    bar(fetch(0))
    clock.now += 0.49
    bar(fetch(100))
    assert screen.take() == ""
    clock.now += 0.01
    bar({"event": "load", "unit": "alpha"})
    bar(fetch(500))
    assert screen.take() == f"\ralpha  {'━' * 15}{'─' * 15}   50 %  500 B of 1000 B\x1b[K"
    bar(fetch(1000, status="done"))
    assert screen.take() == "\r\x1b[K"
    bar(fetch(0))
    clock.now += 0.1
    bar(fetch(1000, status="done"))
    assert screen.take() == ""


def test_what_fails_leaves_a_clean_line() -> None:
    clock, screen = Clock(), Screen()
    bar = progress.Bar(progress.Terminal(screen), clock)
    bar(fetch(0))
    clock.now += 1
    bar(fetch(10))
    assert screen.take() != ""
    bar.fail()
    assert screen.take() == "\r\x1b[K"


def test_operations_of_several_threads_share_the_bar() -> None:
    clock, screen = Clock(), Screen()
    bar = progress.Bar(progress.Terminal(screen), clock)
    bar(fetch(0, unit="alpha"))
    clock.now += 1
    bar(fetch(2048, 4096, unit="beta"))
    assert "2 units" in screen.take()
    bar(fetch(1000, unit="alpha", status="done"))
    assert "\rbeta  " in (text := screen.take()) and "50 %  2.0 KiB of 4.0 KiB" in text
    bar(fetch(4096, 4096, unit="beta", status="done"))
    assert screen.take() == "\r\x1b[K"


@pytest.mark.parametrize("columns", [1, 20, 30, 40, 200])
def test_a_bar_never_wraps(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    screen = Screen()
    progress.Terminal(screen).show("a.very.long.name.of.a.unit", 1 << 40, 1 << 41)
    line = screen.take().removeprefix("\r").removesuffix("\x1b[K")
    assert len(line) < max(columns, len(" 50 %  1024.0 GiB of 2048.0 GiB") + 1)


def test_a_terminal_that_knows_only_ascii() -> None:
    screen = Screen(encoding="ascii")
    progress.Terminal(screen).show("größe", 1, 2)
    assert screen.take() == f"\rgr??e  {'#' * 15}{'-' * 15}   50 %  1 B of 2 B\x1b[K"


def test_a_closed_stream_fails_nothing() -> None:
    screen = Screen()
    terminal = progress.Terminal(screen)
    screen.close()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    terminal.clear()


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress.styled("x", "36", Screen()) == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "xterm")
    assert progress.styled("x", "36", Screen()) == "\x1b[36mx\x1b[0m"
    assert progress.styled("x", "36", Screen(terminal=False)) == "x"


def test_which_renderer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Screen())
    assert isinstance(progress.renderer("auto"), progress.Bar)
    assert progress.renderer("off") is None
    assert progress.renderer("json") is progress.json_lines
    monkeypatch.setattr(sys, "stderr", Screen(terminal=False))
    assert progress.renderer("auto") is None
    assert isinstance(progress.renderer("bar"), progress.Bar)
    monkeypatch.setattr(sys, "stderr", None)
    assert progress.renderer("auto") is progress.renderer("bar") is None


def test_lines_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(terminal=False)
    monkeypatch.setattr(sys, "stderr", screen)
    progress.json_lines(fetch(1))
    progress.json_lines(fetch(2))
    assert [json.loads(line)["bytes"] for line in screen.take().splitlines()] == [1, 2]


def test_a_notebook_gets_one_display_for_each_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[int, str]] = []

    class Handle:
        def __init__(self) -> None:
            self.number = len({number for number, _ in shown}) + 1

        def update(self, text: str) -> None:
            shown.append((self.number, text))

    def display(text: str, display_id: bool) -> Handle:
        assert display_id
        handle = Handle()
        handle.update(text)
        return handle

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    ipython.display = types.SimpleNamespace(HTML=str, display=display)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert isinstance(progress.renderer("auto"), progress.Bar)
    clock = Clock()
    bar = progress.Bar(progress.Notebook(), clock)
    for _ in range(2):
        bar(fetch(0, unit="<alpha>"))
        clock.now += 1
        bar(fetch(250, unit="<alpha>"))
        bar(fetch(500, unit="<alpha>"))
        bar(fetch(1000, unit="<alpha>", status="done"))
    assert [number for number, _ in shown] == [1, 1, 1, 2, 2, 2]
    assert "<code>&lt;alpha&gt;</code>" in shown[0][1] and 'value="250" max="1000"' in shown[0][1]
    assert shown[2] == (1, "")


def test_a_terminal_ipython_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert not progress.in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    assert not progress.in_notebook()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (45012, "44.0 KiB"),
        (1 << 20, "1.0 MiB"),
        (5 << 40, "5120.0 GiB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert progress.size(count) == text


#: Ways to replace stderr; each made an import fail that shows progress.
ODD = {
    "none": "sys.stderr = None",
    "closed": "sys.stderr = io.StringIO(); sys.stderr.close()",
    "binary": "sys.stderr = io.BytesIO()",
    "without flush": "sys.stderr = types.SimpleNamespace(write=lambda text: None, isatty=lambda: True)",
    "without anything": "sys.stderr = object()",
    "text in memory": "sys.stderr = io.StringIO()",
    "only ascii": "sys.stderr = io.TextIOWrapper(io.BytesIO(), encoding='ascii')",
    **{
        error: f"""
            class Odd(io.StringIO):
                def write(self, text):
                    raise {error}
                isatty = flush = write
            sys.stderr = Odd()
            """
        for error in (
            "OSError(5, 'x')",
            "BlockingIOError(11, 'x', 0)",
            "BrokenPipeError(32, 'x')",
            "UnicodeEncodeError('ascii', 'x', 0, 1, 'x')",
            "RuntimeError('x')",
        )
    },
}


@pytest.mark.parametrize("mode", ["json", "bar", "auto"])
def test_no_stderr_ends_an_import(world: World, mode: str) -> None:
    world.publish({f"unit{number}.py": f"VALUE = {number}\n" for number in range(len(ODD))})
    server = world.serve()
    steps = ["import importlib, io, sys, types", "first = sys.stderr"]
    for number, change in enumerate(ODD.values()):
        importing = f"importlib.import_module('magic_module.unit{number}')"
        steps += [
            textwrap.dedent(change),
            f"value = {importing}.VALUE",
            "sys.stderr = first",
            f"assert value == {number}",
        ]
    steps.append("print('done')")
    assert (
        world.run(
            "\n".join(steps), env={"MAGIC_MODULE_MANIFEST_URL": server.manifest_url, "MAGIC_MODULE_PROGRESS": mode}
        ).stdout
        == "done\n"
    )


@pytest.mark.parametrize("odd", ODD)
def test_no_stderr_is_too_odd_for_a_renderer(monkeypatch: pytest.MonkeyPatch, odd: str) -> None:
    stderr = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stderr", stderr)
    exec(textwrap.dedent(ODD[odd]), {"io": io, "sys": sys, "types": types})
    progress.json_lines(fetch(1))
    for mode in ("auto", "bar"):
        shown = progress.renderer(mode)
        if isinstance(shown, progress.Bar):
            shown._clock = clock = Clock()
            shown(fetch(0))
            clock.now += 1
            shown(fetch(500))
            shown(fetch(1000, status="done"))
