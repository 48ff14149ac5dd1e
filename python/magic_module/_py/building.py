"""The program of a helper interpreter: it builds one wheel, with uv or pip.

    ─▶ {"archive": "/tmp/alpha-1.0.tar.gz", "uv": "/usr/bin/uv", "into": "/tmp/build"}
    ─▶ {"repository": "https://…/alpha.git", "commit": "3f5b…", "subdirectory": "", "uv": null, "into": "/tmp/build",
        "environment": "/home/me/.venv/bin/python"}
    ◀─ {"wheel": "/tmp/build/wheel/alpha-1.0-py3-none-any.whl"}
    ◀─ {"error": "uv build ended with status 2", "said": ["its last lines"], "hint": "…"}

It is never imported: the extension holds its text and starts `python -I -X utf8 -c` with it.
"""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

LINES = 20
"""The last lines of a builder that fails say why."""

#: Nobody is asked for a password: who waits for an import cannot answer.
SILENT = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "SSH_ASKPASS": "true",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
    "PIP_NO_INPUT": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}
ERROR = re.compile(r"[\w.]+(Error|Exception)\b|.+: (fatal )?error:")
"""The end of a traceback, or what a compiler says."""
INSTALL = "install what it asks for, or lock a version that has wheels"


class FailedError(Exception):
    """A step that failed."""

    def __init__(self, why: str, said: str, hint: str) -> None:
        self.why, self.hint = why, hint
        self.said = [line.strip() for line in said.splitlines() if line.strip()][-LINES:]
        # Builders end in advice: the line that says what went wrong comes last here.
        self.said += [line for line in self.said if ERROR.match(line)][-1:]


def run(line: Sequence[str], folder: pathlib.Path, what: str, hint: str) -> None:
    """Runs a step to its end; it has nothing to read."""
    environment = {**os.environ, **SILENT, "TMPDIR": str(folder)}
    try:
        ended = subprocess.run(
            line,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise FailedError(f"{line[0]} cannot be run: {error.strerror or error}", "", f"install {what}") from None
    if ended.returncode != 0:
        raise FailedError(f"{what} ended with status {ended.returncode}", ended.stdout, hint)


def cloned(request: Mapping[str, Any], folder: pathlib.Path) -> pathlib.Path:
    """The folder of a commit's files, those of its submodules included."""
    source = folder / "source"
    source.mkdir()
    hint = "check the address, and that git can log in there without asking (an SSH agent, a credential helper)"

    def git(*arguments: str) -> None:
        run(["git", *arguments], source, f"git {arguments[0]}", hint)

    git("init", "--quiet")
    git("remote", "add", "origin", request["repository"])
    try:
        git("fetch", "--quiet", "--depth", "1", "origin", request["commit"])
    except FailedError:
        # Not every server gives a commit by its name alone.
        git("fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
    git("checkout", "--quiet", "--detach", request["commit"])
    if (source / ".gitmodules").exists():
        git("submodule", "--quiet", "update", "--init", "--recursive")
    return source


def pip_python(request: Mapping[str, Any]) -> str:
    """The interpreter itself, or, if the system gave it no pip, that of the environment that the program runs in."""
    own = sys.executable
    return own if importlib.util.find_spec("pip") else request.get("environment") or own


def built(request: Mapping[str, Any]) -> dict[str, Any]:
    """The wheel, or why there is none."""
    folder = pathlib.Path(request["into"])
    out = folder / "wheel"
    try:
        source = pathlib.Path(request["archive"]) if "archive" in request else cloned(request, folder)
        source /= request.get("subdirectory") or "."
        uv = request["uv"]
        if uv is not None:
            line = [uv, "build", "--wheel", "--python", sys.executable, "--out-dir", str(out), str(source)]
        else:
            line = [pip_python(request), "-m", "pip", "wheel", "--no-deps", "--wheel-dir", str(out), str(source)]
        run(line, folder, "uv build" if uv else "pip wheel", INSTALL)
        wheels = sorted(out.glob("*.whl"))
        if len(wheels) != 1:
            raise FailedError(f"it made {len(wheels)} wheels where one was expected", "", INSTALL)
    except FailedError as error:
        return {"error": error.why, "said": error.said, "hint": error.hint}
    return {"wheel": str(wheels[0])}


if __name__ == "__main__":
    print(json.dumps(built(json.load(sys.stdin))))
