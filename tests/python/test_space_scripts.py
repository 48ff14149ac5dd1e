"""`[scripts]` of a space: what the script's own files may import."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kit.locks import Lock
from kit.sources import write_tree
from kit.wheels import wheel
from kit.world import World

pytestmark = pytest.mark.once

START = "from magic_module import _native; _native._start()\n"

TRY = """
import importlib, json
told = {}
for line in LINES:
    try:
        exec(compile(line, __file__, "exec"), {"__name__": "__main__", "importlib": importlib})
        told[line] = "imported"
    except ImportError as error:
        told[line] = f"{type(error).__name__} {error.path}"
print(json.dumps(told))
"""

LINES = {
    "import json, xml.dom": "imported",
    "import bifrost": "imported",
    "import bifrost.api": "imported",
    "from bifrost import api": "imported",
    "import helper": "imported",
    # The lock's, and one that is installed.
    "import numbers_of_lock": "PolicyError scripts.allow",
    "import packaging": "PolicyError scripts.allow",
    "from packaging import version": "PolicyError scripts.allow",
    # `bifrost` has imported it: it is in `sys.modules`.
    "import shared": "PolicyError scripts.deny[0]",
    "import shared.deep as it": "PolicyError scripts.deny[0]",
    "from shared import deep": "PolicyError scripts.deny[0]",
    "importlib.import_module('shared.other')": "PolicyError scripts.deny[0]",
    "from bifrost import inner as not_loaded_yet": "PolicyError scripts.deny[1]",
    "importlib.import_module('packaging')": "PolicyError scripts.allow",
    "import nowhere": "PolicyError scripts.allow",
    "importlib.import_module('shared')": "PolicyError scripts.deny[0]",
    "__import__('shared')": "PolicyError scripts.deny[0]",
    # Behind the guard rail, as the documentation says.
    "import sys; sys.modules['shared']": "imported",
    "from bifrost import VALUE": "imported",
    "import magic_module; magic_module.errors": "imported",
    "import allowed_of_lock": "imported",
}


def test_what_a_script_may_import(world: World) -> None:
    folder = world.path / "locks"
    wheels = [
        wheel("allowed-of-lock", "1", {"allowed_of_lock.py": "import numbers_of_lock"}, requires=["numbers-of-lock"]),
        wheel("numbers-of-lock", "1", {"numbers_of_lock.py": ""}),
    ]
    lock = Lock(folder, wheels, url=(folder / "wheels").as_uri()).path
    platform = world.path / "platform"
    write_tree(
        platform,
        {
            "bifrost/__init__.py": "import shared.deep, packaging; VALUE = 1",
            "bifrost/api.py": "",
            "bifrost/inner.py": "import numbers_of_lock",
            "shared/__init__.py": "",
            "shared/deep.py": "",
            "shared/other.py": "",
        },
    )
    registry = world.path / "modules.toml"
    rule = "allow = ['bifrost.*', 'allowed_of_lock', 'shared']\ndeny = ['shared.*', 'bifrost.inner']\n"
    registry.write_text(f"[scripts]\n{rule}")
    spaces = world.path / "spaces"
    world.extra = {"MAGIC_MODULE_SPACES_DIR": str(spaces), "PYTHONPATH": str(platform)}
    create = ("create", "org-123", "--lock", str(lock), "--registry", str(registry))
    world.run(None, flags=("-m", "magic_module", "space"), args=create)
    script = world.work / "scripts" / "report.py"
    write_tree(script.parent, {"helper.py": "", "report.py": f"{START}LINES = {list(LINES)!r}\n{TRY}"})
    inside = {"MAGIC_MODULE_SPACE": "org-123"}
    assert world.run(None, args=(str(script),), env=inside).json == LINES
    outside = world.run(None, args=(str(script),)).json
    assert outside["import shared"] == outside["import packaging"] == "imported"

    write_tree(script.parent, {"helper.py": "import shared", "own.py": f"{START}import helper"})
    refused = world.run(None, args=(str(script.parent / "own.py"),), env=inside, status=1).stderr
    file = spaces / "org-123" / "modules.toml"
    assert refused.strip().splitlines()[-1] == (
        f"magic_module.errors.PolicyError: `import shared` in {script.parent / 'helper.py'} is refused: "
        f'scripts.deny[0] of {file} is "shared.*"; ask whoever keeps {file} to change that, or do without it'
    )
    lines = [json.loads(line) for line in (file.parent / "journal" / "audit.jsonl").read_text().splitlines()]
    last = lines[-1]
    assert (last["decision"], last["import"], last["rule"]) == ("refused", "shared", "scripts.deny[0]")
    assert Path(last["importer"]).name == "helper.py"

    file.write_text("[scripts]\nalow = []\n")
    closed = world.run(START + "import json", env=inside, status=1).stderr
    assert "scripts has no key alow: did you mean allow?" in closed
    still = "try:\n    _native._start()\nexcept ImportError:\n    pass\nimport packaging"
    start = START.replace("; _native._start()", "")
    assert "did you mean allow?" in world.run(start + still, env=inside, status=1).stderr
    assert "PolicyError" not in world.run("print(1)", env=inside).stdout
