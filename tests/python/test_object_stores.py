"""A manifest and its artifacts in a bucket: who may read it does, and everybody else is told why not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from kit.bucket import KEY, SECRET, TOKEN, Bucket
from kit.world import World
from origins import Reply

pytestmark = pytest.mark.once

SOURCES = {"alpha/__init__.py": "VALUE = 1\n", "alpha/more.py": "VALUE = 2\n", "beta.py": "VALUE = 3\n"}
USE = "import magic_module.alpha.more as more; print(more.VALUE)"


@pytest.fixture
def bucket(world: World) -> Iterator[Bucket]:
    bucket = Bucket(world.path / "store")
    world.extra |= bucket.environment
    world.extra["MAGIC_MODULE_MANIFEST_URL"] = f"{bucket.url}/site/manifest.json"
    yield bucket
    bucket.close()


def publish(world: World) -> None:
    world.publish(SOURCES, site="store/models/site")


def shows_nothing(text: str) -> str:
    for canary in (KEY, SECRET, TOKEN, "Signature=", "AWS4", "canary"):
        assert canary not in text, text
    return text


def broken_off(reply: Reply) -> None:
    body = reply.body or b""
    tag = f'"{hashlib.sha256(body).hexdigest()}"'
    reply.head(200, {"Content-Length": str(len(body)), "ETag": tag})
    reply.send(body[: len(body) // 2])
    reply.hang_up()


def test_a_bucket_is_asked_as_any_server_is(world: World, bucket: Bucket) -> None:
    publish(world)
    bucket.fail("GET", "site/packs/*", broken_off)
    assert world.run(USE).stdout == "2\n"
    pack = [request for request in bucket.server.take() if "/packs/" in request.path]
    assert [request.status for request in pack] == [200, 206], "what has come is not fetched once more"
    assert "if-range" in pack[1].headers
    script = "import magic_module.alpha as alpha; print(alpha._upgrade().changed)"
    show = "lambda event: print([getattr(event, name) for name in dir(event)])"
    events = f"import magic_module; magic_module.on_event({show})\n"
    told = world.run(events + script)
    assert told.stdout.endswith("False\n")
    assert [request.status for request in bucket.server.take()] == [304]
    shows_nothing(told.stdout + told.stderr)


def test_everybody_may_read_an_open_bucket(world: World, bucket: Bucket) -> None:
    publish(world)
    bucket.is_open = True
    nobody = dict.fromkeys(bucket.environment) | {"AWS_ENDPOINT_URL": bucket.server.url}
    assert world.run(USE, env=nobody | {"AWS_SKIP_SIGNATURE": "true"}).stdout == "2\n"
    assert not any("authorization" in request.headers for request in bucket.server.take())


def test_a_profile_has_what_the_environment_has_not(world: World, bucket: Bucket) -> None:
    publish(world)
    nobody = dict.fromkeys(bucket.environment)
    (world.home / ".aws").mkdir()
    (world.home / ".aws" / "config").write_text(
        f"[default]\nregion = us-west-2\n[profile team]\nregion = eu-west-1\nendpoint_url = {bucket.server.url}\n"
        "[profile tool]\nregion = eu-west-1\n"
        f"endpoint_url = {bucket.server.url}\ncredential_process = cat {world.home}/printed\n"
    )
    keys = f"aws_access_key_id={KEY}\naws_secret_access_key={SECRET}\naws_session_token={TOKEN}\n"
    (world.home / ".aws" / "credentials").write_text(f"[team]\n{keys}")
    (world.home / "printed").write_text(
        f'{{"Version": 1, "AccessKeyId": "{KEY}", "SecretAccessKey": "{SECRET}", "SessionToken": "{TOKEN}"}}'
    )
    pays: dict[str, str | None] = {"AWS_REQUEST_PAYER": "requester"}
    for number, profile in enumerate(["team", "tool"]):
        env = {**nobody, **pays, "AWS_PROFILE": profile, "MAGIC_MODULE_CACHE_DIR": str(world.path / str(number))}
        assert world.run(USE, env=env).stdout == "2\n"
    asked = bucket.server.take()
    assert asked
    assert {request.headers.get("x-amz-request-payer") for request in asked} == {"requester"}


def absent(reply: Reply) -> None:
    reply.whole(403, b"<Error><Code>AccessDenied</Code></Error>")


#: What is changed, and what is said then.
REFUSALS: list[tuple[str, Mapping[str, str | None], str]] = [
    (
        "no credentials",
        {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
        (
            "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; "
            "for a bucket that everybody may read, AWS_SKIP_SIGNATURE=true"
        ),
    ),
    (
        "half of them",
        {"AWS_SECRET_ACCESS_KEY": None},
        (
            "AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not; "
            "set AWS_SECRET_ACCESS_KEY, too, or unset AWS_ACCESS_KEY_ID"
        ),
    ),
    (
        "an unknown key",
        {"AWS_ACCESS_KEY_ID": "OTHER"},
        (
            "the store answered 403 Forbidden (InvalidAccessKeyId); check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY "
            "and AWS_SESSION_TOKEN, or the profile that AWS_PROFILE names"
        ),
    ),
    (
        "a wrong secret",
        {"AWS_SECRET_ACCESS_KEY": "other"},
        (
            "the store answered 403 Forbidden (SignatureDoesNotMatch); check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY "
            "and AWS_SESSION_TOKEN, or the profile that AWS_PROFILE names"
        ),
    ),
    (
        "a secret of two lines",
        {"AWS_SESSION_TOKEN": "one\ntwo"},
        (
            "AWS_SESSION_TOKEN holds what no request can carry; "
            "set it again, without line ends and other special characters"
        ),
    ),
    (
        "expired",
        {"AWS_SESSION_TOKEN": "older"},
        (
            "the store answered 400 Bad Request (ExpiredToken): the credentials have expired; "
            "get new credentials: log in again, or set new values for AWS_SESSION_TOKEN and its keys"
        ),
    ),
    (
        "another region",
        {"AWS_REGION": "us-east-2"},
        "the bucket lies in eu-west-1, and was looked for in us-east-2; set AWS_REGION=eu-west-1",
    ),
    (
        "no such profile",
        {"AWS_PROFILE": "nobody"},
        (
            "there is no profile nobody that AWS_PROFILE names; "
            "let AWS_PROFILE name a profile of ~/.aws/config, or unset it"
        ),
    ),
    (
        "no such bucket",
        {"MAGIC_MODULE_MANIFEST_URL": "s3://other/site/manifest.json"},
        "the store answered 404 Not Found (NoSuchBucket); check the name of the bucket",
    ),
    (
        "no service",
        {"AWS_ENDPOINT_URL": "localhost"},
        (
            "AWS_ENDPOINT_URL is not the URL of a service; "
            "let AWS_ENDPOINT_URL be a URL such as https://storage.example.org"
        ),
    ),
    (
        "plain HTTP",
        {"AWS_ENDPOINT_URL": "http://store.example"},
        (
            "plain HTTP is allowed on this machine only; "
            "use https, or allow plain HTTP with allow_http=True or MAGIC_MODULE_ALLOW_HTTP=1"
        ),
    ),
]


@pytest.mark.parametrize(("env", "said"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_who_may_not_read_is_told_why(world: World, bucket: Bucket, env: Mapping[str, str | None], said: str) -> None:
    url = env.get("MAGIC_MODULE_MANIFEST_URL") or world.extra["MAGIC_MODULE_MANIFEST_URL"]
    failed = world.run(USE, env=env, status=1)
    assert shows_nothing(failed.stderr).rstrip().endswith(f"Error: cannot fetch {url}: {said}")


def test_the_other_clock_is_named(world: World, bucket: Bucket) -> None:
    bucket.ahead = 3605
    failed = world.run(USE, status=1)
    said = "(RequestTimeTooSkewed): this machine's clock is 60 minutes behind the store's; set this machine's clock"
    assert failed.stderr.rstrip().endswith(said)


def test_what_is_hidden_may_be_absent(world: World, bucket: Bucket) -> None:
    bucket.fail("GET", "*", absent)
    failed = world.run(USE, status=1)
    said = (
        "the store answered 403 Forbidden (AccessDenied); check the address, and that these credentials may read it: "
        "a store says the same of what is not there to whoever may not list the bucket"
    )
    assert failed.stderr.rstrip().endswith(said)


def test_credentials_that_expire_meanwhile_are_read_again(world: World, bucket: Bucket) -> None:
    publish(world)
    printed = world.home / "printed"
    (world.home / ".aws").mkdir()
    (world.home / ".aws" / "config").write_text(f"[default]\ncredential_process = cat {printed}\n")
    text = f'{{"AccessKeyId": "{KEY}", "SecretAccessKey": "{SECRET}", "SessionToken": "%s"}}'
    printed.write_text(text % TOKEN)

    def expire(reply: Reply) -> None:
        # The old one counts no more, and there is a new one.
        printed.write_text(text % TOKEN)
        reply.whole(400, b"<Error><Code>ExpiredToken</Code></Error>")

    bucket.fail("GET", "site/packs/*", expire)
    env = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_SESSION_TOKEN": None}
    assert world.run(USE, env=env).stdout == "2\n"


def test_a_manifest_of_the_web_sends_nobody_to_a_bucket(world: World, bucket: Bucket, tmp_path: Path) -> None:
    publish(world)
    manifest = bucket.folder / "site" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"packs/', '"s3://models/site/packs/'))
    assert world.run(USE).stdout == "2\n"
    web = {"MAGIC_MODULE_MANIFEST_URL": manifest.as_uri(), "MAGIC_MODULE_CACHE_DIR": str(tmp_path / "other")}
    failed = world.run(USE, env=web, status=1)
    assert "whose scheme it may not use" in failed.stderr
