"""The faulty servers fail as their names say: else the tests that use them prove nothing."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.process import PATIENCE
from origins import Fault, Origin, Silence, faults

pytestmark = pytest.mark.once

BODY = bytes(range(256)) * 16


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Origin]:
    """An origin with one file."""
    (tmp_path / "data.bin").write_bytes(BODY)
    with Origin(tmp_path) as origin:
        yield origin


def get(origin: Origin, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one request; whatever fails is an exception."""
    connection = http.client.HTTPConnection("127.0.0.1", origin.port, timeout=PATIENCE)
    try:
        connection.request("GET", "/data.bin", headers={name.replace("_", "-"): text for name, text in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_a_good_origin_validates_and_resumes(origin: Origin) -> None:
    status, headers, body = get(origin)
    assert (status, body) == (200, BODY)
    assert get(origin, If_None_Match=headers["etag"])[0] == 304
    status, part, rest = get(origin, Range="bytes=4000-", If_Range=headers["etag"])
    assert (status, part["content-range"], rest) == (206, "bytes 4000-4095/4096", BODY[4000:])
    assert get(origin, Range="bytes=4000-", If_Range='"other"')[0] == 200
    assert get(origin, Range="bytes=9999-")[0] == 416
    assert origin.paths() == ["/data.bin"] * 5


def test_nothing_outside_the_folder_is_served(origin: Origin, tmp_path: Path) -> None:
    (tmp_path.parent / "secret").write_text("secret")
    connection = http.client.HTTPConnection("127.0.0.1", origin.port, timeout=PATIENCE)
    connection.request("GET", "/../secret")
    assert connection.getresponse().status == 404
    connection.close()


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (faults.not_found, 404),
        (faults.gone, 410),
        (faults.forbidden, 403),
        (faults.bad_request, 400),
        (faults.unauthorized, 401),
        (faults.method_not_allowed, 405),
        (faults.unavailable_for_legal_reasons, 451),
        (faults.redirect_to_login, 302),
        (faults.server_error, 500),
        (faults.unavailable, 503),
        (faults.too_many_requests, 429),
        (faults.redirect_loop, 302),
        (faults.redirect_chain, 302),
        (faults.redirect_to_file, 302),
        (faults.redirect_to_nowhere, 302),
        (faults.redirect_to_plain_http, 302),
    ],
)
def test_statuses(origin: Origin, fault: Fault, status: int) -> None:
    origin.fail("*", fault)
    assert get(origin)[0] == status


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (faults.truncated, http.client.IncompleteRead),
        (faults.reset_in_the_middle, ConnectionResetError),
        (faults.reset_at_once, ConnectionResetError),
    ],
)
def test_broken_connections(origin: Origin, fault: Fault, error: type[Exception]) -> None:
    origin.fail("/data.bin", fault, times=1)
    with pytest.raises(error):
        get(origin)
    assert get(origin)[2] == BODY, "one failure was asked for"


@pytest.mark.parametrize(
    "fault",
    [
        faults.one_byte_a_second,
        faults.stalled_body,
        faults.stalled_headers,
        faults.endless_body,
        faults.gigantic_manifest,
        faults.gigantic_manifest_unannounced,
    ],
)
def test_an_origin_can_be_stopped_while_it_is_not_done(origin: Origin, fault: Fault) -> None:
    origin.fail("*", fault)
    connection = http.client.HTTPConnection("127.0.0.1", origin.port, timeout=PATIENCE)
    connection.request("GET", "/data.bin")
    before = threading.active_count()
    if fault is not faults.stalled_headers:
        answer = connection.getresponse()
        assert answer.read(1)
    origin.stop()
    connection.close()
    assert threading.active_count() < before


def test_bodies_that_are_complete_and_wrong(origin: Origin) -> None:
    bodies = {}
    for fault in (faults.wrong_bytes, faults.wrong_length, faults.one_byte_more, faults.truncated_in_silence):
        origin.fail("*", fault)
        bodies[fault] = get(origin)[2]
    assert len(bodies[faults.wrong_bytes]) == len(BODY)
    assert bodies[faults.wrong_bytes] != BODY
    assert bodies[faults.wrong_length] == BODY[:-1]
    assert bodies[faults.one_byte_more] == BODY + b"\n"
    assert bodies[faults.truncated_in_silence] == BODY[: len(BODY) // 2]


def test_silence_is_no_http() -> None:
    with Silence() as silence:
        connection = http.client.HTTPConnection("127.0.0.1", silence.port, timeout=PATIENCE)
        connection.request("GET", "/")
        with pytest.raises(http.client.BadStatusLine):
            connection.getresponse()
        connection.close()


def test_all_knows_every_fault_by_its_name() -> None:
    assert len(faults.ALL) > 30
    assert all(fault.__name__ == name and fault.__doc__ for name, fault in faults.ALL.items())
