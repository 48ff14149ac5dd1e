"""Importing: modules, packages, namespace packages, specs, missing names, reload, lazy loading."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from kit.world import Acme, World

Make = Callable[..., Acme]

PACKAGE = {
    "plain.py": '''
        """A plain module."""
        VALUE = 41

        def answer():
            return VALUE + 1
        ''',
    "tools/__init__.py": "from .inner import deep\nfrom . import beside\nNAME = __name__\n",
    "tools/beside.py": "from .. import shipped\nWHO = 'beside'\n",
    "tools/inner/__init__.py": "from . import deep\nfrom ..beside import WHO\n",
    "tools/inner/deep.py": "from ... import plain\nDEPTH = __name__.count('.')\nVALUE = plain.answer()\n",
    "space/one/left.py": "SIDE = 'left'\n",
    "space/two.py": "SIDE = 'two'\n",
}
OWN = {"shipped.py": "SHIPPED = True\n"}
#: How CPython calls the path of a namespace package; it has a public name since 3.15.
NAMESPACE_PATH = "NamespacePath" if sys.version_info >= (3, 15) else "_NamespacePath"


def test_plain_module(acme: Make) -> None:
    result = acme(PACKAGE, own=OWN).run(
        """
        import json, sys
        import acme.plain
        from acme import plain
        module = sys.modules["acme.plain"]
        print(json.dumps([plain.answer(), acme.plain is plain is module, plain.__name__, plain.__doc__,
            plain.__package__, hasattr(plain, "__path__"), plain.__file__.endswith("plain.py"),
            sorted(name for name in vars(plain) if not name.startswith("_"))]))
        """
    )
    assert result.json == [42, True, "acme.plain", "A plain module.", "acme", False, True, ["VALUE", "answer"]]


def test_package_with_relative_imports_and_nested_packages(acme: Make) -> None:
    result = acme(PACKAGE, own=OWN).run(
        """
        import json, sys
        import acme.tools.inner.deep as deep
        import acme
        print(json.dumps([deep.DEPTH, deep.VALUE, acme.tools.NAME, acme.tools.inner.WHO,
            acme.tools.beside.shipped.SHIPPED, acme.tools.deep is deep,
            sorted(name for name in sys.modules if name.split(".")[0] == "acme")]))
        """
    )
    assert result.json == [
        3,
        42,
        "acme.tools",
        "beside",
        True,
        True,
        [
            "acme",
            "acme.plain",
            "acme.shipped",
            "acme.tools",
            "acme.tools.beside",
            "acme.tools.inner",
            "acme.tools.inner.deep",
        ],
    ]


def test_namespace_package(acme: Make) -> None:
    result = acme(PACKAGE, own=OWN).run(
        """
        import json
        import acme.space.one.left, acme.space.two
        space = acme.space
        print(json.dumps([type(space.__path__).__name__, type(space.__path__).__mro__[-2].__name__,
            space.__file__ if hasattr(space, "__file__") else None, space.__spec__.origin, len(list(space.__path__)),
            space.one.left.SIDE, space.two.SIDE, space.one.__spec__.submodule_search_locations is not None,
            repr(space).startswith("<module 'acme.space'")]))
        """
    )
    kind, base, file, origin, locations, left, two, nested, shown = result.json
    assert base == NAMESPACE_PATH, kind
    assert [file, origin, locations, left, two, nested, shown] == [None, None, 1, "left", "two", True, True]


def test_namespace_package_without_an_author_package(acme: Make) -> None:
    result = acme(PACKAGE | {"tools/beside.py": "WHO = 'beside'\n"}, init=None).run(
        f"""
        import json
        import acme.plain, acme
        print(json.dumps([acme.plain.answer(), acme.__spec__.origin, getattr(acme, "__file__", None),
            any(base.__name__ == {NAMESPACE_PATH!r} for base in type(acme.__path__).__mro__)]))
        """
    )
    assert result.json == [42, None, None, True]


def test_top_level_names(acme: Make) -> None:
    units = {
        "gadget/__init__.py": "from gadget.part import PART\n",
        "gadget/part.py": "PART = 7\n",
        "widget.py": "import gadget\nVALUE = gadget.PART\n",
    }
    result = acme(units, namespace="").run(
        """
        import json, widget, gadget
        print(json.dumps([widget.VALUE, gadget.__name__, gadget.part.__spec__.parent, widget.__package__]))
        """
    )
    assert result.json == [7, "gadget", "gadget", ""]


def test_non_ascii_names(acme: Make) -> None:
    result = acme({"größe/__init__.py": "from .maß import WERT\n", "größe/maß.py": "WERT = 'Ä'\n"}).run(
        "import acme.größe as g; print(ascii([g.WERT, g.__name__, g.maß.__name__]))"
    )
    assert result.stdout.strip() == ascii(["Ä", "acme.größe", "acme.größe.maß"])


def test_spec(acme: Make) -> None:
    result = acme(PACKAGE, own=OWN).run(
        """
        import importlib.machinery, importlib.util, json, sys
        import acme.plain, acme.tools

        def facts(module):
            spec = module.__spec__
            return [
                isinstance(spec, importlib.machinery.ModuleSpec),
                spec.name, spec.parent, spec.has_location,
                spec.origin == module.__file__,
                spec.cached == importlib.util.cache_from_source(spec.origin),
                # It is gone since 3.15.
                getattr(module, "__cached__", None) == (None if sys.version_info >= (3, 15) else spec.cached),
                spec.loader is module.__loader__,
                isinstance(spec.loader, importlib.machinery.SourceFileLoader),
                spec.loader.name == spec.name, spec.loader.path == spec.origin,
                spec.submodule_search_locations == getattr(module, "__path__", None),
                spec._initializing,
            ]

        import os
        path = acme.tools.__path__
        print(json.dumps([facts(acme.plain), facts(acme.tools), type(path).__name__,
            [os.path.dirname(acme.tools.__file__)] == path,
            repr(acme.plain) == f"<module 'acme.plain' from {acme.plain.__file__!r}>",
            importlib.util.find_spec("acme.plain") is acme.plain.__spec__]))
        """,
        flags=["-W", "ignore::DeprecationWarning"],
    )
    plain = [True, "acme.plain", "acme", True, True, True, True, True, True, True, True, True, False]
    tools = [True, "acme.tools", "acme.tools", True, True, True, True, True, True, True, True, True, False]
    assert result.json == [plain, tools, "list", True, True, True]


def test_spec_of_what_is_not_imported(acme: Make) -> None:
    made = acme(PACKAGE, own=OWN)
    result = made.run(
        """
        import importlib.machinery, importlib.util, json, os, sys
        import acme
        plain = importlib.util.find_spec("acme.plain")
        tools = importlib.util.find_spec("acme.tools")
        print(json.dumps(["acme.plain" in sys.modules, plain.name, plain.has_location,
            os.path.basename(plain.origin), plain.cached == importlib.util.cache_from_source(plain.origin),
            plain.submodule_search_locations, tools.submodule_search_locations == [os.path.dirname(tools.origin)],
            isinstance(plain.loader, importlib.machinery.SourceFileLoader),
            importlib.util.find_spec("acme.nothing"), plain.loader.is_package("acme.plain"),
            tools.loader.is_package("acme.tools")]))
        """
    )
    assert result.json == [False, "acme.plain", True, "plain.py", True, None, True, True, None, False, True]
    assert made.asked() == ["/manifest.json"], "asking for a spec downloads nothing"


def test_loader_methods(acme: Make) -> None:
    result = acme(PACKAGE | {"tools/data.bin": b"\x00\xff"}, own=OWN).run(
        """
        import importlib.util, json, os
        loader = importlib.util.find_spec("acme.plain").loader
        code = loader.get_code("acme.plain")
        tools = importlib.util.find_spec("acme.tools")
        data = tools.loader.get_data(os.path.join(os.path.dirname(tools.origin), "data.bin"))
        def refusal(act):
            try:
                act()
            except Exception as error:
                return type(error).__name__
        print(json.dumps([loader.get_filename("acme.plain") == code.co_filename,
            "VALUE = 41" in loader.get_source("acme.plain"), list(data),
            loader.get_data(loader.path) == loader.get_source("acme.plain").encode(),
            refusal(lambda: loader.get_source("acme.other")), refusal(lambda: loader.get_filename("acme.other")),
            refusal(lambda: loader.get_data(loader.path + ".absent"))]))
        """
    )
    assert result.json == [True, True, [0, 255], True, "ImportError", "ImportError", "FileNotFoundError"]


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("import acme.nothing", "acme.nothing"),
        ("import acme.plain.sub", "acme.plain.sub"),
        ("import acme.tools.nothing", "acme.tools.nothing"),
        ("import acme.nothing.deeper", "acme.nothing"),
        ("import acme.tools.inner.nothing", "acme.tools.inner.nothing"),
        ("from acme.nothing import x", "acme.nothing"),
    ],
)
def test_a_missing_module_is_module_not_found(acme: Make, statement: str, name: str) -> None:
    result = acme(PACKAGE, own=OWN).run(
        f"""
        import json, sys
        try:
            {statement}
        except ModuleNotFoundError as error:
            print(json.dumps([error.name, [name for name in sys.modules if "nothing" in name]]))
        """
    )
    assert result.json == [name, []]


def test_from_package_import_nothing(acme: Make) -> None:
    result = acme(PACKAGE, own=OWN).run(
        """
        import json
        kinds = []
        for package in ("acme", "acme.tools", "acme.plain"):
            try:
                exec(f"from {package} import nothing")
            except ImportError as error:
                kinds.append([type(error).__name__, error.name, "nothing" in str(error)])
        import acme
        print(json.dumps([kinds, hasattr(acme, "nothing")]))
        """
    )
    assert result.json == [
        [["ImportError", "acme", True], ["ImportError", "acme.tools", True], ["ImportError", "acme.plain", True]],
        False,
    ]


def test_star_import(acme: Make) -> None:
    units = {"stars/__init__.py": "__all__ = ['one', 'TWO']\nTWO = 2\nhidden = 3\n", "stars/one.py": "ONE = 1\n"}
    result = acme(units).run(
        """
        from acme.stars import *
        print(sorted(name for name in globals() if not name.startswith("_")), one.ONE)
        """
    )
    assert result.stdout.strip() == "['TWO', 'one'] 1"


@pytest.mark.parametrize("kind", ["ValueError", "KeyboardInterrupt", "SystemExit", "ImportError"])
def test_an_exception_in_the_body_comes_through_unchanged(acme: Make, kind: str) -> None:
    units = {
        "broken.py": f"import acme.plain\nerror = {kind}('on purpose', 7)\nerror.mark = 'same'\nraise error\n",
        "plain.py": "",
        "holder/__init__.py": "from . import before\nfrom . import broken\n",
        "holder/before.py": "",
        "holder/broken.py": f"raise {kind}('inside')\n",
    }
    result = acme(units).run(
        f"""
        import json, os, sys, traceback
        seen = []
        for name in ("acme.broken", "acme.holder", "acme.broken"):
            try:
                __import__(name)
            except {kind} as error:
                trace = traceback.extract_tb(error.__traceback__)
                seen.append([type(error) is {kind}, list(error.args), getattr(error, "mark", None),
                    error.__cause__ is None and error.__context__ is None,
                    [[os.path.basename(frame.filename), frame.lineno, frame.line] for frame in trace][1:]])
        left = sorted(name for name in sys.modules if name.startswith("acme"))
        import acme
        print(json.dumps([seen, left, hasattr(acme, "broken"), hasattr(acme, "holder")]))
        """
    )
    broken = [True, ["on purpose", 7], "same", True, [["broken.py", 4, "raise error"]]]
    inside = [
        True,
        ["inside"],
        None,
        True,
        [["__init__.py", 2, "from . import broken"], ["broken.py", 1, f"raise {kind}('inside')"]],
    ]
    left = ["acme", "acme.holder.before", "acme.plain"]
    assert result.json == [[broken, inside, broken], left, False, False]


def test_a_syntax_error_names_the_file_and_the_line(acme: Make) -> None:
    result = acme({"crooked.py": "fine = 1\nfine = = 2\n"}).run(
        """
        import json, sys
        try:
            import acme.crooked
        except SyntaxError as error:
            print(json.dumps([error.filename.endswith("crooked.py"), error.lineno, error.text.strip(),
                "acme.crooked" in sys.modules]))
        """
    )
    assert result.json == [True, 2, "fine = = 2", False]


def test_reload(acme: Make) -> None:
    units = {
        "counter.py": "COUNT = globals().get('COUNT', 0) + 1\n",
        "sum/__init__.py": "from . import one\nROUND = globals().get('ROUND', 0) + 1\n",
        "sum/one.py": "",
    }
    result = acme(units).run(
        """
        import importlib, json, sys
        import acme.counter as counter, acme.sum as package
        counter.left = "stays"
        again = importlib.reload(counter)
        importlib.reload(package)
        print(json.dumps([again is counter, counter.COUNT, counter.left, package.ROUND,
            counter.__spec__.loader is counter.__loader__, sys.modules["acme.counter"] is counter]))
        """
    )
    assert result.json == [True, 2, "stays", 2, True, True]


def test_reload_does_not_restore(acme: Make) -> None:
    result = acme(
        {"moody.py": "import os\nSTATE = 'half'\nif 'ANGRY' in os.environ: raise ValueError\nSTATE = 'whole'\n"}
    ).run(
        """
        import importlib, json, os, sys
        import acme.moody as moody
        os.environ["ANGRY"] = "1"
        try:
            importlib.reload(moody)
        except ValueError:
            print(json.dumps([moody.STATE, sys.modules["acme.moody"] is moody]))
        """
    )
    assert result.json == ["half", True]


def test_lazy_loader(acme: Make) -> None:
    result = acme({"slow.py": "print('body')\nVALUE = 5\n"}).run(
        """
        import importlib.util, sys
        spec = importlib.util.find_spec("acme.slow")
        loader = importlib.util.LazyLoader(spec.loader)
        spec.loader = loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["acme.slow"] = module
        loader.exec_module(module)
        print("before")
        print(module.VALUE, type(module).__name__, module.__spec__.loader is not loader)
        """
    )
    lines = result.stdout.split("\n")
    assert lines[:2] == ["before", "body"] and lines[2].startswith("5 module")


def test_module_from_spec_and_exec_module(acme: Make) -> None:
    result = acme(PACKAGE, own=OWN).run(
        """
        import importlib.util, json, sys
        spec = importlib.util.find_spec("acme.plain")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        print(json.dumps([module.answer(), "acme.plain" in sys.modules]))
        """
    )
    assert result.json == [42, False]


def test_mock_patch(acme: Make) -> None:
    result = acme(PACKAGE, own=OWN).run(
        """
        import json
        from unittest import mock
        with mock.patch("acme.plain.VALUE", 1), mock.patch("acme.tools.inner.deep.DEPTH", 9):
            from acme import plain
            from acme.tools.inner import deep
            inside = [plain.answer(), deep.DEPTH]
        print(json.dumps([inside, plain.answer(), deep.DEPTH]))
        """
    )
    assert result.json == [[2, 9], 42, 3]


def test_a_shipped_module_beside_units(acme: Make) -> None:
    made = acme(PACKAGE, own={"shipped.py": "from acme import plain\nSHIPPED = plain.answer()\n", "notes.txt": "own"})
    result = made.run(
        """
        import json, pkgutil
        import acme.shipped, acme.plain
        print(json.dumps([acme.shipped.SHIPPED, acme.plain.VALUE, pkgutil.get_data("acme", "notes.txt").decode(),
            [p.endswith("acme") for p in acme.__path__][0]]))
        """
    )
    assert result.json == [42, 41, "own", True]


def test_circular_imports(acme: Make) -> None:
    units = {
        "left.py": "import acme.right\nLEFT = 1\ndef both(): return LEFT + acme.right.RIGHT\n",
        "right.py": "import acme.left\nfrom acme import left\nRIGHT = 2\nSAW = hasattr(left, 'LEFT')\n",
        "bad.py": "from acme.worse import WORSE\nBAD = 1\n",
        "worse.py": "from acme.bad import BAD\nWORSE = 1\n",
    }
    result = acme(units).run(
        """
        import json
        import acme
        import acme.left as left
        try:
            import acme.bad
        except ImportError as error:
            text = str(error)
        print(json.dumps([left.both(), acme.right.SAW, "partially initialized module 'acme.bad'" in text,
            "circular import" in text]))
        """
    )
    assert result.json == [3, False, True, True]


def test_a_module_may_replace_itself(acme: Make) -> None:
    result = acme({"proxy.py": "import sys\nclass Proxy:\n    value = 3\nsys.modules[__name__] = Proxy()\n"}).run(
        "import acme.proxy\nfrom acme import proxy\nprint(proxy.value, type(acme.proxy).__name__)"
    )
    assert result.stdout.strip() == "3 Proxy"


def test_module_getattr_and_dir(acme: Make) -> None:
    units = {
        "dynamic.py": """
            def __getattr__(name):
                if name == 'late':
                    return 8
                raise AttributeError(name)

            def __dir__():
                return ['late']
            """
    }
    result = acme(units).run("import acme.dynamic as d; print(d.late, dir(d), hasattr(d, 'other'))")
    assert result.stdout.strip() == "8 ['late'] False"


def test_python_m(acme: Make) -> None:
    units = {
        "tool.py": "import sys\nprint(__name__, __spec__.name, __package__, sys.argv[1:], sys.argv[0] == __file__)\n",
        "suite/__init__.py": "print('init')\n",
        "suite/__main__.py": "from . import __name__ as n\nprint(n, __name__, __spec__.name)\n",
    }
    made = acme(units)
    assert made.run(None, args=["-m", "acme.tool", "x"]).stdout.strip() == "__main__ acme.tool acme ['x'] True"
    assert made.run(None, args=["-m", "acme.suite"]).stdout.split("\n")[:2] == [
        "init",
        "acme.suite __main__ acme.suite.__main__",
    ]
    missing = made.run(None, args=["-m", "acme.nothing"], status=1)
    assert "No module named acme.nothing" in missing.stderr


def test_runpy(acme: Make) -> None:
    result = acme({"script.py": "VALUE = __name__\n"}).run(
        "import runpy; print(runpy.run_module('acme.script', run_name='given')['VALUE'])"
    )
    assert result.stdout.strip() == "given"


def test_many_modules(acme: Make) -> None:
    units = {f"many/m{number:03}.py": f"N = {number}\n" for number in range(200)} | {"many/__init__.py": ""}
    made = acme(units)
    result = made.run(
        """
        import importlib
        print(sum(importlib.import_module(f"acme.many.m{number:03}").N for number in range(200)))
        """
    )
    assert result.stdout.strip() == str(sum(range(200)))
    if made.server is not None:
        assert len(made.cold) == 2, "the manifest and one pack"


def test_an_outage_is_not_module_not_found(world: World) -> None:
    made = Acme(world, "hook", PACKAGE, own=OWN)
    assert made.server is not None
    made.server.stop()
    result = world.run(
        """
        import json, sys
        import magic_module
        seen = []
        find_spec = "import importlib.util; importlib.util.find_spec('acme.plain')"
        for statement in ("import acme.plain", "from acme import plain", find_spec):
            try:
                exec(statement)
            except ImportError as error:
                seen.append([type(error).__name__, isinstance(error, ModuleNotFoundError), "127.0.0.1" in str(error),
                    isinstance(error, magic_module.errors.MagicModuleError), bool(error.hint)])
        print(json.dumps([seen, "acme.plain" in sys.modules]))
        """
    )
    assert result.json == [[["FetchError", False, True, True, True]] * 3, False]
    made.server.start()
    assert world.run("import acme.plain; print(acme.plain.answer())").stdout.strip() == "42"


def test_a_fallback_for_an_optional_module_costs_one_conditional_request_an_hour(world: World) -> None:
    made = Acme(world, "hook", PACKAGE, own=OWN)
    assert made.server is not None
    world.run("import acme.plain")
    made.server.take()
    script = """
        for name in ("absent", "absent", "missing", "absent.deeper"):
            try:
                __import__(f"acme.{name}")
            except ModuleNotFoundError as error:
                print(error.name)
        """
    first = world.run(script).stdout.split()
    assert first == ["acme.absent", "acme.absent", "acme.missing", "acme.absent"]
    requests = made.server.take()
    assert [(request.path, request.status) for request in requests] == [("/manifest.json", 304)]
    assert world.run(script).stdout.split() == first
    assert made.server.paths() == []
    made.server.stop()
    assert world.run(script).stdout.split() == first


@pytest.mark.skipif(sys.platform == "win32", reason="the lock is taken with flock")
def test_an_absent_name_waits_for_no_process_that_activates(world: World) -> None:
    import fcntl

    made = Acme(world, "hook", PACKAGE, own=OWN)
    assert made.server is not None
    world.run("import acme.plain")
    script = """
        try:
            import acme.absent
        except ModuleNotFoundError as error:
            print(error.name)
        """
    made.server.take()
    [mount] = (world.cache / "v1" / "mounts").iterdir()
    with (mount / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert world.run(script).stdout.strip() == "acme.absent"
    # It was not written down then, but it is afterwards.
    for requests in (1, 1, 0):
        assert len(made.server.take()) == requests
        assert world.run(script).stdout.strip() == "acme.absent"
    assert made.server.paths() == []
