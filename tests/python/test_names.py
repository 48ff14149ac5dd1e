"""A name belongs to one source: what that does not have is asked of nobody else."""

from __future__ import annotations

import pytest

from kit.world import World

TRY = """
    import importlib, importlib.util, json, magic_module
    {mounts}
    said = []
    for name in {names!r}:
        try:
            said.append(importlib.import_module(name).WHO)
        except ImportError as error:
            said.append(type(error).__name__)
        try:
            found = importlib.util.find_spec(name)
        except ImportError as error:
            found = None
        assert (found is None) == (said[-1] != "right"), name
    print(json.dumps(said))
    """


def attempt(world: World, mounts: dict[str, str], *names: str) -> list[str]:
    """What each import gives in a fresh process; `mounts` are the further arguments by namespace, in this order."""
    lines = "\n    ".join(f"magic_module.mount({namespace!r}, {rest})" for namespace, rest in mounts.items())
    said: list[str] = world.run(TRY.format(mounts=lines, names=names)).json
    return said


@pytest.mark.parametrize("order", [("acme", "acme.inner"), ("acme.inner", "acme")], ids=["outer first", "inner first"])
def test_a_mounted_namespace_never_falls_through_to_the_one_around_it(world: World, order: tuple[str, str]) -> None:
    sources = {
        "acme": {"plain.py": "WHO = 'right'\n", "inner/only.py": "WHO = 'wrong'\n", "inner/a/b.py": ""},
        "acme.inner": {"deep.py": "WHO = 'right'\n"},
    }
    servers = {}
    for namespace in order:
        world.publish(sources[namespace], namespace, namespace)
        servers[namespace] = world.serve(namespace)
    mounts = {namespace: repr(servers[namespace].manifest_url) for namespace in order}
    said = attempt(world, mounts, "acme.inner.only", "acme.inner.a.b", "acme.inner.deep", "acme.plain")
    assert said == ["ModuleNotFoundError", "ModuleNotFoundError", "right", "right"]
    servers["acme.inner"].stop()
    world.cache.rename(world.path / "old")
    servers["acme"].take()
    assert attempt(world, mounts, "acme.inner.only") == ["FetchError"]
    # It is asked what the package `acme.inner` is, but nothing of it is taken.
    assert servers["acme"].paths() == ["/manifest.json"], "a source that fails is not a reason to take another one"


@pytest.mark.parametrize("order", [("acme", "acme.inner"), ("acme.inner", "acme")], ids=["outer first", "inner first"])
def test_the_order_of_mounts_hides_no_unit(world: World, order: tuple[str, str]) -> None:
    world.publish({"plain.py": ""}, "acme", "acme")
    world.publish({"deep.py": ""}, "acme.inner", "acme.inner")
    mounts = "; ".join(f"mount({namespace!r}, {world.serve(namespace).manifest_url!r})" for namespace in order)
    script = f"""
        import json, pkgutil
        from magic_module import mount
        {mounts}
        import acme.inner
        print(json.dumps([[unit.name for unit in pkgutil.iter_modules(it.__path__)] for it in (acme, acme.inner)]))
        """
    assert world.run(script).json == [["plain"], ["deep"]]


@pytest.mark.parametrize("first", ["", ", first=True"], ids=["behind", "first"])
def test_a_mounted_namespace_never_falls_through_to_top_level_units(world: World, first: str) -> None:
    world.publish({"acme/only.py": "WHO = 'wrong'\n"}, "", "top")
    world.publish({"plain.py": "WHO = 'right'\n"}, "acme", "named")
    top, named = world.serve("top"), world.serve("named")
    mounts = {"": repr(top.manifest_url) + first, "acme": repr(named.manifest_url)}
    said = attempt(world, mounts, "acme.only", "acme.plain", "acme.only")
    assert said == ["ModuleNotFoundError", "right", "ModuleNotFoundError"]
    assert not any(path.startswith(("/files/", "/packs/")) for path in top.paths())


def test_a_namespace_that_is_mounted_late_never_falls_through(world: World) -> None:
    world.publish({"inner/early.py": "WHO = 'right'\n", "inner/only.py": "WHO = 'wrong'\n"}, "acme", "outer")
    world.publish({"deep.py": "WHO = 'right'\n"}, "acme.inner", "inner")
    outer, inner = world.serve("outer"), world.serve("inner")
    mounts = {"acme": f"{outer.manifest_url!r}); import acme.inner.early; (", "acme.inner": repr(inner.manifest_url)}
    assert attempt(world, mounts, "acme.inner.only", "acme.inner.deep") == ["ModuleNotFoundError", "right"]


def test_a_unit_that_mounts_its_own_namespace_keeps_what_it_ships(world: World) -> None:
    world.publish({"plain.py": "WHO = 'right'\n", "own.py": "WHO = 'wrong'\n"}, "acme", "named")
    named = world.serve("named")
    package = f"import magic_module\nmagic_module.mount(__name__, {named.manifest_url!r})\n"
    world.publish({"acme/__init__.py": package, "acme/sub/own.py": "WHO = 'right'\n"}, "", "top")
    top = world.serve("top")
    said = attempt(world, {"": repr(top.manifest_url)}, "acme.plain", "acme.sub.own")
    assert said == ["right", "right"]


def test_an_unknown_import_is_sent_to_no_server_that_does_not_own_its_prefix(world: World) -> None:
    world.publish({"plain.py": "WHO = 'right'\n"}, "acme.tools", "named")
    named = world.serve("named")
    mounts = {"acme.tools": repr(named.manifest_url)}
    foreign = [
        "nowhere",
        "acme.other",
        "acme.tools2",
        "acme_tools",
        "acmetools.plain",
        "other.acme.tools.plain",
        "tools",
    ]
    assert attempt(world, mounts, *foreign) == ["ModuleNotFoundError"] * len(foreign)
    assert named.paths() == []
    # Nor once the mount is in use.
    assert attempt(world, mounts, "acme.tools.plain", *foreign) == ["right", *["ModuleNotFoundError"] * len(foreign)]
    assert named.paths().count("/manifest.json") == 1
    assert attempt(world, mounts, "acme.tools.plain", *foreign) == ["right", *["ModuleNotFoundError"] * len(foreign)]
    assert named.paths() == []
