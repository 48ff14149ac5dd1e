"""The example platform on a free port, with two tenants whose packages come from an index of the test's own.

`platform` is one server for all tests of a file: they only look, or work in one tenant at a time.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit import process
from kit.package_index import PackageIndex
from kit.resolvers import settings
from kit.wheels import wheel

APP = Path(__file__).resolve().parents[2] / "examples" / "platform" / "app.py"

POLICY = '[policy]\ndefault = "deny"\nallow = ["fruit"]\n'


class Platform:
    """The server, as somebody who has the page's token."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.host = address.removeprefix("http://").rstrip("/")
        status, _, page = self.ask("GET", "/", token=False)
        assert status == 200
        found = re.search('name="token" content="([^"]+)"', page)
        assert found is not None
        self.token = found[1]

    def ask(
        self, method: str, path: str, body: Any = None, *, token: bool = True, **headers: str
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers and text of one answer; `headers` have `_` for `-`, an empty one is left out."""
        sent = {"content-type": "application/json"} if body is not None else {}
        sent |= {"x-platform-token": self.token} if token else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection(self.host, timeout=process.PATIENCE)
        try:
            data = json.dumps(body).encode() if isinstance(body, dict) else body
            connection.request(method, path, data, {name: value for name, value in sent.items() if value})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()

    def do(self, action: str, script: str, tenant: str = "one") -> dict[str, Any]:
        """What *check*, *install* or *run* answers."""
        done: dict[str, Any] = json.loads(self.ask("POST", f"/api/{action}", {"tenant": tenant, "script": script})[2])
        return done


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("platform")
    index = PackageIndex(folder / "index")
    for version in ("1.0", "2.0"):
        index.add(
            wheel("fruit", version, {"fruit/__init__.py": f"VERSION = '{version}'\n", "fruit/data.bin": b"x" * 99999})
        )
    index.add(wheel("secret", "1.0", {"secret.py": "VALUE = 1\n"}))
    for tenant, requirement in (("one", "fruit==1.0"), ("two", "fruit==2.0")):
        own = folder / "tenants" / tenant
        own.mkdir(parents=True)
        (own / "requirements.txt").write_text(f"{requirement}\nsecret\n")
        (own / "modules.toml").write_text(POLICY)
    extra = {**settings(folder, index.url), "MAGIC_MODULE_SPACES_DIR": str(folder / "spaces")}
    environment = process.environment(folder / "home", folder / "cache", extra)
    (folder / "home").mkdir()
    line = [sys.executable, str(APP), "--tenants", str(folder / "tenants")]
    server = process.start(line, environment, folder)
    try:
        yield Platform(process.read_line(server))
    finally:
        server.terminate()
        server.communicate()
        index.close()
