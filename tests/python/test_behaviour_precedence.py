"""Who serves a name: what is installed wins, then the longest namespace, then the earlier mount."""

from __future__ import annotations

import pytest

from kit.sources import write_tree
from kit.world import Acme, World


def mounted(world: World, namespace: str, units: dict[str, str | bytes], site: str) -> str:
    """Publishes and serves; returns the manifest's URL."""
    world.publish(units, namespace, site)
    return world.serve(site).manifest_url


def test_what_the_package_ships_wins_and_is_never_sent(world: World) -> None:
    made = Acme(world, "hook", {"plain.py": "WHO = 'unit'\n", "rest.py": ""}, own={"plain.py": "WHO = 'shipped'\n"})
    assert made.server is not None
    result = world.run(
        "import importlib.util, acme.plain as p; print(p.WHO, importlib.util.find_spec('acme.plain').origin)"
    )
    who, origin = result.stdout.split()
    assert who == "shipped" and origin == str(made.package / "plain.py")
    assert made.server.paths() == []
    result = world.run(
        """
        import acme, json, magic_module
        print(json.dumps([[unit.name, unit.hidden_by] for unit in magic_module.available("acme")]))
        """
    )
    assert result.json == [["acme.plain", str(made.package / "plain.py")], ["acme.rest", None]]


def test_an_installed_top_level_name_wins(world: World) -> None:
    installed = write_tree(world.path / "site-packages", {"tool.py": "WHO = 'installed'\n"})
    url = mounted(
        world, "", {"tool.py": "WHO = 'unit'\n", "extra.py": "WHO = 'unit'\n", "wave.py": "WHO = 'unit'\n"}, "site"
    )
    script = f"""
        import magic_module
        magic_module.mount("", {url!r}FIRST)
        import tool, extra, wave
        print(tool.WHO, extra.WHO, getattr(wave, "WHO", "stdlib"))
        """
    env = {"PYTHONPATH": str(installed)}
    assert world.run(script.replace("FIRST", ""), env=env).stdout.split() == ["installed", "unit", "stdlib"]
    assert world.run(script.replace("FIRST", ", first=True"), env=env).stdout.split() == ["unit", "unit", "unit"]


def test_first_never_hides_what_is_built_in(world: World) -> None:
    url = mounted(world, "", {"sys.py": "WHO = 'unit'\n", "extra.py": ""}, "site")
    result = world.run(
        f"import magic_module; magic_module.mount('', {url!r}, first=True); import sys; print(hasattr(sys, 'WHO'))"
    )
    assert result.stdout.strip() == "False"


def test_of_two_empty_mounts_the_earlier_wins(world: World) -> None:
    one = mounted(world, "", {"same.py": "WHO = 1\n", "left.py": "WHO = 'left'\n"}, "one")
    two = mounted(world, "", {"same.py": "WHO = 2\n", "right.py": "WHO = 'right'\n"}, "two")
    result = world.run(
        f"""
        import magic_module
        magic_module.mount("", {one!r})
        magic_module.mount("", {two!r})
        import same, left, right
        print(same.WHO, left.WHO, right.WHO)
        """
    )
    assert result.stdout.split() == ["1", "left", "right"]


def test_a_known_empty_manifest_answers_every_miss(world: World) -> None:
    world.publish({"extra.py": "WHO = 'unit'\n"}, "")
    server = world.serve()
    script = f"""
        import magic_module
        magic_module.mount("", {server.manifest_url!r})
        import extra
        for name in ("absent", "missing", "gone.deep", "absent"):
            try:
                __import__(name)
            except ModuleNotFoundError as error:
                print(error.name)
        """
    assert world.run(script).stdout.split() == ["absent", "missing", "gone", "absent"]
    assert server.paths().count("/manifest.json") == 1
    world.run(script)
    assert server.paths() == []


