"""`lazy import` (PEP 810): nothing is downloaded before a name is used, and then the errors are ours."""

from __future__ import annotations

import sys

import pytest

from kit.world import Acme, World

pytestmark = pytest.mark.skipif(sys.version_info < (3, 15), reason="lazy imports are new in 3.15")

UNITS = {
    "plain.py": "VALUE = 41\n",
    "tools/__init__.py": "from .inner import DEPTH\nNAME = __name__\n",
    "tools/inner.py": "DEPTH = 2\n",
    "wants.py": "lazy from acme.plain import VALUE\nlazy import acme.tools\n\ndef value():\n    return VALUE\n",
}


def served(world: World) -> Acme:
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    # The manifest is known from here on: what is asked for below is what is downloaded.
    assert world.run("import magic_module as mm, acme; print(len(mm.available('acme')))").stdout == "3\n"
    made.server.take()
    return made


LAZY = """
import sys
lazy import acme.plain
lazy from acme.tools import NAME
lazy from acme import wants
print([name for name in sys.modules if name.startswith("acme")], flush=True)
"""


def test_nothing_is_downloaded_before_a_name_is_used(world: World) -> None:
    made = served(world)
    assert made.server is not None
    assert world.run(LAZY).stdout == "[]\n"
    assert made.server.take() == []
    # One unit is asked for by each use; the imports of a unit are as lazy as it says.
    used = world.run(LAZY + "print(NAME, 'acme.plain' in sys.modules, wants.value(), 'acme.plain' in sys.modules)")
    assert used.stdout == "[]\nacme.tools False 41 True\n"
    assert len(made.server.take()) == 3
    made.server.stop()
    assert world.run(LAZY + "print(acme.plain.VALUE, wants.acme.tools.NAME)").stdout == "[]\n41 acme.tools\n"


def test_what_fails_says_why_where_the_name_is_used(world: World) -> None:
    made = served(world)
    assert made.server is not None
    start = f"cannot fetch {made.server.url}/files/"
    made.server.stop()
    script = """
import magic_module as mm
lazy import acme.absent
for use in (lambda: wants.value(), lambda: acme.plain.VALUE, lambda: acme.absent):
    try:
        use()
    except (mm.errors.FetchError, ModuleNotFoundError) as error:
        print(error)
"""
    listed, wants, plain, absent = world.run(LAZY + script).stdout.splitlines()
    assert (listed, absent) == ("[]", "No module named 'acme.absent'")
    for said in (wants, plain):
        assert said.startswith(start) and "start the server" in said


def test_an_interpreter_that_imports_everything_lazily(world: World) -> None:
    made = served(world)
    assert made.server is not None
    flags = ["-X", "lazy_imports=all"]
    script = (
        "import sys, acme.plain, acme.tools, acme.wants\nprint([name for name in sys.modules if 'acme.' in name])\n"
    )
    assert world.run(script, flags=flags).stdout == "[]\n"
    assert made.server.take() == []
    used = world.run(script + "print(acme.wants.value(), acme.tools.NAME, acme.tools.DEPTH)", flags=flags)
    assert used.stdout == "[]\n41 acme.tools 2\n"
    demo = world.run(None, flags=flags, args=["-m", "magic_module", "demo"])
    assert demo.stderr == ""
