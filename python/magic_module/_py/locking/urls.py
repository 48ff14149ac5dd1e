"""URLs without what is secret in them, also in the midst of a text.

A lock is committed and sent around, so the login of an index must not be in it. A user's name and password are cut (of
`ssh:` only the password, because the server needs the name), and parameters of a query that hold a login.
"""

import json
import re
from urllib.parse import urlsplit, urlunsplit

SECRET = re.compile(
    r"(?:.*[-_])?(?:token|secret|password|passwd|signature|sig|credential|credentials|auth|apikey|api[-_]key)",
    re.IGNORECASE,
)
"""Names of parameters; `X-Amz-Signature`, `access_token`, `sig` are some."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s<>]+")
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*',
    re.DOTALL,
)


def cut(text: str) -> str:
    """The text with every URL in it cut."""
    return _URL.sub(lambda found: _cut(found.group()), text)


def cut_document(text: str) -> str:
    """TOML with every URL of its strings and comments cut; whatever needs no cut stays as it is, to the byte."""
    return _TOKEN.sub(lambda found: _cut_token(found.group()), text)


def place(url: str) -> str:
    """What tells an index from another: scheme, host and path."""
    parts = urlsplit(_cut(url))
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path}".rstrip("/")


def _cut_token(token: str) -> str:
    if not token.startswith('"') or token.startswith('"""') or "\\" not in token:
        return cut(token)
    try:
        value = json.loads(token)
    except ValueError:
        return cut(token)
    safe = cut(value)
    return token if safe == value else json.dumps(safe, ensure_ascii=False)


def _cut(url: str) -> str:
    # A quotation mark at the end belongs to the text around; within, it may be part of a password.
    bare = url.rstrip("\"',;)]}")
    rest = url[len(bare) :]
    try:
        parts = urlsplit(bare)
    except ValueError:
        # Whatever it is, nobody can use it; what stands before the last @ may be a password.
        scheme, _, after = bare.partition("://")
        return f"{scheme}://{after.rpartition('@')[2]}{rest}"
    user, at, host = parts.netloc.rpartition("@")
    if at and parts.scheme.rpartition("+")[2] == "ssh":
        host = f"{user.partition(':')[0]}@{host}"
    fields = [each for each in parts.query.split("&") if not SECRET.fullmatch(each.partition("=")[0])]
    query = "&".join(fields)
    if host == parts.netloc and query == parts.query:
        return url
    return urlunsplit(parts._replace(netloc=host, query=query)) + rest