def test_the_longest_namespace_serves(world: World) -> None:
    outer = mounted(world, "acme", {"plain.py": "WHO = 'outer'\n", "inner/deep.py": "WHO = 'outer'\n"}, "outer")
    inner = mounted(world, "acme.inner", {"deep.py": "WHO = 'inner'\n", "other.py": "WHO = 'inner'\n"}, "inner")
    for order in ((outer, inner), (inner, outer)):
        calls = "\n        ".join(
            f"magic_module.mount({'acme' if url == outer else 'acme.inner'!r}, {url!r})" for url in order
        )
        result = world.run(
            f"""
        import magic_module
        {calls}
        import acme.plain, acme.inner.deep, acme.inner.other
        print(acme.plain.WHO, acme.inner.deep.WHO, acme.inner.other.WHO)
        """
        )
        assert result.stdout.split() == ["outer", "inner", "inner"]


def test_a_nested_namespace_alone(world: World) -> None:
    url = mounted(world, "org.team.tools", {"plain.py": "WHO = 'deep'\n"}, "site")
    result = world.run(
        f"""
        import magic_module
        magic_module.mount("org.team.tools", {url!r})
        import org.team.tools.plain as plain
        import org
        print(plain.WHO, plain.__name__, org.__spec__.origin)
        try:
            import org.other
        except ModuleNotFoundError as error:
            print(error.name)
        """
    )
    assert result.stdout.split() == ["deep", "org.team.tools.plain", "None", "org.other"]


def test_mount_twice_close_and_context_manager(world: World) -> None:
    url = mounted(world, "acme", {"plain.py": "WHO = 1\n", "late.py": "WHO = 2\n"}, "site")
    result = world.run(
        f"""
        import json, sys
        import magic_module
        one = magic_module.mount("acme", {url!r})
        two = magic_module.mount("acme", {url!r})
        with magic_module.mount("brief", {url!r}.replace("manifest", "other")) as third:
            kept = third.namespace
        import acme.plain
        path = list(sys.meta_path)
        one.close()
        def missing(name):
            try:
                __import__(name)
            except ModuleNotFoundError as error:
                return error.name
        print(json.dumps([one == two, kept, one.namespace, one.manifest_url, acme.plain.WHO, missing("acme.late"),
            missing("brief")]))
        """
    )
    assert result.json == [True, "brief", "acme", url, 1, "acme.late", "brief"]


def test_mounting_a_taken_namespace_elsewhere_is_an_error(world: World) -> None:
    one = mounted(world, "acme", {"plain.py": "WHO = 1\n"}, "one")
    two = mounted(world, "acme", {"plain.py": "WHO = 2\n"}, "two")
    result = world.run(
        f"""
        import magic_module
        magic_module.mount("acme", {one!r})
        import acme.plain
        try:
            magic_module.mount("acme", {two!r})
        except magic_module.errors.ConfigurationError as error:
            print("refused", error.hint is not None)
        print(acme.plain.WHO)
        """
    )
    assert result.stdout.split() == ["refused", "True", "1"]


def test_the_environments_mount(world: World) -> None:
    one = mounted(world, "magic_module", {"plain.py": "WHO = 'environment'\n", "late.py": ""}, "one")
    two = mounted(world, "magic_module", {"plain.py": "WHO = 'explicit'\n"}, "two")
    env = {"MAGIC_MODULE_MANIFEST_URL": one}
    assert world.run("import magic_module.plain as p; print(p.WHO)", env=env).stdout.strip() == "environment"
    result = world.run(
        f"""
        import magic_module
        magic_module.mount("magic_module", {two!r})
        import magic_module.plain as plain
        print(plain.WHO)
        """,
        env=env,
    )
    assert result.stdout.strip() == "explicit"
    result = world.run(
        f"""
        import magic_module.plain as plain
        import magic_module
        try:
            magic_module.mount("magic_module", {two!r})
        except magic_module.errors.ConfigurationError as error:
            print(plain.WHO, error)
        """,
        env=env,
    )
    assert result.stdout.startswith("environment ")


