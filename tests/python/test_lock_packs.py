"""Packs of what scripts use: what comes first, what comes after it, and what is proven before anybody has it."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap

import pytest

from kit import process
from kit.compiler import suffix
from kit.desk import MANIFEST, Desk
from kit.interpreter import Interpreter, environment
from kit.libraries import library, module
from kit.locks import packages
from kit.wheels import Wheel, native_tag, wheel
from kit.zstd import unframed
from origins import faults

pytestmark = pytest.mark.once

BIG = {
    "big/__init__.py": "from big import used\nNAME = 'big'",
    "big/used.py": """
        import os
        with open(os.path.join(os.path.dirname(__file__), "data", "used.txt")) as file:
            TEXT = file.read()
    """,
    "big/data/used.txt": "used",
    "big/data/rest.txt": "the rest",
    "big/tools/__init__.py": "VALUE = 7",
    "big/tools/deep.py": "import big.more\nVALUE = big.more.VALUE",
    "big/more.py": "VALUE = 8",
    "big/large.bin": bytes(range(256)) * 50_000,
}
SCRIPT = "import alpha, big\nprint(alpha.VALUE, big.used.TEXT)\n"


def everything() -> list[Wheel]:
    return [*packages(), wheel("big", "3.1", BIG, scripts={"big": "big:main"})]


@pytest.fixture
def published(desk: Desk) -> Desk:
    desk.lock(everything())
    (desk.path / "script.py").write_text(SCRIPT)
    desk.publish("--packs-for", "script.py")
    desk.origin.take()
    return desk


def packs(desk: Desk) -> dict[str, str]:
    """Of each pack the part of a package that it is of."""
    document = desk.manifest()["lock"]["documents"][0]["packed"]["url"]
    resolved = json.loads(unframed((desk.site / document).read_bytes()))["resolved"]
    return {f"/{pack['url']}": unit for unit, packs in resolved["packs"].items() for pack in packs}


def asked(desk: Desk) -> list[str]:
    """What the site was asked for: packs by their part, all else by its suffix."""
    known = packs(desk)
    return sorted(known.get(path, path.rsplit(".", 1)[-1]) for path in desk.origin.paths())


WHAT_IS_THERE = """
import os, big
folder = os.path.dirname(big.__file__)
paths = ["used.py", "data/used.txt", "data/rest.txt", "tools/__init__.py", "large.bin"]
print([os.path.exists(os.path.join(folder, path)) for path in paths], flush=True)
"""


def keep_back_the_rest(desk: Desk) -> None:
    """It is asked for in the background, and could be here before a program has looked."""
    for path, part in packs(desk).items():
        if part.endswith("__rest"):
            desk.origin.faults[path] = faults.stalled_headers


def test_what_a_script_uses_comes_first_and_the_rest_when_it_is_asked_for(published: Desk) -> None:
    keep_back_the_rest(published)
    at_once = WHAT_IS_THERE + "os._exit(0)"
    assert published.mounted(at_once) == "[True, True, False, False, False]"
    first = [part for part in asked(published) if part != "big__rest"]
    assert first == ["big", "json", "zst"], "all of `alpha` is used, which stays a wheel"
    published.origin.faults.clear()
    used = "import big; print(big.used.TEXT, flush=True); import os; os._exit(0)"
    assert published.mounted(used, MAGIC_MODULE_OFFLINE="1") == "used"
    missing = published.mounted("import big.more", fails=True, MAGIC_MODULE_OFFLINE="1")
    assert missing.startswith("magic_module.errors.OfflineError: ") and "big" in missing
    for ask, expected in (
        ("import big.tools.deep; print(big.tools.deep.VALUE)", "8"),
        (
            "from importlib.resources import files; import big; print((files(big) / 'data/rest.txt').read_text())",
            "the rest",
        ),
        ("import pkgutil; print(pkgutil.get_data('big', 'data/rest.txt').decode())", "the rest"),
        ("import big; print(big.__loader__.get_data(big.__file__[:-11] + 'more.py').decode())", "VALUE = 8"),
        (
            "import magic_module as mm; print(mm.data_path('big', 'data/rest.txt').read_text())",
            "the rest",
        ),
        (
            "import magic_module as mm; mm.prefetch('big'); " + WHAT_IS_THERE.replace("\n", ";").strip(";"),
            str([True] * 5),
        ),
    ):
        shutil.rmtree(published.cache)
        published.origin.take()
        assert published.mounted(f"{ask}\nimport os, sys; sys.stdout.flush(); os._exit(0)") == expected, ask
        assert set(asked(published)) >= {"big", "big__rest"} and "whl" not in asked(published), ask
    whole = published.mounted(
        "from importlib.metadata import files; print(len(files('big')), files('big')[0].read_text() != '')"
    )
    assert whole == f"{len(BIG) + 7} True", "the metadata tells of both parts"


def test_the_rest_comes_after_the_import_in_a_thread(published: Desk) -> None:
    with Interpreter(published.cache) as interpreter:
        interpreter.do(f"import magic_module as mm; mm.mount('', {published.origin.url + MANIFEST!r})")
        interpreter.do(
            "import big, threading; [it.join() for it in threading.enumerate() if it.name == 'magic_module-rest']"
        )
        assert interpreter.do("from big import tools, more; result = [tools.VALUE, more.VALUE]") == [7, 8]
        assert asked(published).count("big__rest") == len([it for it in packs(published).values() if it == "big__rest"])
        interpreter.do(
            "import os; result = os.path.exists(os.path.join(os.path.dirname(big.__file__), 'data', 'rest.txt'))"
        )
    # A second process asks for nothing, and a fork meets no thread.
    program = "import big.more, os; print(big.more.VALUE, flush=True)\nif os.fork() == 0: os._exit(0)\nos.wait()"
    assert published.mounted(program) == "8"
    assert asked(published) == []
    shutil.rmtree(published.cache)
    line = "import warnings; warnings.simplefilter('error'); import big, os\n"
    assert published.mounted(line + "if os.fork() == 0: os._exit(0)\nos.wait(); print('forked')") == "forked"


def test_an_end_waits_for_nothing(published: Desk) -> None:
    keep_back_the_rest(published)
    assert published.mounted(SCRIPT) == "42 used"


def test_wheels_are_whole_where_their_own_digest_counts(published: Desk) -> None:
    key = published.mounted(SCRIPT, MAGIC_MODULE_VERIFY="full")
    taken = published.asked()
    assert key == "42 used" and "big" in taken and not any("zip" in name for name in taken)
    project = published.path / "pinned"
    project.mkdir()
    url = published.origin.url + MANIFEST
    options = ["--manifest-url", url, "--namespace", ""]
    shutil.rmtree(published.cache)
    published.mounted("import big, threading")
    published.origin.take()
    line = [sys.executable, "-m", "magic_module", *options, "pin", "big"]
    process.run(line, environment(published.cache, None), project, 0)
    program = f"import magic_module as mm; mm.mount('', {url!r}); import big; print(big.NAME)"
    done = process.run(process.command(program), environment(published.cache, None), project, 0)
    assert done.stdout.strip() == "big", done.stderr
    assert "big" in published.asked(), "the wheel itself was fetched"


def test_publishing_again_tries_nothing_again_and_writes_nothing(published: Desk) -> None:
    before = published.state()
    assert not published.publish("--packs-for", "script.py")["changed"]
    assert published.state() == before
    trace = ["--lock", str(published.project / "pylock.toml"), "run", "--trace-to", "trace.txt", "script.py"]
    published.command(*trace)
    assert not published.publish("--packs-for-trace", "trace.txt")["changed"]
    assert published.state() == before
    # Another script uses more: other packs, which those who have the old ones get by an upgrade.
    url = published.origin.url + MANIFEST
    published.mounted(SCRIPT)
    (published.path / "script.py").write_text(SCRIPT + "import big.more\n")
    assert published.publish("--packs-for", "script.py", "--compile")["changed"]
    published.command("upgrade", "--manifest-url", url, "--namespace", "", cache="cache")
    assert published.mounted("import big.more; print(big.more.VALUE)") == "8"
    assert published.publish()["changed"], "without the option there are no packs"
    assert "packed" not in published.manifest()["lock"]["documents"][0]


def test_packs_that_do_not_do_are_found_by_their_author(desk: Desk) -> None:
    desk.lock(everything())
    desk.publish()
    before = desk.state()
    # Another program looks for a file: nothing tells that it is needed.
    (desk.path / "looks.py").write_text(
        "import big, os, subprocess\n"
        "subprocess.run(['test', '-e', os.path.join(os.path.dirname(big.__file__), 'large.bin')], check=True)\n"
    )
    refused = desk.refuse("publish", "--lock", "project/pylock.toml", str(desk.site), "--packs-for", "looks.py")
    assert (
        "cannot publish: looks.py ended with status 1 when it ran from its packs alone; trace what it lacks" in refused
    )
    (desk.path / "wrong.py").write_text("import big.nothing\n")
    refused = desk.refuse("publish", "--lock", "project/pylock.toml", str(desk.site), "--packs-for", "wrong.py")
    assert "wrong.py ended with status 1: what it uses after that is not known" in refused
    (desk.path / "half.txt").write_text("2 files of packages used:\nbig.py\n")
    refused = desk.refuse("publish", "--lock", "project/pylock.toml", str(desk.site), "--packs-for-trace", "half.txt")
    assert refused.endswith("half.txt is not a complete trace; make it again: magic-module run --trace-to FILE SCRIPT")
    assert desk.manifest() == json.loads((desk.site / "manifest.json").read_text()) and set(before) <= set(desk.state())
    assert desk.mounted("import big; print(big.NAME)") == "big", "the old site serves"
    shutil.copy(desk.path / "looks.py", desk.path / "modules.py")
    usage = desk.command("publish", "modules", "out", "--packs-for", "looks.py", status=2)
    assert "--packs-for is for the wheels of a lock: give it with --lock" in usage.stderr


def test_what_a_script_looks_at_without_opening_it_is_in_the_pack(desk: Desk) -> None:
    desk.lock(everything())
    looks = """
        import os, pathlib, shutil
        import big
        folder = os.path.dirname(big.__file__)
        print(os.path.exists(os.path.join(folder, "data", "rest.txt")))
        print(pathlib.Path(folder, "large.bin").is_file())
        print(os.path.isdir(os.path.join(folder, "data")), shutil.rmtree.avoids_symlink_attacks)
    """
    (desk.path / "looks.py").write_text(textwrap.dedent(looks))
    desk.publish("--packs-for", "looks.py")
    keep_back_the_rest(desk)
    desk.origin.take()
    program = textwrap.dedent(looks) + "import sys; sys.stdout.flush(); os._exit(0)"
    assert desk.mounted(program).split() == ["True"] * 4
    assert "big" in asked(desk)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="NEEDED is read of ELF")
def test_a_library_that_a_library_needs_is_in_the_pack(desk: Desk) -> None:
    core, folder = f"core{suffix()}", desk.path / "compiled"
    part = library(folder, "part", 1)
    linked = module(
        folder,
        "number = part();",
        *("-L.", "-l:libpart.so", "-Wl,-rpath,$ORIGIN/../linked.libs"),
        declared="int part(void);",
    )
    files = {"linked/__init__.py": "", f"linked/{core}": linked, "linked.libs/libpart.so": part, "linked/rest.py": ""}
    desk.lock([wheel("linked", "1", files, tag=native_tag())])
    site = "lib/python{}.{}/site-packages".format(*sys.version_info)
    (desk.path / "trace.txt").write_text(f"1 files of packages used:\n{site}/linked/{core}\n")
    desk.publish("--packs-for-trace", "trace.txt")
    keep_back_the_rest(desk)
    program = "import linked.core, os; rest = os.path.exists(linked.__file__[:-11] + 'rest.py')"
    assert desk.mounted(program + "\nprint(linked.core.NUMBER, rest, flush=True); os._exit(0)") == "1 False"
