"""The reference names every command and option of the command line, every argument of a call, and no other."""

import argparse
import inspect
import re
from pathlib import Path

import magic_module as mm
from magic_module._py.cli.parser import command_line

SETTINGS = Path(__file__).parents[2].joinpath("docs/reference/settings.md").read_text(encoding="utf-8")
COMMAND_LINE = SETTINGS.partition("## Options of `magic-module`")[2].partition("## Arguments")[0]


def parsers() -> list[argparse.ArgumentParser]:
    top = command_line()
    found = [top]
    for parser in found:
        found += commands(parser).values()
    return found


def commands(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    tables = [action for action in top._actions if isinstance(action, argparse._SubParsersAction)]
    return {name: parser for table in tables for name, parser in table.choices.items()}


def test_every_option_stands_in_the_reference_and_no_other() -> None:
    there = {flag for parser in parsers() for action in parser._actions for flag in action.option_strings}
    named = set(re.findall(r"`(--?[a-z-]+)", COMMAND_LINE))
    assert named == there


def test_every_command_stands_in_the_reference_and_no_other() -> None:
    sentence = COMMAND_LINE.partition("Commands: ")[2]
    assert set(re.findall(r"`([a-z]+)", sentence)) == set(commands(command_line()))


def test_the_overview_of_the_api_has_the_signatures_of_the_package() -> None:
    text = Path(__file__).parents[2].joinpath("docs/reference/api.md").read_text(encoding="utf-8")
    written = re.findall(r"^\| `(?:await )?mm\.([a-z_]+\(.*?\))` \|", text, re.MULTILINE)
    assert len(written) > 15
    for call in written:
        name = call.partition("(")[0]
        if not call.endswith("(…)"):
            # The types stand in the stub. `...` is what PyO3 shows of an empty tuple.
            parameters = inspect.signature(getattr(mm, name)).parameters.values()
            bare = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
            assert call == f"{name}{inspect.Signature(bare)}".replace("'", '"').replace("Ellipsis", "()")