def test_no_manifest_is_set(world: World) -> None:
    result = world.run(
        """
        import importlib.util, json
        import magic_module
        seen = []
        def note(act):
            try:
                act()
            except ImportError as error:
                seen.append([type(error).__name__, isinstance(error, ModuleNotFoundError), error.hint])
        note(lambda: __import__("magic_module.alpha"))
        note(lambda: importlib.util.find_spec("magic_module.alpha"))
        print(json.dumps(seen))
        """
    )
    hint = 'set MAGIC_MODULE_MANIFEST_URL, or call magic_module.mount("magic_module", url) first'
    assert result.json == [["ConfigurationError", False, hint]] * 2


def test_a_manifest_for_another_namespace(world: World) -> None:
    url = mounted(world, "other", {"plain.py": "WHO = 1\n"}, "site")
    result = world.run(
        f"""
        import magic_module
        magic_module.mount("acme", {url!r})
        try:
            import acme.plain
        except magic_module.errors.ManifestError as error:
            print(error)
        """
    )
    assert "other" in result.stdout and "acme" in result.stdout


def test_our_own_files_hide_no_unit(world: World) -> None:
    names = ["loader", "cli", "server", "notices", "demo", "doctor", "metadata", "resources", "requirements", "api"]
    url = mounted(world, "magic_module", {f"{name}.py": f"WHO = {name!r}\n" for name in names}, "site")
    result = world.run(
        f"""
        import importlib, json
        print(json.dumps([importlib.import_module(f"magic_module.{{name}}").WHO for name in {names!r}]))
        """,
        env={"MAGIC_MODULE_MANIFEST_URL": url},
    )
    assert result.json == names


def test_the_api_survives_units(world: World) -> None:
    url = mounted(world, "magic_module", {"alpha.py": "WHO = 1\n"}, "site")
    result = world.run(
        """
        import magic_module
        import magic_module.alpha
        from magic_module import alpha
        import magic_module.errors as errors
        print(alpha.WHO, errors is magic_module.errors, callable(magic_module.mount), magic_module.__version__[:2])
        """,
        env={"MAGIC_MODULE_MANIFEST_URL": url},
    )
    assert result.stdout.split() == ["1", "True", "True", "0."]


def test_a_package_that_is_split_between_a_disk_and_units(world: World) -> None:
    """A namespace package on disk and units of the same namespace are one package."""
    disk = write_tree(world.path / "disk", {"acme/ondisk.py": "WHO = 'disk'\n"})
    url = mounted(world, "acme", {"plain.py": "WHO = 'unit'\n"}, "site")
    result = world.run(
        f"""
        import magic_module
        magic_module.mount("acme", {url!r})
        import acme.plain, acme.ondisk
        print(acme.plain.WHO, acme.ondisk.WHO,
            any(kind.__name__.endswith("NamespacePath") for kind in type(acme.__path__).__mro__))
        """,
        env={"PYTHONPATH": str(disk)},
    )
    assert result.stdout.split() == ["unit", "disk", "True"]


def test_mounting_after_the_package_was_imported(world: World) -> None:
    package = write_tree(world.path / "disk", {"acme/__init__.py": "", "acme/own.py": "WHO = 'own'\n"})
    url = mounted(world, "acme", {"plain.py": "WHO = 'unit'\n"}, "site")
    result = world.run(
        f"""
        import pkgutil
        import acme.own, magic_module
        magic_module.mount("acme", {url!r})
        import acme.plain
        print(acme.plain.WHO, sorted(m.name for m in pkgutil.iter_modules(acme.__path__)))
        """,
        env={"PYTHONPATH": str(package)},
    )
    assert result.stdout.strip() == "unit ['own', 'plain']"


def test_manifest_url_as_a_file(world: World) -> None:
    world.publish({"plain.py": "WHO = 'file'\n"}, "acme")
    url = (world.path / "site" / "manifest.json").as_uri()
    result = world.run(
        f"import magic_module; magic_module.mount('acme', {url!r}); import acme.plain; print(acme.plain.WHO)"
    )
    assert result.stdout.strip() == "file"


