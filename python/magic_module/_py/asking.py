"""Asking before something is fetched that a policy says to ask about: `Request`, and the question in a terminal."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

from magic_module import _native
from magic_module._py.progress import size as shown_size

ANSWERS = {"y": "once", "yes": "once", "once": "once", "a": "always", "always": "always"}


@dataclass(frozen=True)
class Request:
    """A question to somebody: may this be fetched? A rule of the policy says to ask.

    Attributes:
        import_name: what is imported, as it follows `import`; None if something is fetched by name.
        distribution: what would be fetched: a distribution, or a unit as it follows `import`.
        version: its version; None if it is not known yet.
        source: the URL of its first file, without credentials and query; None if it is not known yet.
        size: bytes to download, with everything that it requires; None if that is not known yet.
        requires: what is fetched with it.
        importer: the file that imports it; None if something is fetched by name.
        script: the program that runs.
        rule: the rule that says to ask, such as `policy.default`.
    """

    import_name: str | None
    distribution: str
    version: str | None
    source: str | None
    size: int | None
    requires: tuple[str, ...]
    importer: str | None
    script: str | None
    rule: str


def request(
    import_name: str | None,
    distribution: str,
    version: str,
    source: str,
    size: int,
    requires: list[str],
    importer: str | None,
    script: str | None,
    rule: str,
) -> Request:
    """As the engine knows it."""
    return Request(
        import_name,
        distribution,
        version or None,
        source or None,
        size or None,
        tuple(requires),
        importer,
        script,
        rule,
    )


def ask(callback: Callable[[Request], str] | None, request: Request) -> str | None:
    """The answer of the callback, or of whoever sits at the terminal; None if there is neither."""
    if callback is not None:
        answer = callback(request)
        # None would mean that nobody could be asked.
        return "" if answer is None else answer
    if not (_is_terminal(sys.stdin) and _is_terminal(sys.stderr)):
        return None
    print(question(request), end="", file=sys.stderr, flush=True)
    return ANSWERS.get(sys.stdin.readline().strip().lower(), "deny")


def question(request: Request) -> str:
    """One line for people."""
    what = f"{request.distribution} {request.version or ''}".strip()
    details = [
        "" if request.size is None else shown_size(request.size),
        "" if request.source is None else f"from {request.source}",
        f"with {', '.join(request.requires)}" if request.requires else "",
        "" if request.import_name is None else f"for `import {request.import_name}`",
        "" if request.importer is None else f"in {request.importer}",
    ]
    told = _native._shown(", ".join(part for part in details if part), 600)
    told = f" ({told})" if told else ""
    return f"magic-module: fetch {_native._shown(what, 200)}{told}? [y]es, [a]lways in this process, [N]o "


def _is_terminal(stream: object) -> bool:
    try:
        return bool(stream.isatty())  # type: ignore[attr-defined]
    except (AttributeError, ValueError):
        return False
