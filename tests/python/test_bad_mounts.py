"""`MAGIC_MODULE_MOUNTS` that is wrong: the interpreter starts, and an import that a mount would serve says why."""

from __future__ import annotations

import json

import pytest

from kit.world import World

pytestmark = pytest.mark.once

#: What the start line of an installed wheel does, too.
START = "import magic_module._py.start\n"

#: A name that is installed, one that nobody has, and one below the namespace `acme`.
TRY = """
import importlib.util, json, sys
def tried(name):
    try:
        return __import__(name).__name__
    except ImportError as error:
        # Python 3.10 has no notes: there it stands in the sentence.
        return [type(error).__name__, "; ".join([str(error), *getattr(error, "__notes__", [])])]
print(json.dumps({
    "installed": tried("colorsys"), "missing": tried("nobody"), "served": tried("acme.shapes"),
    "found": importlib.util.find_spec("nobody") is not None,
}))
"""

REMEDY = "change MAGIC_MODULE_MOUNTS or unset it"


def told(world: World, mounts: str, script: str = TRY) -> tuple[dict[str, object], str]:
    went = world.run(START + script, env={"MAGIC_MODULE_MOUNTS": mounts})
    return went.json, went.stderr


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (
            {"public_key": 5},
            f"MAGIC_MODULE_MOUNTS[0].public_key is not valid: expected a key or a list of keys; {REMEDY}",
        ),
        (
            {"manifest_url": "https://me:secret@example.com/manifest.json"},
            "MAGIC_MODULE_MOUNTS[0].manifest_url has a login in it, which every process could read; put the login",
        ),
        (
            {"manifest_url": "manifest.json"},
            "the mount of acme in MAGIC_MODULE_MOUNTS cannot be made: ",
        ),
    ],
    ids=["type", "login", "no URL"],
)
def test_what_a_broken_mount_would_serve_says_why(world: World, wrong: dict[str, object], sentence: str) -> None:
    world.publish({"shapes.py": "VALUE = 1\n"}, namespace="right")
    right = {"namespace": "right", "manifest_url": f"{world.serve().url}/manifest.json"}
    acme = {"namespace": "acme", "manifest_url": "https://example.com/manifest.json", **wrong}
    script = TRY.replace('"nobody"', '"acmeother"') + "import right.shapes"
    tried, stderr = told(world, json.dumps([acme, right]), script)
    kind, message = tried["served"]  # type: ignore[misc]
    assert (kind, message[: len(sentence)]) == ("ConfigurationError", sentence)
    assert stderr == f"magic-module: {message}\n", "one sentence, when the interpreter starts"
    assert tried["installed"] == "colorsys"
    assert tried["missing"] == ["ModuleNotFoundError", "No module named 'acmeother'"]
    assert "secret" not in stderr


def test_what_nobody_can_read_is_noted_where_an_import_fails(world: World) -> None:
    tried, stderr = told(world, "[" * 1000)
    (sentence,) = stderr.splitlines()
    start = "magic-module: MAGIC_MODULE_MOUNTS is not a list of mounts: "
    assert sentence.startswith(start) and sentence.endswith(REMEDY)
    note = sentence.removeprefix("magic-module: ")
    assert tried == {
        "installed": "colorsys",
        "missing": ["ModuleNotFoundError", f"No module named 'nobody'; {note}"],
        "served": ["ModuleNotFoundError", f"No module named 'acme'; {note}"],
        "found": False,
    }


def test_a_program_can_mount_what_its_environment_could_not(world: World) -> None:
    world.publish({"shapes.py": "VALUE = 1\n"}, namespace="acme")
    url = f"{world.serve().url}/manifest.json"
    mounts = json.dumps([{"namespace": "acme", "manifest_url": f"https://{place}/"} for place in "ab"])
    script = f"""
import json, magic_module as mm
try:
    import acme.shapes
except mm.errors.ConfigurationError as error:
    said = str(error)
mm.mount("acme", {url!r})
import acme.shapes
try:
    import acme.nothing
except ModuleNotFoundError:
    print(json.dumps([said, acme.shapes.VALUE]))
"""
    (said, value), stderr = told(world, mounts, script)
    assert said == f'MAGIC_MODULE_MOUNTS[0].namespace is "acme", and so is [1].namespace; {REMEDY}'
    assert (value, stderr) == (1, f"magic-module: {said}\n")


def test_what_is_handed_down_can_be_read_again(world: World) -> None:
    """A namespace is mounted once, top-level names by locks alone."""
    world.publish({"shapes.py": "VALUE = 1\n"}, "")
    url = f"{world.serve().url}/manifest.json"
    script = f"""
import json, os, magic_module as mm
mm.mount("acme", "https://example.com/2.json", export=True)
try:
    mm.mount("", {url!r}, export=True)
except mm.errors.ConfigurationError as error:
    print(json.dumps([json.loads(os.environ["MAGIC_MODULE_MOUNTS"]), str(error)]))
"""
    first = [{"namespace": "acme", "manifest_url": "https://example.com/1.json"}]
    (mounts, said), stderr = told(world, json.dumps(first), script)
    assert mounts == [{"namespace": "acme", "manifest_url": "https://example.com/2.json"}]
    assert said.startswith("only a lock can hand down top-level names; ") and stderr == ""
    tried, stderr = told(world, json.dumps([{"manifest_url": url}]), TRY.replace("acme.shapes", "shapes"))
    why = "only a lock serves top-level names, and its manifest has units; give it a namespace"
    assert stderr == f"magic-module: the mount of {url} in MAGIC_MODULE_MOUNTS cannot be made: {why}\n"
    assert tried["served"] == ["ModuleNotFoundError", f"No module named 'shapes'; {stderr.strip()[14:]}"]


def test_the_doctor_names_what_is_wrong_with_the_variable(world: World) -> None:
    world.publish({"alpha.py": ""})
    env = {"MAGIC_MODULE_MANIFEST_URL": world.serve().manifest_url, "MAGIC_MODULE_MOUNTS": '[{"namespace": 1}]'}
    went = world.run(None, args=["-m", "magic_module", "doctor"], env=env, status=1)
    assert "MAGIC_MODULE_MOUNTS[0].namespace is not valid" in went.stdout
