"""Source lines everywhere: inspect, tracebacks, linecache, debuggers, coverage, pytest, doctest."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from kit.sources import write_tree
from kit.world import Acme

Make = Callable[..., Acme]

PACKAGE = {
    "math.py": '''
        """Sums."""


        def add(a, b):
            """Adds.

            >>> add(1, 2)
            3
            """
            total = a + b
            return total


        class Sum:
            def of(self, values):
                result = 0
                for value in values:
                    result = add(result, value)
                return result


        def fail(reason):
            def inner():
                raise ValueError(reason)  # here
            inner()


        square = lambda number: number * number
        ''',
    "checks/__init__.py": "",
    "checks/helpers.py": "def assert_same(left, right):\n    assert left == right\n",
}


def test_inspect(acme: Make) -> None:
    result = acme(PACKAGE).run(
        """
        import inspect, json
        import acme.math as math
        print(json.dumps([
            inspect.getsource(math.add).splitlines()[0], inspect.getsourcelines(math.Sum.of)[1],
            inspect.getsource(math.Sum).splitlines()[0], inspect.getsource(math).startswith('\"\"\"Sums'),
            inspect.getsourcefile(math.add) == inspect.getfile(math) == math.__file__,
            inspect.getmodule(math.fail) is math, inspect.getdoc(math), str(inspect.signature(math.add)),
            inspect.getsource(math.square).strip(), inspect.getmodulename(math.__file__)]))
        """
    )
    assert result.json == [
        "def add(a, b):",
        15,
        "class Sum:",
        True,
        True,
        True,
        "Sums.",
        "(a, b)",
        "square = lambda number: number * number",
        "math",
    ]


def test_code_knows_its_file(acme: Make) -> None:
    result = acme(PACKAGE).run(
        """
        import json, types
        import acme.math as math
        def files(code):
            yield code.co_filename
            for constant in code.co_consts:
                if isinstance(constant, types.CodeType):
                    yield from files(constant)
        loaded = set(files(math.add.__code__)) | set(files(math.fail.__code__)) | set(files(math.Sum.of.__code__))
        asked = set(files(math.__spec__.loader.get_code("acme.math")))
        print(json.dumps([loaded == asked == {math.__file__}, math.add.__code__.co_firstlineno]))
        """
    )
    assert result.json == [True, 4]


def test_traceback(acme: Make) -> None:
    made = acme(PACKAGE)
    result = made.run(
        """
        import json, linecache, traceback
        import acme.math as math
        try:
            math.fail("why")
        except ValueError as error:
            frames = traceback.extract_tb(error.__traceback__)[1:]
            text = traceback.format_exc()
        print(json.dumps([[[frame.filename == math.__file__, frame.lineno, frame.name, frame.line] for frame in frames],
            "raise ValueError(reason)  # here" in text, linecache.getline(math.__file__, 4).strip()]))
        """
    )
    assert result.json == [
        [[True, 25, "fail", "inner()"], [True, 24, "inner", "raise ValueError(reason)  # here"]],
        True,
        "def add(a, b):",
    ]


def test_uncaught_traceback(acme: Make) -> None:
    made = acme(PACKAGE | {"crash.py": "import acme.math\nacme.math.fail('at import')\n"})
    script = "import acme.crash"
    made.run(script, status=1)
    error = made.world.run(script, status=1).stderr
    assert "acme.math.fail('at import')" in error and "raise ValueError(reason)  # here" in error
    assert error.rstrip().endswith("ValueError: at import")
    assert "loader.py" not in error and "magic_module/_py" not in error, "no frame of ours is shown"
    assert "importlib" not in error, "the import system's own frames are trimmed"


def test_linecache_without_the_file(acme: Make) -> None:
    """`linecache` asks the loader where the file cannot be read."""
    result = acme(PACKAGE).run(
        """
        import linecache
        import acme.math as math
        linecache.clearcache()
        print(linecache.lazycache("elsewhere.py", vars(math)), linecache.getline("elsewhere.py", 4, vars(math)).strip())
        """
    )
    assert result.stdout.strip() == "True def add(a, b):"


def test_breakpoint_by_file_and_line(acme: Make) -> None:
    result = acme(PACKAGE).run(
        """
        import bdb, json
        import acme.math as math

        class Debugger(bdb.Bdb):
            seen = []
            def user_line(self, frame):
                if self.break_here(frame):
                    self.seen.append([frame.f_code.co_name, frame.f_lineno, frame.f_locals.get("a")])
                self.set_continue()

        debugger = Debugger()
        refused = debugger.set_break(math.__file__, 10)
        debugger.runcall(math.add, 7, 8)
        print(json.dumps([refused, debugger.seen]))
        """
    )
    assert result.json == [None, [["add", 10, 7]]]


def test_pdb(acme: Make) -> None:
    result = acme(PACKAGE).run(
        """
        import io, pdb
        import acme.math as math
        out = io.StringIO()
        script = f"b {math.__file__}:11\\nb fail\\nc\\np ('seen', a, b)\\nl\\nc\\n"
        debugger = pdb.Pdb(stdin=io.StringIO(script), stdout=out, nosigint=True, readrc=False)
        debugger.use_rawinput = False
        debugger.prompt = ""
        debugger.runcall(math.add, 7, 8)
        text = out.getvalue()
        print("('seen', 7, 8)" in text, "->" in text and "total = a + b" in text, text.count("Breakpoint"))
        """
    )
    assert result.stdout.strip() == "True True 2"


def test_tracing(acme: Make) -> None:
    result = acme(PACKAGE).run(
        """
        import json, sys
        import acme.math as math
        seen = []
        def trace(frame, event, argument):
            if frame.f_code.co_filename == math.__file__:
                seen.append([event, frame.f_lineno])
                return trace
        sys.settrace(trace)
        math.add(1, 2)
        sys.settrace(None)
        print(json.dumps(seen))
        """
    )
    assert result.json == [["call", 4], ["line", 10], ["line", 11], ["return", 11]]


def test_coverage(acme: Make) -> None:
    pytest.importorskip("coverage", reason="coverage is not installed")
    result = acme(PACKAGE).run(
        """
        import json, os
        import coverage
        measured = coverage.Coverage(data_file=None, include=["*math.py"], config_file=False)
        measured.start()
        import acme.math as math
        math.Sum().of([1, 2])
        measured.stop()
        _, statements, _, missing, _ = measured.analysis2(math)
        print(json.dumps([measured.get_data().measured_files() == {math.__file__}, statements, missing]))
        """,
        warnings=False,
    )
    known, statements, missing = result.json
    assert known and {10, 11, 16, 23, 24, 25, 28} <= set(statements) and missing == [23, 24, 25]


def test_coverage_of_a_package_by_name(acme: Make) -> None:
    pytest.importorskip("coverage", reason="coverage is not installed")
    made = acme(PACKAGE)
    made.run("import acme.checks.helpers, acme.math")
    result = made.run(
        """
        import json, os
        import coverage
        measured = coverage.Coverage(data_file=None, source_pkgs=["acme.math"], config_file=False)
        measured.start()
        import acme.math as math
        math.add(1, 2)
        measured.stop()
        print(json.dumps(sorted(os.path.basename(file) for file in measured.get_data().measured_files())))
        """,
        warnings=False,
    )
    assert result.json == ["math.py"]


def test_pytest_rewrites_assertions_of_a_cached_unit(acme: Make) -> None:
    made = acme(PACKAGE)
    made.run("import acme.checks.helpers")
    folder = write_tree(
        made.world.work / "project",
        {
            "conftest.py": "import pytest\npytest.register_assert_rewrite('acme.checks.helpers')\n",
            "test_it.py": """
                from acme.checks.helpers import assert_same


                def test_it():
                    assert_same([1, 2], [1, 3])
                """,
        },
    )
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)]
    for _ in range(2):
        result = made.world.run(None, args=arguments, status=1, warnings=False)
        assert "assert [1, 2] == [1, 3]" in result.stdout, result.stdout
        assert "At index 1 diff: 2 != 3" in result.stdout
    if made.server is not None:
        made.server.take()
        made.world.run(None, args=arguments, status=1, warnings=False)
        assert made.server.paths() == []


def test_pytest_runs_tests_that_are_units(acme: Make) -> None:
    units = {
        "suite/__init__.py": "",
        "suite/test_sum.py": """
            def test_right():
                assert 1 + 1 == 2

            def test_wrong():
                left = 1
                assert left == 2
            """,
    }
    made = acme(units)
    made.run("import acme.suite.test_sum")
    result = made.world.run(
        None, args=["-m", "pytest", "-q", "-p", "no:cacheprovider", "--pyargs", "acme.suite"], status=1, warnings=False
    )
    assert "1 failed, 1 passed" in result.stdout and "assert 1 == 2" in result.stdout


def test_doctest(acme: Make) -> None:
    result = acme(PACKAGE).run(
        "import doctest, acme.math; print(doctest.testmod(acme.math))",
        warnings=False,
    )
    assert result.stdout.strip() == "TestResults(failed=0, attempted=1)"


def test_unittest_by_name(acme: Make) -> None:
    units = {
        "tests/__init__.py": "",
        "tests/test_one.py": """
            import unittest


            class One(unittest.TestCase):
                def test_it(self):
                    self.assertEqual(1, 1)
            """,
    }
    made = acme(units)
    result = made.run(None, args=["-m", "unittest", "acme.tests.test_one"], warnings=False)
    assert "Ran 1 test" in result.stderr and "OK" in result.stderr


def test_pydoc(acme: Make) -> None:
    result = acme(PACKAGE).run(
        """
        import pydoc
        text = pydoc.plain(pydoc.render_doc("acme.math"))
        print("acme.math - Sums." in text, "add(a, b)" in text, "class Sum" in text)
        """,
        warnings=False,
    )
    assert result.stdout.strip() == "True True True"


def test_ast_and_tokens_of_the_source(acme: Make) -> None:
    result = acme({"coded.py": "# -*- coding: latin-1 -*-\nNAME = 'gr\xf6\xdfe'\n".encode("latin-1")}).run(
        """
        import inspect, tokenize
        import acme.coded as coded
        with tokenize.open(coded.__file__) as file:
            print(ascii([coded.NAME, file.encoding, inspect.getsource(coded).splitlines()[1],
                coded.__loader__.get_source("acme.coded").splitlines()[1]]))
        """
    )
    line = "NAME = 'größe'"
    assert result.stdout.strip() == ascii(["größe", "iso-8859-1", line, line])


def test_module_attributes_are_those_of_an_installed_module(acme: Make) -> None:
    """`dir` differs in `_upgrade` alone, and only on a unit's root."""
    made = acme({"pack/__init__.py": "", "pack/inner.py": "", "own.py": "def _upgrade():\n    return 'its own'\n"})
    result = made.run(
        """
        import json
        import acme.pack, acme.pack.inner, acme.own
        def names(module):
            return sorted(set(dir(module)) - {"_upgrade"})
        print(json.dumps([names(acme.pack), names(acme.pack.inner), hasattr(acme.pack.inner, "_upgrade"),
            acme.own._upgrade()]))
        """
    )
    dunder = ["__builtins__", "__doc__", "__file__", "__loader__", "__name__", "__package__", "__spec__"]
    dunder += ["__cached__"] if sys.version_info < (3, 15) else []
    package = sorted([*dunder, "__path__", "inner"])
    assert result.json == [package, sorted(dunder), False, "its own"], json.dumps(result.json)
