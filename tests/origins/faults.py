"""One function for each way in which a server fails. ``ALL`` holds them by name."""

from __future__ import annotations

import gzip
import json

from origins.origin import Fault, Reply

CHUNKED = {"Transfer-Encoding": "chunked"}
HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Welcome to the hotel.</body></html>\n"


def not_found(reply: Reply) -> None:
    """404, whatever is there."""
    reply.whole(404, HTML, {"Content-Type": "text/html"})


def gone(reply: Reply) -> None:
    """410."""
    reply.whole(410)


def forbidden(reply: Reply) -> None:
    """403."""
    reply.whole(403, b"no\n")


def bad_request(reply: Reply) -> None:
    """400, whatever is asked."""
    reply.whole(400, b"no\n")


def unauthorized(reply: Reply) -> None:
    """401, for want of a login."""
    reply.whole(401, HTML, {"WWW-Authenticate": "Basic", "Content-Type": "text/html"})


def method_not_allowed(reply: Reply) -> None:
    """405, as some object stores answer for what they do not list."""
    reply.whole(405, b"no\n")


def unavailable_for_legal_reasons(reply: Reply) -> None:
    """451, as a filter on the way answers."""
    reply.whole(451, HTML, {"Content-Type": "text/html"})


def redirect_to_login(reply: Reply) -> None:
    """302 to a page on which people sign in."""
    if reply.request.path != "/login":
        reply.whole(302, headers={"Location": "/login"})
        return
    reply.whole(200, HTML, {"Content-Type": "text/html"})


def two_at_a_time(reply: Reply, status: int = 503, headers: dict[str, str] | None = None) -> None:
    """503 while two others are served."""
    with reply.origin.seat(2) as seated:
        if not seated:
            reply.whole(status, headers=headers)
            return
        reply.wait(0.02)
        reply.well()


def two_at_a_time_and_when(reply: Reply) -> None:
    """503 while two others are served, come back in a second."""
    two_at_a_time(reply, 503, {"Retry-After": "1"})


def two_at_a_time_and_much_later(reply: Reply) -> None:
    """429 while two others are served, come back in an hour."""
    two_at_a_time(reply, 429, {"Retry-After": "3600"})


def server_error(reply: Reply) -> None:
    """500, every time."""
    reply.whole(500, b"Traceback (most recent call last): ...\n")


def unavailable(reply: Reply) -> None:
    """503, come back at once."""
    reply.whole(503, headers={"Retry-After": "0"})


def too_many_requests(reply: Reply) -> None:
    """429, come back in an hour."""
    reply.whole(429, headers={"Retry-After": "3600"})


def html_instead_of_json(reply: Reply) -> None:
    """200 and a web page: a captive portal, or a single-page application's fallback."""
    reply.whole(200, HTML, {"Content-Type": "text/html; charset=utf-8"})


def empty_body(reply: Reply) -> None:
    """200 and nothing."""
    reply.whole(200)


