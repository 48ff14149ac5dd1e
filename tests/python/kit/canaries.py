"""Secrets that must be nowhere: a world full of them, and the search for them."""

from __future__ import annotations

import base64
from urllib.parse import quote

from origins import Origin

from .process import Result
from .world import World

#: By where it stands. The blanks and colons make every way of writing it a different text.
CANARIES = {
    "login": "canary-l:ogin",
    "password": "canary-p@ss w",
    "query": "canary-query",
    "netrc": "canary-netrc",
    "proxy": "canary-proxy",
    "location": "canary-location",
    "cookie": "canary-cookie",
    "key": "canary-key",
}

#: What runs in the process under test. Everything that it can show, it prints.
SHOW = """
    import faulthandler, gc, logging, os, pathlib, pickle, sys, traceback
    import magic_module as mm
    logging.basicConfig(level=0)
    mm.on_event(lambda event: print("event", event))
    sys.addaudithook(lambda event, args: print("audit", event, args) if event.startswith("magic_module") else None)

    def shown(value):
        print(repr(value), str(value), format(value))
        for name in dir(value):
            if not name.startswith("__") or name == "__dict__":
                print(name, getattr(value, name))

    def children():
        for task in pathlib.Path("/proc/self/task").glob("*/children"):
            for pid in [*task.read_text().split(), os.getpid()]:
                print("process", pathlib.Path(f"/proc/{pid}/cmdline").read_bytes())
        for task in pathlib.Path("/proc/self/task").glob("*/comm"):
            print("thread", task.read_text())

    def attempt(act):
        try:
            shown(act())
        except Exception as error:
            shown(error)
            shown(pickle.loads(pickle.dumps(error)))
            print(pickle.dumps(error))
            print(*traceback.format_exception(error))
            logging.exception("it failed")
        children()
    """

IMPORT = """
    import importlib, os
    attempt(lambda: importlib.import_module("magic_module.alpha"))
    attempt(lambda: importlib.import_module("magic_module.alpha").__spec__)
    attempt(lambda: mm.info("magic_module.alpha"))
    attempt(mm.available)
    attempt(lambda: mm.data_path("magic_module.alpha", "alpha/data.bin"))
    attempt(lambda: mm.prefetch("magic_module.beta"))
    attempt(lambda: mm.prefetch("magic_module.no_such_unit"))
    attempt(lambda: mm.upgrade())
    attempt(lambda: importlib.import_module("magic_module.alpha")._upgrade(force=True))
    attempt(lambda: mm.rollback("magic_module.alpha"))
    attempt(mm.verify)
    attempt(mm.prune)
    attempt(lambda: mm.mount("acme", os.environ["MAGIC_MODULE_MANIFEST_URL"]))
    attempt(lambda: importlib.import_module("acme.gamma"))
    attempt(lambda: mm.mount("acme", os.environ["MAGIC_MODULE_MANIFEST_URL"], pins={"a": "1"}))
    attempt(lambda: mm.mount("other", "ftp" + os.environ["MAGIC_MODULE_MANIFEST_URL"][4:]))
    attempt(lambda: mm.mount("other", os.environ["MAGIC_MODULE_MANIFEST_URL"].replace("127.0.0.1", "192.0.2.1")))
    attempt(lambda: mm.mount("other", os.environ["MAGIC_MODULE_MANIFEST_URL"].replace("127.0.0.1", "[")))
    """


class Canaries:
    """A world whose every secret is a canary; the login of the manifest's machine stands in its URL."""

    def __init__(self, world: World, origin: Origin, elsewhere: Origin) -> None:
        self.world = world
        self.origin = origin
        self.elsewhere = elsewhere
        login, password = (quote(CANARIES[name], safe="") for name in ("login", "password"))
        self.url = f"http://{login}:{password}@127.0.0.1:{origin.port}/manifest.json?token={CANARIES['query']}"
        # The manifest's own machine has its login in the URL; this one is asked after it.
        netrc = f"machine localhost login {CANARIES['netrc']} password {CANARIES['netrc']}\n"
        (world.home / ".netrc").write_text(f"{netrc}default login {CANARIES['netrc']} password {CANARIES['netrc']}\n")
        self.environment: dict[str, str | None] = {
            "MAGIC_MODULE_MANIFEST_URL": self.url,
            "MAGIC_MODULE_KEY_PASSWORD": CANARIES["key"],
            "MAGIC_MODULE_PROGRESS": "json",
            # Nobody listens there, and nobody asks for what would go through it.
            "HTTPS_PROXY": f"http://{CANARIES['proxy']}:{CANARIES['proxy']}@127.0.0.1:9",
            "RUST_LOG": "trace",
            "RUST_BACKTRACE": "1",
        }

    def asked(self, header: str) -> set[str | None]:
        """What the manifest's machine was told in this header, over all requests."""
        return {request.headers.get(header) for request in self.origin.requests}

    def show(self, script: str = IMPORT, **extra: str | None) -> Result:
        return self.check(self.world.run(SHOW + script, env={**self.environment, **extra}, status=None))

    def command(self, *words: str, **extra: str | None) -> Result:
        env = {**self.environment, **extra}
        args = ["-m", "magic_module", *words]
        return self.check(self.world.run(None, args=args, env=env, status=None))

    def check(self, result: Result) -> Result:
        """Nothing that was printed and no file that was written holds a canary."""
        find("stdout", result.stdout.encode())
        find("stderr", result.stderr.encode())
        for folder in (self.world.cache, self.world.home, self.world.work):
            for path in folder.rglob("*"):
                find("a name", str(path.relative_to(folder)).encode())
                if path.is_file() and path.name != ".netrc":
                    find(str(path), path.read_bytes())
        return result


def basic(login: str, password: str) -> str:
    """What a header says of a login."""
    return "Basic " + base64.b64encode(f"{CANARIES[login]}:{CANARIES[password]}".encode()).decode()


def find(where: str, data: bytes) -> None:
    """Fails if `data` holds a canary in any way of writing it."""
    lower = data.lower()
    for name, canary in CANARIES.items():
        assert written(canary) and not [way for way in written(canary) if way in lower], f"{name} is in {where}"


def written(canary: str) -> list[bytes]:
    plain = canary.encode()
    # Whatever precedes it, one of three alignments is the one of a base64 text; its ends depend on the neighbours.
    encoded = [base64.b64encode(b" " * pad + plain)[2 + pad : -4] for pad in range(3)]
    return [way.lower() for way in (plain, quote(canary, safe="").encode(), plain.hex().encode(), *encoded)]
