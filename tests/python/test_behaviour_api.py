"""The public names: what they return, what they import, what they tell while they work."""

from __future__ import annotations

from pathlib import Path

from kit.world import Acme, World

UNITS = {
    "alpha.py": "__version__ = '1.0'\nALPHA = 1\n",
    "beta/__init__.py": "",
    "beta/data.bin": bytes(range(256)) * 8000,
}


def test_importing_us_costs_no_module_of_the_standard_library(world: World) -> None:
    stock = set(world.run("import sys, json; print(json.dumps(sorted(sys.modules)))", flags=["-S"]).json)
    ours = world.run(
        """
        import sys
        sys.path.insert(0, WHERE)
        before = set(sys.modules)
        import magic_module
        print(" ".join(sorted(set(sys.modules) - before)))
        """.replace("WHERE", repr(site())),
        flags=["-S"],
    )
    assert set(ours.stdout.split()) - stock == {"magic_module", "magic_module._native"}


def site() -> str:
    import magic_module

    file = magic_module.__file__
    assert file is not None
    return str(Path(file).parent.parent)


HEAVY = {
    "asyncio",
    "json",
    "pathlib",
    "importlib.metadata",
    "importlib.abc",
    "packaging",
    "ssl",
    "urllib.request",
    "typing",
}


def test_a_warm_import_costs_no_module_of_the_standard_library(world: World) -> None:
    Acme(world, "hook", UNITS)
    world.run("import acme.alpha")
    result = world.run(
        """
        import sys
        before = set(sys.modules)
        import acme.alpha
        print(" ".join(sorted(set(sys.modules) - before)))
        """
    )
    loaded = set(result.stdout.split())
    assert not loaded & HEAVY, loaded
    assert {"acme", "acme.alpha", "magic_module", "magic_module._native"} <= loaded
    assert all(name.split(".")[0] in {"acme", "magic_module"} for name in loaded), loaded


def test_prefetch_imports_nothing(world: World) -> None:
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    result = world.run(
        """
        import json, sys
        import acme, magic_module
        seen = []
        magic_module.prefetch("acme.alpha", "acme.beta", progress=seen.append)
        print(json.dumps([[name for name in sys.modules if name.startswith("acme.")], len(seen) >= 1,
            sorted(seen[-1]), seen[-1]["event"], seen[-1]["percentage"], seen[-1]["bytes"] == seen[-1]["total"],
            seen[-1]["status"]]))
        """
    )
    keys = ["artifact", "bytes", "event", "percentage", "status", "total", "unit", "url"]
    assert result.json == [[], True, keys, "fetch", 100.0, True, "done"]
    made.server.stop()
    assert world.run("import acme.alpha, acme.beta; print(acme.alpha.ALPHA)").stdout.strip() == "1"


def test_prefetch_of_what_is_not_there(world: World) -> None:
    Acme(world, "hook", UNITS)
    result = world.run(
        """
        import acme, magic_module
        try:
            magic_module.prefetch("acme.alpha", "acme.nothing")
        except magic_module.errors.UnitNotFoundError as error:
            print(error.name, isinstance(error, ModuleNotFoundError))
        try:
            magic_module.prefetch("nobody.alpha")
        except magic_module.errors.MagicModuleError as error:
            print(type(error).__name__, error.hint is not None)
        """
    )
    lines = result.stdout.splitlines()
    assert lines[0] == "acme.nothing True"
    assert lines[1].endswith("True")


def test_on_event(world: World) -> None:
    Acme(world, "hook", UNITS)
    result = world.run(
        """
        import json
        import acme, magic_module
        events = []
        magic_module.on_event(events.append)
        import acme.beta
        magic_module.on_event(None)
        import acme.alpha
        kinds = [event["event"] for event in events]
        fetches = [event for event in events if event["event"] == "fetch"]
        print(json.dumps([sorted(set(kinds) - {"verify"}), kinds[0], fetches[-1]["unit"], fetches[-1]["percentage"],
            [event["bytes"] for event in fetches] == sorted(event["bytes"] for event in fetches), kinds[-1]]))
        """
    )
    assert result.json == [["fetch", "load", "resolve"], "resolve", "acme.beta", 100.0, True, "load"]


def test_what_a_callback_raises_ends_the_import(world: World) -> None:
    """So can a user's own button; nothing is half, and the next import works."""
    Acme(world, "hook", UNITS)
    result = world.run(
        """
        import sys
        import acme, magic_module
        def careless(event):
            raise RuntimeError("stop here")
        magic_module.on_event(careless)
        try:
            import acme.beta
        except RuntimeError as error:
            print(error, [name for name in sys.modules if name.startswith("acme.")])
        magic_module.on_event(None)
        import acme.beta
        print("imported")
        """,
    )
    assert result.stdout.splitlines() == ["stop here []", "imported"]
    assert world.parts() == []


def test_a_callback_may_import(world: World) -> None:
    Acme(world, "hook", UNITS)
    result = world.run(
        """
        import acme, magic_module
        def curious(event):
            import acme.alpha, wave
        magic_module.on_event(curious)
        import acme.beta, acme.alpha
        print(acme.alpha.ALPHA)
        """
    )
    assert result.stdout.strip() == "1"