def truncated(reply: Reply) -> None:
    """Half of the announced body, then an orderly end."""
    body = reply.body or b""
    reply.head(200, {"Content-Length": str(len(body))})
    reply.send(body[: len(body) // 2])
    reply.hang_up()


def truncated_in_silence(reply: Reply) -> None:
    """Half of the body with a matching length: HTTP is content, the document is not."""
    body = reply.body or b""
    reply.whole(200, body[: len(body) // 2])


def reset_in_the_middle(reply: Reply) -> None:
    """Half of the body, then a TCP reset."""
    body = reply.body or b""
    reply.head(200, {"Content-Length": str(len(body))})
    reply.send(body[: len(body) // 2])
    reply.reset()


def reset_at_once(reply: Reply) -> None:
    """A TCP reset instead of an answer."""
    reply.reset()


def endless_body(reply: Reply) -> None:
    """The right bytes, and then more of them for ever."""
    reply.head(200, CHUNKED)
    reply.chunk(reply.body or b" ")
    while reply.wait(0):
        reply.chunk(b" " * 65536)


def one_byte_more(reply: Reply) -> None:
    """The right bytes and one more, without a length."""
    reply.head(200, CHUNKED)
    reply.chunk((reply.body or b"") + b"\n")
    reply.send(b"0\r\n\r\n")


def one_byte_a_second(reply: Reply) -> None:
    """The right bytes, but nobody lives to see the last one."""
    body = reply.body or b""
    reply.head(200, {"Content-Length": str(len(body))})
    for at in range(len(body)):
        reply.send(body[at : at + 1])
        if not reply.wait(1):
            return


def stalled_body(reply: Reply) -> None:
    """Half of the body, then silence on an open connection."""
    body = reply.body or b""
    reply.head(200, {"Content-Length": str(len(body))})
    reply.send(body[: len(body) // 2])
    reply.wait(3600)


def stalled_headers(reply: Reply) -> None:
    """No answer on an open connection."""
    reply.wait(3600)


def wrong_bytes(reply: Reply) -> None:
    """The right length, one bit flipped."""
    body = bytearray(reply.body or b"\0")
    body[len(body) // 2] ^= 1
    reply.whole(200, bytes(body))


def wrong_length(reply: Reply) -> None:
    """One byte too few, with a matching Content-Length."""
    reply.whole(200, (reply.body or b"\0")[:-1])


def wrong_range(reply: Reply) -> None:
    """A range is answered with the file's start, as if that were the range."""
    body = reply.body or b""
    if "range" not in reply.request.headers:
        reply.head(200, {"Content-Length": str(len(body)), "ETag": '"a"', "Accept-Ranges": "bytes"})
        reply.send(body[: len(body) // 2])
        reply.hang_up()
        return
    half = len(body) - len(body) // 2
    reply.whole(206, body[:half], {"Content-Range": f"bytes 0-{half - 1}/{len(body)}", "ETag": '"a"'})


def redirect_loop(reply: Reply) -> None:
    """302 to itself."""
    reply.whole(302, headers={"Location": reply.request.path})


def redirect_chain(reply: Reply) -> None:
    """302 to an address that is longer each time."""
    reply.whole(302, headers={"Location": reply.request.path + "x"})


def redirect_to_file(reply: Reply) -> None:
    """302 to the reader's own disk."""
    reply.whole(302, headers={"Location": "file:///etc/passwd"})


def redirect_to_nowhere(reply: Reply) -> None:
    """302 without an address."""
    reply.whole(302)


def redirect_to_plain_http(reply: Reply) -> None:
    """302 to unencrypted HTTP on another machine (a name that never resolves)."""
    reply.whole(302, headers={"Location": "http://elsewhere.invalid/manifest.json"})


def gigantic_manifest(reply: Reply) -> None:
    """A document that is announced with 1 TiB and never ends."""
    reply.head(200, {"Content-Length": str(1 << 40)})
    while reply.wait(0):
        reply.send(b" " * 65536)


def gigantic_manifest_unannounced(reply: Reply) -> None:
    """The same without a length: a valid beginning, then white space for ever."""
    reply.head(200, CHUNKED)
    reply.chunk(b'{"manifest": 1,')
    while reply.wait(0):
        reply.chunk(b" " * (1 << 20))


def deeply_nested(reply: Reply) -> None:
    """A million brackets: whoever parses them recursively needs a deep stack."""
    reply.whole(200, b"[" * 1_000_000)


def deeply_nested_field(reply: Reply) -> None:
    """A good manifest with a million brackets in a field that nobody knows."""
    document = json.loads(reply.body or b"{}")
    head = json.dumps(document)[:-1].encode()
    reply.whole(200, head + b', "x": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}")


def compressed_bomb(reply: Reply) -> None:
    """64 MiB of white space in 64 KiB, as Content-Encoding: gzip, which nobody asked for."""
    reply.whole(200, gzip.compress(b" " * (64 << 20)), {"Content-Encoding": "gzip"})


def compressed(reply: Reply) -> None:
    """The right bytes, really compressed, which nobody asked for."""
    reply.whole(200, gzip.compress(reply.body or b""), {"Content-Encoding": "gzip"})


def called_compressed(reply: Reply) -> None:
    """The right bytes, which are called compressed and are not."""
    reply.whole(200, reply.body or b"", {"Content-Encoding": "gzip"})


def with_byte_order_mark(reply: Reply) -> None:
    """UTF-8 as some editors write it."""
    reply.whole(200, b"\xef\xbb\xbf" + (reply.body or b"{}"))


def not_utf_8(reply: Reply) -> None:
    """UTF-16 instead of UTF-8."""
    reply.whole(200, (reply.body or b"{}").decode().encode("utf-16"))


ALL: dict[str, Fault] = {
    name: fault
    for name, fault in list(globals().items())
    if callable(fault) and getattr(fault, "__module__", "") == __name__
}
