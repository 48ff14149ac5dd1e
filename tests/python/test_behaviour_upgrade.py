"""`_upgrade`, rollback, `force`: the caller's module is new, or nothing has changed."""

from __future__ import annotations

from kit.world import Acme, World

ONE = {
    "alpha/__init__.py": """
        '''First.'''
        __version__ = '1.0'
        from .part import PART
        from . import gone
        ONLY_OLD = True
        def version():
            return __version__, PART
        """,
    "alpha/part.py": "PART = 'one'\n",
    "alpha/gone.py": "",
    "alpha/data.txt": "old data",
    "other.py": "__version__ = '1.0'\nOTHER = 1\n",
}
TWO = {
    "alpha/__init__.py": """
        '''Second.'''
        __version__ = '2.0'
        from .part import PART
        from .fresh import FRESH
        def version():
            return __version__, PART
        """,
    "alpha/part.py": "PART = 'two'\n",
    "alpha/fresh.py": "FRESH = True\n",
    "alpha/data.txt": "new data",
    "other.py": "__version__ = '1.0'\nOTHER = 1\n",
}
BROKEN = {
    **TWO,
    "alpha/__init__.py": "__version__ = '3.0'\nfrom . import part\nHALF = True\nraise ValueError('on purpose')\n",
}

SHOW = "import acme.alpha as a; print(*a.version())"


def start(world: World) -> Acme:
    made = Acme(world, "hook", ONE)
    assert world.run(SHOW).stdout.split() == ["1.0", "one"]
    assert made.server is not None
    made.server.take()
    return made


def test_upgrade(world: World) -> None:
    made = start(world)
    world.publish(TWO, "acme")
    result = world.run(
        """
        import json, os, sys
        import acme.alpha as alpha, acme.alpha.gone, acme.other as other
        from acme.alpha import part
        before = [alpha.__file__, alpha.ONLY_OLD]
        done = alpha._upgrade()
        with open(os.path.join(os.path.dirname(alpha.__file__), "data.txt")) as file:
            data = file.read()
        print(json.dumps([
            [done.name, done.old_version, done.new_version, done.changed, done.restart_required],
            done.files_changed, done.bytes > 0, done.seconds >= 0,
            alpha.version(), sys.modules["acme.alpha"] is alpha, part.PART, sys.modules["acme.alpha.part"] is part,
            alpha.FRESH, "acme.alpha.gone" in sys.modules, alpha.__file__ != before[0],
            alpha.__spec__.origin == alpha.__file__, data, alpha.__doc__, other.OTHER,
            [os.path.dirname(alpha.__file__)] == list(alpha.__path__)]))
        """
    )
    assert result.json == [
        ["acme.alpha", "1.0", "2.0", True, False],
        5,
        True,
        True,
        ["2.0", "two"],
        True,
        "two",
        True,
        True,
        False,
        True,
        True,
        "new data",
        "Second.",
        1,
        True,
    ]
    assert made.server is not None
    made.server.stop()
    assert world.run(SHOW).stdout.split() == ["2.0", "two"]
    gone = world.run("import acme.alpha.gone", status=1)
    assert "ModuleNotFoundError" in gone.stderr


def test_nothing_changed(world: World) -> None:
    made = start(world)
    result = world.run(
        """
        import json
        import acme.alpha as alpha
        alpha.marked = "stays"
        done = alpha._upgrade()
        print(json.dumps([done.changed, done.old_version, done.new_version, done.files_changed, done.bytes,
            alpha.marked, alpha.version()]))
        """
    )
    assert result.json == [False, "1.0", "1.0", 0, 0, "stays", ["1.0", "one"]]
    assert made.server is not None
    requests = made.server.take()
    assert [(request.path, request.status) for request in requests] == [("/manifest.json", 304)]


def test_another_unit_changed(world: World) -> None:
    """A new manifest that leaves the unit as it is changes nothing for it."""
    start(world)
    world.publish({**ONE, "other.py": "__version__ = '1.1'\nOTHER = 2\n"}, "acme")
    result = world.run(
        """
        import json
        import acme.alpha as alpha
        alpha.marked = "stays"
        done = alpha._upgrade()
        print(json.dumps([done.changed, alpha.marked]))
        """
    )
    assert result.json == [False, "stays"]


