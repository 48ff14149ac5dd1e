"""Import hooks that take a unit's spec and build a loader of their own, which opens the file by its path."""

from __future__ import annotations

import pytest

from kit.process import PATIENCE
from kit.world import Acme, World

# What the hooks share: a loader that changes what it loads.
LOADER = """
import importlib.machinery, importlib.util, sys
class Changes(importlib.machinery.SourceFileLoader):
    def exec_module(self, module):
        super().exec_module(module)
        module.CHANGED = True
def applies(name):
    return name.startswith(PREFIX + "kp")
"""

# As typeguard and jaxtyping do: `PathFinder` finds, and what the loader knows goes to another one.
WRAPS = """
class Hook:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if not applies(name):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = Changes(spec.loader.name, spec.loader.path)
            return spec
sys.meta_path.insert(0, Hook)
"""

# The same of whoever knows the name, with nothing but its origin.
ORIGIN = """
class Hook:
    def find_spec(self, name, path=None, target=None):
        if not applies(name):
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None and spec.origin:
                return importlib.util.spec_from_file_location(name, spec.origin, loader=Changes(name, spec.origin),
                    submodule_search_locations=spec.submodule_search_locations)
sys.meta_path.insert(0, Hook())
"""

# One that steps aside while it asks the import system itself.
ASIDE = """
class Hook:
    def find_spec(self, name, path=None, target=None):
        if not applies(name):
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None and spec.origin:
            spec.loader = Changes(name, spec.origin)
        return spec
sys.meta_path.insert(0, Hook())
"""

HOOKS = {"wraps": WRAPS, "origin": ORIGIN, "aside": ASIDE}

UNITS = {
    "kp/__init__.py": "from .part import WHO\n",
    "kp/part.py": "WHO = 'right'\n",
    "kp/sub/__init__.py": "",
    "kp/sub/leaf.py": "WHO = 'leaf'\n",
}

USE = """
import importlib
kp, leaf = importlib.import_module(PREFIX + "kp"), importlib.import_module(PREFIX + "kp.sub.leaf")
print(kp.WHO, kp.CHANGED, leaf.WHO, leaf.CHANGED, hasattr(kp, "_upgrade"), hasattr(leaf, "_upgrade"))
"""

SAID = "right True leaf True True False\n"


def script(namespace: str, hook: str, use: str = USE) -> str:
    return f"PREFIX = {f'{namespace}.' if namespace else ''!r}\n{LOADER}{HOOKS[hook]}{use}"


@pytest.mark.parametrize("namespace", ["acme", ""], ids=["named", "top level"])
@pytest.mark.parametrize("hook", HOOKS)
def test_cold_and_warm(world: World, namespace: str, hook: str) -> None:
    made = Acme(world, "hook", UNITS, namespace=namespace, init=None)
    assert made.run(script(namespace, hook)).stdout == SAID


@pytest.mark.parametrize("hook", HOOKS)
def test_a_file_that_was_changed_is_mended_before_it_is_opened(world: World, hook: str) -> None:
    made = Acme(world, "hook", UNITS)
    made.run(script("acme", hook))
    (tree,) = world.trees()
    for name in ("kp/__init__.py", "kp/sub/leaf.py"):
        (tree / name).chmod(0o644)
        (tree / name).write_text("raise SystemExit('not what was pinned')\n")
    assert world.run(script("acme", hook)).stdout == SAID
    # Also while the process runs, when all of the unit was looked at already.
    use = f"""
import importlib, os
kp = importlib.import_module(PREFIX + "kp")
place = {str(tree / "kp/sub/leaf.py")!r}
os.chmod(place, 0o644)
open(place, "w").write("raise SystemExit('not what was pinned')")
print(importlib.import_module(PREFIX + "kp.sub.leaf").WHO)
"""
    assert world.run(script("acme", hook, use), warnings=False).stdout == "leaf\n"


