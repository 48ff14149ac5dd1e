"""A tree of several packs grows while they arrive."""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from collections.abc import Iterator

import pytest

from kit import process
from kit.desk import MANIFEST, Desk
from kit.interpreter import environment
from kit.process import PATIENCE
from kit.wheels import wheel
from origins import faults

pytestmark = pytest.mark.once

# Too large for a pack that it would share, and nothing that could be compressed.
LARGE = random.Random(7).randbytes(9 << 20)
GROWS = {"grows/__init__.py": "VALUE = 5", "grows/data/large.bin": LARGE, "grows/data/rest.txt": "rest"}
SCRIPT = """
import grows, pathlib
print(grows.VALUE, len(pathlib.Path(grows.__file__).with_name("data").joinpath("large.bin").read_bytes()))
"""


@pytest.fixture
def published(desk: Desk) -> Desk:
    desk.lock([wheel("grows", "1", GROWS)])
    (desk.path / "script.py").write_text(SCRIPT)
    desk.publish("--packs-for", "script.py")
    return desk


def large_pack(desk: Desk) -> str:
    (large,) = (it for it in desk.site.rglob("*.zip") if it.stat().st_size >= len(LARGE))
    return "/" + large.relative_to(desk.site).as_posix()


@contextlib.contextmanager
def growing(desk: Desk) -> Iterator[subprocess.Popen[str]]:
    """A process for which one of two packs is unpacked, while the server holds the other one back."""
    program = f"import magic_module as mm; mm.mount('', {desk.origin.url + MANIFEST!r})\n{SCRIPT}"
    child = process.start(process.command(program), environment(desk.cache, None), desk.path)
    try:
        until = time.monotonic() + PATIENCE
        while not any(it.stat().st_size for it in desk.cache.glob("v1/tmp/*.early/**/__init__.py")):
            assert time.monotonic() < until, "nothing was unpacked"
            assert child.poll() is None
            time.sleep(0.01)
        yield child
    finally:
        if child.returncode is None:
            process.end(child)
            child.communicate()


def assert_whole(desk: Desk) -> None:
    assert not list((desk.cache / "v1" / "tmp").iterdir())
    assert desk.command("verify", cache="cache").stdout.strip().endswith("no damage")


def test_what_is_here_is_unpacked_while_the_rest_is_on_its_way(published: Desk) -> None:
    stall = published.origin.stall(large_pack(published), after=1000)
    with growing(published) as child:
        stall.release.set()
        assert process.finish(child).stdout == f"5 {len(LARGE)}\n"
    assert_whole(published)


def test_what_was_unpacked_by_a_process_that_was_killed_goes(published: Desk) -> None:
    stall = published.origin.stall(large_pack(published), after=1000)
    with growing(published):
        pass
    stall.release.set()
    assert published.mounted(SCRIPT) == f"5 {len(LARGE)}"
    assert_whole(published)


def test_a_pack_that_does_not_arrive_leaves_nothing(published: Desk) -> None:
    published.origin.faults[large_pack(published)] = faults.stalled_body
    with growing(published) as child:
        published.origin.stop()
        ended = process.finish(child)
    assert ended.stderr.splitlines()[-1].startswith("magic_module.errors.FetchError: "), ended.stderr
    assert not list((published.cache / "v1" / "tmp").glob("*.early"))
