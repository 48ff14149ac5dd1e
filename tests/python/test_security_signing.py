"""Signed manifests, from `keygen` to the mount that trusts a key."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.process import PATIENCE, Result
from kit.world import World
from magic_module.errors import MagicModuleError
from origins import Origin, Reply

pytestmark = pytest.mark.once

SHOW = """
    import json, magic_module
    from magic_module.errors import MagicModuleError
    try:
        with magic_module.mount("acme", {url!r}, public_key={keys!r}):
            import acme.alpha
            print(json.dumps(acme.alpha.VALUE))
    except MagicModuleError as error:
        print(json.dumps(error.to_dict()))
"""


def keygen(world: World, name: str) -> tuple[Path, str]:
    """A secret key's file, and the line that a mount takes."""
    answer = command(world, "keygen", str(world.path / f"{name}.key"), "--json").json
    return Path(answer["secret"]), answer["public_key"]


def command(world: World, *arguments: str, status: int = 0, **environment: str) -> Result:
    """Runs `magic-module`."""
    return world.run(None, args=["-m", "magic_module", *arguments], status=status, env=environment)


def show(world: World, url: str, keys: Sequence[str], **environment: str) -> Any:
    """What a fresh process sees of `acme.alpha` through a mount with `keys`."""
    return world.run(SHOW.format(url=url, keys=list(keys) or None), env=environment).json


def test_keygen_tells_what_to_do_with_it(world: World) -> None:
    result = command(world, "keygen", str(world.path / "own.key"))
    public = (world.path / "own.pub").read_text().splitlines()[-1]
    assert f"public_key={public!r}" in result.stdout
    assert "no password" in result.stdout
    again = command(world, "keygen", str(world.path / "own.key"), status=1)
    assert "that file already exists; choose another file" in again.stderr


def test_a_password_is_never_shown(world: World) -> None:
    key = str(world.path / "own.key")
    secret = "correct-horse-battery"
    made = command(world, "keygen", key, "--password", "--json", MAGIC_MODULE_KEY_PASSWORD=secret)
    (world.work / "alpha.py").write_text("VALUE = 1\n")
    arguments = ("publish", str(world.work), str(world.path / "site"), "--sign", key)
    refused = command(world, *arguments, status=1)
    assert "MAGIC_MODULE_KEY_PASSWORD" in refused.stderr
    wrong = command(world, *arguments, status=1, MAGIC_MODULE_KEY_PASSWORD=secret + "!")
    assert wrong.stderr.rstrip().endswith("check the password")
    published = command(world, *arguments, MAGIC_MODULE_KEY_PASSWORD=secret)
    shown = command(world, "doctor", status=1, MAGIC_MODULE_KEY_PASSWORD=secret)
    for result in (made, refused, wrong, published, shown):
        assert secret not in result.stdout + result.stderr
    assert all(secret.encode() not in path.read_bytes() for path in world.path.rglob("*") if path.is_file())


def test_signatures_are_written_before_the_manifest(world: World) -> None:
    keys = [keygen(world, name)[0] for name in ("first", "second")]
    site = world.path / "site"
    beside, manifest = site / "manifest.json.minisig", site / "manifest.json"
    world.publish({"alpha.py": "VALUE = 1"}, "acme", sign=keys)
    before, signed = manifest.read_bytes(), names(site / "signatures")
    # Whatever comes after the signature beside the manifest does not happen; whatever comes before it has happened.
    beside.unlink()
    (beside / "in the way").mkdir(parents=True)
    with pytest.raises(MagicModuleError, match=r"manifest\.json\.minisig"):
        world.publish({"alpha.py": "VALUE = 2"}, "acme", sign=keys)
    assert manifest.read_bytes() == before
    early = names(site / "signatures") - signed
    assert len(early) == 2, "one for each key"
    shutil.rmtree(beside)
    # Nor does the one beside it come first.
    for path in (site / "signatures").iterdir():
        path.unlink()
    (site / "signatures").rmdir()
    (site / "signatures").touch()
    with pytest.raises(MagicModuleError, match="signatures"):
        world.publish({"alpha.py": "VALUE = 2"}, "acme", sign=keys)
    assert manifest.read_bytes() == before
    assert not beside.exists()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_signatures_stay(world: World) -> None:
    first, _ = keygen(world, "first")
    second, _ = keygen(world, "second")
    world.publish({"alpha.py": "VALUE = 1"}, "acme", sign=[first, second])
    site = world.path / "site"
    one = {path.name for path in (site / "signatures").iterdir()}
    assert len(one) == 2
    key_id = first.with_suffix(".pub").read_text().splitlines()[0].split()[-1]
    [immutable] = (site / "signatures").glob(f"*.{key_id}.minisig")
    assert (site / "manifest.json.minisig").read_bytes() == immutable.read_bytes(), "the first key's"
    before = {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()}
    assert not world.publish({"alpha.py": "VALUE = 1"}, "acme", sign=[first, second])["signed"]
    assert before == {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()}
    world.publish({"alpha.py": "VALUE = 2"}, "acme", sign=[first], drop_older_than=30)
    assert {path.name for path in (site / "signatures").iterdir()} > one, "somebody may hold the old manifest"


