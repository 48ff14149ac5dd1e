"""What the store syncs and maps, as the kernel sees it; and the tables of rules name tests that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kit import process
from kit.sources import Sources
from kit.world import World

ROOT = Path(__file__).parents[2]
RULES = ROOT / "docs" / "concepts" / "rules.md"

IMPORT = """
    import magic_module
    magic_module.mount("acme", {url!r})
    magic_module.prefetch({names})
    import acme.alpha
    """

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: what is synced and mapped was NOT looked at"
)


def calls(world: World, url: str, names: list[str], trace: str) -> list[tuple[str, str]]:
    """`(call, path below the cache)` of a process that fetches `names`, in order; process numbers as *."""
    log = world.path / "strace.log"
    script = IMPORT.format(url=url, names=", ".join(map(repr, names)))
    line = ["strace", "-f", "-y", "-qq", "-o", str(log), "-e", f"trace={trace}", *process.command(script)]
    ended = subprocess.run(
        line, env=world.environment(), cwd=world.work, capture_output=True, text=True, timeout=process.PATIENCE
    )
    if "ptrace" in ended.stderr and ended.returncode:
        pytest.skip(f"strace may not trace here: what is synced and mapped was NOT looked at ({ended.stderr.strip()})")
    assert ended.returncode == 0, ended.stderr
    found = []
    for text in log.read_text().splitlines():
        match = re.search(rf"(\w+)\(.*<{re.escape(str(world.cache))}/([^>]*)>", text)
        if match:
            found.append((match[1], re.sub(r"\.\d+\.\d+\.new", ".*.new", match[2])))
    return found


def sources(units: int) -> Sources:
    return {"alpha.py": "VALUE = 1\n", **{f"unit_{number}.py": f"VALUE = {number}\n" for number in range(units)}}


@needs_strace
@pytest.mark.parametrize("units", [0, 12], ids=["few", "many"])
def test_what_is_synced_and_what_is_not(world: World, units: int) -> None:
    world.publish(sources(units), "acme")
    names = [f"acme.{path.removesuffix('.py')}" for path in sources(units)]
    synced = calls(world, world.serve().manifest_url, names, "fsync,fdatasync,syncfs,sync_file_range,sync")
    paths = [path for _, path in synced]
    generation = [path for path in paths if re.fullmatch(r"v1/tmp/1\.\*\.new", path)]
    assert generation and "v1/tmp/current.*.new" in paths, synced
    assert "v1/mounts" in {path[:9] for path in paths}, "and the folder that names them"
    assert not [path for path in paths if re.search(r"/trees|\.tree|\.index|/code|/state|/tmp/state", path)], synced
    if units:
        assert ("syncfs", "v1/blobs") in synced, "one call for all of them"
        assert paths.index("v1/blobs") < paths.index(generation[0]), "what a generation names is there before it"
    else:
        artifacts = [path for path in paths if path.endswith(".part")]
        assert len(artifacts) == 2, "the manifest and the artifact"
        assert paths.index(artifacts[-1]) < paths.index(generation[0])


@needs_strace
def test_nothing_of_the_cache_is_mapped(world: World) -> None:
    """What is mapped changes with its file, after it was hashed."""
    world.publish(sources(0), "acme")
    url = world.serve().manifest_url
    for _ in ("cold", "warm"):
        seen = calls(world, url, ["acme.alpha"], "mmap,openat")
        assert [path for call, path in seen if call == "mmap"] == []
        assert "openat" in {call for call, _ in seen}, "the cache was read"


def test_every_rule_names_a_test_that_exists() -> None:
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "tests").rglob("*.rs"), *(ROOT / "src").rglob("*.rs")]
    there = set()
    for file in files:
        there |= set(re.findall(r"^\s*(?:async )?(?:def|fn) (\w+)\(", file.read_text("utf-8"), re.MULTILINE))
    rows = [line.split("|")[1:-1] for line in RULES.read_text("utf-8").splitlines() if line.startswith("| ")]
    rules = [row for row in rows if row[0].strip() != "rule"]
    assert len(rules) > 35
    for rule, tests in rules:
        named = re.findall(r"`(\w+)`", tests)
        assert named, f"no test is named for: {rule.strip()}"
        missing = set(named) - there
        assert not missing, f"{rule.strip()}: {missing}"
