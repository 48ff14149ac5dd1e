"""What a record may say: pins, older versions, variants, requires, dependencies, lazy files; and catalogues."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping

import pytest

from kit.site import Site
from kit.world import Acme, World


def versions(world: World, *numbers: str) -> None:
    for number in numbers:
        world.publish({"alpha.py": f"__version__ = {number!r}\n"}, "acme")


def use(
    world: World, url: str, body: str, options: str = "", env: Mapping[str, str | None] | None = None, status: int = 0
):  # type: ignore[no-untyped-def]
    import textwrap

    head = f"import json, magic_module\nmount = magic_module.mount('acme', {url!r}{options})\n"
    return world.run(head + textwrap.dedent(body), env=env, status=status)


def test_pins(world: World) -> None:
    versions(world, "1.0", "1.1", "2.0")
    url = world.serve().manifest_url
    show = "import acme.alpha as a; print(a.__version__)"
    assert use(world, url, show, ", pins={'alpha': '1.1'}").stdout.strip() == "1.1"
    result = use(
        world,
        url,
        "import acme.alpha as a; print(a.__version__, a._upgrade().changed, a.__version__)",
        ", pins={'alpha': '1.1'}",
    )
    assert result.stdout.split() == ["1.1", "False", "1.1"]
    other = {"MAGIC_MODULE_CACHE_DIR": str(world.path / "fresh")}
    assert use(world, url, show, env=other).stdout.strip() == "2.0"


def test_pins_of_the_environment(world: World) -> None:
    for number in ("1.0", "2.0"):
        world.publish({"alpha.py": f"__version__ = {number!r}\n"}, "magic_module")
    env = {"MAGIC_MODULE_MANIFEST_URL": world.serve().manifest_url, "MAGIC_MODULE_PINS": "alpha==1.0"}
    assert world.run("import magic_module.alpha as a; print(a.__version__)", env=env).stdout.strip() == "1.0"


def test_a_pin_to_a_version_that_is_not_there(world: World) -> None:
    versions(world, "1.0", "2.0")
    url = world.serve().manifest_url
    result = use(
        world,
        url,
        """
        try:
            import acme.alpha
        except ImportError as error:
            print(json.dumps([type(error).__name__, isinstance(error, ModuleNotFoundError), "9.9" in str(error),
                "1.0" in str(error) and "2.0" in str(error)]))
        """,
        ", pins={'alpha': '9.9'}",
    )
    kind, _, named, offered = result.json
    assert kind == "RequirementError"
    assert named and offered, "the sentence names the pin and what there is"


def test_info_and_available(world: World) -> None:
    versions(world, "1.0", "1.1")
    world.publish(
        {
            "alpha.py": "__version__ = '2.0'\n",
            "beta.py": "",
            "magic-module.toml": "[alpha]\nsummary = 'First letter'\n",
        },
        "acme",
    )
    result = use(
        world,
        world.serve().manifest_url,
        """
        def row(unit):
            return [unit.name, unit.version, unit.versions, unit.summary, unit.cached, unit.hidden_by]
        before = row(magic_module.info("acme.alpha"))
        import acme.alpha
        print(json.dumps([before, row(magic_module.info("acme.alpha")),
            [unit.name for unit in magic_module.available("acme")], magic_module.info("acme.alpha").size]))
        """,
    )
    row = ["acme.alpha", "2.0", ["2.0", "1.1", "1.0"], "First letter"]
    assert result.json == [[*row, False, None], [*row, True, None], ["acme.alpha", "acme.beta"], 20]


def test_prefetch_of_a_version(world: World) -> None:
    """What was prefetched by its number is there for whoever pins it; others go on with the newest."""
    versions(world, "1.0", "2.0")
    server = world.serve()
    fetch = "import sys; magic_module.prefetch('acme.alpha==1.0'); assert 'acme.alpha' not in sys.modules"
    use(world, server.manifest_url, fetch)
    server.stop()
    show = "import acme.alpha as a; print(a.__version__)"
    assert use(world, server.manifest_url, show, ", pins={'alpha': '1.0'}").stdout.strip() == "1.0"
    server.start()
    assert use(world, server.manifest_url, show).stdout.strip() == "2.0"


def tag(specific: bool) -> str:
    from packaging.tags import sys_tags

    tags = [str(tag) for tag in sys_tags()]
    return tags[0] if specific else f"py{sys.version_info.major}-none-any"


def test_the_best_variant_wins(world: World) -> None:
    site = Site(world.path / "site", "acme")
    common = {"chosen/__init__.py": "from .which import WHICH\n", "chosen/which.py": "WHICH = 'fallback'\n"}
    chosen = site.unit("chosen", common)
    variants = []
    for name, wheel_tag in (
        ("any", tag(False)),
        ("best", tag(True)),
        ("foreign", "cp27-cp27m-plan9_mips"),
    ):
        variants.append({"tag": wheel_tag, "files": [site.file("chosen/which.py", f"WHICH = {name!r}\n")]})
    show = "import acme.chosen as c; print(c.WHICH)"
    server = world.serve()
    for given, expected in ((variants, "best"), (variants[::2], "any"), (variants[2:], "fallback"), ([], "fallback")):
        chosen["variants"] = given
        site.write()
        env = {"MAGIC_MODULE_CACHE_DIR": str(world.path / f"cache-{expected}-{len(given)}")}
        assert use(world, server.manifest_url, show, env=env).stdout.strip() == expected


def test_a_manifest_of_ten_lines(world: World) -> None:
    site = Site(world.path / "site", "acme")
    site.unit("alpha", {"alpha.py": "A = 1\n", "alpha.csv": "1,2\n"})
    site.write()
    script = "import acme.alpha as a, os; print(a.A, os.path.isfile(a.__file__.replace('.py', '.csv')))"
    assert use(world, world.serve().manifest_url, script).stdout.split() == ["1", "True"]


REQUIRING = {
    "one.py": "from acme import two\nONE = two.TWO - 1\n",
    "two.py": "TWO = 2\n",
    "three.py": "THREE = 3\n",
    "magic-module.toml": '[one]\nrequires = ["two"]\n[two]\nrequires = ["one"]\n',
}


def test_required_units_come_with_it(world: World) -> None:
    made = Acme(world, "hook", REQUIRING)
    assert made.server is not None
    world.run("import acme, magic_module; magic_module.prefetch('acme.one')")
    made.server.stop()
    assert world.run("import acme.one; print(acme.one.ONE)").stdout.strip() == "1"
    result = world.run(
        """
        try:
            import acme.three
        except ImportError as error:
            print(type(error).__name__)
        """
    )
    assert result.stdout.strip() == "FetchError"


def test_an_import_that_is_not_required_comes_on_its_own(world: World) -> None:
    made = Acme(world, "hook", {"one.py": "from acme import two\n", "two.py": "TWO = 2\n"})
    assert world.run("import acme.one; print(acme.one.two.TWO)").stdout.strip() == "2"
    assert made.server is not None


def test_dependencies_that_are_missing_are_one_error_before_any_code_runs(world: World) -> None:
    site = Site(world.path / "site", "acme")
    dependencies = [
        "no-such-distribution>=1",
        "pip",
        "another-missing[extra]==2.*",
        'only-elsewhere; sys_platform == "plan9"',
    ]
    site.unit("alpha", {"alpha.py": "print('RAN')\n"}, dependencies=dependencies)
    site.write()
    result = use(
        world,
        world.serve().manifest_url,
        """
        try:
            import acme.alpha
        except magic_module.errors.RequirementError as error:
            print(json.dumps([str(error), error.hint, isinstance(error, ModuleNotFoundError), error.name]))
        """,
    )
    sentence, hint, missing, name = result.json
    assert "RAN" not in result.stdout
    assert "no-such-distribution" in sentence and "another-missing" in sentence and "only-elsewhere" not in sentence
    mark = '"' if sys.platform == "win32" else "'"
    assert f"{sys.executable} -m pip install" in hint and f"{mark}no-such-distribution>=1{mark}" in hint
    assert not missing and name == "acme.alpha"


def test_requires_python(world: World) -> None:
    site = Site(world.path / "site", "acme")
    site.unit("alpha", {"alpha.py": "print('RAN')\n"}, requires_python=">=4.0")
    site.unit("beta", {"beta.py": "print('RAN')\n"}, "2", requires_python=">=3.10")
    site.write()
    url = world.serve().manifest_url
    result = use(
        world,
        url,
        """
        try:
            import acme.alpha
        except magic_module.errors.RequirementError as error:
            print(str(error))
        """,
    )
    running = ".".join(map(str, sys.version_info[:2]))
    assert ">=4.0" in result.stdout and running in result.stdout and "RAN" not in result.stdout
    assert use(world, url, "import acme.beta").stdout.strip() == "RAN"


LAZY = {
    "big/__init__.py": "BIG = True\n",
    "big/small.txt": "small",
    "big/model.bin": b"\x01" * 300_000,
    "big/more/second.bin": b"\x02" * 1000,
    "big/more/third.txt": "third",
    "table.py": "",
    "table.bin": b"\x03" * 1000,
    "magic-module.toml": '[big]\nlazy = ["**/*.bin"]\n[table]\nlazy = ["*.bin"]\n',
}


def test_a_lazy_file_is_fetched_when_it_is_opened(world: World) -> None:
    made = Acme(world, "hook", LAZY)
    assert made.server is not None
    world.run("import acme.big")
    first = made.server.take()
    assert not [request.path for request in first if request.path.endswith(".bin")]
    script = """
        from importlib.resources import as_file, files
        root = files("acme.big")
        print(sorted(entry.name for entry in root.iterdir() if entry.name != "__pycache__"))
        print((root / "model.bin").is_file(), (root / "model.bin").name, (root / "more").is_dir())
        """
    names = "['__init__.py', 'model.bin', 'more', 'small.txt']"
    assert world.run(script).stdout.splitlines() == [names, "True model.bin True"]
    assert made.server.paths() == [], "listing fetches nothing"
    script += """
        print(len((root / "model.bin").read_bytes()))
        with (root / "more" / "second.bin").open("rb") as file:
            print(file.read(1))
        with as_file(root / "model.bin") as path:
            print(path.stat().st_size, path.name)
        print((root / "more" / "third.txt").read_text(), (root / "small.txt").read_text())
        """
    expected = [names, "True model.bin True", "300000", r"b'\x02'", "300000 model.bin", "third small"]
    assert world.run(script).stdout.splitlines() == expected
    paths = made.server.paths()
    assert len(paths) == len(set(paths)) == 2 and all(path.endswith(".bin") for path in paths)
    made.server.stop()
    assert world.run(script).stdout.splitlines() == expected


def test_data_path(world: World) -> None:
    made = Acme(world, "hook", LAZY)
    assert made.server is not None
    script = """
        import json, pathlib
        import acme, magic_module
        paths = [magic_module.data_path("acme.big", path) for path in ("model.bin", "small.txt", "more/second.bin")]
        paths.append(magic_module.data_path("acme.table", "table.bin"))
        print(json.dumps([all(isinstance(path, pathlib.Path) for path in paths), [path.name for path in paths],
            [path.stat().st_size for path in paths]]))
        """
    expected = [True, ["model.bin", "small.txt", "second.bin", "table.bin"], [300_000, 5, 1000, 1000]]
    assert world.run(script).json == expected
    made.server.take()
    made.server.stop()
    assert world.run(script).json == expected
    result = world.run(
        """
        import acme, magic_module
        for name, path in (("acme.big", "nothing.bin"), ("acme.big", "../table.py"), ("acme.nothing", "x")):
            try:
                print(magic_module.data_path(name, path))
            except magic_module.errors.UnitNotFoundError as error:
                print(type(error).__name__, str(error).count(chr(10)))
        """
    )
    assert result.stdout.splitlines() == ["UnitNotFoundError 0"] * 3


def test_a_lazy_file_offline(world: World) -> None:
    Acme(world, "hook", LAZY)
    world.run("import acme.big")
    result = world.run(
        """
        from importlib.resources import files
        import magic_module
        import acme.big
        try:
            files("acme.big").joinpath("model.bin").read_bytes()
        except magic_module.errors.OfflineError as error:
            print(error.name, "MAGIC_MODULE_OFFLINE" in str(error))
        print(files("acme.big").joinpath("small.txt").read_text())
        """,
        env={"MAGIC_MODULE_OFFLINE": "1"},
    )
    assert result.stdout.split() == ["acme.big", "True", "small"]


def test_offline(world: World) -> None:
    made = Acme(world, "hook", LAZY)
    assert made.server is not None
    offline = {"MAGIC_MODULE_OFFLINE": "1"}
    script = """
        try:
            import acme.table
        except ImportError as error:
            print(type(error).__name__, isinstance(error, ModuleNotFoundError), "MAGIC_MODULE_OFFLINE" in error.hint)
        """
    assert world.run(script, env=offline).stdout.split() == ["OfflineError", "False", "True"]
    world.run("import acme.big")
    made.server.take()
    assert world.run(script, env=offline).stdout.split() == ["OfflineError", "False", "True"]
    assert world.run("import acme.big; print(acme.big.BIG)", env=offline).stdout.strip() == "True"
    assert made.server.paths() == []


def test_the_largest_manifest_without_parts_is_small_enough_for_one_import(world: World) -> None:
    units: dict[str, str | bytes] = {f"some_unit_{number:04}.py": f"NUMBER = {number}\n" for number in range(150)}
    world.publish(units, "acme")
    manifest = world.path / "site" / "manifest.json"
    assert b'"modules"' in manifest.read_bytes() and manifest.stat().st_size <= 64 << 10
    world.publish({**units, "one_more.py": ""}, "acme")
    assert b'"catalogue"' in manifest.read_bytes() and b'"modules"' not in manifest.read_bytes()


@pytest.mark.slow
def test_catalogue(world: World) -> None:
    """Above 150 units the manifest is a catalogue: few small requests for one import."""
    units: dict[str, str | bytes] = {f"unit{number:04}.py": f"NUMBER = {number}\n" for number in range(1200)}
    units["rich/__init__.py"] = "from acme import unit0007\nfrom .inner import INNER\n"
    units["rich/inner.py"] = "INNER = 1\n"
    made = Acme(world, "hook", units)
    assert made.server is not None
    assert b'"catalogue"' in (world.path / "site" / "manifest.json").read_bytes()[:4096]
    world.run("import acme.unit0500 as u; assert u.NUMBER == 500")
    paths = made.server.paths()
    metadata = [path for path in paths if path.endswith(".json")]
    assert len(metadata) == 3 and len(paths) - len(metadata) == 1
    sizes = [(world.path / "site" / path.lstrip("/")).stat().st_size for path in metadata]
    assert sum(sizes) <= 64 << 10
    world.run("import acme.unit0500")
    assert made.server.paths() == []
    result = world.run(
        """
        import importlib.util, json
        import acme.rich
        def missing(name):
            try:
                __import__(name)
            except ModuleNotFoundError as error:
                return error.name
        print(json.dumps([acme.rich.INNER, acme.rich.unit0007.NUMBER, missing("acme.unit9999"),
            importlib.util.find_spec("acme.nothing")]))
        """
    )
    assert result.json == [1, 7, "acme.unit9999", None]
    result = world.run("import acme, magic_module, pkgutil; print(len(magic_module.available('acme')))")
    assert result.stdout.strip() == "1201"


@pytest.mark.slow
def test_upgrade_in_a_catalogue(world: World) -> None:
    units: dict[str, str | bytes] = {
        f"unit{number:04}.py": f"__version__ = '1'\nNUMBER = {number}\n" for number in range(1100)
    }
    Acme(world, "hook", units)
    world.run("import acme.unit0003, acme.unit0004")
    world.publish({**units, "unit0003.py": "__version__ = '2'\nNUMBER = -3\n"}, "acme")
    result = world.run(
        """
        import acme.unit0003 as three, acme.unit0004 as four
        print(three._upgrade().changed, four._upgrade().changed, three.NUMBER, four.NUMBER)
        """
    )
    assert result.stdout.split() == ["True", "False", "-3", "4"]


def test_a_unit_may_require_one_with_variants(world: World) -> None:
    site = Site(world.path / "site", "acme")
    site.unit("plain", {"plain.py": "from acme.chosen import WHICH\n"}, requires=["chosen"])
    best = site.file("chosen/__init__.py", "WHICH = 'best'\n")
    site.unit("chosen", {"chosen/__init__.py": ""}, variants=[{"tag": tag(True), "files": [best]}])
    site.write()
    script = "import acme.plain as p; print(p.WHICH)"
    assert use(world, world.serve().manifest_url, script).stdout.strip() == "best"


def test_metadata_is_of_the_version_in_use(world: World) -> None:
    for version in ("1.0", "2.0"):
        info = f"thing-{version}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: thing\nVersion: {version}\n"
        files = {f"{info}/METADATA": metadata, f"{info}/top_level.txt": "thing\n"}
        world.publish({"thing/__init__.py": f"__version__ = '{version}'", **files}, "acme")
    url = world.serve().manifest_url
    show = """
        import acme.thing, importlib.metadata
        print(acme.thing.__version__, importlib.metadata.version("thing"))
        """
    assert use(world, url, show).stdout.split() == ["2.0", "2.0"]
    assert use(world, url, show, ", pins={'thing': '1.0'}").stdout.split() == ["1.0", "1.0"]
    assert use(world, url, show).stdout.split() == ["2.0", "2.0"]


#: Newest first, as PEP 440 has it; the last two are none of its versions.
ORDERED = ["1!0.5", "1.10", "1.10rc2", "1.10rc1", "1.9.post1", "1.9", "1.9.dev1", "1.2", "build-10", "build-9"]


def by_hand(world: World, current: str, **fields: object) -> str:
    """A manifest of every version above, none of which tells when it was published."""
    site = Site(world.path / "site", "acme")
    old = {version: site.record({"alpha.py": f"V = {version!r}\n"}, version) for version in sorted(ORDERED)}
    site.modules["alpha"] = {**old.pop(current), "versions": old, **fields}
    site.write()
    return (world.servers or [world.serve()])[0].manifest_url


def test_versions_are_told_newest_first(world: World) -> None:
    for current in ("1.10", "1!0.5", "build-9"):
        result = use(world, by_hand(world, current), "print(json.dumps(magic_module.info('acme.alpha').versions))")
        assert result.json == ORDERED


def test_a_version_that_was_taken_back_gives_way_to_the_newest_good_one(world: World) -> None:
    url = by_hand(world, "1!0.5", yanked="it deletes files")
    attempt = """
        try:
            import acme.alpha
        except ImportError as error:
            print(error.expected, error.hint.count('"1.10"'))
        """
    assert use(world, url, attempt).stdout == "1.10 1\n"
    shutil.rmtree(world.cache)
    by_hand(world, "1.9")
    use(world, url, "import acme.alpha")
    by_hand(world, "1!0.5", yanked="it deletes files")
    assert use(world, url, "print(magic_module.upgrade('acme.alpha')[0].new_version)").stdout == "1.10\n"


def test_a_version_that_is_not_there_is_refused_with_the_newest_first(world: World) -> None:
    url = by_hand(world, "1.10")
    choice = ", ".join(ORDERED)
    for body, options in (
        ("magic_module.prefetch('acme.alpha==7')", ""),
        ("import acme.alpha", ", pins={'alpha': '7'}"),
    ):
        result = use(world, url, body, options, status=1)
        assert f"one of {choice}" in result.stderr, result.stderr


def test_versions_of_content_are_told_by_time(world: World) -> None:
    """Their digits are those of a digest, which grows in no direction."""
    seen = []
    for number, time in ((1, 100), (2, 200), (3, 300), (4, 400)):
        from magic_module import _native

        source = world.path / "sources"
        source.mkdir(exist_ok=True)
        (source / "alpha.py").write_text(f"X = {number}\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOURCE_DATE_EPOCH", str(time))
            published = _native._publish(str(source), str(world.path / "site"), "acme")
        seen.append(published["units"][0]["version"])
    url = world.serve().manifest_url
    result = use(world, url, "print(json.dumps(magic_module.info('acme.alpha').versions))")
    assert result.json == seen[::-1]


METADATA = {"alpha-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: alpha\nVersion: 1.0\n"}


@pytest.mark.parametrize("files", [METADATA, {**METADATA, "alpha-1.0.dist-info/RECORD": ""}], ids=["alone", "RECORD"])
@pytest.mark.parametrize("name", ["acme.alpha", "acme.alpha==1.0"])
def test_a_unit_of_metadata_alone_is_fetched_and_found(world: World, files: Mapping[str, str], name: str) -> None:
    """As distributions are that hold no module; like those, it cannot be imported."""
    site = Site(world.path / "site", "acme")
    site.unit("alpha", files)
    site.write()
    server = world.serve()
    use(world, server.manifest_url, f"magic_module.prefetch({name!r})")
    server.stop()
    result = use(
        world,
        server.manifest_url,
        """
        import importlib.metadata, importlib.util, pkgutil, acme
        place = magic_module.data_path("acme.alpha", "alpha-1.0.dist-info/METADATA")
        found = importlib.metadata.distribution("alpha")
        print(json.dumps([magic_module.info("acme.alpha").cached, found.version, found.metadata["Name"],
            place.read_text() == found.read_text("METADATA"), importlib.util.find_spec("acme.alpha"),
            [module.name for module in pkgutil.iter_modules(acme.__path__)]]))
        """,
    )
    assert result.json == [True, "1.0", "alpha", True, None, []]


def test_units_without_a_module_are_fetched(world: World) -> None:
    """Data alone, nothing but what it requires, and at the top level."""
    site = Site(world.path / "site", "")
    site.unit("zz_data", {"zz_data.csv": "a,b\n"}, "1")
    site.unit("zz_all", {}, "2", requires=["zz_mod"])
    site.unit("zz_mod", {"zz_mod.py": "X = 1\n"}, "3")
    site.write()
    url = world.serve().manifest_url
    mounts = f"import magic_module as mm\nmm.mount('', {url!r})\n"
    fetch = "mm.prefetch('zz_data', 'zz_all')\nprint(mm.data_path('zz_data', 'zz_data.csv').read_text(), end='')\n"
    check = "print(mm.info('zz_mod').cached, mm.upgrade('zz_data')[0].changed)"
    assert world.run(mounts + fetch + check).stdout == "a,b\nTrue False\n"


def test_a_name_that_is_no_unit_is_still_none(world: World) -> None:
    site = Site(world.path / "site", "acme")
    site.unit("alpha", METADATA)
    site.write()
    result = use(world, world.serve().manifest_url, "magic_module.prefetch('acme.alpha.inner')", status=1)
    assert "UnitNotFoundError: acme.alpha.inner is not in the manifest" in result.stderr