def test_keys_rotate_by_signing_with_both(world: World) -> None:
    old, old_line = keygen(world, "old")
    new, new_line = keygen(world, "new")
    url = world.serve().manifest_url
    world.publish({"alpha.py": "VALUE = 1"}, "acme", sign=[old])
    assert show(world, url, [old_line]) == 1
    assert show(world, url, [new_line])["type"] == "SignatureError"
    # The records are the same: only a signature is added, and no client has to fetch anything again.
    published = world.publish({"alpha.py": "VALUE = 1"}, "acme", sign=[old, new])
    assert (published["changed"], published["signed"]) == (False, True)
    for keys in ([old_line], [new_line], [old_line, new_line]):
        assert show(world, url, keys) == 1
    world.publish({"alpha.py": "VALUE = 2"}, "acme", sign=[new])
    script = SHOW.replace("import acme.alpha\n", "import acme.alpha\n            acme.alpha._upgrade()\n")
    values = {}
    for name, keys in {"old": [old_line], "new": [new_line], "both": [old_line, new_line]}.items():
        values[name] = world.run(script.format(url=url, keys=keys)).json
    assert (values["new"], values["both"]) == (2, 2)
    assert values["old"]["type"] == "SignatureError"
    assert show(world, url, [old_line]) == 1, "what this mount verified before always loads"


def test_a_cache_of_two_ages_is_no_alarm(world: World) -> None:
    key, line = keygen(world, "own")
    server = world.serve()
    world.publish({"alpha.py": "VALUE = 1"}, "acme", sign=[key])
    stale = (world.path / "site" / "manifest.json.minisig").read_bytes()
    world.publish({"alpha.py": "VALUE = 2"}, "acme", sign=[key])
    (world.path / "site" / "manifest.json.minisig").write_bytes(stale)
    assert show(world, server.manifest_url, [line]) == 2
    assert any(path.startswith("/signatures/") for path in server.paths())


MARK = b"\xef\xbb\xbf"


def as_windows_writes(text: bytes) -> bytes:
    return MARK + text.replace(b"\n", b"\r\n")


@pytest.mark.parametrize("beside", [True, False], ids=["beside the manifest", "named by its digest"])
def test_a_signature_that_an_editor_saved_is_one(world: World, beside: bool) -> None:
    key, line = keygen(world, "own")
    key.write_bytes(as_windows_writes(key.read_bytes()))
    url = world.serve().manifest_url
    world.publish({"alpha.py": "VALUE = 1"}, "acme", sign=[key])
    first = world.path / "site" / "manifest.json.minisig"
    for path in [first, *(world.path / "site" / "signatures").iterdir()]:
        path.write_bytes(as_windows_writes(path.read_bytes()))
    if not beside:
        first.write_bytes(b"something else")
    public = as_windows_writes(key.with_suffix(".pub").read_bytes()).decode()
    assert show(world, url, [public]) == show(world, url, ["\ufeff" + line]) == 1


