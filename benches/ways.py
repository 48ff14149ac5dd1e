"""How each of us gets a package from a server into a running program: one shell line from an empty machine.

Each peer is used as its own documentation recommends. Where that shows two ways for the job, both are tried, and the
quicker one is measured:

- httpimport: `remote_repo` of an archive, or of a folder, from which it asks for every file, one after the other.
- pooch: one archive with the `Unzip` processor, or a registry of files, fetched one after the other.
- huggingface_hub: `snapshot_download`, eight files at once, from a hub with the repository.
- uv, pip: `install` of a wheel from an index into a fresh virtual environment, which is made beforehand.
- curl: `--parallel` for all files, or one archive and `unzip`.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import measure
import peers
from measure import Ended, Failure
from offer import Offer
from origin import Origin
from workplace import Workplace, remove

PEERS = ("httpimport", "pooch", "huggingface_hub", "uv", "pip")
CURLS = ("curl", "curl of one zip")


class Ways:
    """Each method is one cold run; what it leaves is removed outside of its time. `use` is Python that imports NAME
    (a placeholder: ours has a prefix) and fails unless all has arrived."""

    def __init__(self, workplace: Workplace, offer: Offer, origin: Origin, use: str, data: bool = False) -> None:
        self.workplace = workplace
        self.offer = offer
        self.origin = origin
        self.use = use
        self.data = data
        """Files that are not modules are wanted too."""
        self.folder = workplace.folder("work")

    def all(self, chosen: Mapping[str, str]) -> dict[str, Callable[[], Ended]]:
        """Everybody's way; `chosen` are those of the peers that have two."""
        ways = {"ours": self.ours, **{peer: getattr(self, peer) for peer in PEERS if peer not in chosen}}
        ways |= {peer: self._ways_of(peer)[way] for peer, way in chosen.items()}
        ways = {name: ways[name] for name in ("ours", *PEERS)}
        return ways | dict(zip(CURLS, (self.curl, self.curl_of_zip), strict=True))

    def chosen(self) -> dict[str, str]:
        """The quicker way of each peer that has two; nobody's who can go none of them."""
        chosen = {}
        for peer in ("httpimport", "pooch"):
            took = {name: wall for name, way in self._ways_of(peer).items() if (wall := tried(way)) is not None}
            if took:
                chosen[peer] = min(took, key=lambda name: took[name])
        return chosen

    def _ways_of(self, peer: str) -> dict[str, Callable[[], Ended]]:
        if peer == "httpimport":
            return {"an archive": self.httpimport, "a folder": self.httpimport_of_folder}
        return {"an archive": self.pooch, "a registry of files": self.pooch_of_files}

    def ours(self) -> Ended:
        script = self.use.replace("NAME", f"magic_module.{self.offer.name}")
        environment = {"MAGIC_MODULE_MANIFEST_URL": self.origin.manifest_url}
        if not self.offer.namespace:
            script = f"import magic_module\nmagic_module.mount('', {self.origin.manifest_url!r})\n{self._plain_use()}"
            environment = {}
        return self._run(shlex.join(self.workplace.python(script)), self.folder / "cache", **environment)

    def httpimport(self) -> Ended:
        if self.data:
            raise Failure("cannot: it imports modules, without the files beside them")
        # Without TLS it asks for this.
        script = "import httpimport\nhttpimport.INSECURE = True\n"
        script += f"with httpimport.remote_repo({self.origin.url + '/package.zip'!r}):\n"
        return self._python("httpimport", script + indented(self._plain_use()))

    def httpimport_of_folder(self) -> Ended:
        if self.data:
            raise Failure("cannot: it imports modules, without the files beside them")
        script = "import httpimport\nhttpimport.INSECURE = True\n"
        script += f"with httpimport.remote_repo({self.origin.url + '/plain'!r}):\n"
        return self._python("httpimport", script + indented(self._plain_use()))

    def pooch(self) -> Ended:
        unpacked = str(self.folder / "unpacked")
        known = f"sha256:{measure.sha256_of(self.offer.site / 'package.zip')}"
        script = f"import pooch, sys\npooch.retrieve({self.origin.url + '/package.zip'!r}, {known!r}, "
        script += f"path={str(self.folder)!r}, processor=pooch.Unzip(extract_dir={unpacked!r}))\n"
        return self._python("pooch", f"{script}sys.path.insert(0, {unpacked!r})\n{self._plain_use()}")

    def pooch_of_files(self) -> Ended:
        registry = {path: f"sha256:{digest}" for path, digest in self.offer.files.items()}
        script = f"import pooch, sys\nsite = pooch.create(path={str(self.folder)!r}, base_url="
        script += f"{self.origin.url + '/plain/'!r}, registry={registry!r})\n"
        script += "for path in site.registry:\n    site.fetch(path)\n"
        return self._python("pooch", f"{script}sys.path.insert(0, {str(self.folder)!r})\n{self._plain_use()}")

    def huggingface_hub(self) -> Ended:
        script = "import sys\nfrom huggingface_hub import snapshot_download\n"
        script += f"sys.path.insert(0, snapshot_download('bench/{self.offer.name}'))\n"
        environment = {
            "HF_ENDPOINT": self.origin.url,
            "HF_HOME": str(self.folder / "hub"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        return self._python("huggingface_hub", script + self._plain_use(), **environment)

    def uv(self) -> Ended:
        home = self._fresh_environment()
        install = [peers.command("uv"), "pip", "install", "--quiet", "--python", str(home)]
        install += ["--default-index", f"{self.origin.url}/simple", self.offer.name]
        environment = {"UV_CACHE_DIR": str(self.folder / "cache"), "UV_PYTHON_DOWNLOADS": "never"}
        return self._run(f"{shlex.join(install)} && {self._import_in(home)}", **environment)

    def pip(self) -> Ended:
        home = self._fresh_environment()
        install = [peers.python("pip"), "-m", "pip", "--python", str(home), "install", "--quiet"]
        install += ["--disable-pip-version-check", "--cache-dir", str(self.folder / "cache")]
        install += ["--index-url", f"{self.origin.url}/simple", self.offer.name]
        return self._run(f"{shlex.join(install)} && {self._import_in(home)}")

    def curl(self) -> Ended:
        self._needs("curl")
        self.folder.mkdir()
        plain = self.folder / "plain"
        lines = [
            f'url = "{self.origin.url}/plain/{path}"\noutput = "{plain / path}"\ncreate-dirs\n'
            for path in self.offer.files
        ]
        (self.folder / "list").write_text("".join(lines))
        download = f"curl -sf --parallel --parallel-max 64 -K {shlex.quote(str(self.folder / 'list'))}"
        return self._run(f"{download} && {self._plain_import()}", PYTHONPATH=str(plain))

    def curl_of_zip(self) -> Ended:
        self._needs("curl")
        self._needs("unzip")
        self.folder.mkdir()
        pack, there = self.folder / "package.zip", self.folder / "unpacked"
        download = shlex.join(["curl", "-sfo", str(pack), f"{self.origin.url}/package.zip"])
        unpack = shlex.join(["unzip", "-qd", str(there), str(pack)])
        return self._run(f"{download} && {unpack} && {self._plain_import()}", PYTHONPATH=str(there))

    def floor(self) -> Ended:
        """Two requests that follow each other, and the start of an interpreter."""
        self._needs("curl")
        self.folder.mkdir()
        download = ["curl", "-sf"]
        for number, url in enumerate((self.origin.manifest_url, f"{self.origin.url}/package.zip")):
            download += ["-o", str(self.folder / str(number)), url]
        return self._run(f"{shlex.join(download)} && {shlex.join(self.workplace.python('pass'))}")

    def _plain_use(self) -> str:
        return self.use.replace("NAME", self.offer.name)

    def _plain_import(self) -> str:
        return shlex.join(self.workplace.python(self._plain_use()))

    def _import_in(self, home: Path) -> str:
        return shlex.join([str(home / "bin" / "python"), "-c", self._plain_use()])

    def _fresh_environment(self) -> Path:
        self._needs("sh")
        home = self.folder / "venv"
        shutil.copytree(self.workplace.empty_environment(), home, symlinks=True)
        return home

    def _needs(self, name: str) -> None:
        if shutil.which(name) is None:
            raise Failure(f"no {name}")

    def _python(self, peer: str, script: str, **environment: str) -> Ended:
        return self._run(shlex.join([peers.python(peer), "-c", script]), **environment)

    def _run(self, line: str, cache: Path | None = None, **environment: str) -> Ended:
        if sys.platform == "win32":
            raise Failure("not measured on Windows, which has no such shell")
        try:
            return measure.run(["sh", "-c", line], self.workplace.environment(cache, **environment))
        finally:
            remove(self.folder)


def tried(way: Callable[[], Ended]) -> float | None:
    """What it took, by the second run where the first was quick: that one may have compiled the peer."""
    try:
        wall = way().wall
        return wall if wall > measure.SLOW else way().wall
    except Failure:
        return None


def indented(script: str) -> str:
    return "".join(f"    {line}\n" for line in script.splitlines())
