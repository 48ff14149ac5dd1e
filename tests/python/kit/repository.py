"""A repository of git on 127.0.0.1, served over smart HTTP by git itself.

    repository = Repository(tmp_path, "tool", {"tool.py": "VALUE = 1"}, token="s3cret")
    repository.tag("v1.0")
    repository.url                       # http://127.0.0.1:PORT/tool.git
    repository.close()

What is in it builds by itself: its build backend is a file of its own, and no index is asked for one.
"""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from .sources import Sources, write_tree

_BACKEND = """
import pathlib, zipfile

NAME, VERSION = {name!r}, {version!r}

def build_wheel(folder, config_settings=None, metadata_directory=None):
    info = f"{{NAME}}-{{VERSION}}.dist-info"
    target = f"{{NAME}}-{{VERSION}}-py3-none-any.whl"
    texts = {{path.name: path.read_text() for path in pathlib.Path(".").glob("*.py") if path.name != "backend.py"}}
    texts[f"{{info}}/METADATA"] = f"Metadata-Version: 2.1\\nName: {{NAME}}\\nVersion: {{VERSION}}\\n"
    texts[f"{{info}}/WHEEL"] = "Wheel-Version: 1.0\\nGenerator: kit\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    texts[f"{{info}}/RECORD"] = "".join(f"{{name}},,\\n" for name in texts) + f"{{info}}/RECORD,,\\n"
    with zipfile.ZipFile(pathlib.Path(folder, target), "w") as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
    return target
"""


class Repository:
    """One repository, and the server that has it; with `token`, only for who sends that as a user's name."""

    def __init__(
        self, folder: Path, name: str, files: Sources, *, version: str = "1.0", token: str | None = None
    ) -> None:
        self.work, self.root = folder / f"{name}-work", folder / "repositories"
        self.name = name
        project = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        project += f'[project]\nname = "{name}"\nversion = "{version}"\n'
        write_tree(self.work, {"pyproject.toml": project, "backend.py": _BACKEND.format(name=name, version=version)})
        write_tree(self.work, files)
        self._git("init", "--quiet", "--initial-branch", "main")
        self.commit()
        handler = _handler(self.root, token)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Without credentials."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{self.name}.git"

    def commit(self, tag: str | None = None) -> None:
        """Publishes what lies in the folder."""
        self._git("add", "--all")
        self._git("-c", "user.name=kit", "-c", "user.email=kit@example.com", "commit", "--quiet", "--message", "more")
        if tag is not None:
            self._git("tag", tag)
        bare = self.root / f"{self.name}.git"
        if not bare.exists():
            self._git("clone", "--quiet", "--bare", str(self.work), str(bare))
        self._git("push", "--quiet", "--tags", str(bare), "main")

    def tag(self, name: str) -> None:
        """Names the newest commit."""
        self._git("tag", name)
        self._git("push", "--quiet", "--tags", str(self.root / f"{self.name}.git"), "main")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _git(self, *words: str) -> None:
        environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        subprocess.run(["git", "-C", str(self.work), *words], check=True, env=environment, stdin=subprocess.DEVNULL)


def _handler(root: Path, token: str | None) -> type[BaseHTTPRequestHandler]:
    wanted = "Basic " + base64.b64encode(f"{token}:".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            if token is not None and self.headers.get("Authorization") != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            asked = urlsplit(self.path)
            environment = {
                **os.environ,
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": asked.path,
                "QUERY_STRING": asked.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            ended = subprocess.run(["git", "http-backend"], input=body, env=environment, stdout=subprocess.PIPE)
            head, _, rest = ended.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
            self.send_response(int(headers.pop("Status", "200").split(" ")[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest)

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler
