"""Completion in IPython and in a Jupyter kernel: units are offered, and none is downloaded for it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from kit.locks import Lock
from kit.wheels import wheel
from kit.world import World

pytest.importorskip("ipykernel", reason="NOT TESTED: ipykernel is not installed")

#: What is typed, and what must be offered; in this order, in one session.
LINES = {
    "import magic_module.al": ["magic_module.alpha"],
    "from magic_module import al": ["alpha"],
    "from magic_module.pack import ": ["part"],
    "import magic_module.pack.pa": ["magic_module.pack.part"],
}
LOCKED = {"import locke": ["locked"], "from locked import in": ["inner"]}

SHELL = """
import json, sys
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.Completer.use_jedi = "jedi" in sys.argv
found = []
with provisionalcompleter():
    for line in json.loads(sys.argv[1]):
        found.append([each.text for each in shell.Completer.completions(line, len(line))])
print(json.dumps(found))
"""

KERNEL = """
import json, sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="python3")
found = []
for line in json.loads(sys.argv[1]):
    reply = client.complete(line, reply=True, timeout=60)
    found.append(reply["content"]["matches"])
client.stop_channels()
manager.shutdown_kernel(now=True)
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    ("script", "words", "has_lock"),
    # A lock is mounted before IPython starts; without one, the first completion imports `magic_module`.
    [(SHELL, [], False), (SHELL, ["jedi"], True), (KERNEL, [], True)],
    ids=["ipython", "ipython-with-jedi", "kernel"],
)
def test_units_are_offered_and_not_downloaded(world: World, script: str, words: list[str], has_lock: bool) -> None:
    units = {"alpha.py": "raise SystemExit('run')\n", "pack/__init__.py": "raise SystemExit('run')\n"}
    world.publish({**units, "pack/part.py": ""})
    settings = {"MAGIC_MODULE_MANIFEST_URL": world.serve().manifest_url}
    lines = LINES
    if has_lock:
        lock = Lock(world.path / "project", [wheel("Locked", files={"locked/__init__.py": "", "locked/inner.py": ""})])
        settings["MAGIC_MODULE_LOCK"] = str(lock.path)
        lines = LINES | LOCKED
    ended = subprocess.run(
        [sys.executable, "-c", script, json.dumps(list(lines)), *words],
        cwd=world.work,
        env=world.environment(settings),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout.splitlines()[-1])
    assert dict(zip(lines, found, strict=True)) == lines
    assert world.trees() == []
