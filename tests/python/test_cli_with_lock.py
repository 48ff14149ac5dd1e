"""The commands of `magic-module` on the packages of a lock: `--lock`, or the environment's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kit import interpreter, process
from kit.locks import Lock, python
from kit.process import Result
from kit.wheels import wheel
from origins import Origin


def say(lock: Lock | None, cache: Path, *arguments: str, status: int = 0, **settings: str) -> Result:
    named = () if lock is None else ("--lock", str(lock.path))
    ended = interpreter.command_line(*arguments, *named, cache=cache, settings=settings)
    assert ended.status == status, ended
    return ended


def whole(origin: Origin) -> set[str]:
    """The wheels that were downloaded, and not only looked into."""
    taken = [request for request in origin.take() if "range" not in request.headers]
    return {request.path.strip("/").partition("-")[0] for request in taken}


def test_list(served: tuple[Lock, Origin], cache: Path) -> None:
    lock, origin = served
    say(lock, cache, "fetch", "alpha")
    whole(origin)
    listed = say(lock, cache, "list", "--json").json
    assert [(unit["name"], unit["version"], unit["cached"]) for unit in listed["modules"]] == [
        ("alpha", "1.0", True),
        ("Beta", "2.0", True),
        ("space-one", "1.0", False),
        ("space.three", "1.0", False),
        ("space-two", "1.0", False),
        ("tool", "3.1", False),
    ]
    assert {unit["name"]: unit["size"] for unit in listed["modules"]} == {
        name: len(each.data) for name, each in lock.wheels.items()
    }
    # What is known of wheels is gone: the list does not need it.
    for known in (cache / "v1" / "wheels").iterdir():
        known.unlink()
    text = say(None, cache, "list", MAGIC_MODULE_LOCK=str(lock.path)).stdout.splitlines()
    assert [line.split()[:2] for line in text] == [[unit["name"], unit["version"]] for unit in listed["modules"]]
    assert origin.take() == []


@pytest.mark.parametrize("name", ["space.deep.three", "space.three", "SPACE_three", "space-three"])
def test_a_package_is_named_in_any_spelling_or_by_its_module(
    served: tuple[Lock, Origin], cache: Path, name: str
) -> None:
    lock, origin = served
    told = say(lock, cache, "info", name, "--json").json
    assert (told["name"], told["version"], told["cached"]) == ("space.three", "1.0", False)
    assert whole(origin) == set()
    fetched = say(lock, cache, "fetch", name).stdout
    assert fetched.startswith(f"{name}: ") and "nothing" not in fetched
    assert whole(origin) == {"space_three"}
    assert say(lock, cache, "fetch", name).stdout == f"{name}: nothing to download\n"
    assert say(lock, cache, "verify", name).stdout.startswith("1 unit, ")


def test_the_summary_is_what_the_author_wrote(lock: Lock, cache: Path) -> None:
    text = say(lock, cache, "info", "beta").stdout
    assert "Beta" in text and "2.0" in text


def test_a_name_that_no_package_provides(lock: Lock, cache: Path) -> None:
    for command in ("info", "fetch", "verify"):
        near = say(lock, cache, command, "alhpa", status=1).stderr
        assert near == f"magic-module: no package of the lock {lock.path} provides alhpa; did you mean alpha?\n"
        far = say(lock, cache, command, "nowhere", status=1).stderr
        assert far == (
            f"magic-module: no package of the lock {lock.path} provides nowhere; "
            "add it to what is locked, and lock again\n"
        )


@pytest.mark.parametrize(
    "command", [("upgrade", "beta"), ("rollback", "beta"), ("pin", "beta"), ("pin",), ("upgrade",)]
)
def test_what_a_lock_holds_is_not_moved(lock: Lock, cache: Path, command: tuple[str, ...]) -> None:
    said = say(lock, cache, *command, status=1).stderr
    assert said.startswith(f"magic-module: the lock {lock.path} says which versions are used; resolve it again: ")
    assert "magic-module lock --upgrade" in said
    assert not (cache.parent / "magic.lock").exists()


def test_verify_heals_what_is_damaged(served: tuple[Lock, Origin], cache: Path) -> None:
    lock, _ = served
    python(cache, f"import magic_module as mm; mm.mount_lock({str(lock.path)!r}); import alpha")
    [damaged] = (cache / "v1" / "trees").glob("*/lib/*/site-packages/beta.py")
    damaged.chmod(0o644)
    damaged.write_text("VALUE = 'other'")
    said = say(lock, cache, "verify").stdout
    assert f"{damaged} is damaged\n" in said and said.endswith(": healed\n")
    assert damaged.read_text() == "VALUE = 41"
    assert say(lock, cache, "verify").stdout.endswith(": no damage\n")


def test_prune_keeps_what_a_lock_uses(served: tuple[Lock, Origin], cache: Path) -> None:
    lock, origin = served
    say(lock, cache, "fetch", "alpha")
    origin.take()
    say(lock, cache, "prune")
    program = f"import magic_module as mm; mm.mount_lock({str(lock.path)!r}); import alpha; print(alpha.VALUE)"
    assert python(cache, program, {"MAGIC_MODULE_OFFLINE": "1"}).stdout == "42\n"


def test_cache_names_the_lock(lock: Lock, cache: Path) -> None:
    say(lock, cache, "list")
    [mount] = say(None, cache, "cache", "--json").json["mounts"]
    assert (mount["namespace"], mount["manifest_url"], mount["lock"]) == ("", None, str(lock.path))
    assert "(top level)" in say(None, cache, "cache").stdout and str(lock.path) in say(None, cache, "cache").stdout


def test_doctor_looks_at_the_lock_and_makes_a_changed_view_anew(tmp_path: Path, cache: Path) -> None:
    both = [wheel("one", "1", {"both.py": "X = 1", "one.py": ""}), wheel("two", "1", {"both.py": "X = 2"})]
    lock = Lock(tmp_path / "project", both)
    program = f"import magic_module as mm; print(mm.mount_lock({str(lock.path)!r}).view); import one"
    view = Path(python(cache, program).stdout.strip())

    def findings(status: int) -> dict[str, dict[str, object]]:
        found = say(lock, cache, "doctor", "--json", status=status).json["findings"]
        return {finding["check"]: finding for finding in found}

    found = findings(0)
    assert found["lock"]["message"] == f"{lock.path} has 2 packages, 1 of them cached"
    assert str(found["disputed"]["message"]).startswith("one and two each bring another lib/")
    assert found["view"]["message"] == f"the view {view} is as it was made"
    site = next(view.glob("lib/*/site-packages"))
    site.chmod(0o755)
    (site / "added.py").write_text("")
    changed = findings(1)["view"]
    inside = os.path.relpath(site / "added.py", view)
    assert changed["message"] == f"the view {view} was changed at {inside}; it was made again"
    assert not (site / "added.py").exists() and (site / "one.py").is_file()
    assert findings(0)["view"]["ok"]


PLANTED = """
import importlib, importlib.metadata, pkgutil
import magic_module as mm
mount = mm.mount_lock({lock!r})
import space
for name in ("planted", "package", "space.planted"):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        print(error)
site = next(mount.view.glob("lib/*/site-packages"))
print([it.name for it in pkgutil.iter_modules([str(site)]) if it.name in ("planted", "package")])
print([it.name for it in pkgutil.iter_modules(space.__path__)])
print([it.name for it in importlib.metadata.distributions() if it.name == "planted"])
"""


@pytest.mark.once
def test_modules_that_somebody_put_into_a_view_are_neither_loaded_nor_listed(lock: Lock, cache: Path) -> None:
    """Metadata, start files and scripts are read by Python and the shell: those are found by `doctor`."""
    program = PLANTED.format(lock=str(lock.path))
    said = "".join(f"No module named '{name}'\n" for name in ("planted", "package", "space.planted"))
    said += "[]\n['one', 'two']\n"
    assert python(cache, program).stdout == f"{said}[]\n"
    (view,) = (path for path in (cache / "v1" / "views").iterdir() if path.is_dir())
    site = next(view.glob("lib/*/site-packages"))
    evil = "raise SystemExit('planted')"
    planted = {
        **{site / name: evil for name in ("planted.py", "package/__init__.py", "space/planted.py")},
        site / "planted-1.dist-info" / "METADATA": "Metadata-Version: 2.1\nName: planted\nVersion: 1\n",
        site / "planted.pth": f"import sys; {evil}\n",
        view / "bin" / "planted": evil,
    }
    for folder in (view / "bin", site, site / "space"):
        folder.chmod(0o755)
    for path, text in planted.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert python(cache, program).stdout == f"{said}['planted']\n"
    found = say(lock, cache, "doctor", "--json", status=1).json["findings"]
    (changed,) = (it["message"] for it in found if it["check"] == "view")
    names = ("bin/planted", "planted.pth", "package", "planted-1.dist-info", "planted.py", "space/planted.py")
    assert all(name in changed for name in names), changed
    assert python(cache, program).stdout == f"{said}[]\n"
    assert not any(path.exists() for path in planted)


def test_doctor_explains_the_start_line(lock: Lock, cache: Path) -> None:
    view = Path(
        python(cache, f"import magic_module as mm; print(mm.mount_lock({str(lock.path)!r}).view)").stdout.strip()
    )
    program = "import json, sys; from magic_module._py.cli import main; sys.exit(main(['doctor', '--json']))"
    line = next(view.glob("lib/*/site-packages/magic_module.pth"))
    for settings, message in (
        ({}, f"{line} makes every interpreter mount what is in MAGIC_MODULE_LOCK"),
        ({"MAGIC_MODULE_START": "0"}, f"{line} mounts nothing, because MAGIC_MODULE_START is 0"),
    ):
        env = interpreter.environment(cache, None, {"MAGIC_MODULE_LOCK": str(lock.path), **settings})
        found = process.run([str(view / "bin/python"), "-c", program], env, cache.parent).json["findings"]
        assert [(it["ok"], it["message"]) for it in found if it["check"] == "start"] == [(True, message)]


@pytest.mark.parametrize("folder", ["views", "trees"])
def test_a_folder_of_views_that_others_may_write_to_is_refused(lock: Lock, cache: Path, folder: str) -> None:
    say(lock, cache, "list")
    open_to_others = cache / "v1" / folder
    open_to_others.chmod(0o775)
    said = say(lock, cache, "list", status=1).stderr
    assert said.startswith(f"magic-module: {open_to_others} cannot be used as a cache: others may write to it; ")


def test_a_lock_and_a_manifest_are_not_mixed(lock: Lock, cache: Path) -> None:
    said = say(lock, cache, "list", "--namespace", "acme", status=2).stderr
    assert "--lock has packages of its own" in said
