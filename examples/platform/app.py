"""A platform for scripts, in a browser: `python examples/platform/app.py`.

Two tenants, an editor, and three buttons: *check* says what a script needs, *install* downloads it, and *run* runs it
within limits. Each tenant has packages, a policy and an audit log of its own. `tenants/NAME/` has a `requirements.txt`,
and a `modules.toml` with the policy.

    pip install magic_module -r examples/platform/requirements.txt
    python examples/platform/app.py            # prints the address to open
"""

import argparse
import contextlib
import secrets
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from guard import Application, Guard
from pydantic import BaseModel
from streams import MOST, TooManyStreams
from tenants import Refused, Tenant

import magic_module as mm

HERE = Path(__file__).parent
EXAMPLE = (HERE / "example.py").read_text(encoding="utf-8")


class Script(BaseModel):
    """What *check*, *install* and *run* are asked."""

    tenant: str
    script: str


class Package(BaseModel):
    """What the workflow is asked: a package, whether it is imported, and code that uses it."""

    package: str
    test_import: bool = True
    test_usage: str | None = None
    tenant: str | None = None


def application(tenants: dict[str, Tenant], hosts: frozenset[str], token: str) -> Application:
    """The server: routes over `tenants`, behind the guard."""
    app = FastAPI(title="Scripts", openapi_url=None)
    page = (HERE / "page" / "index.html").read_text(encoding="utf-8").replace("{{token}}", token)

    def named(name: str) -> Tenant:
        if name not in tenants:
            raise HTTPException(404, f"there is no tenant of that name; there are {', '.join(tenants)}")
        return tenants[name]

    @app.exception_handler(HTTPException)
    async def said(_: object, error: HTTPException) -> Response:
        return JSONResponse({"error": {"message": error.detail}}, error.status_code)

    @app.exception_handler(Refused)
    async def refused(_: object, error: Refused) -> Response:
        return JSONResponse({"error": error.error}, 409)

    @app.exception_handler(mm.errors.MagicModuleError)
    async def failed(_: object, error: mm.errors.MagicModuleError) -> Response:
        return JSONResponse({"error": error.to_dict()}, 409)

    @app.get("/")
    async def index() -> Response:
        return HTMLResponse(page)

    @app.get("/api/tenants")
    async def list_tenants() -> dict[str, Any]:
        return {"tenants": list(tenants), "example": EXAMPLE}

    @app.post("/api/check")
    async def check(asked: Script) -> dict[str, Any]:
        return await named(asked.tenant).check(asked.script)

    @app.post("/api/install")
    async def install(asked: Script) -> dict[str, Any]:
        return await named(asked.tenant).install(asked.script)

    @app.post("/api/run")
    async def run(asked: Script) -> dict[str, Any]:
        return await named(asked.tenant).run(asked.script)

    @app.get("/api/audit")
    async def audit(tenant: str) -> dict[str, Any]:
        return {"decisions": named(tenant).decisions()}

    @app.get("/api/events")
    async def events(tenant: str) -> Response:
        try:
            stream: AsyncIterator[bytes] = named(tenant).streams.open()
        except TooManyStreams:
            raise HTTPException(429, f"{MOST} pages watch this tenant already; close one of them") from None
        return StreamingResponse(stream, media_type="text/event-stream")

    @app.post("/api/workflows/{name}/execute")
    async def execute(name: str, asked: Package) -> dict[str, Any]:
        if name != "test_package":
            raise HTTPException(404, "there is no workflow of that name; there is test_package")
        tenant = named(asked.tenant or next(iter(tenants)))
        return await tenant.verify(asked.package, asked.test_usage)

    app.mount("/page", StaticFiles(directory=HERE / "page"))
    return Guard(app, hosts, token)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="a free one if it is not said")
    parser.add_argument("--tenants", type=Path, default=HERE / "tenants", help="a folder for each tenant")
    options = parser.parse_args()
    tenants = {}
    for folder in sorted(path for path in options.tenants.iterdir() if path.is_dir()):
        tenants[folder.name] = Tenant(folder.name)
        with contextlib.suppress(mm.errors.ConfigurationError):  # it is there since the server ran before
            own = {"requirements_file": folder / "requirements.txt", "registry": folder / "modules.toml"}
            mm.Space.create(folder.name, **{key: str(path) for key, path in own.items()})
    # Bound before it is told, so that whoever reads the address can connect.
    with socket.create_server(("127.0.0.1", options.port)) as listener:
        port = listener.getsockname()[1]
        hosts = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
        served = application(tenants, hosts, secrets.token_urlsafe())
        print(f"http://127.0.0.1:{port}/", flush=True)
        # A page that is open keeps its stream open, which would keep the server from ending.
        config = uvicorn.Config(served, log_level="warning", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