@pytest.mark.parametrize("written", [b"<html>", MARK, "untrusted".encode("utf-16")], ids=["page", "nothing", "UTF-16"])
def test_what_is_no_signature_is_named(world: World, written: bytes) -> None:
    key, line = keygen(world, "own")
    url = world.serve().manifest_url
    world.publish({"alpha.py": "VALUE = 1"}, "acme", sign=[key])
    shutil.rmtree(world.path / "site" / "signatures")
    (world.path / "site" / "manifest.json.minisig").write_bytes(written)
    error = show(world, url, [line])
    assert error["type"] == "SignatureError"
    assert f"{url}.minisig is not a signature in minisign's format" in error["message"]
    assert error["hint"] == "ask the author to publish that file as it was written, byte for byte"


def test_a_manifest_and_its_signature_are_asked_for_at_the_same_time(world: World) -> None:
    key, line = keygen(world, "own")
    world.publish({"alpha.py": "VALUE = 1"}, "acme", sign=[key])
    both = threading.Barrier(2)

    def held(reply: Reply) -> None:
        # A client that asks for one after the other never asks for the second.
        both.wait(PATIENCE)
        reply.well()

    with Origin(world.path / "site") as origin:
        origin.fail("/manifest.json*", held)
        assert show(world, origin.manifest_url, [line]) == 1
        asked = origin.paths()
    assert sorted(asked[:2]) == ["/manifest.json", "/manifest.json.minisig"]
    assert len(asked) == 3, "no other signature was needed"


def test_a_signed_site_stays_signed(world: World) -> None:
    key, _ = keygen(world, "own")
    world.publish({"alpha.py": "VALUE = 1"}, "acme", sign=[key])
    (world.work / "alpha.py").write_text("VALUE = 2\n")
    result = command(world, "publish", str(world.work), str(world.path / "site"), "--namespace", "acme", status=1)
    assert "pass --sign KEY" in result.stderr
    manifest = json.loads((world.path / "site" / "manifest.json").read_text())
    assert manifest["modules"]["alpha"]["files"][0]["size"] == len("VALUE = 1")


WEAKEST = {
    "MANIFEST_URL": "{evil}",
    "PUBLIC_KEY": "{evil_key}",
    "PINS": "alpha==6",
    "ALLOW_HTTP": "1",
    "CACHE_DIR": "{cache}",
    "CACHE_LIMIT": "1",
    "TRUSTED_OWNERS": "0,1,1000,65534",
    "OFFLINE": "0",
    "PROGRESS": "off",
    "CONCURRENCY": "256",
    "FRESH": "86400",
    "VERIFY": "default",
    "KEY_PASSWORD": "x",
    "SPACE": "nobodys",
    "SPACES_DIR": "/nowhere",
    "LOCK": "/nowhere/pylock.toml",
    "MOUNTS": '[{{"namespace": "acme", "manifest_url": "{evil}", "public_key": "{evil_key}"}}]',
    "SYNC": "1",
    "BUNDLES": "/nowhere/bundles",
    "START": "1",
    "REGISTRY": "/dev/null",
    "AUTO_INSTALL": "ask",
    "TRACE_PART": "/nowhere/trace.children",
}
"""Every variable, at the value that could weaken a mount most."""


def test_no_environment_variable_weakens_a_mount_that_code_pinned(world: World) -> None:
    own, line = keygen(world, "own")
    evil, evil_line = keygen(world, "evil")
    good, bad = world.serve("good"), world.serve("bad")
    world.publish({"alpha.py": "VALUE = 1"}, "acme", "good", sign=[own])
    world.publish({"alpha.py": "VALUE = 6\n__version__ = '6'"}, "acme", "bad", sign=[evil])
    known = world.run("import json; from magic_module import _native; print(json.dumps(_native._settings()))").json
    assert set(known) == {name.lower() for name in WEAKEST}, "a new variable belongs into this test"
    places = {"evil": bad.manifest_url, "evil_key": evil_line, "cache": str(world.path / "other")}
    together = {f"MAGIC_MODULE_{name}": value.format(**places) for name, value in WEAKEST.items()}
    for environment in [{name: value} for name, value in together.items()] + [together]:
        shutil.rmtree(world.cache, ignore_errors=True)
        shutil.rmtree(world.path / "other", ignore_errors=True)
        assert show(world, good.manifest_url, [line], **environment) == 1
        refused = show(world, bad.manifest_url, [line], **environment)
        assert refused["type"] == "SignatureError", environment