def test_a_neighbour_that_is_asked_for_at_top_level_is_named(world: World) -> None:
    """A unit imports another one by the name that it would have if it were installed."""
    units: dict[str, str | bytes] = {
        "alpha.py": "try:\n    import optional_thing\nexcept ImportError:\n    pass\nimport neighbour_unit\n",
        "neighbour_unit.py": "",
    }
    url = mounted(world, "acme", units, "site")
    script = f"""
        import json, magic_module
        magic_module.mount("acme", {url!r})
        said = []
        try:
            import acme.alpha
        except ModuleNotFoundError as error:
            said.append([error.name, str(error)])
        try:
            import neighbour_unit
        except ModuleNotFoundError as error:
            said.append([error.name, str(error)])
        print(json.dumps(said))
        """
    (name, sentence), own = world.run(script).json
    assert name == "neighbour_unit"
    assert "acme.alpha imports the unit acme.neighbour_unit by the absolute name neighbour_unit" in sentence
    assert sentence.endswith("or install the distribution that holds neighbour_unit")
    assert own == ["neighbour_unit", "No module named 'neighbour_unit'"], "who is not a unit is told nothing new"


# A finder as editable installs have it: it maps names to files that lie anywhere.
MAPPING = """
    import importlib.util, sys
    class Mapped:
        {decorator}
        def find_spec({self}name, path=None, target=None):
            place = {mapping!r}.get(name)
            return None if place is None else importlib.util.spec_from_file_location(name, place)
    sys.meta_path.append(Mapped{call})
    """


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("namespace", ["acme", ""], ids=["named", "top level"])
@pytest.mark.parametrize("kind", ["class", "instance"])
def test_what_a_finder_behind_knows_wins_and_is_never_sent(world: World, namespace: str, when: str, kind: str) -> None:
    own = write_tree(
        world.path / "elsewhere", {"plain.py": "WHO = 'editable'\n", "pack/__init__.py": "WHO = 'editable'\n"}
    )
    prefix = f"{namespace}." if namespace else ""
    mapping = {f"{prefix}plain": str(own / "plain.py"), f"{prefix}pack": str(own / "pack" / "__init__.py")}
    world.publish({"plain.py": "WHO = 'unit'\n", "pack/__init__.py": "WHO = 'unit'\n", "rest.py": ""}, namespace)
    server = world.serve()
    instance = kind == "instance"
    finder = MAPPING.format(
        mapping=mapping,
        decorator="" if instance else "@staticmethod",
        self="self, " if instance else "",
        call="()" if instance else "",
    )
    mount = f"\n    import magic_module\n    magic_module.mount({namespace!r}, {server.manifest_url!r})\n"
    steps = finder + mount if when == "before" else mount + finder
    script = f"""{steps}
    import importlib
    print(*(importlib.import_module("{prefix}" + name).WHO for name in ("plain", "pack")))
    """
    assert world.run(script).stdout == "editable editable\n"
    # Top-level names may be those of a lock: that is asked when they are mounted.
    assert server.paths() == ([] if namespace else ["/manifest.json"])
    script = f"""{steps}
    import json
    print(json.dumps([[unit.name, unit.hidden_by] for unit in magic_module.available({namespace!r})]))
    """
    hidden = [[f"{prefix}{name}", mapping.get(f"{prefix}{name}")] for name in ("pack", "plain", "rest")]
    assert world.run(script).json == hidden
    # The manifest is known by now, and so are the units: they give way all the same.
    script = f"""{steps}
    import importlib
    print(importlib.import_module("{prefix}rest").__name__, importlib.import_module("{prefix}plain").WHO)
    """
    assert world.run(script).stdout == f"{prefix}rest editable\n"