FAILED = """
    import json, sys
    import acme.alpha as alpha, acme.alpha.gone as gone
    from acme.alpha import part
    dictionary = dict(vars(alpha))
    modules = {name: module for name, module in sys.modules.items() if name.startswith("acme")}
    kinds = []
    try:
        alpha._upgrade()
    except BaseException as error:
        while error is not None:
            kinds.append(type(error).__name__)
            error = error.__cause__
    after = {name: module for name, module in sys.modules.items() if name.startswith("acme")}
    print(json.dumps([kinds, alpha.version(), part.PART, dict(vars(alpha)) == dictionary, modules == after,
        hasattr(alpha, "HALF"), alpha.ONLY_OLD]))
    import importlib
    importlib.reload(alpha)
    assert alpha.version() == ("1.0", "one")
    """


def assert_nothing_changed(world: World, expected: str) -> None:
    lines = world.run(FAILED)
    kinds, *rest = lines.json
    assert expected in kinds
    assert rest == [["1.0", "one"], "one", True, True, False, True]
    assert world.run(SHOW).stdout.split() == ["1.0", "one"]


def test_a_failing_body_changes_nothing(world: World) -> None:
    start(world)
    world.publish(BROKEN, "acme")
    assert_nothing_changed(world, "ValueError")


def test_a_failing_submodule_changes_nothing(world: World) -> None:
    start(world)
    world.publish({**TWO, "alpha/part.py": "PART = 'half'\n1 / 0\n"}, "acme")
    assert_nothing_changed(world, "ZeroDivisionError")


def test_a_syntax_error_changes_nothing(world: World) -> None:
    start(world)
    world.publish({**TWO, "alpha/part.py": "PART = = 'half'\n"}, "acme")
    assert_nothing_changed(world, "SyntaxError")


def test_wrong_bytes_change_nothing(world: World) -> None:
    made = start(world)
    assert made.server is not None
    world.publish(TWO, "acme")
    for path in (world.path / "site").rglob("*"):
        if path.is_file() and path.name != "manifest.json" and b"two" in path.read_bytes():
            path.chmod(0o644)
            path.write_bytes(path.read_bytes().replace(b"two", b"TWO"))
    for path in (world.path / "site" / "packs").rglob("*.zip.zst"):
        path.chmod(0o644)
        path.write_bytes(b"\x00" * path.stat().st_size)
    assert_nothing_changed(world, "IntegrityError")


def test_an_outage_changes_nothing(world: World) -> None:
    made = start(world)
    assert made.server is not None
    made.server.stop()
    assert_nothing_changed(world, "FetchError")


def test_after_a_failed_upgrade_the_next_good_one_works(world: World) -> None:
    start(world)
    world.publish(BROKEN, "acme")
    result = world.run(
        """
        import subprocess, sys, json
        import acme.alpha as alpha
        try:
            alpha._upgrade()
        except ValueError:
            pass
        print("failed", flush=True)
        sys.stdin.readline() if False else None
        print(json.dumps(alpha.version()))
        """
    )
    assert result.json == ["1.0", "one"]
    world.publish({**TWO, "alpha/data.txt": "mended"}, "acme")
    assert world.run("import acme.alpha as a; a._upgrade(); print(*a.version())").stdout.split() == ["2.0", "two"]


def test_rollback(world: World) -> None:
    made = start(world)
    world.publish(TWO, "acme")
    result = world.run(
        """
        import json
        import magic_module
        import acme.alpha as alpha
        alpha._upgrade()
        up = alpha.version()
        done = magic_module.rollback("acme.alpha")
        print(json.dumps([up, [done.name, done.old_version, done.new_version, done.changed], alpha.version()]))
        """
    )
    assert result.json == [["2.0", "two"], ["acme.alpha", "2.0", "1.0", True], ["1.0", "one"]]
    assert made.server is not None
    made.server.stop()
    assert world.run(SHOW).stdout.split() == ["1.0", "one"]


def test_rollback_without_network_and_without_an_import(world: World) -> None:
    made = start(world)
    world.publish(TWO, "acme")
    world.run("import acme.alpha; acme.alpha._upgrade()")
    assert made.server is not None
    made.server.stop()
    assert world.run("import acme, magic_module as m; print(m.rollback('acme.alpha').changed)").stdout.strip() == "True"
    assert world.run(SHOW).stdout.split() == ["1.0", "one"]


def test_force_fetches_all_of_it_again(world: World) -> None:
    made = start(world)
    result = world.run(
        """
        import json
        import acme.alpha as alpha
        done = alpha._upgrade(force=True)
        print(json.dumps([done.bytes > 0, done.old_version, done.new_version, alpha.version()]))
        """
    )
    assert result.json == [True, "1.0", "1.0", ["1.0", "one"]]
    assert made.server is not None
    [pack] = made.server.paths("/[!m]*")
    assert pack.startswith("/packs/")


