"""A lock of many wheels, published into a bucket once more when nothing is new, against the first time.

The wheels are served without delay, and so is the bucket, which looks at no signature. Both times have the same cache,
which is empty the first time. Requests and bytes that were put are those that the bucket counted. Once more with a key:
a note says what the signatures cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import measure
from jobs.locks import FEWER, NAMES
from measure import Row, megabytes, time_of
from origin import Origin
from stack import Stack
from workplace import Workplace

BUCKET = "models"
MOST = 3


@dataclass(frozen=True)
class Published:
    wall: float
    requests: int
    put: int
    """Bytes of what was uploaded."""

    def __str__(self) -> str:
        return f"{self.requests} requests, {megabytes(self.put) if self.put else '0 B'} put"


def row(count: int = 166) -> Row:
    return Row(
        f"a lock of {count} wheels into a bucket again, nothing new", "the first time", f"≤ {MOST} requests, 0 B"
    )


def run(workplace: Workplace) -> list[Row]:
    stack = Stack(workplace, FEWER if workplace.quick else NAMES)
    workplace.size("packages named in the lock that is published", len(NAMES), len(FEWER))
    key = stack.folder / "team.key"
    magic = [workplace.python("")[0], "-m", "magic_module"]
    measure.run([*magic, "keygen", str(key)], workplace.environment(workplace.folder("cache")))
    store = workplace.folder("store")
    store.mkdir()
    with stack.served(0.0, 0.0), Origin(store) as bucket:
        first, again = published(stack, bucket), published(stack, bucket)
        published(stack, bucket, "--sign", str(key))
        signed = published(stack, bucket, "--sign", str(key))
    return [judged(stack.count, first, again, signed)]


def judged(count: int, first: Published, again: Published, signed: Published) -> Row:
    notes = [f"the first time: {first}", f"signed, nothing new: {signed}"]
    reached = again.requests <= MOST and not again.put
    return row(count).judged(str(again), reached, notes, time_of(again.wall), time_of(first.wall))


def published(stack: Stack, bucket: Origin, *options: str) -> Published:
    credentials = {"AWS_ENDPOINT_URL": bucket.url, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    bucket.take()
    ended = stack.publish(f"s3://{BUCKET}/env", *options, **credentials)
    requests = bucket.take()
    put = sum(size for path, size in requests if path.startswith("PUT "))
    return Published(ended.wall, len(requests), put)
