"""`run` with a limit, a space or `--json`: the program runs in processes of its own."""

from __future__ import annotations

import argparse
import os
import sys

from magic_module._py.cli.answer import Answer, WrongUsage
from magic_module._py.progress import say, size
from magic_module._py.running.result import Run
from magic_module._py.running.running import Life, perform
from magic_module._py.running.starting import Wanted, checked, placed

LIMITS = ("timeout", "memory", "cpu", "open_files", "processes")
ENDED = 124
"""The exit status where a limit ended the run, as `timeout` has it."""


def within(options: argparse.Namespace, program: list[str], lock: str | None, flags: list[str]) -> Answer:
    """Runs the program, and answers with how it ended."""
    placed(options.lock, options.space)
    mount = None
    if lock is not None and options.space is None:
        special = {"extras": options.extra, "groups": options.group, "build": options.build}
        special["unhashed"] = options.allow_unhashed
        mount = {"lock": os.path.abspath(lock), **{key: value for key, value in special.items() if value}}
    wanted = Wanted(
        program=checked(program),
        lock=mount,
        space=options.space,
        **{limit: getattr(options, limit) for limit in LIMITS},
        network=not options.no_network,
        env=dict(variable(text) for text in options.env),
        prefetch=options.prefetch,
        flags=flags,
    )
    run = perform(wanted, None if options.json else show, Life())
    if run.limit is not None and not options.json:
        say(sys.stderr, f"magic-module: {sentence(run, wanted)}\n")
    return Answer(run.to_dict(), status=status(run))


def variable(text: str) -> tuple[str, str]:
    """`NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise WrongUsage(f"--env takes NAME=VALUE, not {text}")
    return name, value


def show(stream: str, text: str) -> None:
    """What the program wrote goes where it would have gone."""
    target = sys.stdout if stream == "stdout" else sys.stderr
    if target is not None:
        target.write(text)
        target.flush()


def status(run: Run) -> int:
    """The program's own; 124 where a limit ended it, and 128 with the signal's number added where that did."""
    if run.limit is not None:
        return ENDED
    return 128 + (run.signal or 0) if run.status is None else run.status


def sentence(run: Run, wanted: Wanted) -> str:
    """Which limit ended the run, and how it is raised."""
    why = {
        "timeout": f"it took longer than {wanted.timeout:g} s" if wanted.timeout else "",
        "memory": f"it took more memory than {size(wanted.memory)}" if wanted.memory else "",
        "cpu": f"it took more than {wanted.cpu:g} s of the processor" if wanted.cpu else "",
        "processes": f"it had more than {wanted.processes} processes",
    }
    return f"{run.script} was ended: {why[run.limit or '']}; raise --{run.limit} if it needs that"
