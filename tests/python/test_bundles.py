"""`magic-module bundle`, `unbundle` and `MAGIC_MODULE_BUNDLES`: packages that somebody carried here."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kit import interpreter, typed
from kit.locks import Lock, python
from kit.process import Result
from kit.wheels import wheel
from kit.world import World
from origins import Origin

pytestmark = pytest.mark.once

Served = tuple[Lock, Origin]
OFFLINE = {"MAGIC_MODULE_OFFLINE": "1"}


def say(lock: Lock | None, cache: Path, *arguments: str, status: int = 0, **settings: str) -> Result:
    named = () if lock is None else ("--lock", str(lock.path))
    ended = interpreter.command_line(*arguments, *named, cache=cache, settings=settings)
    assert ended.status == status, ended
    return ended


def importing(lock: Lock, cache: Path, name: str = "alpha", **settings: str) -> Result:
    program = f"""
        import warnings
        warnings.simplefilter("always")
        import magic_module as mm
        mm.mount_lock({str(lock.path)!r})
        import {name}
        print("imported")
    """
    return python(cache, program, settings)


@pytest.fixture
def bundle(served: Served, tmp_path: Path) -> Path:
    """A bundle of alpha and what that requires, made elsewhere."""
    lock, origin = served
    target = tmp_path / "carried" / "work.zip"
    target.parent.mkdir()
    say(lock, tmp_path / "elsewhere", "bundle", "-o", str(target), "alpha")
    origin.take()
    return target


def test_the_schema_has_the_fields_that_there_are() -> None:
    schema = json.loads((Path(__file__).parents[2] / "docs/reference/bundle.schema.json").read_text("utf-8"))
    for command, form in zip(("bundle", "unbundle"), schema["oneOf"], strict=False):
        assert {"schema", "command", *typed.ANSWERS[command]} == set(form["required"]) == set(form["properties"])


def test_a_bundle_is_a_zip_of_what_is_named_and_what_that_requires(served: Served, cache: Path, tmp_path: Path) -> None:
    lock, _ = served
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    answer = typed.answer(say(lock, cache, "bundle", "-o", str(first), "alpha", "--json").stdout, "bundle")
    assert [artifact["unit"] for artifact in answer["artifacts"]] == ["alpha", "Beta"]
    with zipfile.ZipFile(first) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
        assert names == {"bundle.json", "pylock.toml", *(lock.wheels[name].filename for name in ("alpha", "Beta"))}
        assert json.loads(archive.read("bundle.json"))["artifacts"] == answer["artifacts"]
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        assert archive.read("pylock.toml") == lock.path.read_bytes()
    say(lock, tmp_path / "other", "bundle", "-o", str(second), "alpha")
    assert first.read_bytes() == second.read_bytes()
    say(lock, cache, "bundle", "-o", str(second))
    with zipfile.ZipFile(second) as archive:
        assert sum(name.endswith(".whl") for name in archive.namelist()) == len(lock.wheels)
    script = tmp_path / "script.py"
    script.write_text("import beta\n")
    for option in ("--imports-of", "--trace-of"):
        told = say(lock, cache, "bundle", "-o", str(second), option, str(script), "--json").stdout
        assert [each["unit"] for each in typed.answer(told, "bundle")["artifacts"]] == ["Beta"]
    assert "ends in .zip" in say(lock, cache, "bundle", "-o", "x", "alpha", status=2).stderr
    assert "cannot write /nowhere/x.zip" in say(lock, cache, "bundle", "-o", "/nowhere/x.zip", status=1).stderr


@pytest.mark.parametrize("way", ["unbundle", "variable", "beside"])
def test_nobody_is_asked_for_what_was_carried_here(
    served: Served, bundle: Path, cache: Path, tmp_path: Path, way: str
) -> None:
    lock, origin = served
    # Only what the bundle has: of the other packages nobody knows what is in them.
    small = Lock(tmp_path / "small", [lock.wheels["alpha"], lock.wheels["Beta"]], url=origin.url)
    settings = dict(OFFLINE)
    if way == "unbundle":
        answer = typed.answer(say(None, cache, "unbundle", str(bundle), "--json").stdout, "unbundle")
        assert answer["artifacts"] == 2
    elif way == "variable":
        settings["MAGIC_MODULE_BUNDLES"] = str(bundle.parent)
    if way != "beside":
        assert importing(small, cache, **settings).stdout == "imported\n"
    else:
        program = tmp_path / "program" / "main.py"
        shutil.copytree(bundle.parent, program.parent / "bundled_modules")
        program.write_text(
            f"import magic_module as mm; mm.mount_lock({str(small.path)!r}); import alpha; print('imported')"
        )
        ended = interpreter.Interpreter(cache, settings=settings)
        with ended as child:
            failure = child.fail(f"import magic_module as mm; mm.mount_lock({str(small.path)!r})")
        assert failure.kind == "OfflineError", "the folder of a program is its own"
        ran = interpreter.process.run(
            [interpreter.sys.executable, str(program)], interpreter.environment(cache, None, settings), tmp_path
        )
        assert ran.stdout == "imported\n"
    assert origin.take() == []


def changed(bundle: Path, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> None:
    with zipfile.ZipFile(bundle) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(bundle, "w") as archive:
        for name, data in filter(None, (change(*entry) for entry in entries)):
            archive.writestr(name, data)


def truncated(bundle: Path) -> None:
    bundle.write_bytes(bundle.read_bytes()[:-100])


def escaping(bundle: Path) -> None:
    changed(bundle, lambda name, data: (name.replace("artifacts/", "artifacts/../../"), data))


def newer(bundle: Path) -> None:
    changed(bundle, lambda name, data: (name, b'{"bundle": 2}' if name == "bundle.json" else data))


def nothing(bundle: Path) -> None:
    changed(bundle, lambda name, data: None if name == "bundle.json" else (name, data))


def wrong(bundle: Path) -> None:
    changed(bundle, lambda name, data: (name, data[:-1] + b"x" if name.endswith(".whl") else data))


def outdated(bundle: Path) -> None:
    other = wheel("alpha", "0.9", {"alpha.py": ""})
    again = wheel("beta", "0.9", {"beta.py": ""})
    bundle.unlink()
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("bundle.json", '{"bundle": 1}')
        for each in (other, again):
            archive.writestr(f"artifacts/{each.sha256}/{each.filename}", each.data)


BAD: dict[Callable[[Path], None], str] = {
    truncated: "",
    escaping: "",
    newer: "has a format that this version does not know",
    nothing: "does not hold bundle.json",
    wrong: "holds other bytes for artifacts/",
    outdated: "is needed: it is outdated, or for another platform",
}


@pytest.mark.parametrize("spoil", BAD)
def test_a_bundle_that_cannot_be_used_says_so_and_the_network_remains(
    served: Served, bundle: Path, cache: Path, spoil: Callable[[Path], None]
) -> None:
    lock, origin = served
    good = bundle.with_name("zz.zip")
    shutil.copy(bundle, good)
    spoil(bundle)
    settings = {"MAGIC_MODULE_BUNDLES": str(bundle)}
    ended = importing(lock, cache, **settings)
    assert ended.stdout == "imported\n"
    said = [line for line in ended.stderr.splitlines() if "the bundle" in line]
    assert len(said) == 1 and f"the bundle {bundle} is not used for what it should have: " in said[0], ended.stderr
    assert BAD[spoil] in said[0]
    assert {request.path.strip("/").partition("-")[0] for request in origin.take()} >= {"alpha", "beta"}
    if spoil in (wrong, outdated):
        # Of two that disagree, the one that has what the lock names.
        shutil.rmtree(cache)
        assert importing(lock, cache, MAGIC_MODULE_BUNDLES=str(bundle.parent)).stdout == "imported\n"
        assert not any("alpha" in request.path for request in origin.take())
    if spoil is not outdated:
        refused = say(None, cache.with_name("fresh"), "unbundle", str(bundle), status=1)
        assert refused.stderr.startswith("magic-module: ") and len(refused.stderr.splitlines()) == 1


def test_only_what_is_imported_is_copied(served: Served, cache: Path, tmp_path: Path) -> None:
    lock, origin = served
    whole = tmp_path / "whole.zip"
    say(lock, tmp_path / "elsewhere", "bundle", "-o", str(whole))
    origin.take()
    settings = {**OFFLINE, "MAGIC_MODULE_BUNDLES": str(whole)}
    assert importing(lock, cache, **settings).stdout == "imported\n"
    assert origin.take() == []
    copied = {blob.name for blob in (cache / "v1" / "blobs").rglob("*") if blob.is_file()}
    wheels = {each.sha256: each.name.lower() for each in lock.wheels.values()}
    assert {wheels[name] for name in copied & set(wheels)} == {"alpha", "beta"}


def test_a_key_vouches_for_the_lock_and_the_list(served: Served, cache: Path, tmp_path: Path) -> None:
    lock, _ = served
    ours, other = (json.loads(say(None, cache, "keygen", str(tmp_path / name), "--json").stdout) for name in "ab")
    whole, secret = tmp_path / "whole.zip", str(tmp_path / "a")
    say(lock, cache, "bundle", "-o", str(whole), "--sign", secret, "alpha")
    said = say(None, cache, "unbundle", "--public-key", ours["public_key"], str(whole)).stdout
    assert said.startswith(f"{whole}: 2 artifacts, ")
    refused = ("unbundle", "--public-key", other["public_key"], str(whole))
    assert "was not signed with any of the given keys" in say(None, cache, *refused, status=1).stderr
    asked = ("unbundle", "--public-key", ours["public_key"], str(whole))

    def of_others(name: str, data: bytes) -> tuple[str, bytes] | None:
        return (name, data + b"# more\n" if name == "pylock.toml" else data)

    good = whole.read_bytes()
    changed(whole, of_others)
    assert "another lock than the one that was signed" in say(None, cache, *asked, status=1).stderr
    whole.write_bytes(good)
    more = wheel("gamma", "1.0", {"gamma.py": ""})
    with zipfile.ZipFile(whole, "a") as archive:
        archive.writestr(f"artifacts/{more.sha256}/{more.filename}", more.data)
    assert say(None, cache, *asked).stdout.startswith(f"{whole}: 2 artifacts, ")
    changed(whole, lambda name, data: None if name.endswith(".minisig") else (name, data))
    assert "is not signed" in say(None, cache, *asked, status=1).stderr


def test_units_of_a_manifest_come_out_of_a_bundle_too(world: World, tmp_path: Path) -> None:
    world.publish({"near.py": "VALUE = 7\n"})
    world.extra = {"MAGIC_MODULE_MANIFEST_URL": f"{world.serve().url}/manifest.json"}
    carried = tmp_path / "units.zip"
    world.run(None, args=("-m", "magic_module", "bundle", "-o", str(carried), "magic_module.near"))
    elsewhere = {"MAGIC_MODULE_CACHE_DIR": str(tmp_path / "elsewhere")}
    assert "magic_module.near" in world.run(None, args=("-m", "magic_module", "list"), env=elsewhere).stdout
    # Of the bytes, which are on no server any more, the bundle is the only source.
    for folder in ("files", "packs"):
        shutil.rmtree(world.path / "site" / folder, ignore_errors=True)
    program = "import magic_module.near as it; print(it.VALUE)"
    assert world.run(program, env={**elsewhere, "MAGIC_MODULE_BUNDLES": str(carried)}).stdout == "7\n"


def test_offline_it_is_said_beside_the_error(served: Served, bundle: Path, cache: Path) -> None:
    lock, _ = served
    truncated(bundle)
    settings = {**OFFLINE, "MAGIC_MODULE_BUNDLES": str(bundle)}
    ended = say(lock, cache, "fetch", "alpha", status=1, **settings)
    assert f"the bundle {bundle} is not used" in ended.stderr
    assert "MAGIC_MODULE_OFFLINE forbids" in ended.stderr


def test_a_bundle_never_says_what_a_name_is(served: Served, bundle: Path, cache: Path, tmp_path: Path) -> None:
    """Neither its lock nor its wheels are seen where no lock that is mounted names them."""
    say(None, cache, "unbundle", str(bundle))
    other = Lock(tmp_path / "empty", [wheel("gamma", "1", {"gamma.py": ""})])
    with interpreter.Interpreter(cache, settings={"MAGIC_MODULE_BUNDLES": str(bundle.parent)}) as child:
        child.do(f"import magic_module as mm; mm.mount_lock({str(other.path)!r}); import gamma")
        assert child.fail("import alpha").kind == "ModuleNotFoundError"
    assert "no such" in say(None, cache, "unbundle", "/nowhere.zip", status=1).stderr.lower()
    buffer = io.BytesIO(b"PK")
    Path(tmp_path / "short.zip").write_bytes(buffer.getvalue())
    assert say(None, cache, "unbundle", str(tmp_path / "short.zip"), status=1).stderr.count("\n") == 1
