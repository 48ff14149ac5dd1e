"""Whoever asks `help()` is told: every public name has a text, and the stub says the same."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import magic_module as mm

STUB = Path(mm.__file__).with_name("_native.pyi")

QUIET = ("__eq__", "__hash__", "__iter__", "__reduce__")
"""Methods that need no text."""

PYTHON = (
    *("ApprovedModule", "Difference", "Installed", "Link", "Registry", "Run", "Space"),
    *("arun", "install", "load_links", "run"),
)
"""What no stub tells of: it is written in Python."""


def public() -> dict[str, Any]:
    """What a user can call or look at, by its name below `mm`."""
    found: dict[str, Any] = {}
    for name in mm.__all__:
        thing = getattr(mm, name)
        if inspect.isclass(thing):
            members = [member for member in vars(thing) if not member.startswith("_")]
            if name == "Mount":
                members += ["__enter__", "__exit__"]
            found |= {f"{name}.{member}": getattr(thing, member) for member in members}
        if not isinstance(thing, str):
            found[name] = thing
    return found


def stubbed() -> Iterator[tuple[str, str]]:
    """What the stub says of each name."""
    for node in ast.parse(STUB.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, ast.get_docstring(node) or ""
            for inner in getattr(node, "body", []):
                if isinstance(inner, ast.FunctionDef) and inner.name not in QUIET:
                    yield f"{node.name}.{inner.name}", ast.get_docstring(inner) or ""


@pytest.mark.parametrize("name", sorted(public()))
def test_a_public_name_has_a_text_that_names_its_arguments(name: str) -> None:
    thing = public()[name]
    text = inspect.getdoc(thing) or ""
    assert text.split("\n")[0].endswith((".", ":"))
    if not callable(thing) or inspect.isclass(thing):
        return
    arguments = [argument for argument in inspect.signature(thing).parameters if argument != "self"]
    for argument in arguments:
        assert f"\n    {argument}: " in text, argument
    if "." not in name:
        assert "\nRaises:\n    " in text
        assert "\nExample:\n    >>> " in text


def test_the_stub_says_the_same() -> None:
    runtime = {name: inspect.getdoc(thing) for name, thing in public().items()}
    said = dict(stubbed())
    assert said == {name: runtime[name] for name in said}
    own = {name for name in runtime if not name.startswith(PYTHON)}
    python = {"Request", "aprefetch", "errors", "events", "integrations", "progress"}
    assert {name for name in own if name not in said} == python


def test_every_error_and_warning_has_a_text() -> None:
    classes = [thing for thing in vars(mm.errors).values() if inspect.isclass(thing)]
    own = [thing for thing in classes if thing.__module__ == "magic_module.errors"]
    assert len(own) > 10
    for thing in own:
        assert "__doc__" in vars(thing) and thing.__doc__
        public = [member for name, member in vars(thing).items() if not name.startswith("_") and callable(member)]
        assert all(map(inspect.getdoc, public)), thing