def test_force_that_fails_changes_nothing(world: World) -> None:
    made = start(world)
    assert made.server is not None
    made.server.stop()
    result = world.run(
        """
        import acme.alpha as alpha
        try:
            alpha._upgrade(force=True)
        except ImportError as error:
            print(type(error).__name__, *alpha.version())
        """
    )
    assert result.stdout.split() == ["FetchError", "1.0", "one"]
    assert world.run(SHOW).stdout.split() == ["1.0", "one"]


def test_other_processes_keep_their_generation(world: World) -> None:
    """Bound at the first lookup: what another process upgrades or prunes is seen after the next start."""
    start(world)
    world.publish(ONE | {"alpha/late.py": "from .part import PART\nLATE = PART\n"}, "acme")
    world.run("import acme.alpha; acme.alpha._upgrade()")
    started = world.start(
        """
        import sys
        import acme.alpha as alpha
        print(*alpha.version(), flush=True)
        sys.stdin.readline()
        import acme.alpha.late
        import os
        with open(os.path.join(os.path.dirname(alpha.__file__), "data.txt")) as file:
            print(acme.alpha.late.LATE, file.read(), flush=True)
        sys.stdin.readline()
        print(alpha._upgrade().changed, *alpha.version())
        """,
        input=True,
    )
    assert world.line(started).split() == ["1.0", "one"]
    world.publish(TWO | {"alpha/late.py": "LATE = 'new'\n"}, "acme")
    world.run("import acme.alpha as a; assert a._upgrade().changed")
    world.publish(TWO | {"alpha/late.py": "LATE = 'newer'\n"}, "acme")
    world.run("import acme.alpha as a; assert a._upgrade().changed")
    world.run("import acme, magic_module; magic_module.prune(limit=0)")
    world.say(started)
    assert world.line(started).split() == ["one", "old", "data"]
    assert world.run(SHOW).stdout.split() == ["2.0", "two"]
    world.say(started)
    assert world.finish(started).stdout.split() == ["True", "2.0", "two"]


def test_a_closure_moves_as_one_and_back_as_one(world: World) -> None:
    def units(version: int) -> dict[str, str | bytes]:
        return {
            "base.py": f"__version__ = '{version}'\nBASE = {version}\n",
            "user.py": f"__version__ = '{version}'\nfrom acme import base\nSUM = base.BASE + {version}\n",
            "third.py": f"__version__ = '{version}'\nTHIRD = {version}\n",
            "magic-module.toml": '[user]\nrequires = ["base"]\n',
        }

    made = Acme(world, "hook", units(1))
    show = "from acme import user, third; print(user.SUM, third.THIRD)"
    assert world.run(show).stdout.split() == ["2", "1"]
    world.publish(units(2), "acme")
    result = world.run(
        """
        import json, magic_module
        from acme import base, user, third
        done = base._upgrade()
        moved = [base.BASE, user.SUM, third.THIRD]
        back = magic_module.rollback("acme.user")
        print(json.dumps([done.changed, moved, back.changed, base.BASE, user.SUM]))
        """
    )
    assert result.json == [True, [2, 4, 1], True, 1, 2]
    assert world.run(show).stdout.split() == ["2", "1"]
    done = world.run("import acme, magic_module as m; print(sorted((u.name, u.changed) for u in m.upgrade()))")
    assert done.stdout.strip() == "[('acme.base', True), ('acme.third', True), ('acme.user', True)]"
    assert world.run(show).stdout.split() == ["4", "2"]
    assert made.server is not None


def test_a_module_becomes_a_package_and_back(world: World) -> None:
    made = Acme(world, "hook", {"kind.py": "__version__ = '1'\nKIND = 'module'\n"})
    world.run("import acme.kind")
    world.publish(
        {"kind/__init__.py": "__version__ = '2'\nfrom .inner import KIND\n", "kind/inner.py": "KIND = 'package'\n"},
        "acme",
    )
    result = world.run(
        """
        import json
        import acme.kind as kind
        kind._upgrade()
        first = [kind.KIND, hasattr(kind, "__path__"), kind.__package__]
        print(json.dumps(first))
        """
    )
    assert result.json == ["package", True, "acme.kind"]
    world.publish({"kind.py": "__version__ = '3'\nKIND = 'module again'\n"}, "acme")
    result = world.run(
        """
        import json, sys
        import acme.kind as kind
        kind._upgrade()
        print(json.dumps([kind.KIND, hasattr(kind, "__path__"), "acme.kind.inner" in sys.modules]))
        """
    )
    assert result.json == ["module again", False, False]
    assert made.server is not None


