"""A lock as a site: whoever mounts the manifest has its packages, and asks nobody else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest

from kit.desk import MANIFEST, SIGNATURE, Desk
from kit.interpreter import Interpreter, environment
from kit.locks import Lock, packages
from kit.wheels import wheel
from origins import faults

pytestmark = pytest.mark.once

USE = """
import alpha, json
from importlib.metadata import entry_points, files, version
import pkgutil, space
print(json.dumps([
    alpha.VALUE, version("Beta"), [it.name for it in entry_points(group="kit.plugins")],
    len(files("tool")), sorted(it.name for it in pkgutil.iter_modules(space.__path__)), bool(mount.view),
]))
"""
USED = [42, "2.0", ["first"], 10, ["one", "two"], True]


def test_a_fresh_machine_asks_the_site_for_what_it_imports_and_nobody_else(desk: Desk) -> None:
    key = desk.key("team.key")
    desk.lock(packages())
    answer = desk.publish("--sign", str(desk.path / "team.key"))
    assert (answer["changed"], answer["signed"], len(answer["units"])) == (True, True, 6)
    desk.index.stop()
    desk.index.take()
    signed = f", public_key={key!r}"
    assert json.loads(desk.mounted(USE, signed)) == USED
    assert desk.asked() == [MANIFEST, SIGNATURE, "alpha", "beta", "json.zst"]
    assert json.loads(desk.mounted(USE, signed)) == USED
    assert desk.asked() == [], "what is here asks nobody"
    assert json.loads(desk.mounted(USE, signed, MAGIC_MODULE_OFFLINE="1")) == USED
    missing = desk.mounted("import tool", signed, fails=True, MAGIC_MODULE_OFFLINE="1")
    assert missing.startswith("magic_module.errors.OfflineError: ") and "tool" in missing
    # Two mounts that are said alike are one; it is handed on as it was said.
    again = f"same = mm.mount('', {desk.origin.url + MANIFEST!r}{signed})\n"
    program = (
        again
        + "import json, pickle; print(mount is not None, same == mount, pickle.loads(pickle.dumps(mount)) == mount)\n"
    )
    program += "print([set(it) for it in json.loads(mm.export_environment()['MAGIC_MODULE_MOUNTS'])])"
    handed = desk.mounted(program, signed).splitlines()
    assert handed[0] == "True True True"
    assert eval(handed[1]) == [{"namespace", "manifest_url", "public_key"}]
    # Scripts of wheels run in its view, and `run` finds it by its manifest.
    options = ["--manifest-url", desk.origin.url + MANIFEST, "--namespace", "", "--public-key", key]
    ran = desk.command("run", *options, "tool", "a", cache="cache", status=7)
    assert ran.stdout == "tool a\n"
    # A key that did not sign it.
    other = desk.key("other.key")
    wrong = desk.mounted("", f", public_key={other!r}", fails=True)
    assert wrong.startswith("magic_module.errors.SignatureError: the manifest http://127.0.0.1")


def test_publishing_again_writes_nothing_and_asks_nobody(desk: Desk) -> None:
    desk.lock(packages())
    first = desk.publish()
    before = desk.state()
    desk.index.take()
    again = desk.publish()
    assert (again["changed"], again["serial"]) == (False, first["serial"])
    assert desk.state() == before
    assert desk.index.paths() == []
    # A wheel of the site that is damaged is put right, and nothing else.
    name, damaged = next(desk.wheels())
    damaged.write_bytes(b"x" * damaged.stat().st_size)
    desk.publish()
    assert name in dict(desk.wheels())
    assert {path for path, it in desk.state().items() if before[path] != it} == {str(damaged)}
    assert desk.index.paths() == [], "it lies in the author's cache"


def test_a_lock_is_moved_and_moved_back_for_who_begins_then(desk: Desk) -> None:
    old, new = ([wheel("alpha", version, {"alpha.py": f"VALUE = {version!r}"})] for version in ("1.0", "2.0"))
    desk.lock([*old, wheel("beta", "1.0", {"beta.py": ""})])
    desk.publish()
    show = "import alpha; print(alpha.VALUE)"
    assert desk.mounted(show) == "1.0"
    desk.lock([*new, wheel("gamma", "1.0", {"gamma.py": ""})])
    assert desk.publish()["changed"]
    assert desk.mounted(show) == "1.0", "what was published meanwhile moves nobody"
    move = "print([(it.name, it.old_version, it.new_version, it.restart_required) for it in {}])"
    moved = desk.mounted(move.format("mm.upgrade()") + "\n" + show).splitlines()
    assert eval(moved[0]) == [
        ("alpha", "1.0", "2.0", True),
        ("beta", "1.0", None, True),
        ("gamma", None, "1.0", True),
    ]
    assert moved[1] == "1.0", "a process keeps the lock that it began with"
    assert desk.mounted(show + "\nimport gamma") == "2.0"
    back = desk.mounted(move.format("[mm.rollback('alpha')]"))
    assert eval(back) == [("alpha", "2.0", "1.0", True)]
    desk.origin.take()
    assert desk.mounted(show) == "1.0"
    assert desk.asked() == []
    # What nothing refers to any more is dropped, what is served stays.
    assert desk.publish("--drop-older-than", "1")["dropped"] == 0, "somebody may hold the manifest before"
    for path in desk.state():
        os.utime(path, (0, 0))
    assert desk.publish("--drop-older-than", "1")["dropped"] == 4, "two wheels, a lock and its document"
    assert sorted(name.partition("-")[0] for name, _ in desk.wheels()) == ["alpha", "gamma"]


def test_what_a_project_pins_is_held_to_it(desk: Desk) -> None:
    def publish(value: int) -> None:
        desk.lock([wheel("alpha", "1.0", {"alpha.py": f"VALUE = {value}"}), wheel("beta", "1.0", {"beta.py": ""})])
        desk.publish()

    publish(1)
    where = ["--manifest-url", desk.origin.url + MANIFEST, "--namespace", ""]
    desk.command("pin", "alpha", *where, cache="cache")
    assert desk.mounted("import alpha, beta; print(alpha.VALUE)") == "1"
    publish(2)
    desk.mounted("mm.upgrade()")
    refused = desk.mounted("import beta, alpha", fails=True)
    assert refused.startswith("magic_module.errors.PolicyError: alpha is locked to 1.0 with the tree ")
    frozen = desk.mounted("import beta", ", frozen=True", fails=True)
    assert frozen.startswith("magic_module.errors.PolicyError: ") and "beta" in frozen


def test_another_interpreter_chooses_among_the_wheels_of_the_site(desk: Desk) -> None:
    desk.lock(packages())
    desk.publish()
    desk.index.stop()

    def foreign(document: dict[str, Any]) -> None:
        document["lock"]["documents"][0]["interpreter"] = "cpython-399-x86_64-linux-gnu"

    desk.rewrite(foreign)
    assert json.loads(desk.mounted(USE)) == USED
    assert desk.asked() == [MANIFEST, "alpha", "beta", "json.zst", "toml"]
    shutil.rmtree(desk.cache)
    desk.rewrite(lambda document: document["lock"].update(documents=[]))
    wrong = desk.mounted("", fails=True)
    assert wrong.startswith("magic_module.errors.RequirementError: cannot use the lock http://127.0.0.1")
    assert "it was not published for this interpreter, and the wheel of alpha that fits is not there" in wrong
    assert "magic-module publish --lock" in wrong


def test_a_wheel_or_a_document_that_is_damaged_is_refused_until_it_is_whole(desk: Desk) -> None:
    desk.lock(packages())
    desk.publish()
    desk.origin.faults["/locks/*.zst"] = faults.wrong_bytes
    assert "IntegrityError" in desk.mounted("", fails=True)
    desk.origin.faults.clear()
    desk.origin.faults["/wheels/*"] = faults.wrong_bytes
    line = f"import magic_module as mm; mm.mount('', {desk.origin.url + MANIFEST!r})"
    with Interpreter(desk.cache) as interpreter:
        interpreter.do(line)
        failure = interpreter.fail("import beta")
        assert failure.kind == "IntegrityError" and failure.details["name"].lower() == "beta"
        desk.origin.faults.clear()
        assert interpreter.do("import alpha; result = alpha.VALUE") == 42
    assert json.loads(desk.mounted(USE)) == USED


def test_bytecode_comes_with_it(desk: Desk) -> None:
    desk.lock([wheel("alpha", "1.0", {"alpha/__init__.py": "VALUE = 1", "alpha/more.py": "VALUE = 2"})])
    desk.publish()
    plain = desk.manifest()["lock"]["documents"][0]["sha256"]
    assert desk.publish("--compile")["changed"]
    before = desk.state()
    assert not desk.publish()["changed"] and desk.state() == before, "what was compiled stays"
    assert desk.manifest()["lock"]["documents"][0]["sha256"] != plain
    watch = """
