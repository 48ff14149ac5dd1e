"""What is offered after `import`: also what is not downloaded, and it stays so (IPython: tests/neighbours)."""

from __future__ import annotations

import sys

import pytest

from kit.locks import Lock
from kit.wheels import wheel
from kit.world import World

pytestmark = pytest.mark.once

UNITS = {
    "alpha.py": "raise SystemExit('run')\n",
    "pack/__init__.py": "raise SystemExit('run')\n",
    "pack/part.py": "",
    "pack/deep/__init__.py": "",
    "pack/deep/leaf.py": "",
}


def settings(world: World) -> dict[str, str]:
    """A manifest for `magic_module`, and a lock."""
    world.publish(UNITS)
    files = {"locked/__init__.py": "raise SystemExit('run')\n", "locked/inner.py": "", "single.py": ""}
    lock = Lock(world.path / "project", [wheel("Locked", "1.0", files)])
    return {"MAGIC_MODULE_MANIFEST_URL": world.serve().manifest_url, "MAGIC_MODULE_LOCK": str(lock.path)}


def test_names_are_known_before_anything_is_downloaded(world: World) -> None:
    script = """
    import json, sys
    from magic_module import _native
    _native._mount_said()
    from magic_module._py.completing import names_below, top_names
    names = ("magic_module.pack", "magic_module.pack.deep", "magic_module.alpha", "magic_module.absent", "locked", "os")
    print(json.dumps([sorted(top_names()), sorted(names_below("magic_module")), [names_below(name) for name in names],
        "locked" in sys.modules, "magic_module.pack" in sys.modules]))
    """
    tops, units, below, *loaded = world.run(script, env=settings(world)).json
    assert tops == ["locked", "magic_module", "single"]
    assert {"alpha", "pack", "errors"} <= {*units}
    assert below == [["deep", "part"], ["leaf"], [], [], ["inner"], None] and loaded == [False, False]
    assert world.trees() == []


@pytest.mark.skipif(sys.version_info < (3, 14), reason="the prompt completes imports since Python 3.14")
def test_the_prompt_of_python_offers_units(world: World) -> None:
    lines = {
        "import magic_module.al": ["magic_module.alpha"],
        "from magic_module import pa": ["pack"],
        "import magic_module.pack.pa": ["magic_module.pack.part"],
        "from magic_module.pack.deep import ": ["leaf"],
        "import locke": ["locked"],
        "from locked import in": ["inner"],
        "import json.dec": ["json.decoder"],
    }
    script = f"""
    import json
    {{first}}
    from _pyrepl._module_completer import ModuleCompleter
    {{last}}
    completer = ModuleCompleter({{{{"__package__": None}}}})
    found = [completer.get_completions(line) for line in {list(lines)!r}]
    print(json.dumps([it if isinstance(it, list) else it[0] for it in found]))
    """
    mount = "from magic_module import _native; _native._mount_said()"
    env = settings(world)
    for first, last in ((mount, ""), ("", mount)):
        found = world.run(script.format(first=first, last=last), env=env).json
        assert dict(zip(lines, found, strict=True)) == lines
    assert world.trees() == []
