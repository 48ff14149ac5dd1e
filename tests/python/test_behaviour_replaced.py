"""Modules that put something else into `sys.modules` in their own place, and what an upgrade makes of it."""

from __future__ import annotations

import textwrap

import pytest

from kit.world import Acme, World

LAZY = """
    import os, sys, types

    HELPER = {version!r}

    class _Lazy(types.ModuleType):
        def __init__(self, name, spec, path):
            super().__init__(name)
            self.__spec__, self.__file__, self.__path__ = spec, spec.origin, path
            self.known = {version!r}

        def __getattr__(self, name):
            if name == "VALUE":
                # What the body has imported and defined is still there.
                assert os.sep in self.__file__ and HELPER == self.known
                self.VALUE = self.known
                return self.VALUE
            raise AttributeError(name)

    sys.modules[__name__] = _Lazy(__name__, __spec__, globals().get("__path__", []))
    """
PLAIN = """
    import sys, types
    HELPER = {version!r}
    def value():
        return HELPER
    _new = types.ModuleType(__name__)
    _new.value, _new.__path__, _new.VALUE = value, globals().get("__path__", []), value()
    sys.modules[__name__] = _new
    """
COPIED = """
    import sys, types
    VALUE = {version!r}
    _new = types.ModuleType(__name__)
    _new.__dict__.update(globals())
    sys.modules[__name__] = _new
    """
INSTANCE = """
    import sys
    class Proxy:
        VALUE = {version!r}
        __path__ = globals().get("__path__", [])
        __spec__ = __spec__
    sys.modules[__name__] = Proxy()
    """
SLOTS = """
    import sys
    class Proxy:
        __slots__ = ("VALUE",)
    sys.modules[__name__] = Proxy()
    sys.modules[__name__].VALUE = {version!r}
    """
ANYTHING = """
    import sys
    class Anything(dict):
        def __getattr__(self, name):
            return known.get(name, name)
    known = {"VALUE": {version!r}, "__path__": globals().get("__path__", []), "__spec__": __spec__}
    sys.modules[__name__] = Anything()
    """
SIBLING = """
    import sys
    from acme.alpha import _sibling
    sys.modules[__name__] = _sibling
    """
FOREIGN = """
    import sys, fractions
    fractions.VALUE = {version!r}
    sys.modules[__name__] = fractions
    """
CLASS = """
    import sys, types
    class Loud(types.ModuleType):
        @property
        def VALUE(self):
            return {version!r}
    sys.modules[__name__].__class__ = Loud
    """
NO_SPEC = """
    VALUE = {version!r}
    __spec__ = __loader__ = None
    """
USUAL = "VALUE = {version!r}\n"
#: What the caller's object is afterwards: the new one, or a restart is required.
NEW, OLD = "new", "old"
KINDS = {
    "lazy": (LAZY, NEW),
    "plain": (PLAIN, NEW),
    "copied": (COPIED, OLD),
    "instance": (INSTANCE, OLD),
    "slots": (SLOTS, OLD),
    "anything": (ANYTHING, OLD),
    "sibling": (SIBLING, NEW),
    "foreign": (FOREIGN, NEW),
    "class": (CLASS, NEW),
    "no spec": (NO_SPEC, NEW),
}


def files(body: str, version: str, at: str = "alpha/__init__.py") -> dict[str, str]:
    """A unit with the body at its root, or in a submodule."""
    made = {"alpha/__init__.py": "", "alpha/_sibling.py": USUAL, "alpha/other.py": USUAL, at: textwrap.dedent(body)}
    made = {path: text.replace("{version!r}", repr(version)) for path, text in made.items()}
    made["alpha/__init__.py"] += f"__version__ = {version!r}\n"
    return made


def publish(world: World, *versions: dict[str, str]) -> None:
    made = Acme(world, "hook", versions[0])
    assert world.run("import acme.alpha.other").stdout == ""
    for version in versions[1:]:
        world.publish(version, "acme")
    assert made.server is not None


MOVE = """
    import importlib, json, sys
    import magic_module as mm, acme
    NAME = {name!r}
    held = importlib.import_module(NAME)
    other = sys.modules.get("acme.alpha.other") or importlib.import_module("acme.alpha.other")
    parent = sys.modules[NAME.rpartition(".")[0]]
    def value(thing):
        return getattr(thing, "VALUE", None)
    def state():
        placed = sys.modules[NAME]
        assert getattr(parent, NAME.rpartition(".")[2], placed) is placed
        return [value(placed), value(held), placed is held, value(other)]
    steps = [state()]
    for step in (lambda: mm.upgrade("acme.alpha"), lambda: [mm.rollback("acme.alpha")]):
        moved = [move for move in step() if move.name == "acme.alpha"][0]
        steps.append([moved.restart_required, *state()])
        held = sys.modules[NAME]
    print(json.dumps(steps))
    """


#: What has no `__path__` cannot be where submodules are imported from.
PLACES = [
    (kind, place)
    for kind in KINDS
    for place in ("alpha/__init__.py", "alpha/part.py")
    if kind not in ("slots", "sibling", "foreign") or place == "alpha/part.py"
]