def test_what_a_vendored_importer_knows_wins_with_the_server_down(world: World) -> None:
    """As the vendored six does: an importer of the package's own knows names that no folder has."""
    six = """
        import importlib.machinery, sys, types
        __path__ = []
        class Importer:
            known = {__name__ + ".moves", "acme.virtual"}
            def find_spec(self, name, path=None, target=None):
                return importlib.machinery.ModuleSpec(name, self, is_package=True) if name in self.known else None
            def create_module(self, spec):
                module = types.ModuleType(spec.name)
                module.WHO = "importer"
                return module
            def exec_module(self, module):
                pass
        sys.meta_path.append(Importer())
        """
    own = {"_vendor/__init__.py": "", "_vendor/six.py": "\n".join(line[8:] for line in six.splitlines())}
    made = Acme(world, "hook", {"virtual.py": "WHO = 'unit'\n"}, own=own)
    assert made.server is not None
    script = "import acme._vendor.six.moves as moves, acme.virtual as virtual; print(moves.WHO, virtual.WHO)"
    assert world.run(script).stdout == "importer importer\n"
    assert made.server.paths() == []
    script = "import acme._vendor.six, magic_module; print(magic_module.info('acme.virtual').hidden_by)"
    assert world.run(script).stdout == "acme._vendor.six.Importer on sys.meta_path\n"
    made.server.stop()
    script = "import acme._vendor.six.moves as moves, acme.virtual as virtual; print(moves.WHO, virtual.WHO)"
    assert world.run(script).stdout == "importer importer\n"


def test_a_finder_that_asks_the_others_is_told_what_they_know(world: World) -> None:
    """One that stands at the end, asks everybody before it, and would else be asked for ever."""
    finder = """
        import sys
        class Asks:
            asked = []
            def find_spec(self, name, path=None, target=None):
                self.asked.append(name)
                for finder in sys.meta_path:
                    if finder is not self:
                        spec = finder.find_spec(name, path, target)
                        if spec is not None:
                            return spec
        sys.meta_path.append(Asks())
        """
    for namespace in ("acme", ""):
        made = Acme(world, f"hook{namespace}", {"plain.py": "WHO = 'unit'\n"}, namespace=namespace, init=None)
        name = f"{namespace}.plain".strip(".")
        script = f"{finder}\n        import {name} as plain\n        print(plain.WHO, Asks.asked.count({name!r}))"
        assert made.run(script).stdout == "unit 1\n"
        (world.path / "site" / "manifest.json").unlink()


@pytest.mark.parametrize("namespace", ["acme", ""], ids=["named", "top level"])
@pytest.mark.parametrize("unit", ["plain.py", "plain/__init__.py", "plain/part.py"])
def test_a_folder_without_code_hides_no_unit(world: World, namespace: str, unit: str) -> None:
    (world.work / namespace / "plain" / "data").mkdir(parents=True)
    (world.work / namespace / "plain" / "data" / "table.csv").touch()
    world.publish({unit: "WHO = 'unit'\n"}, namespace)
    server = world.serve()
    name = f"{namespace}.{unit.removesuffix('.py').removesuffix('/__init__').replace('/', '.')}".strip(".")
    script = f"""
        import importlib, importlib.util, magic_module
        magic_module.mount({namespace!r}, {server.manifest_url!r})
        assert importlib.util.find_spec({name!r}).origin
        print(importlib.import_module({name!r}).WHO, [it.hidden_by for it in magic_module.available({namespace!r})])
        """
    for _ in range(2):
        assert world.run(script).stdout == "unit [None]\n"


def test_a_folder_without_code_is_importable_as_ever(world: World) -> None:
    """Whoever has such a folder and no unit of its name keeps the namespace package."""
    (world.work / "data").mkdir()
    (world.work / "data" / "rows.py").write_text("WHO = 'disk'\n")
    world.publish({"plain.py": "", "google/cloud/part.py": "WHO = 'unit'\n"}, "")
    (world.work / "google" / "disk").mkdir(parents=True)
    (world.work / "google" / "disk" / "part.py").write_text("WHO = 'disk'\n")
    url = world.serve().manifest_url
    for first in ("", ", first=True"):
        script = f"""
            import magic_module
            magic_module.mount("", {url!r}{first})
            import data.rows, google.cloud.part, google.disk.part
            print(data.rows.WHO, google.cloud.part.WHO, google.disk.part.WHO)
            """
        assert world.run(script).stdout == "disk unit disk\n"


