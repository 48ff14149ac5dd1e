"""What every request must pass before a route sees it: host, origin, token, type and size.

A server on 127.0.0.1 is reached by every page that the user's browser has open. The host is compared, because another
site's name may lead to this address; the origin and a token, because another site's page may post a form.
"""

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

#: The most that a request may bring, in bytes: a script, and no film.
LARGEST = 256 * 1024

CONTENT = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS = [
    (b"content-security-policy", CONTENT),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """An ASGI application around another one."""

    def __init__(self, application: Application, hosts: frozenset[str], token: str) -> None:
        self.application = application
        self.hosts = hosts
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.application(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # nothing here speaks WebSocket: the server closes what is not accepted

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS]
            await send(message)

        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refusal(scope, headers)
        body: bytes | None = None
        if refused is None and scope["method"] not in ("GET", "HEAD"):
            body = await _read(receive)
            if body is None:
                refused = (413, f"a request may bring {LARGEST} bytes at most; send a smaller script")
        if refused is not None:
            await _answer(with_headers, *refused)
            return
        await self.application(scope, receive if body is None else _given(body, receive), with_headers)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        if headers.get("host") not in self.hosts:
            return 421, "this server does not answer to that host; open the address that it printed when it started"
        if not scope["path"].startswith("/api/"):
            return None
        origin = headers.get("origin")
        if origin is not None and origin.removeprefix("http://") not in self.hosts:
            return 403, "another site may not call this server; use its own page"
        if not hmac.compare_digest(headers.get("x-platform-token", "").encode(), self.token.encode()):
            return 403, "the token is missing or wrong; load the page again"
        if scope["method"] not in ("GET", "HEAD"):
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                return 415, "a request must be application/json"
            if int(headers.get("content-length") or 0) > LARGEST:
                return 413, f"a request may bring {LARGEST} bytes at most; send a smaller script"
        return None


async def _read(receive: Receive) -> bytes | None:
    """All that the client sends; `None` if it is too much, of which no more than the limit was kept."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return body  # the client went away: the route's answer goes nowhere
        body += message.get("body", b"")
        if len(body) > LARGEST:
            return None
        if not message.get("more_body", False):
            return body


def _given(body: bytes, receive: Receive) -> Receive:
    """What was read, as if it came now; afterwards only that the client went away."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _answer(send: Send, status: int, message: str) -> None:
    body = json.dumps({"error": {"message": message}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
