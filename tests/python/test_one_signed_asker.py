"""What one process was told counts for those that would have asked with the same key, and for nobody else."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from kit.world import World
from origins import Origin

pytestmark = pytest.mark.once

MANY = 10

FEW = {"alpha.py": "VALUE = 1\n"}
A_CATALOGUE = {**FEW, **{f"unit{number}.py": "VALUE = 2\n" for number in range(200)}}

USE = """
import magic_module as mm, sys
mm.mount("acme", {url!r}, public_key={keys!r})
if {together!r}:
    print(flush=True)
    input()
try:
    from acme import alpha
    print(alpha.VALUE)
except ImportError as error:
    print(type(error).__name__)
"""


def keygen(world: World, name: str) -> tuple[Path, str]:
    """A secret key's file, and the line that a mount takes."""
    args = ["-m", "magic_module", "keygen", str(world.path / f"{name}.key"), "--json"]
    answer = world.run(None, args=args).json
    return Path(answer["secret"]), answer["public_key"]


def one(world: World, url: str, *keys: str) -> str:
    return world.run(USE.format(url=url, keys=list(keys) or None, together=False)).stdout.strip()


def together(world: World, url: str, *keys: str) -> list[str]:
    """What many cold processes say that begin at once."""
    script = USE.format(url=url, keys=list(keys), together=True)
    started = [world.start(script, input=True) for _ in range(MANY)]
    for process in started:
        assert world.line(process) == ""
    for process in started:
        world.say(process)
    return [world.finish(process).stdout.split()[-1] for process in started]


def kinds(server: Origin) -> Counter[str]:
    """How often a manifest, signatures, and anything else were asked for."""
    asked = Counter[str]()
    for path in server.paths():
        kind = "signature" if path.endswith(".minisig") else "manifest" if path == "/manifest.json" else "other"
        asked[kind] += 1
    return asked


@pytest.mark.parametrize(("sources", "others"), [(FEW, 1), (A_CATALOGUE, 3)], ids=["manifest", "catalogue"])
def test_cold_processes_ask_for_a_manifest_and_its_signature_once(
    world: World, sources: dict[str, str], others: int
) -> None:
    secret, key = keygen(world, "own")
    world.publish(sources, "acme", sign=[secret])
    server = world.serve()
    assert together(world, server.manifest_url, key) == ["1"] * MANY
    assert kinds(server) == {"manifest": 1, "signature": 1, "other": others}


def test_a_stale_signature_costs_one_request_more(world: World) -> None:
    """As from a cache of two ages: the signature beside the manifest is that of another one."""
    secret, key = keygen(world, "own")
    beside = world.path / "site" / "manifest.json.minisig"
    world.publish({"alpha.py": "VALUE = 0\n"}, "acme", sign=[secret])
    stale = beside.read_bytes()
    world.publish(FEW, "acme", sign=[secret])
    beside.write_bytes(stale)
    server = world.serve()
    assert together(world, server.manifest_url, key) == ["1"] * MANY
    assert kinds(server) == {"manifest": 1, "signature": 2, "other": 1}
    # Without the one that is named by the manifest's digest, nobody believes it, nor that somebody did.
    shutil.rmtree(world.path / "site" / "signatures")
    shutil.rmtree(world.cache)
    assert together(world, server.manifest_url, key) == ["SignatureError"] * MANY
    assert kinds(server)["other"] == 0
    assert one(world, server.manifest_url, key) == "SignatureError"


def test_what_others_believed_is_nothing_to_who_insists_on_a_key(world: World) -> None:
    """A manifest that nobody's key signed is in the cache, noted as fresh, for mounts without one and with another."""
    (own, key), (evil, evil_key) = keygen(world, "own"), keygen(world, "evil")
    world.publish({"alpha.py": "VALUE = 6\n"}, "acme", sign=[evil])
    server = world.serve()
    world.extra["MAGIC_MODULE_FRESH"] = "3600"
    assert one(world, server.manifest_url) == one(world, server.manifest_url, evil_key) == "6"
    assert together(world, server.manifest_url, key) == ["SignatureError"] * MANY
    shutil.rmtree(world.path / "site")
    world.publish(FEW, "acme", sign=[own])
    assert together(world, server.manifest_url, key) == ["1"] * MANY


def test_notes_are_no_proof(world: World) -> None:
    """Notes that name a manifest which no key of the mount has signed, or have another signature for it."""
    (own, key), (evil, evil_key) = keygen(world, "own"), keygen(world, "evil")
    world.publish({"alpha.py": "VALUE = 6\n"}, "acme", "bad", sign=[evil])
    # The second one has a serial above that of the other site, whose number would be noted, too.
    for sources in ({"alpha.py": "VALUE = 0\n"}, FEW):
        world.publish(sources, "acme", "good", sign=[own])
    world.extra["MAGIC_MODULE_FRESH"] = "3600"
    server = world.serve("good")
    assert one(world, server.manifest_url, key) == "1"
    (folder,) = (world.cache / "v1" / "mounts").iterdir()
    # What another mount noted, in the place of this one's: the state, and the manifest that it names.
    bad = world.serve("bad")
    assert one(world, bad.manifest_url, evil_key) == "6"
    (other,) = set((world.cache / "v1" / "mounts").iterdir()) - {folder}
    for file in [*folder.iterdir()]:
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    shutil.copy(other / "state", folder / "state")
    server.take()
    assert together(world, server.manifest_url, key) == ["1"] * MANY
    assert kinds(server) == {"manifest": 1, "signature": 1}