@pytest.mark.parametrize("hook", HOOKS)
def test_what_is_changed_and_cannot_be_mended_is_refused(world: World, hook: str) -> None:
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    made.run(script("acme", hook))
    made.server.stop()
    (tree,) = world.trees()
    for blob in (world.cache / "v1" / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    (tree / "kp/part.py").chmod(0o644)
    (tree / "kp/part.py").write_text("raise SystemExit('not what was pinned')\n")
    use = "\nimport acme.kp\n"
    result = world.run(script("acme", hook, use), status=1)
    assert "not what was pinned" not in result.stderr
    assert "magic_module.errors.FetchError" in result.stderr


@pytest.mark.parametrize("hook", ["wraps", "origin"])
def test_an_upgrade_of_what_a_hook_loaded(world: World, hook: str) -> None:
    world.publish({"kp/__init__.py": "N = 1\n", "kp/part.py": "N = 1\n"}, "acme")
    server = world.serve()
    use = f"""
import magic_module
magic_module.mount("acme", {server.manifest_url!r})
import acme.kp as kp, acme.kp.part as part
print(kp.N, flush=True)
input()
print(kp._upgrade().changed, kp.N, part.N, kp.CHANGED, part.CHANGED)
"""
    started = world.start(script("acme", hook, use), input=True)
    assert world.line(started) == "1"
    world.publish({"kp/__init__.py": "N = 2\n", "kp/part.py": "N = 2\n"}, "acme")
    world.say(started)
    assert world.finish(started).stdout == "True 2 2 True True\n"


def test_a_unit_keeps_an_upgrade_of_its_own_under_a_hook(world: World) -> None:
    made = Acme(world, "hook", {"kp/__init__.py": "def _upgrade():\n    return 'own'\n"})
    for hook in HOOKS:
        assert made.run(script("acme", hook, "\nimport acme.kp\nprint(acme.kp._upgrade())\n")).stdout == "own\n"


@pytest.mark.parametrize("hook", HOOKS)
def test_a_version_that_is_gone_gives_way_under_a_hook(world: World, hook: str) -> None:
    """The manifest that is known names files that its site has no more."""
    world.publish({"kp/__init__.py": "WHO = 1\n", "other.py": ""}, "acme")
    server = world.serve()
    mount = f"\nimport magic_module\nmagic_module.mount('acme', {server.manifest_url!r})\n"
    world.run(f"{mount}import acme.other")
    for folder in ("files", "packs"):
        for file in (world.path / "site" / folder).rglob("*"):
            if file.is_file():
                file.unlink()
    world.publish({"kp/__init__.py": "WHO = 2\n", "other.py": ""}, "acme", drop_older_than=0)
    use = f"{mount}import acme.kp\nprint(acme.kp.WHO, acme.kp.CHANGED, hasattr(acme.kp, '_upgrade'))\n"
    assert world.run(script("acme", hook, use)).stdout == "2 True True\n"


def test_only_who_reads_the_path_of_a_loader_fetches(world: World) -> None:
    world.publish({"kp/__init__.py": "", "kp/part.py": "WHO = 'right'\n"}, "acme")
    server = world.serve()
    result = world.run(
        f"""
        import importlib.util, json, os, magic_module
        magic_module.mount("acme", {server.manifest_url!r})
        spec = importlib.util.find_spec("acme.kp")
        same = importlib.util.find_spec("acme.kp")
        loader = spec.loader
        before = [loader.get_filename() == loader.get_filename("acme.kp") == spec.origin, loader == same.loader,
            hash(loader) == hash(same.loader), loader.is_package("acme.kp"), os.path.exists(spec.origin)]
        print(json.dumps(before + [loader.path == spec.origin, os.path.exists(spec.origin)]))
        """
    )
    assert result.json == [True, True, True, True, False, True, True]


def test_imports_of_other_threads_go_on_while_a_hook_waits(world: World) -> None:
    """The import lock is given up: what another thread imports does not wait for a download."""
    made = Acme(world, "hook", {**UNITS, "other.py": "WHO = 'other'\n"})
    assert made.server is not None
    made.run("import acme.other")
    made.server.take()
    stalled = made.server.stall("/packs/")
    use = """
import threading, acme
thread = threading.Thread(target=lambda: __import__("acme.kp"))
thread.start()
input()
import colorsys, acme.other
print(acme.other.WHO, flush=True)
input()
thread.join()
print(acme.kp.CHANGED)
"""
    started = world.start(script("acme", "origin", use), input=True)
    assert stalled.reached.wait(PATIENCE)
    world.say(started)
    assert world.line(started) == "other"
    stalled.release.set()
    world.say(started)
    assert world.finish(started).stdout == "True\n"