@pytest.mark.parametrize(("kind", "place"), PLACES)
def test_what_took_a_modules_place_is_new(world: World, kind: str, place: str) -> None:
    body, holder = KINDS[kind]
    publish(world, files(body, "1", place), files(body, "2", place))
    name = "acme.alpha" if place == "alpha/__init__.py" else "acme.alpha.part"
    first, up, down = world.run(MOVE.format(name=name)).json
    assert first == ["1", "1", True, "1"]
    if holder == NEW:
        assert up == [False, "2", "2", True, "2"]
        assert down == [False, "1", "1", True, "1"]
    else:
        assert (up[0], up[1], up[3], up[4]) == (True, "2", False, "2")
        assert (down[0], down[1], down[3], down[4]) == (True, "1", False, "1")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "foreign"])
def test_on_failure_all_of_it_is_as_it_was(world: World, kind: str) -> None:
    body, _ = KINDS[kind]
    broken = {**files(body, "2", "alpha/part.py"), "alpha/other.py": "VALUE = '2'\n"}
    broken["alpha/__init__.py"] += "from . import part, added\nraise ValueError('on purpose')\n"
    broken["alpha/added.py"] = ""
    publish(world, files(body, "1", "alpha/part.py"), broken)
    world.run(
        """
        import sys, magic_module as mm, acme.alpha.part, acme.alpha.other as other
        part = sys.modules["acme.alpha.part"]
        alpha, kind = acme.alpha, type(part)
        modules = {name: module for name, module in sys.modules.items() if name.startswith("acme")}
        value = getattr(part, "VALUE", None)
        for move in (lambda: mm.upgrade("acme.alpha"), lambda: alpha._upgrade()):
            try:
                move()
            except ValueError as error:
                assert str(error) == "on purpose"
            else:
                sys.exit("nothing failed")
            assert {name: module for name, module in sys.modules.items() if name.startswith("acme")} == modules
            assert acme.alpha is alpha and vars(alpha)["part"] is part and "added" not in vars(alpha)
            assert type(part) is kind
            assert getattr(part, "VALUE", None) == value
            assert alpha.__version__ == other.VALUE == "1"
        """
    )


def test_a_replaced_module_becomes_a_usual_one_and_back(world: World) -> None:
    usual, lazy = files(USUAL, "1"), files(LAZY, "2")
    publish(world, usual, lazy)
    first, up, down = world.run(MOVE.format(name="acme.alpha")).json
    assert first == ["1", "1", True, "1"]
    # The body runs where the old module's functions see it; the new object is another one.
    assert (up[0], up[1], up[3], up[4]) == (True, "2", False, "2")
    assert (down[0], down[1], down[3], down[4]) == (True, "1", False, "1")


def test_a_class_that_the_new_body_does_not_give_is_gone(world: World) -> None:
    publish(world, files(CLASS, "1"), files(USUAL, "2"))
    script = """
        import types, magic_module as mm, acme.alpha as alpha
        assert type(alpha) is not types.ModuleType
        done = mm.upgrade("acme.alpha")[0]
        print(alpha.VALUE, type(alpha) is types.ModuleType, done.restart_required)
        """
    assert world.run(script).stdout.split() == ["2", "True", "False"]


def test_submodules_and_what_the_new_object_holds_stay_reachable(world: World) -> None:
    publish(world, files(PLAIN, "1"), files(PLAIN, "2"))
    script = """
        import magic_module as mm, acme, acme.alpha.other as other, acme.alpha as alpha
        done = mm.upgrade("acme.alpha")[0]
        print(alpha.value(), alpha.other is other, other.VALUE, acme.alpha is alpha, done.restart_required)
        """
    assert world.run(script).stdout.split() == ["2", "True", "2", "True", "False"]


def test_a_module_that_takes_itself_out_of_the_table(world: World) -> None:
    leaving = files("import sys\nVALUE = {version!r}\ndel sys.modules[__name__]\n", "2", "alpha/other.py")
    publish(world, files(USUAL, "1"), leaving)
    script = """
        import sys, magic_module as mm, acme, acme.alpha.other as other
        try:
            mm.upgrade("acme.alpha")
        except KeyError:
            print(other.VALUE, acme.alpha.VALUE, sys.modules["acme.alpha.other"] is other, acme.alpha.other is other)
        """
    assert world.run(script).stdout.split() == ["1", "1", "True", "True"]


def test_the_move_of_a_module_that_other_import_hooks_load(world: World) -> None:
    publish(world, files(USUAL, "1"), files(USUAL, "2"))
    script = """
        import importlib.machinery, importlib.util, sys
        import magic_module as mm, acme
        class Hook:
            def find_spec(self, name, path=None, target=None):
                if name != "acme.alpha.other":
                    return None
                specs = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
                found = next(spec for spec in specs if spec is not None)
                found.loader = importlib.machinery.SourceFileLoader(name, found.origin)
                return found
        import acme.alpha
        sys.meta_path.insert(0, Hook())
        import acme.alpha.other as other
        assert not hasattr(other.__loader__, "_unit")
        done = mm.upgrade("acme.alpha")[0]
        print(other.VALUE, done.restart_required)
        """
    assert world.run(script).stdout.split() == ["2", "False"]
