"""A package index on 127.0.0.1, as pip and uv ask it: PEP 503 in the form of PEP 691, with upload times (PEP 700).

    index = PackageIndex(tmp_path / "index")
    index.add(wheel("alpha", "1.0"), uploaded="2020-01-01T00:00:00Z")
    index.url                                    # http://127.0.0.1:PORT/simple
    index.close()

With `password` it answers 401 to whoever does not send `reader` and that password; with `token`, to whoever does
not send that in the place of a user's name.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from origins import Origin, Reply

from .wheels import Wheel

USER = "reader"


class PackageIndex:
    """Wheels below `files/`, and a page for each project below `simple/`."""

    def __init__(self, folder: Path, password: str | None = None, token: str | None = None) -> None:
        self.folder = folder
        self.password, self.token = password, token
        self._pages: dict[str, list[dict[str, Any]]] = {}
        folder.mkdir(parents=True)
        self.server = Origin(folder, {"*": self._answer})

    @property
    def url(self) -> str:
        """Without credentials."""
        return f"{self.server.url}/simple"

    @property
    def secret_url(self) -> str:
        """With credentials, for an index that has a password."""
        return self.url.replace("://", f"://{USER}:{self.password}@")

    def add(self, *wheels: Wheel, uploaded: str = "2020-01-01T00:00:00Z", yanked: str | None = None) -> PackageIndex:
        for each in wheels:
            each.write(self.folder / "files")
            found = re.search(rb"^Requires-Python: (.*)$", each.metadata, re.MULTILINE)
            self._pages.setdefault(each.name.lower(), []).append(
                {
                    **({"requires-python": found[1].decode()} if found else {}),
                    **({"yanked": yanked} if yanked is not None else {}),
                    "filename": each.filename,
                    "url": f"{self.server.url}/files/{each.filename}",
                    "hashes": {"sha256": each.sha256},
                    "size": len(each.data),
                    "upload-time": uploaded,
                }
            )
        return self

    def close(self) -> None:
        self.server.close()

    def _answer(self, reply: Reply) -> None:
        login = f"{USER}:{self.password}" if self.token is None else f"{self.token}:"
        wanted = base64.b64encode(login.encode()).decode()
        is_private = (self.password, self.token) != (None, None)
        if is_private and reply.request.headers.get("authorization") != f"Basic {wanted}":
            reply.whole(401, b"who are you?\n", {"WWW-Authenticate": 'Basic realm="index"'})
            return
        top, _, name = reply.request.path.strip("/").partition("/")
        if top != "simple" or name not in self._pages:
            reply.well()
            return
        files = self._pages[name]
        document = {"meta": {"api-version": "1.1"}, "name": name, "files": files}
        document["versions"] = sorted({file["filename"].split("-")[1] for file in files})
        headers = {"Content-Type": "application/vnd.pypi.simple.v1+json", "Cache-Control": "no-cache"}
        reply.whole(200, json.dumps(document).encode(), headers)
