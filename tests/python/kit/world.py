"""One test's cache, sites and servers; and one package in both forms, installed and from the hook."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from origins import Origin, Request

from . import process
from .process import Result
from .sources import Sources, write_tree


class World:
    """A home, a cache and a working directory of a test's own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.home = path / "home"
        self.cache = path / "cache"
        self.work = path / "work"
        for folder in (self.home, self.work):
            folder.mkdir(parents=True)
        self.servers: list[Origin] = []
        self.processes: list[subprocess.Popen[str]] = []
        self.extra: dict[str, str | None] = {}

    def environment(self, extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
        return process.environment(self.home, self.cache, {**self.extra, **(extra or {})})

    def run(
        self,
        script: str | None,
        *,
        flags: Sequence[str] = (),
        args: Sequence[str] = (),
        env: Mapping[str, str | None] | None = None,
        status: int | None = 0,
        warnings: bool = True,
    ) -> Result:
        """Runs `script` (or, with None, what `args` say) in a fresh interpreter; warnings are errors."""
        line = process.command(script, flags, args, warnings)
        return process.run(line, self.environment(env), self.work, status)

    def start(
        self, script: str, *, env: Mapping[str, str | None] | None = None, warnings: bool = True, input: bool = False
    ) -> subprocess.Popen[str]:
        """Starts `script` in a fresh interpreter; `finish` waits for it, `close` ends it; `input` gives it a stdin."""
        line = process.command(script, warnings=warnings)
        started = process.start(line, self.environment(env), self.work, input)
        self.processes.append(started)
        return started

    @staticmethod
    def finish(started: subprocess.Popen[str]) -> Result:
        return process.finish(started)

    @staticmethod
    def line(started: subprocess.Popen[str]) -> str:
        """The next line that a started script prints."""
        return process.read_line(started)

    @staticmethod
    def say(started: subprocess.Popen[str]) -> None:
        """Lets a script go on that waits for a line of its stdin."""
        process.say(started)

    def publish(
        self,
        sources: Sources,
        namespace: str = "magic_module",
        site: str = "site",
        drop_older_than: int | None = None,
        sign: Sequence[Path] = (),
    ) -> dict[str, Any]:
        """Publishes a folder that holds just `sources` into `site`, as `magic-module publish` does."""
        from magic_module import _native

        source = self.path / f"{site}-sources"
        shutil.rmtree(source, ignore_errors=True)
        write_tree(source, sources)
        keys: list[tuple[str, str | None]] = [(str(key), None) for key in sign]
        published = _native._publish(str(source), str(self.path / site), namespace, drop_older_than, keys)
        return dict(published)

    def serve(self, site: str = "site", tls: ssl.SSLContext | None = None) -> Origin:
        """Starts a server for `site`; it is stopped with the world."""
        (self.path / site).mkdir(exist_ok=True)
        server = Origin(self.path / site, tls=tls)
        self.servers.append(server)
        return server

    def parts(self) -> list[Path]:
        """Downloads that were left half done."""
        return sorted(path for path in (self.cache / "v1" / "tmp").rglob("*") if path.is_file())

    def trees(self) -> list[Path]:
        """The directories of trees that can be seen."""
        return sorted(path for path in (self.cache / "v1" / "trees").glob("*") if path.is_dir())

    def close(self) -> None:
        for started in self.processes:
            if started.poll() is None:
                started.kill()
            started.communicate()
        for server in self.servers:
            server.close()


class Acme:
    """The units of one namespace, plainly installed or from the hook, under the same import names.

    `init` is the text of the package's own `__init__.py`; None makes the
    namespace a namespace package. `own` are further files that the package ships.
    """

    def __init__(
        self,
        world: World,
        how: str,
        units: Sources,
        *,
        init: str | None = "",
        own: Sources | None = None,
        namespace: str = "acme",
        first: bool = False,
    ) -> None:
        self.world = world
        self.how = how
        self.namespace = namespace
        self.folder = world.path / how
        self.package = self.folder / namespace.replace(".", "/")
        self.server: Origin | None = None
        self.cold: list[Request] = []
        write_tree(self.package, own or {})
        if how == "installed":
            write_tree(self.package, units)
            if init is not None and namespace:
                write_tree(self.package, {"__init__.py": init})
        else:
            self.server = world.serve()
            world.publish(units, namespace)
            self.mount(init, first)
        world.extra["PYTHONPATH"] = str(self.folder)

    def mount(self, init: str | None, first: bool) -> None:
        assert self.server is not None
        options = ", first=True" if first else ""
        url = self.server.manifest_url
        if init is not None and self.namespace:
            line = f"import magic_module\nmagic_module.mount(__name__, {url!r}{options})\n"
            (self.package).mkdir(parents=True, exist_ok=True)
            write_tree(self.package, {"__init__.py": init})
            own = (self.package / "__init__.py").read_text()
            (self.package / "__init__.py").write_text(line + own)
        else:
            line = f"import magic_module\nmagic_module.mount({self.namespace!r}, {url!r}{options})\n"
            write_tree(self.folder, {"sitecustomize.py": line})

    def asked(self) -> list[str]:
        """What the last cold run asked for; of an installed package, what it would have asked for."""
        return [request.path for request in self.cold] if self.server else ["/manifest.json"]

    def run(self, script: str | None, **options: Any) -> Result:
        """Runs the script; from the hook three times: cold, warm, and warm with the server stopped.

        All three must print the same, and only the first may ask the server.
        """
        if self.server is None:
            return self.world.run(script, **options)
        shutil.rmtree(self.world.cache, ignore_errors=True)
        self.server.take()
        cold = self.world.run(script, **options)
        self.cold = self.server.take()
        warm = self.world.run(script, **options)
        assert warm.stdout == cold.stdout, f"warm differs from cold\n{cold.stdout}{warm.stdout}{warm.stderr}"
        assert self.server.paths() == [], "the warm run asked the server"
        self.server.stop()
        try:
            stopped = self.world.run(script, **options)
        finally:
            self.server.start()
        assert stopped.stdout == cold.stdout, (
            f"stopped differs from cold\n{cold.stdout}{stopped.stdout}{stopped.stderr}"
        )
        return cold