def test_the_order_of_reloading(world: World) -> None:
    def units(number: int) -> dict[str, str | bytes]:
        note = "import builtins\nbuiltins.order = getattr(builtins, 'order', []) + [__name__]\n"
        return {
            "tree/__init__.py": f"__version__ = '{number}'\n{note}from . import top\n",
            "tree/top.py": f"{note}from .middle import MIDDLE\nTOP = MIDDLE\n",
            "tree/middle.py": f"{note}from .low import LOW\nMIDDLE = LOW\n",
            "tree/low.py": f"{note}LOW = {number}\n",
        }

    Acme(world, "hook", units(1))
    world.run("import acme.tree")
    world.publish(units(2), "acme")
    result = world.run(
        """
        import builtins, json
        import acme.tree as tree
        builtins.order.clear()
        tree._upgrade()
        print(json.dumps([builtins.order, tree.top.TOP, tree.top.MIDDLE]))
        """
    )
    order = ["acme.tree.low", "acme.tree.middle", "acme.tree.top", "acme.tree"]
    assert result.json == [order, 2, 2]


def test_a_unit_that_left_the_manifest(world: World) -> None:
    start(world)
    world.publish({"other.py": ONE["other.py"]}, "acme")
    result = world.run(
        """
        import acme.alpha as alpha
        try:
            alpha._upgrade()
        except ImportError as error:
            print(type(error).__name__, *alpha.version())
        """
    )
    assert result.stdout.split() == ["UnitNotFoundError", "1.0", "one"]


def test_yanked(world: World) -> None:
    """A version that is withdrawn is refused to newcomers, and stays with those who have it."""
    made = Acme(world, "hook", ONE)
    world.run(SHOW)
    world.publish({**ONE, "magic-module.toml": '[alpha]\nyanked = "it deletes files"\n'}, "acme")
    assert world.run("import acme.alpha as a; print(a._upgrade().changed)").stdout.strip() == "False"
    fresh = world.run(SHOW, env={"MAGIC_MODULE_CACHE_DIR": str(world.path / "fresh")}, status=1)
    assert "it deletes files" in fresh.stderr and "acme.alpha" in fresh.stderr
    assert made.server is not None


def test_what_was_taken_back_is_known_again_after_damage(world: World) -> None:
    start(world)
    world.publish({**ONE, "magic-module.toml": '[alpha]\nyanked = "it deletes files"\n'}, "acme")
    upgrade = "import acme.alpha as a; a._upgrade()"
    world.run(f"{upgrade}; import acme.other  # the generation knows this manifest", warnings=False)
    assert "it deletes files" in world.run(SHOW, warnings=False).stderr
    (state,) = world.cache.glob("v1/mounts/*/state")
    state.chmod(0o600)
    state.write_bytes(b"damaged")
    world.run(upgrade, warnings=False)
    assert "it deletes files" in world.run(SHOW, warnings=False).stderr


def test_what_a_version_does_not_have_is_not_taken_from_a_newer_one(world: World) -> None:
    """A process keeps the versions it has; an optional import must not move it to others."""
    start(world)
    world.publish({**TWO, "more.py": ""}, "acme")
    result = world.run(
        """
        import acme.alpha, acme.more  # the newest manifest is known now
        try:
            import acme.alpha.fresh
        except ModuleNotFoundError as error:
            print(error.name, acme.alpha.version())
        """
    )
    assert result.stdout.strip() == "acme.alpha.fresh ('1.0', 'one')"
    assert world.run(SHOW).stdout.split() == ["1.0", "one"]


def test_a_module_that_cannot_be_remembered_leaves_everything_as_it_was(world: World) -> None:
    start(world)
    world.publish(TWO, "acme")
    result = world.run(
        """
        import sys, types, acme.alpha as alpha
        class Lazy(types.ModuleType):
            @property
            def __spec__(self):
                raise OSError("cannot load now")
        part = sys.modules["acme.alpha.part"]
        sys.modules["acme.alpha.lazy"] = Lazy("acme.alpha.lazy")
        try:
            alpha._upgrade()
        except OSError as error:
            print(error)
        del sys.modules["acme.alpha.lazy"]
        import acme.alpha.gone, importlib.util
        print(*alpha.version(), importlib.util.find_spec("acme.alpha.fresh"))
        """
    )
    assert result.stdout.splitlines() == ["cannot load now", "1.0 one None"]


def test_an_upgrade_loads_what_variants_need_only_for_them(world: World) -> None:
    start(world)
    world.publish(TWO, "acme")
    script = """
        import sys, acme.alpha as alpha
        print(alpha._upgrade().new_version, "packaging.tags" in sys.modules)
        """
    assert world.run(script).stdout.split() == ["2.0", "False"]
