"""The command `magic-module`: options in, one answer out.

```text
stdout   the answer: aligned text, or with --json one object with "schema": 1 (also when it is an error)
stderr   progress, and `magic-module: <one sentence>` when something failed
status   0 done    1 the answer is no    2 wrong usage    130 interrupted
```

`parser` has every command and option, and names the function that each command runs: one file per family of commands,
which is loaded when one of them is run.
"""

from __future__ import annotations

import os
import sys

from magic_module import _native
from magic_module._native import _shown as shown

TYPE_CHECKING = False  # as type checkers know it; importing `typing` is a tenth of what a command takes
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any, TextIO

    from magic_module._py.cli.answer import Answer
    from magic_module.errors import MagicModuleError

WRONG_USAGE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the result is the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show an arrow shows a question mark; it does not fail.
        try:  # noqa: SIM105 - loading contextlib takes longer than a `sync` that has nothing to do
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
        except (AttributeError, ValueError):
            pass
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        said = _unchanged(words)
        if said is None:
            return _run_words(words)
        _say(sys.stdout, said)
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has enough. Python would complain once more when it closes stdout.
        try:  # noqa: SIM105
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except (OSError, ValueError):
            pass
        return BROKEN_PIPE


def _unchanged(words: list[str]) -> str | None:
    """What `sync` says if nothing is to be done; None for whatever else it is.

    Reading the command line as all commands do would take longer than finding out.
    """
    rest = [word for word in words if word != "--json"]
    if rest[:1] != ["sync"] or len(rest) > 2 or any(word.startswith("-") for word in rest):
        return None
    try:
        answer = _native._synced(rest[1] if len(rest) == 2 else ".")
    except (ImportError, OSError):
        return None  # whoever looks again says why
    if answer is None:
        return None
    as_json, _, text = answer.partition("\n")
    return as_json if "--json" in words else text


def _run_words(words: list[str]) -> int:
    from magic_module._py.cli.answer import WrongUsage
    from magic_module._py.cli.parser import command_line

    options = command_line().parse_args(words)
    try:
        return _run(options)
    except WrongUsage as wrong:
        program = f"magic-module {options.command}"
        _say(sys.stderr, f"{program}: {shown(str(wrong), 1500)}; see {program} --help")
        return WRONG_USAGE


def _run(options: argparse.Namespace) -> int:
    import importlib

    from magic_module._py.cli.answer import WrongUsage
    from magic_module.errors import MagicModuleError

    try:
        family, _, function = options.run.partition(".")
        command = getattr(importlib.import_module(f"{__name__}.{family}"), function)
        answer: Answer | None = command(options)
    except MagicModuleError as error:
        return _fail(options, error)
    except (BrokenPipeError, WrongUsage):
        raise
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        what = f"cannot {options.command}{where}: {error.strerror or error}"
        return _fail(options, MagicModuleError(what, path=str(error.filename) if error.filename else None))
    except Exception as error:
        hint = "this is a bug of magic-module, please report it"
        what = " ".join(f"cannot {options.command}: {type(error).__name__}: {error}; {hint}".split())
        return _fail(options, MagicModuleError(what, hint=hint))
    if answer is None:
        return 0
    if options.json:
        _print_json(options, answer.data)
    elif answer.lines:
        _say(sys.stdout, "\n".join(answer.lines))
    return answer.status


def _fail(options: argparse.Namespace, error: MagicModuleError) -> int:
    if options.json:
        _print_json(options, {"error": error.to_dict()})
    else:
        _say(sys.stderr, f"magic-module: {error}")
    return 1


def _print_json(options: argparse.Namespace, data: dict[str, Any]) -> None:
    import json  # a fifth of what starting takes

    from magic_module.errors import SCHEMA

    document = {"schema": SCHEMA, "command": options.command, **data}
    _say(sys.stdout, json.dumps(document, ensure_ascii=False))


def _say(stream: TextIO | None, text: str) -> None:
    # Without a stderr, `print` would take stdout for it.
    if stream is not None:
        # Flushed at once, so that a broken pipe shows here and not at exit.
        print(text, file=stream, flush=True)