def test_an_installed_package_shares_no_module_with_the_unit_that_it_hides(world: World) -> None:
    installed = write_tree(
        world.path / "site-packages", {"kp/__init__.py": "", "kp/own.py": "", "kp/sub/__init__.py": ""}
    )
    units = {"kp/__init__.py": "", "kp/extra.py": "WHO = 'unit'\n", "kp/sub/extra.py": "WHO = 'unit'\n"}
    for namespace in ("", "acme"):
        folder = installed if not namespace else write_tree(world.path / "named", {"acme/__init__.py": ""})
        if namespace:
            (installed / "kp").rename(folder / "acme" / "kp")
        site = f"site{namespace}"
        world.publish(units, namespace, site)
        url = world.serve(site).manifest_url
        prefix = f"{namespace}." if namespace else ""
        script = f"""
            import importlib, magic_module
            magic_module.mount({namespace!r}, {url!r})
            for name in ("kp.extra", "kp.sub.extra", "kp.own"):
                try:
                    print(importlib.import_module("{prefix}" + name).__name__)
                except ModuleNotFoundError as error:
                    print("no", error.name)
            """
        said = world.run(script, env={"PYTHONPATH": str(folder)}).stdout.splitlines()
        assert said == [f"no {prefix}kp.extra", f"no {prefix}kp.sub.extra", f"{prefix}kp.own"]


def test_what_is_put_on_the_search_path_later_wins(world: World) -> None:
    installed = write_tree(world.path / "later", {"tool.py": "WHO = 'installed'\n"})
    url = mounted(world, "", {"tool.py": "WHO = 'unit'\n", "other.py": "WHO = 'unit'\n"}, "site")
    script = f"""
        import sys, magic_module
        mount = magic_module.mount("", {url!r})
        magic_module.mount("", {url!r})
        before = len(sys.path)
        sys.path.append({str(installed)!r})
        import other, tool
        print(other.WHO, tool.WHO)
        mount.close()
        print(before - len(sys.path))
        """
    assert world.run(script).stdout.split() == ["unit", "installed", "0"]


def test_a_search_path_that_is_made_new_hides_no_unit(world: World) -> None:
    url = mounted(world, "", {"plain.py": "WHO = 'unit'\n"}, "site")
    script = f"""
        import sys
        kept = list(sys.path)
        import magic_module
        magic_module.mount("", {url!r})
        sys.path[:] = kept
        import plain
        print(plain.WHO)
        """
    assert world.run(script).stdout == "unit\n"


def test_listing_the_search_path_asks_for_nothing_but_the_manifest(world: World) -> None:
    world.publish({"plain.py": "", "pack/__init__.py": ""}, "")
    server = world.serve()
    script = f"""
        import pkgutil, magic_module
        magic_module.mount("", {server.manifest_url!r})
        print(sorted(it.name for it in pkgutil.iter_modules() if it.name in ("plain", "pack")))
        """
    assert world.run(script).stdout == "['pack', 'plain']\n"
    assert server.paths() == ["/manifest.json"]


def test_the_doctor_and_the_list_tell_what_hides_a_unit(world: World) -> None:
    installed = write_tree(world.path / "site-packages", {"acme/__init__.py": "", "acme/plain.py": ""})
    url = mounted(world, "acme", {"plain.py": "", "rest.py": ""}, "site")
    line = f"acme.plain is hidden by {installed / 'acme' / 'plain.py'}"
    for command in ("doctor", "list"):
        args = ["-m", "magic_module", command, "--manifest-url", url, "--namespace", "acme"]
        result = world.run(None, args=args, env={"PYTHONPATH": str(installed)}, status=None)
        assert line in result.stdout, result.stderr
        assert "acme.rest is hidden" not in result.stdout


def test_a_mount_that_comes_first_is_not_hidden(world: World) -> None:
    installed = write_tree(world.path / "site-packages", {"tool.py": ""})
    url = mounted(world, "", {"tool.py": ""}, "site")
    for first, hidden in (("", str(installed / "tool.py")), (", first=True", "None")):
        script = f"import magic_module as m; m.mount('', {url!r}{first}); print(m.info('tool').hidden_by)"
        assert world.run(script, env={"PYTHONPATH": str(installed)}).stdout == f"{hidden}\n"