import sys
seen = []
sys.addaudithook(lambda name, args: seen.append(args) if name == "compile" and "alpha" in str(args) else None)
"""
    program = "import alpha.more; print(alpha.more.VALUE)"
    assert desk.mounted(watch + program + "\nprint(seen)").splitlines() == ["2", "[]"]
    assert desk.asked() == [MANIFEST, "alpha", "json.zst", "zip.zst"]


def test_two_publishers_lose_nothing(desk: Desk) -> None:
    ours = [wheel("alpha", "1.0", {"alpha.py": "VALUE = 1"})]
    desk.lock(ours)
    locks = [desk.project / "pylock.toml"]
    other = Lock(desk.path / "other", [wheel("alpha", "2.0", {"alpha.py": "VALUE = 2"})])
    locks.append(other.path)
    line = [sys.executable, "-m", "magic_module", "publish", "--json"]
    started = [
        subprocess.Popen(
            [*line, "--lock", str(lock), str(desk.site)],
            env=environment(desk.path / f"author{at}", None),
            stdout=subprocess.PIPE,
            text=True,
        )
        for at, lock in enumerate(locks)
    ]
    answers = [json.loads(each.communicate()[0]) for each in started]
    assert [each.returncode for each in started] == [0, 0]
    last = max(answers, key=lambda it: int(it["serial"]))
    assert answers[0]["serial"] != answers[1]["serial"]
    assert desk.manifest()["serial"] == last["serial"]
    assert desk.mounted("import alpha; print(alpha.VALUE)") == str(answers.index(last) + 1)


def test_what_is_refused_at_publishing(desk: Desk) -> None:
    lock = desk.lock(packages())
    modules = desk.path / "modules"
    modules.mkdir()
    (modules / "beta.py").write_text("VALUE = 1\n")
    desk.publish()
    before = desk.state()
    refused = desk.refuse("publish", str(modules), str(desk.site), "--namespace", "")
    assert f"cannot publish {desk.site}: it has a lock; choose another output folder" in refused
    units = str(desk.path / "units")
    desk.command("publish", str(modules), units, "--namespace", "")
    refused = desk.refuse("publish", "--lock", str(lock.path), units)
    assert f"cannot publish {units}/manifest.json: it has units, and no lock; choose another output folder" in refused
    project = desk.path / "mine"
    project.mkdir()
    (project / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "1"\n')
    text = lock.path.read_text()
    lock.path.write_text(text + f'[[packages]]\nname = "mine"\ndirectory = {{ path = "{project}", editable = true }}\n')
    refused = desk.refuse("publish", "--lock", str(lock.path), str(desk.site))
    assert f"the project {project} is imported as it lies here; lock a wheel of it" in refused
    lock.path.write_text(text.replace(next(iter(lock.wheels.values())).sha256, "0" * 64))
    assert "sha256" in desk.refuse("publish", "--lock", str(lock.path), str(desk.site)) or desk.state() == before
    lock.path.write_text("lock-version = '2.0'\n")
    assert "lock-version" in desk.refuse("publish", "--lock", str(lock.path), str(desk.site))
    assert desk.state() == before, "the site is as it was"
    for line in (
        ["publish", str(desk.site)],
        ["publish", "--lock", "x", "a", "b"],
        ["publish", "--lock", "x", "a", "--namespace", "b"],
    ):
        assert desk.command(*line, status=2).stdout == ""
