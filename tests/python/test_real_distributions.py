"""Real distributions from a package index, published, imported and used.

Each is used for something real: cold, warm, with the server stopped, after an
upgrade to its next release, and after a rollback to the previous one.
"""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from kit import sentences
from kit.interpreter import Interpreter, command_line
from origins import Origin

pytestmark = pytest.mark.network


@dataclass(frozen=True)
class Case:
    """A distribution in two releases, and what it is used for."""

    #: What pip installs, older release first; together with what it needs.
    older: tuple[str, ...]
    newer: tuple[str, ...]
    namespace: str
    unit: str
    #: Statements that assign ``result``; ``UNIT`` is the unit's importable name.
    use: str
    result: object


#: Older releases have no wheels for newer interpreters.
MARKUPSAFE = 'markupsafe==3.0.4; python_version >= "3.14"'

CASES = {
    "tzdata": Case(
        ("tzdata==2024.1",),
        ("tzdata==2024.2",),
        "",
        "tzdata",
        """
import importlib.resources, UNIT.zoneinfo, zoneinfo
zones = importlib.resources.files("UNIT").joinpath("zones").read_text().split()
data = importlib.resources.files("UNIT.zoneinfo.Europe").joinpath("Zurich")
with data.open("rb") as file:
    zone = zoneinfo.ZoneInfo.from_file(file, "Europe/Zurich")
import datetime
result = [len(zones) > 590, zone.utcoffset(datetime.datetime(2024, 7, 1)).total_seconds()]
""",
        [True, 7200.0],
    ),
    "certifi": Case(
        ("certifi==2024.7.4",),
        ("certifi==2024.8.30",),
        "",
        "certifi",
        """
import UNIT, ssl
context = ssl.create_default_context(cafile=UNIT.where())
result = [len(context.get_ca_certs()) > 100, UNIT.contents().startswith("\\n# Issuer")]
""",
        [True, True],
    ),
    "dateutil": Case(
        ("python-dateutil==2.8.2", "six==1.16.0"),
        ("python-dateutil==2.9.0.post0", "six==1.17.0"),
        "",
        "dateutil",
        """
import warnings
warnings.simplefilter("ignore")
import UNIT.parser, UNIT.relativedelta, UNIT.tz, UNIT.zoneinfo, six
moment = UNIT.parser.parse("24 December 2024 18:30 UTC") + UNIT.relativedelta.relativedelta(months=+2)
tarball = UNIT.zoneinfo.get_zonefile_instance()
result = [moment.isoformat(), six.PY3, tarball.get("Europe/Zurich") is not None]
""",
        ["2025-02-24T18:30:00+00:00", True, True],
    ),
    "jinja2": Case(
        ("jinja2==3.1.4", MARKUPSAFE, 'markupsafe==3.0.1; python_version < "3.14"'),
        ("jinja2==3.1.5", MARKUPSAFE, 'markupsafe==3.0.2; python_version < "3.14"'),
        "",
        "jinja2",
        """
import UNIT, markupsafe._speedups
environment = UNIT.Environment(autoescape=True)
template = environment.from_string("{% for who in people %}<b>{{ who }}</b>{% endfor %}")
result = [template.render(people=["A & B", "<C>"]), markupsafe._speedups.__file__.endswith((".so", ".pyd"))]
""",
        ["<b>A &amp; B</b><b>&lt;C&gt;</b>", True],
    ),
    "idna": Case(
        ("idna==3.7",),
        ("idna==3.8",),
        "magic_module",
        "idna",
        """
import UNIT as idna
folded = idna.encode("Königsgäßchen", uts46=True)
result = [idna.encode("bücher.example").decode(), idna.decode("xn--nxasmm1c.com"), folded.decode()]
""",
        ["xn--bcher-kva.example", "βόλος.com", "xn--knigsgchen-b4a3dun"],
    ),
    "packaging": Case(
        ("packaging==24.0",),
        ("packaging==24.1",),
        "magic_module",
        "packaging",
        """
import UNIT.version, UNIT.requirements, UNIT.tags
requirement = UNIT.requirements.Requirement("requests[security]>=2.8.1,==2.8.* ; python_version > '2.7'")
result = [
    UNIT.version.Version("1.10rc1") > UNIT.version.Version("1.9"),
    sorted(str(part) for part in requirement.specifier), requirement.marker.evaluate(),
    any(tag.abi == "abi3" for tag in UNIT.tags.sys_tags()),
]
""",
        [True, ["==2.8.*", ">=2.8.1"], True, True],
    ),
    "click": Case(
        ("click==8.1.6",),
        ("click==8.1.7",),
        "magic_module",
        "click",
        """
import UNIT as click, UNIT.testing
@click.command()
@click.option("--count", default=1)
@click.argument("name")
def hello(count, name):
    for _ in range(count):
        click.echo("Hello " + name)
ran = UNIT.testing.CliRunner().invoke(hello, ["--count", "2", "World"])
result = [ran.exit_code, ran.output]
""",
        [0, "Hello World\nHello World\n"],
    ),
    "sortedcontainers": Case(
        ("sortedcontainers==2.3.0",),
        ("sortedcontainers==2.4.0",),
        "magic_module",
        "sortedcontainers",
        """
import UNIT as s, pickle
numbers = s.SortedList([3, 1, 2])
numbers.add(0)
again = pickle.loads(pickle.dumps(s.SortedDict(b=2, a=1)))
result = [list(numbers), numbers.bisect(2), list(again.items()), type(again).__module__]
""",
        [[0, 1, 2, 3], 3, [["a", 1], ["b", 2]], "magic_module.sortedcontainers.sorteddict"],
    ),
}


def pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter's pip, or that of another if it has none."""
    return subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders with the distributions of each case, by ``<case>-older`` and ``<case>-newer``."""
    if pip("--version").returncode != 0:
        pytest.skip("this environment has no pip")
    root = tmp_path_factory.mktemp("distributions")
    folders = {}
    for name, case in CASES.items():
        for age, requirements in (("older", case.older), ("newer", case.newer)):
            target = root / f"{name}-{age}"
            ended = pip(
                "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(target), *requirements
            )
            if ended.returncode != 0 and not folders:
                pytest.skip(f"pip reaches no index: {ended.stderr.strip().splitlines()[-1]}")
            assert ended.returncode == 0, ended.stderr
            folders[target.name] = target
    return folders


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    """The name of each case."""
    name: str = request.param
    return name


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    """The server of an empty site."""
    (tmp_path / "site").mkdir()
    with Origin(tmp_path / "site") as origin:
        yield origin


def publish(source: Path, origin: Origin, namespace: str, cache: Path) -> None:
    """Publish what pip installed."""
    ended = command_line("publish", str(source), str(origin.folder), "--namespace", namespace, cache=cache)
    assert ended.status == 0, ended.stderr


def opening(case: Case, origin: Origin) -> str:
    """The statements in front of every use."""
    if case.namespace:
        return ""
    return f"import magic_module\nmagic_module.mount('', {origin.manifest_url!r}, first=True)\n"


def test_use_of_what_pip_installed(case: str, installed: dict[str, Path], tmp_path: Path) -> None:
    """The same use without the product: what is expected below is what pip's installation does."""
    real = CASES[case]
    for age in ("older", "newer"):
        settings = {"PYTHONPATH": str(installed[f"{case}-{age}"])}
        with Interpreter(tmp_path / "unused", settings=settings) as python:
            result = python.do(real.use.replace("UNIT", real.unit))
        assert result == json.loads(json.dumps(real.result).replace("magic_module.", ""))


def test_use(case: str, installed: dict[str, Path], origin: Origin, tmp_path: Path) -> None:
    real = CASES[case]
    cache = tmp_path / "cache"
    url = origin.manifest_url if real.namespace else None
    name = f"{real.namespace}.{real.unit}" if real.namespace else real.unit
    use = opening(real, origin) + real.use.replace("UNIT", name)
    older, newer = (str(part[0]).split("==")[1] for part in (real.older, real.newer))
    publish(installed[f"{case}-older"], origin, real.namespace, cache)

    def fresh(expected_version: str) -> None:
        with Interpreter(cache, url) as python:
            assert python.do(use) == real.result
            step = f"import sys; result = sys.modules[{name!r}].__file__"
            assert Path(python.do(step)).is_relative_to(cache), "it is ours, not one that is installed"
            version = f"import magic_module; result = magic_module.info({name!r}).version"
            assert python.do(version) == expected_version

    fresh(older)  # cold
    origin.requests.clear()
    fresh(older)  # warm
    assert origin.requests == []
    origin.stop()
    fresh(older)  # offline
    publish(installed[f"{case}-newer"], origin, real.namespace, cache)
    origin.start()
    with Interpreter(cache, url) as python:
        assert python.do(use) == real.result
        moved = f"import sys; u = sys.modules[{name!r}]._upgrade(); result = [u.changed, u.old_version, u.new_version]"
        assert python.do(moved) == [True, older, newer]
        if not python.do("result = u.restart_required"):
            assert python.do(use) == real.result
    fresh(newer)
    with Interpreter(cache, url) as python:
        python.do(opening(real, origin) + "import magic_module")
        back = f"u = magic_module.rollback({name!r}); result = [u.old_version, u.new_version]"
        assert python.do(back) == [newer, older]
    fresh(older)


def test_metadata(case: str, installed: dict[str, Path], origin: Origin, tmp_path: Path) -> None:
    """What pip wrote beside the package is there for ``importlib.metadata``; what is installed wins."""
    real = CASES[case]
    cache = tmp_path / "cache"
    publish(installed[f"{case}-older"], origin, real.namespace, cache)
    distribution, version = real.older[0].split("==")
    with suppress(importlib.metadata.PackageNotFoundError):
        version = importlib.metadata.version(distribution)
    with Interpreter(cache, origin.manifest_url if real.namespace else None) as python:
        name = f"{real.namespace}.{real.unit}" if real.namespace else real.unit
        python.do(opening(real, origin) + f"import {name}")
        step = f"found = m.distribution({distribution!r}); result = [found.version, len(found.files) > 3]"
        assert python.do("import importlib.metadata as m; " + step) == [version, True]


def test_a_package_that_imports_itself_absolutely(installed: dict[str, Path], origin: Origin, tmp_path: Path) -> None:
    """Below a namespace it cannot find itself; the error says so, and what to do."""
    cache = tmp_path / "cache"
    publish(installed["dateutil-older"], origin, "magic_module", cache)
    with Interpreter(cache, origin.manifest_url) as python:
        failure = python.fail("import magic_module.dateutil.zoneinfo")
    assert "ImportError" in failure.kinds
    sentences.check("real", "absolute-import", f"{failure.kind}: {failure.sentence}", cache=cache)
