"""A cache that one container filled, and another one with another user may only read: as an init container does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from kit import interpreter, process
from kit.locks import Lock, packages

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can be another user"),
    pytest.mark.skipif(not shutil.which("setpriv"), reason="there is no setpriv to become another user"),
]

#: Somebody without a name, who may search the folders of whoever runs these tests, and write nowhere.
ANOTHER = ["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups"]
MAY_SEARCH = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]

PROGRAM = "import magic_module._py.start, alpha, tool, space.two; print(alpha.VALUE)"


def test_what_an_init_container_fetched_is_imported_by_another_user_who_may_not_write(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "app", packages())
    cache = tmp_path / "cache"
    filled = interpreter.command_line("fetch", "--all", "--lock", str(lock.path), cache=cache)
    assert filled.status == 0, filled
    # The wheels are gone, as a registry is that workers do not reach.
    shutil.rmtree(tmp_path / "app" / "wheels")
    before = sorted(path for path in cache.rglob("*"))
    settings = {"MAGIC_MODULE_LOCK": str(lock.path), "MAGIC_MODULE_OFFLINE": "1"}
    environment = interpreter.environment(cache, None, settings)
    line = [*ANOTHER, *MAY_SEARCH, *process.command(PROGRAM)]
    ran = process.run(line, environment, tmp_path)
    assert (ran.stdout, ran.stderr) == ("42\n", "")
    assert sorted(path for path in cache.rglob("*")) == before