def test_verify_heals(world: World) -> None:
    made = Acme(world, "hook", UNITS)
    assert made.server is not None
    script = """
        import json
        import acme, magic_module
        report = magic_module.verify(*NAMES)
        print(json.dumps([report.ok, report.units, report.files, report.bytes, len(report.problems)]))
        """
    world.run("import acme.alpha, acme.beta")
    total = sum(len(text) for text in UNITS.values())
    made.server.take()
    assert world.run(script.replace("NAMES", "[]")).json == [True, 2, 3, total, 0]
    assert made.server.paths() == []
    (damaged,) = (path for path in (world.cache / "v1" / "trees").rglob("data.bin"))
    damaged.chmod(0o644)
    data = bytearray(damaged.read_bytes())
    data[1000] ^= 1
    damaged.write_bytes(data)
    ok, *_, problems = world.run(script.replace("NAMES", "['acme.beta']")).json
    assert ok and problems == 2, "in the tree and, which is the same file, among the blobs"
    assert world.run(script.replace("NAMES", "[]")).json == [True, 2, 3, total, 0]
    (healed,) = (path for path in (world.cache / "v1" / "trees").rglob("data.bin"))
    assert healed.read_bytes() == UNITS["beta/data.bin"]


def grown(world: World) -> Acme:
    """A cache with four generations of `beta`."""
    made = Acme(world, "hook", UNITS)
    world.run("import acme.alpha, acme.beta")
    for number in range(3):
        world.publish({**UNITS, "beta/data.bin": bytes([number]) * 2_000_000}, "acme")
        world.run("import acme.beta; acme.beta._upgrade()")
    return made


PRUNE = """
    import acme, json, magic_module
    report = magic_module.prune(OPTIONS)
    print(json.dumps([report.ok, report.bytes, len(report.removed)]))
    """
FIRST_BYTE = """
    import acme.beta, acme.alpha, pkgutil
    print(acme.alpha.ALPHA, pkgutil.get_data("acme.beta", "data.bin")[0])
    """
BACK = "import acme, magic_module; print(magic_module.rollback('acme.beta').changed)"


def test_prune(world: World) -> None:
    """What is current and what a rollback needs stays; all else goes."""
    made = grown(world)
    assert made.server is not None
    made.server.stop()
    ok, freed, removed = world.run(PRUNE.replace("OPTIONS", "")).json
    # How much more than the data went depends on what the interpreter compiled.
    assert ok and removed == 4 and freed >= 4_000_000
    assert world.run(FIRST_BYTE).stdout.split() == ["1", "2"]
    assert world.run(BACK).stdout.strip() == "True"
    assert world.run(FIRST_BYTE).stdout.split() == ["1", "1"]


def test_prune_to_a_limit(world: World) -> None:
    """What does not fit goes, but never what is current, nor what a rollback needs."""
    made = grown(world)
    assert made.server is not None
    made.server.stop()
    script = """
        import acme, json, magic_module
        report = magic_module.prune(limit=0)
        print(json.dumps([report.ok, report.bytes, len(report.removed), report.problems]))
        """
    ok, freed, removed, problems = world.run(script).json
    assert ok and removed == 4 and freed >= 6_000_000
    (problem,) = problems
    assert problem.endswith(" bytes: more than the limit of 0")
    assert world.run(FIRST_BYTE).stdout.split() == ["1", "2"]
    assert world.run(BACK).stdout.strip() == "True"
    assert world.run(FIRST_BYTE).stdout.split() == ["1", "1"]


def test_cache_dir_and_version(world: World) -> None:
    result = world.run(
        """
        import json, pathlib, magic_module
        from importlib.metadata import version
        path = magic_module.cache_dir()
        print(json.dumps([str(path), isinstance(path, pathlib.Path),
            magic_module.__version__ == version("magic_module")]))
        """
    )
    assert result.json == [str(world.cache), True, True]


def test_classes_are_values(world: World) -> None:
    Acme(world, "hook", UNITS)
    result = world.run(
        """
        import json
        import acme, magic_module
        one, two = magic_module.info("acme.alpha"), magic_module.info("acme.alpha")
        other = magic_module.info("acme.beta")
        def frozen():
            try:
                one.name = "x"
            except AttributeError:
                return True
        print(json.dumps([one == two, one == other, frozen(), "acme.alpha" in repr(one),
            repr(one).startswith("ModuleInfo(")]))
        """
    )
    assert result.json == [True, False, True, True, True]


def test_the_store_is_private_and_tagged(world: World) -> None:
    Acme(world, "hook", UNITS)
    world.run("import acme.alpha")
    root = world.cache / "v1"
    assert (root / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55")
    assert (root.stat().st_mode & 0o022) == 0
    assert all((path.stat().st_mode & 0o022) == 0 for path in root.rglob("*"))
    blobs = [path for path in (root / "blobs").rglob("*") if path.is_file()]
    assert blobs and all(path.stat().st_mode & 0o777 == 0o444 for path in blobs)
    assert all(len(path.name) == 64 and path.parent.name == path.name[:2] for path in blobs)


def test_the_default_cache_lies_in_the_home(world: World) -> None:
    Acme(world, "hook", UNITS)
    world.run("import acme.alpha", env={"MAGIC_MODULE_CACHE_DIR": None})
    assert list(world.home.rglob("v1/blobs"))


def test_two_namespaces_share_blobs(world: World) -> None:
    one = Acme(world, "hook", UNITS)
    assert one.server is not None
    world.run("import acme.beta")
    one.server.take()
    world.publish(UNITS, "other", "second")
    server = world.serve("second")
    result = world.run(
        f"""
        import magic_module
        magic_module.mount("other", {server.manifest_url!r})
        import other.beta
        print("same")
        """
    )
    assert result.stdout.strip() == "same"
    assert [path for path in server.paths() if path != "/manifest.json"] == []
