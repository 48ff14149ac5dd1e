"""What a name comes close to: since CPython 3.15 finders are asked for what there is."""

from __future__ import annotations

import sys

from kit.world import World

UNITS = {"alpha/__init__.py": "", "alpha/deep.py": "", "beta.py": ""}


def test_a_misspelt_unit_is_compared_with_units(world: World) -> None:
    world.publish(UNITS)
    world.publish(UNITS, "acme", "other")
    server, other = world.serve(), world.serve("other")
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = server.manifest_url
    script = f"""
        import pkgutil, sys, traceback
        import magic_module as mm, magic_module.beta, magic_module.alpha
        mm.mount("acme", {other.manifest_url!r})
        import acme.beta
        for name in ("magic_module", "magic_module.alpha", "acme"):
            spec = sys.modules[name].__spec__
            entries = map(pkgutil.get_importer, sys.modules[name].__path__)
            ours = [entry for entry in entries if type(entry).__name__ == "_Entry"]
            found = [each for entry in ours for each in entry.discover(spec)]
            print([(each.name, each.submodule_search_locations is not None) for each in found])
        for statement in ("import magic_module.alhpa", "import magic_module.alpha.deap", "import acme.bata"):
            try:
                exec(statement)
            except ModuleNotFoundError as error:
                print(traceback.format_exception_only(error)[0].rpartition("mean: ")[2].strip())
        """
    said = world.run(script).stdout.splitlines()
    assert said[:3] == [
        "[('magic_module.alpha', True), ('magic_module.beta', False)]",
        "[('magic_module.alpha.deep', False)]",
        "[('acme.alpha', True), ('acme.beta', False)]",
    ]
    if sys.version_info >= (3, 15):
        assert said[3:] == ["'magic_module.alpha'?", "'magic_module.alpha.deep'?", "'acme.beta'?"]
