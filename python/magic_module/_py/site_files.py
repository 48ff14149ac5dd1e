"""What wheels of a lock have an interpreter do when it starts: the lines of their `.pth` and `.start` files.

In an environment `site` runs them. A view does not contain these files: their text comes from wheels that were checked,
and is run here, for the view. As with `site`, a line that fails ends its own file, and nothing else.

<https://docs.python.org/3/library/site.html>, <https://peps.python.org/pep-0829/>
"""

import os
import site
import sys

# Every start reads this file: it loads nothing that only types need.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType


def run(folder: str, files: list[tuple[str, str, str]]) -> None:
    """Runs the lines of all files; `folder` is the one of the view in which each, by its name, would stand.

    Each comes with its text, and with what people call its distribution.
    """
    heeds_start = sys.version_info >= (3, 15)
    started = {name.removesuffix(".start") for name, _, _ in files if name.endswith(".start")}
    for name, text, title in files:
        # A file beside it may say the same without code.
        is_replaced = heeds_start and name.removesuffix(".pth") in started
        if name.endswith(".pth") and not is_replaced:
            _run_lines(folder, name, text, title)
    for name, text, title in files:
        if name.endswith(".start") and heeds_start:
            _call_entries(name, text, title)


def _run_lines(folder: str, name: str, text: str, title: str) -> None:
    path = os.path.join(folder, name)
    known = {**vars(site), "__name__": name}
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(("import ", "import\t")):
            try:
                # Tracebacks, and a trace, name the file and the line.
                code = compile("\n" * (number - 1) + line.rstrip(), path, "exec", dont_inherit=True)
                _run_line(code, known, folder)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                _say(f"line {number} of {name}", title, error, "the rest of that file was not run")
                return


def _run_line(code: "CodeType", known: dict[str, object], sitedir: str) -> None:
    """A line of a namespace package reads `sitedir` from the frame that runs it."""
    exec(code, known, {"sitedir": sitedir})


def _call_entries(name: str, text: str, title: str) -> None:
    import pkgutil

    for line in map(str.strip, text.splitlines()):
        if line and not line.startswith("#"):
            try:
                pkgutil.resolve_name(line)()
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                _say(f"{line}, which {name} names,", title, error, "what else it names was run")


def _say(what: str, title: str, error: BaseException, effect: str) -> None:
    if sys.stderr is None:
        return
    how = "wanted to exit" if isinstance(error, SystemExit) else f"failed: {type(error).__name__}: {error}"
    print(f"magic-module: {what} of {title} {how}; {effect}", file=sys.stderr)
