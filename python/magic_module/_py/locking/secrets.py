"""`${TOKEN}` of the environment: looked up when a server is asked, and told to nobody else.

It may stand where a URL has its login: before the `@`, or as a value of the query. A lock would keep it anywhere else.
"""

import os
import re
from urllib.parse import quote, urlsplit

from magic_module._py.locking.reading import wrong
from magic_module._py.locking.urls import cut

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s<>]+")
_LET_IN = re.compile(r"(?<=://)[^/@\s]*@")


class Secrets:
    """What was looked up, so that it can be taken out of what others say."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def expand(self, text: str, place: str, of: str) -> str:
        """The text with its variables replaced, each as a URL has it.

        Raises:
            ConfigurationError: a variable is not set, or stands where it would be kept.
        """
        refuse_kept(text, place, of)
        return VARIABLE.sub(lambda found: self._look_up(found.group(1), place, of), text)

    def _look_up(self, name: str, place: str, of: str) -> str:
        value = os.environ.get(name)
        if not value:
            raise wrong(of, place, f"needs {name}, which is not set", f"set {name} in the environment")
        for form in (value, safe := quote(value, safe="%")):
            self._known[form] = "${" + name + "}"
        return safe

    def hide(self, text: str) -> str:
        """The text with whatever was looked up replaced by its name."""
        for value in sorted(self._known, key=len, reverse=True):
            text = text.replace(value, self._known[value])
        return text


def refuse_kept(text: str, place: str, of: str) -> None:
    """Refuses a variable that stands where it would be kept."""
    rest = _URL.sub(lambda found: _without_login(found.group()), text)
    if found := VARIABLE.search(rest):
        where = "before the @ of a URL, or as a value of its query"
        raise wrong(of, place, f"has {found.group()} where a lock would store it", f"write it {where}")


def shown(text: str) -> str:
    """A text of the file as it may be shown: variables by their names, and no credentials that were written out."""

    def safe(found: re.Match[str]) -> str:
        url = found.group()
        login = _LET_IN.search(url)
        if login is None or not VARIABLE.search(login.group()):
            return cut(url)
        user, colon, password = login.group()[:-1].partition(":")
        secret = password if colon else user
        kept = login.group() if VARIABLE.fullmatch(secret) else ""
        return cut(url.replace(login.group(), "", 1)).replace("://", f"://{kept}", 1)

    return _URL.sub(safe, text)


def without_login(text: str) -> str:
    """A text whose URLs have nothing before an @; of `ssh:` the user stays, who says where to knock."""
    return _URL.sub(lambda found: cut(VARIABLE.sub("x", found.group())), text)


def _without_login(url: str) -> str:
    bare = _LET_IN.sub("", url)
    query = urlsplit(bare).query
    values = "&".join(field.partition("=")[0] for field in query.split("&"))
    return bare.replace(query, values) if query else bare
