"""What the platform answers, and whom."""

from __future__ import annotations

import http.client
import json
import socket

import pytest

from example_platform.conftest import Platform
from kit.process import PATIENCE

USES = "import fruit\nprint(fruit.VERSION)\n"


def test_two_tenants_have_two_versions(platform: Platform) -> None:
    assert platform.do("check", USES)["ok"]
    assert platform.do("install", USES)["names"] == ["fruit"]
    assert platform.do("install", USES)["bytes"] == 0
    assert platform.do("run", USES)["output"] == "1.0\n"
    assert platform.do("run", USES, tenant="two")["output"] == "2.0\n"


def test_what_is_missing_and_what_is_refused_say_so(platform: Platform) -> None:
    assert platform.do("check", "import nothing_here")["missing"] == ["nothing_here"]
    error = platform.do("install", "import secret")["error"]
    assert error["type"] == "PolicyError"
    assert "policy.allow" in error["message"] and "modules.toml" in error["message"]
    assert "policy.allow" in platform.do("run", "import secret")["output"]
    decisions = json.loads(platform.ask("GET", "/api/audit?tenant=one")[2])["decisions"]
    assert ("secret", "refused") in {(line["distribution"], line["decision"]) for line in decisions}


def test_a_script_ends_within_its_limits(platform: Platform) -> None:
    assert platform.do("run", "import sys; sys.exit(3)")["status"] == 3
    assert (
        platform.do("run", "x = bytearray(1 << 30)\nfor i in range(0, 1 << 30, 4096): x[i] = 1\n")["limit"] == "memory"
    )


def test_the_self_test_answers_with_its_steps(platform: Platform) -> None:
    asked = {"package": "fruit", "test_import": True, "test_usage": "assert fruit.VERSION == '2.0'", "tenant": "two"}
    path = "/api/workflows/test_package/execute"
    answers = [json.loads(platform.ask("POST", path, asked)[2]) for _ in range(2)]
    assert [step["status"] for step in answers[1]["steps"] if step["step"] == "install"] == ["already_installed"]
    assert answers[1]["summary"] == {
        "already_installed": True,
        "import_successful": True,
        "usage_successful": True,
        "all_successful": True,
    }
    assert platform.ask("POST", "/api/workflows/other/execute", asked)[0] == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "platform.example"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"x_platform_token": "guessed"}, 403),
        ({"x_platform_token": ""}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_another_site_is_refused(platform: Platform, headers: dict[str, str], status: int) -> None:
    body = {"tenant": "one", "script": "print('ran')"}
    answer = platform.ask("POST", "/api/run", body, **headers)
    assert answer[0] == status and "ran" not in answer[2]
    assert json.loads(answer[2])["error"]["message"]


def test_every_answer_forbids_foreign_code(platform: Platform) -> None:
    for path in ("/", "/page/page.js", "/api/tenants", "/nothing"):
        policy = platform.ask("GET", path)[1]["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy


def test_what_is_no_request_is_refused(platform: Platform) -> None:
    assert platform.ask("POST", "/api/run", b"{")[0] == 422
    assert platform.ask("POST", "/api/run", {"tenant": "three", "script": ""})[0] == 404
    markup = "<img src=x onerror=alert(1)>"
    status, headers, text = platform.ask("POST", "/api/workflows/test_package/execute", {"package": markup})
    assert headers["content-type"] == "application/json"
    assert status == 409 or not json.loads(text)["summary"]["all_successful"]


def test_fifty_megabytes_are_refused_before_they_are_read(platform: Platform) -> None:
    """Both when the length is told, and when it is not."""
    head = f"POST /api/run HTTP/1.1\r\nHost: {platform.host}\r\nX-Platform-Token: {platform.token}\r\n"
    head += "Content-Type: application/json\r\n"
    host, _, port = platform.host.partition(":")
    chunk = b"%x\r\n%s\r\n" % (100_000, b" " * 100_000)
    for rest in (b"Content-Length: 52428800\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n" + 3 * chunk):
        with socket.create_connection((host, int(port)), PATIENCE) as sent:
            sent.sendall(head.encode() + rest)
            assert b" 413 " in sent.recv(64)
    assert platform.do("run", "print('still here')")["output"] == "still here\n"


def test_twenty_streams_and_one_that_goes_away(platform: Platform) -> None:
    path, headers = "/api/events?tenant=two", {"x-platform-token": platform.token}
    opened = []
    for _ in range(20):
        connection = http.client.HTTPConnection(platform.host, timeout=PATIENCE)
        connection.request("GET", path, headers=headers)
        opened.append((connection, connection.getresponse()))
    statuses = [answer.status for _, answer in opened]
    assert statuses == [200] * 16 + [429] * 4
    assert "close one of them" in opened[-1][1].read().decode()
    for connection, _ in opened[:-6]:
        connection.close()
    # Somebody who still listens hears of the next run; the server noticed that the others are gone when it told them.
    answer = opened[15][1]
    assert platform.do("run", "print('heard')", tenant="two")["output"] == "heard\n"
    told = b""
    while b"script-output" not in told:
        told += answer.readline()
    for connection, _ in opened:
        connection.close()
