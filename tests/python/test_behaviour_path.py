"""Submodules come from the folders of their parent's `__path__`, in that order, as those of an installed package do."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from kit.sources import write_tree
from kit.world import Acme, World

KP = {
    "kp/layers.py": "WHO = 'outer'\n",
    "kp/only_outer.py": "WHO = 'only outer'\n",
    "kp/deep/late.py": "WHO = 'outer late'\n",
    "kp/api/layers.py": "WHO = 'inner'\n",
    "kp/api/deep/__init__.py": "WHO = 'inner package'\n",
    "kp/api/deep/leaf.py": "WHO = 'leaf'\n",
    "kp/api/only_inner.py": "WHO = 'only inner'\n",
    "kp/api/space/one.py": "WHO = 'one'\n",
    "kp/space/two.py": "WHO = 'two'\n",
}

# What the `__init__` of the package does with its `__path__`.
CHANGES = {
    "inserts": "__path__.insert(0, os.path.join(os.path.dirname(__file__), 'api'))",
    "appends": "__path__.append(os.path.join(os.path.dirname(__file__), 'api'))",
    "replaces": "__path__ = [os.path.join(os.path.dirname(__file__), 'api')]",
    "replaces by a tuple": "__path__ = (os.path.join(__path__[0], 'api'), __path__[0])",
    "replaces in place": "__path__[:] = [__path__[0] + os.sep + 'api' + os.sep]",
    "empties": "__path__ = []",
    "empties in place": "del __path__[:]",
    "names it in another way": "__path__ = [os.path.join(__path__[0], '.', 'deep', '..', 'api')]",
    "names real folders": "__path__ = [os.path.realpath(__path__[0]) + '/api']",
    "names a relative folder": "__path__ = [os.path.relpath(__path__[0] + '/api')]",
    "other kinds of entries": ("import pathlib\n__path__[:0] = [pathlib.Path(__path__[0]) / 'api', None, 7]"),
    "folders outside": "__path__.insert(0, os.environ['OUTSIDE'])",
    "archives": "__path__.insert(0, os.environ['ARCHIVE'])",
    "by extend_path": "import pkgutil; __path__ = pkgutil.extend_path(__path__, __name__)",
    "by a namespace path": (
        "import importlib.machinery as m\n"
        "__path__ = type('P', (list,), {'_path': ()})([__path__[0] + '/api', __path__[0]])"
    ),
}

LOOK = """
    import importlib, importlib.util, json
    said = []
    for name in ["layers", "only_inner", "only_outer", "deep", "deep.leaf", "deep.late", "space.one", "space.two",
                 "extra", "absent"]:
        name = f"PREFIXkp.{name}"
        try:
            spec = importlib.util.find_spec(name)
            module = importlib.import_module(name)
            said.append([getattr(module, "WHO", None), spec is not None, module.__name__, module.__spec__.parent])
        except ImportError as error:
            said.append([type(error).__name__, error.name])
    print(json.dumps(said))
    """


@pytest.mark.parametrize("namespace", ["acme", ""], ids=["named", "top level"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_a_unit_does_with_its_path(world: World, change: str, namespace: str) -> None:
    outside = write_tree(world.path / "outside", {"extra.py": "WHO = 'extra'\n", "layers.py": "WHO = 'outside'\n"})
    archive = world.path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("extra.py", "WHO = 'zipped'\n")
    world.extra.update(OUTSIDE=str(outside), ARCHIVE=str(archive), PYTHONDONTWRITEBYTECODE="1")
    units = {**KP, "kp/__init__.py": f"import os\n{CHANGES[change]}\n"}
    script = LOOK.replace("PREFIX", f"{namespace}." if namespace else "")
    said = [Acme(world, how, units, namespace=namespace, init=None).run(script).json for how in ("installed", "hook")]
    assert said[1] == said[0]


def test_a_package_that_imports_from_its_own_init(world: World) -> None:
    units = {"kp/__init__.py": "WHO = __name__\n", "kp/part.py": "from .__init__ import WHO\n"}
    for how in ("installed", "hook"):
        made = Acme(world, how, units)
        assert made.run("import acme.kp.part; print(acme.kp.part.WHO)").stdout == "acme.kp.__init__\n"


def test_a_path_that_changes_after_submodules_were_imported(world: World) -> None:
    script = """
        import json, sys, acme.kp.layers as layers
        import acme.kp as kp
        said = [layers.WHO]
        kp.__path__.insert(0, kp.__path__[0] + "/api")
        import acme.kp.layers as same
        said.append(same.WHO)
        del sys.modules["acme.kp.layers"]
        import acme.kp.layers as other
        said.append(other.WHO)
        kp.__path__ = []
        try:
            import acme.kp.only_outer
        except ModuleNotFoundError as error:
            said.append(error.name)
        print(json.dumps(said))
        """
    units = {**KP, "kp/__init__.py": ""}
    for how in ("installed", "hook"):
        said = Acme(world, how, units).run(script).json
        assert said == ["outer", "outer", "inner", "acme.kp.only_outer"]


def test_a_module_that_is_no_package_has_no_submodules(world: World) -> None:
    """As the vendored six does: `__path__ = []`, and modules that only an importer knows."""
    importer = """
        import importlib.machinery, sys, types
        __path__ = []
        class Importer:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == __name__ + ".moves":
                    return importlib.machinery.ModuleSpec(name, Importer, is_package=True)
            @staticmethod
            def create_module(spec):
                module = types.ModuleType(spec.name)
                module.WHO = "moves"
                return module
            @staticmethod
            def exec_module(module):
                pass
        sys.meta_path.append(Importer)
        """
    importer = "\n".join(line[8:] for line in importer.splitlines())
    units = {"alpha/__init__.py": "from .six.moves import WHO\n", "alpha/six.py": importer}
    for how in ("installed", "hook"):
        assert Acme(world, how, units).run("import acme.alpha; print(acme.alpha.WHO)").stdout == "moves\n"


@pytest.mark.parametrize("namespace", ["acme", ""], ids=["named", "top level"])
def test_parts_of_a_package_that_are_units_of_their_own(world: World, namespace: str) -> None:
    units = {
        "bulk/__init__.py": "WHO = 'bulk'\n",
        "bulk/small.py": "WHO = 'small'\n",
        "bulk/big.py": "WHO = 'big'\n",
        "magic-module.toml": "units = ['bulk.big']\n",
    }
    prefix = f"{namespace}." if namespace else ""
    script = f"""
        import importlib
        print(*(importlib.import_module(f"{prefix}bulk{{name}}").WHO for name in ("", ".small", ".big")))
        """
    assert Acme(world, "hook", units, namespace=namespace, init=None).run(script).stdout == "bulk small big\n"


def test_an_upgrade_finds_the_new_tree_by_the_old_path(world: World) -> None:
    def version(number: int) -> dict[str, str | bytes]:
        return {
            "kp/__init__.py": f"import os\nN = {number}\n__path__.insert(0, os.path.join(__path__[0], 'api'))\n",
            "kp/layers.py": "N = 'wrong'\n",
            "kp/api/layers.py": f"N = {number}\n",
            "kp/api/late.py": f"N = {number}\n",
            "kp/vendored/thing.py": f"N = {number}\n",
            **({"kp/api/gone.py": ""} if number == 1 else {}),
        }

    world.publish(version(1))
    server = world.serve()
    started = world.start(
        """
        import json, sys
        import magic_module.kp.layers as layers, magic_module.kp as kp, magic_module.kp.gone
        sys.path.append(kp.__path__[1] + "/vendored")
        print(layers.N, flush=True)
        input()
        kp._upgrade()
        import magic_module.kp.late, thing
        print(json.dumps([kp.N, layers.N, kp.late.N, thing.N, "magic_module.kp.gone" in sys.modules]))
        """,
        env={"MAGIC_MODULE_MANIFEST_URL": server.manifest_url},
        input=True,
    )
    assert world.line(started) == "1"
    world.publish(version(2))
    world.say(started)
    assert world.finish(started).json == [2, 2, 2, 2, False]


@pytest.mark.parametrize("first", [False, True], ids=["behind", "first"])
def test_a_unit_that_imports_itself_again_from_a_folder_of_its_own(world: World, first: bool) -> None:
    """As cv2 does: the package puts its folder on `sys.path`, and imports what has its own name there."""
    init = """
        import importlib, os, sys
        kept = list(sys.path)
        sys.path.insert(1, os.path.dirname(__file__))
        package = sys.modules.pop("twice")
        native = importlib.import_module("twice")
        sys.modules["twice"] = package
        sys.path[:] = kept
        WHO = native.WHO
        """
    units = {
        "twice/__init__.py": "\n".join(line[8:] for line in init.splitlines()),
        "twice/twice.py": "WHO = 'inner'\n",
        "twice/part.py": "WHO = 'part'\n",
    }
    made = Acme(world, "hook", units, namespace="", init=None, first=first)
    assert made.run("import twice.part; print(twice.WHO, twice.part.WHO)").stdout == "inner part\n"


@pytest.mark.parametrize(
    ("namespace", "said"),
    [("acme", "vendored vendored late\n"), ("", "unit unit late\n")],
    ids=["named", "top level"],
)
def test_vendored_top_level_names_on_the_search_path(world: World, namespace: str, said: str) -> None:
    """As setuptools does: what it ships is found behind what is installed, with its own submodules."""
    units = {
        "tools/__init__.py": "import os, sys\nsys.path.append(os.path.join(os.path.dirname(__file__), '_vendor'))\n",
        "tools/_vendor/more/__init__.py": "from .part import WHO\n",
        "tools/_vendor/more/part.py": "WHO = 'vendored'\n",
        "tools/_vendor/more/late.py": "WHO = 'vendored late'\n",
        "more/__init__.py": "WHO = 'unit'\n",
        "more/late.py": "WHO = 'unit late'\n",
    }
    script = "import tools, more, more.late; print(more.WHO, more.late.WHO)"
    if namespace:
        script = script.replace("tools", "acme.tools", 1)
    assert Acme(world, "hook", units, namespace=namespace, init=None).run(script).stdout == said


def test_a_folder_of_a_tree_on_the_search_path_of_a_new_process(world: World) -> None:
    units = {"kp/__init__.py": "", "kp/vendored/thing.py": "WHO = __file__\n"}
    made = Acme(world, "hook", units)
    folder = made.run("import acme.kp; print(acme.kp.__path__[0])").stdout.strip()
    found = world.run(f"import sys, acme; sys.path.append({folder + '/vendored'!r}); import thing; print(thing.WHO)")
    assert Path(found.stdout.strip()) == Path(folder, "vendored", "thing.py")


def test_a_path_through_a_link_runs_nothing_that_was_not_pinned(world: World) -> None:
    """A file that was planted into a tree is not found, however the folder is named."""
    (world.path / "link").symlink_to(world.path, target_is_directory=True)
    world.cache = world.path / "link" / "cache"
    units = {
        "kp/__init__.py": "import os\n__path__[:] = [os.path.realpath(__path__[0])]\n",
        "kp/right.py": "WHO = 'right'\n",
    }
    made = Acme(world, "hook", units)
    folder = Path(made.run("import acme.kp.right as it; print(it.__file__)").stdout.strip()).parent
    folder.chmod(0o755)
    (folder / "planted.py").write_text("")
    result = world.run(
        """
        import acme.kp, acme.kp.right as right
        try:
            import acme.kp.planted
        except ModuleNotFoundError as error:
            print(right.WHO, error.name)
        """
    )
    assert result.stdout.split() == ["right", "acme.kp.planted"]


def test_two_mounts_with_the_same_tree(world: World) -> None:
    """Each module is of the mount that its package is of."""
    units: dict[str, str | bytes] = {"kp/__init__.py": "", "kp/part.py": ""}
    urls = {}
    for namespace in ("acme", "other"):
        world.publish(units, namespace, namespace)
        urls[namespace] = world.serve(namespace).manifest_url
    mounts = "; ".join(f"magic_module.mount({namespace!r}, {url!r})" for namespace, url in urls.items())
    script = f"""
        import json, magic_module
        {mounts}
        loaded = []
        magic_module.on_event(lambda event: loaded.append(event["unit"]) if event["event"] == "verify" else None)
        import other.kp.part, acme.kp.part
        print(json.dumps([other.kp.part.__name__, acme.kp.part.__name__, sorted(set(loaded))]))
        """
    world.run(script)
    assert world.run(script).json == ["other.kp.part", "acme.kp.part", ["acme.kp", "other.kp"]]


def test_a_namespace_that_has_another_path_still_has_its_units(world: World) -> None:
    own = {"v2/plain.py": "WHO = 'shipped'\n"}
    init = "import os\n__path__ = [os.path.join(os.path.dirname(__file__), 'v2')]\n"
    made = Acme(world, "hook", {"alpha.py": "WHO = 'unit'\n"}, init=init, own=own)
    assert made.run("import acme.alpha, acme.plain; print(acme.alpha.WHO, acme.plain.WHO)").stdout == "unit shipped\n"


def test_folders_without_code_are_one_package(world: World) -> None:
    """Of disks, of units and of what only has units below it, also when `sys.path` grows."""
    disk = write_tree(world.path / "disk", {"acme/sub/ondisk.py": "WHO = 'disk'\n"})
    later = write_tree(world.path / "later", {"acme/sub/late.py": "WHO = 'late'\n"})
    units = {"sub/deep.py": "WHO = 'unit'\n", "sub/more/x.py": "WHO = 'more'\n"}
    world.publish(units, "acme")
    url = world.serve().manifest_url
    result = world.run(
        f"""
        import sys, magic_module
        magic_module.mount("acme", {url!r})
        import acme.sub.deep, acme.sub.ondisk
        sys.path.append({str(later)!r})
        import acme.sub.late, acme.sub.more.x
        print(acme.sub.deep.WHO, acme.sub.ondisk.WHO, acme.sub.late.WHO, acme.sub.more.x.WHO)
        """,
        env={"PYTHONPATH": str(disk)},
    )
    assert result.stdout.split() == ["unit", "disk", "late", "more"]
