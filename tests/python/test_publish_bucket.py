"""Publishing into a bucket: only what is new goes there, the manifest last, and two publishers lose nothing."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.bucket import KEY, SECRET, TOKEN, Bucket, GoogleBucket, refuse
from kit.locks import Lock, packages
from kit.process import Result
from kit.sources import write_tree
from kit.world import World
from origins import Origin, Reply

pytestmark = pytest.mark.once

USE = "import magic_module.alpha as alpha; print(alpha.VALUE)"
LARGE = "# " + "x" * 300_000 + "\n"


@pytest.fixture
def bucket(world: World, request: pytest.FixtureRequest) -> Iterator[Bucket]:
    kind = getattr(request, "param", Bucket)
    bucket: Bucket = kind(world.path / "store")
    world.extra |= bucket.environment
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = f"{bucket.url}/site/manifest.json"
    yield bucket
    bucket.close()


def publish(
    world: World, sources: dict[str, str], *args: str, to: str = "s3://models/site/", status: int = 0
) -> Result:
    source = world.path / "sources"
    write_tree(source, sources)
    line = ["-m", "magic_module", "publish", str(source), to, *args]
    return world.run(None, args=line, status=status)


def manifest(bucket: Bucket) -> Any:
    return json.loads((bucket.folder / "site" / "manifest.json").read_text())


def versions(bucket: Bucket) -> int:
    """How many versions of alpha the manifest has."""
    return 1 + len(manifest(bucket)["modules"]["alpha"].get("versions", {}))


def test_only_what_is_new_is_put_there_and_the_manifest_last(world: World, bucket: Bucket, tmp_path: Path) -> None:
    sources = {"alpha.py": "VALUE = 1\n", "large.py": LARGE}
    key = tmp_path / "key"
    world.run(None, args=["-m", "magic_module", "keygen", str(key)])
    shown = publish(world, sources, "--sign", str(key))
    assert "s3://models/site/manifest.json: serial " in shown.stdout
    requests = [request for request in bucket.server.take() if request.method == "PUT"]
    put = [request.path.removeprefix("/models/site/") for request in requests]
    assert put[-2:] == ["manifest.json.minisig", "manifest.json"]
    told = {path: request.headers["cache-control"] for path, request in zip(put, requests, strict=True)}
    assert {told.pop("manifest.json"), told.pop("manifest.json.minisig")} == {
        "public, max-age=60, stale-while-revalidate=600"
    }
    assert set(told.values()) == {"public, max-age=31536000, immutable"}
    assert requests[-1].headers["if-none-match"] == "*"
    assert world.run(USE).stdout == "1\n"

    bucket.server.take()
    shown = publish(world, sources, "--sign", str(key))
    assert shown.stdout.endswith("manifest.json: nothing changed\n")
    again = bucket.server.take()
    assert [request.method for request in again] == ["GET"] * 3

    publish(world, sources | {"alpha.py": "VALUE = 2\n"}, "--sign", str(key))
    put = bucket.asked("PUT")
    assert len(put) == 4, "the file of alpha, a signature twice, and the manifest"
    assert versions(bucket) == 2


def test_two_publishers_lose_nothing(world: World, bucket: Bucket) -> None:
    publish(world, {"alpha.py": "VALUE = 1\n"})
    older = (bucket.folder / "site" / "manifest.json").read_bytes()
    publish(world, {"alpha.py": "VALUE = 2\n"})
    newer = (bucket.folder / "site" / "manifest.json").read_bytes()
    # The third publisher has read what was there before the second one came.
    bucket.fail("GET", "site/manifest.json", lambda reply: reply.whole(200, older, {"ETag": '"older"'}))
    bucket.server.take()
    publish(world, {"alpha.py": "VALUE = 3\n"})
    tried = [request.status for request in bucket.server.take() if request.method == "PUT"]
    assert sorted(tried) == [200, 200, 412]
    assert versions(bucket) == 3
    assert json.loads(newer)["serial"] < manifest(bucket)["serial"]


def test_an_answer_that_is_lost_loses_no_race(world: World, bucket: Bucket) -> None:
    publish(world, {"alpha.py": "VALUE = 1\n"})

    def put_and_say_nothing(reply: Reply) -> None:
        (bucket.folder / "site" / "manifest.json").write_bytes(reply.content())
        reply.hang_up()

    bucket.fail("PUT", "site/manifest.json", put_and_say_nothing)
    shown = publish(world, {"alpha.py": "VALUE = 2\n"})
    assert "alpha" in shown.stdout
    assert versions(bucket) == 2


def test_an_upload_that_breaks_off_leaves_the_old_version(world: World, bucket: Bucket) -> None:
    publish(world, {"alpha.py": "VALUE = 1\n"})
    before = manifest(bucket)

    def full(reply: Reply) -> None:
        reply.content()
        refuse(reply, 403, "QuotaExceeded")

    bucket.fail("PUT", "site/files/*", full)
    failed = publish(world, {"alpha.py": "VALUE = 2\n"}, status=1)
    assert "cannot publish s3://models/site/files/" in failed.stderr
    assert "the store answered 403 Forbidden (QuotaExceeded)" in failed.stderr
    assert not any(canary in failed.stdout + failed.stderr for canary in (KEY, SECRET, TOKEN))
    assert manifest(bucket) == before
    assert world.run(USE).stdout == "1\n"
    publish(world, {"alpha.py": "VALUE = 2\n"})
    assert versions(bucket) == 2


def test_a_store_without_conditions_is_published_into(world: World, bucket: Bucket) -> None:
    def knows_none(reply: Reply) -> None:
        reply.content()
        refuse(reply, 501, "NotImplemented")

    bucket.fail("PUT", "site/manifest.json", knows_none)
    publish(world, {"alpha.py": "VALUE = 1\n"})
    assert world.run(USE).stdout == "1\n"


def test_a_signal_ends_it(world: World, bucket: Bucket) -> None:
    write_tree(world.path / "sources", {"alpha.py": "VALUE = 1\n"})
    stall = bucket.server.stall("manifest.json")
    (bucket.folder / "site").mkdir()
    (bucket.folder / "site" / "manifest.json").write_text("{}")
    line = f"import magic_module._native as n\nn._publish({str(world.path / 'sources')!r}, 's3://models/site', '')"
    started = world.start(line)
    assert stall.reached.wait(60)
    started.send_signal(signal.SIGINT)
    assert world.finish(started).stderr.rstrip().endswith("KeyboardInterrupt")
    stall.release.set()


def test_a_lock_is_published_into_a_bucket_and_served_from_it(world: World, bucket: Bucket, tmp_path: Path) -> None:
    with Origin(tmp_path / "index") as index:
        index.folder.mkdir(exist_ok=True)
        lock = Lock(index.folder, packages(), url=f"{index.url}/wheels")
        line = ["-m", "magic_module", "publish", "--lock", str(lock.path), "s3://models/env", "--compile"]
        world.run(None, args=line)
        assert any(name.startswith("env/wheels/") for name in bucket.names())
        bucket.server.take()
        # Whoever publishes has the wheels in the cache.
        shown = world.run(None, args=line)
        assert shown.stdout.endswith("env/manifest.json: nothing changed\n")
        again = bucket.server.take()
        assert [request.method for request in again] == ["GET"] * 2
    mount = "import magic_module as mm\nmm.mount('', 's3://models/env/manifest.json')\n"
    script = f"{mount}import alpha\nprint(alpha.__name__)"
    assert world.run(script, env={"MAGIC_MODULE_CACHE_DIR": str(tmp_path / "other")}).stdout == "alpha\n"


@pytest.mark.parametrize("bucket", [GoogleBucket], indirect=True)
def test_google_has_generations(world: World, bucket: Bucket) -> None:
    publish(world, {"alpha.py": "VALUE = 1\n"}, to="gs://models/site")
    older = (bucket.folder / "site" / "manifest.json").read_bytes()
    assert world.run(USE).stdout == "1\n"
    publish(world, {"alpha.py": "VALUE = 2\n"}, to="gs://models/site")
    bucket.fail("GET", "site/manifest.json", lambda reply: reply.whole(200, older, {"x-goog-generation": "7"}))
    bucket.server.take()
    publish(world, {"alpha.py": "VALUE = 3\n"}, to="gs://models/site")
    tried = [request.status for request in bucket.server.take() if request.method == "PUT"]
    assert sorted(tried) == [200, 200, 412]
    assert versions(bucket) == 3
    stranger = GoogleBucket(world.path / "stranger")
    stranger.close()
    env = {**bucket.environment, "GOOGLE_SERVICE_ACCOUNT_KEY": stranger.environment["GOOGLE_SERVICE_ACCOUNT_KEY"]}
    failed = world.run(USE, env={**env, "MAGIC_MODULE_CACHE_DIR": str(world.path / "other")}, status=1)
    said = (
        "the store answered 401 Unauthorized (AuthenticationRequired); check the file that "
        "GOOGLE_APPLICATION_CREDENTIALS names, or run `gcloud auth application-default login`"
    )
    assert failed.stderr.rstrip().endswith(said)
    assert "canary" not in failed.stderr
