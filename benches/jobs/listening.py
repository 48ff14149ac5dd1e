"""What it costs to be watched: fifty pages that follow a download, and packages fetched while a server starts."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import measure
from measure import Ended, Row, Side, interleave, milliseconds
from stack import Stack
from workplace import Workplace, remove

NAMES = ["pandas", "matplotlib", "requests"]
FEWER = ["requests", "click", "rich"]
PAGES = 50
MOST = 1.1
MOST_OF_A_START = 1.05

DOWNLOAD = """
import asyncio, json, magic_module as mm
mm.mount_lock({lock!r})
async def page():
    async for event in mm.events():
        json.dumps(mm.progress.record(event))
async def main():
    pages = [asyncio.create_task(page()) for _ in range({pages})]
    await asyncio.sleep(0)
    await mm.aprefetch(*{names!r})
    for each in pages:
        each.cancel()
asyncio.run(main())
"""

SERVER = """
import http.server, threading, urllib.request
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever, daemon=True).start()
urllib.request.urlopen("http://127.0.0.1:%d/" % server.server_port).read(1)
"""


def row() -> Row:
    return Row(f"a download that {PAGES} pages follow", "the same with nobody listening", f"≤ {MOST:.1f}×")


def start_row() -> Row:
    what = "the first answer of a server beside which three packages are fetched"
    return Row(what, "the same without `preload`", f"≤ {MOST_OF_A_START:.2f}×")


def run(workplace: Workplace) -> list[Row]:
    names = FEWER if workplace.quick else NAMES
    workplace.size("packages that are fetched while somebody watches", len(NAMES), len(FEWER))
    stack = Stack(workplace, names)
    with stack.served():
        return [pages(workplace, stack, names), starts(workplace, stack, names)]


def pages(workplace: Workplace, stack: Stack, names: list[str]) -> Row:
    known = stack.known()

    def with_pages(count: int) -> Ended:
        cache = workplace.folder("cache")
        shutil.copytree(known, cache, symlinks=True)
        program = DOWNLOAD.format(lock=str(stack.lock), pages=count, names=names)
        ended = measure.run(workplace.python(program), workplace.environment(cache))
        remove(cache)
        return ended

    results = interleave(workplace.rounds(9, 5), lambda: with_pages(PAGES), lambda: with_pages(0))
    ours, theirs = (Side([ended.wall for ended in side]) for side in results)
    return row().compared(ours, theirs, MOST, milliseconds, [f"{stack.count} wheels, whole process"])


def starts(workplace: Workplace, stack: Stack, names: list[str]) -> Row:
    """The registries differ in one line; what the one names is fetched again in each round."""
    folders = {wanted: registry(workplace, stack, names, wanted) for wanted in (True, False)}
    # In a cache that knows what is in the wheels, from another registry's lock.
    known = workplace.folder("known")
    started(workplace, registry(workplace, stack, names, False), "pass", known)

    def first_answer(wanted: bool) -> Ended:
        cache = workplace.folder("cache")
        shutil.copytree(known, cache, symlinks=True)
        # The registry was found to be in order when it was mounted before; offline, nothing is fetched for it.
        started(workplace, folders[wanted], "pass", cache, MAGIC_MODULE_OFFLINE="1")
        ended = started(workplace, folders[wanted], SERVER, cache)
        remove(cache)
        return ended

    results = interleave(workplace.rounds(15, 7), lambda: first_answer(True), lambda: first_answer(False))
    ours, theirs = (Side([ended.wall for ended in side]) for side in results)
    return start_row().compared(ours, theirs, MOST_OF_A_START, milliseconds, ["whole process, until the answer"])


def started(workplace: Workplace, folder: Path, program: str, cache: Path, **more: str) -> Ended:
    more |= {"MAGIC_MODULE_REGISTRY": str(folder / "modules.toml"), "MAGIC_MODULE_AUTO_INSTALL": "registry"}
    return measure.run(workplace.python(program), workplace.environment(cache, **more))


def registry(workplace: Workplace, stack: Stack, names: list[str], preload: bool) -> Path:
    folder = workplace.folder("registry")
    folder.mkdir(parents=True)
    head = f"preload = {names!r}\n" if preload else ""
    entries = "".join(f'[modules.{name}]\nrequirement = "{name}"\n' for name in names)
    (folder / "modules.toml").write_text(head + entries)
    line = [workplace.python("")[0], "-m", "magic_module", "registry", "lock"]
    measure.run(line, stack.environment(UV=stack.uv, MAGIC_MODULE_REGISTRY=str(folder / "modules.toml")))
    lock = folder / "pylock.modules.toml"
    served = re.match(r"(?s).*?(https?://[^\"/]+)/", stack.lock.read_text())
    assert served is not None
    lock.write_text(re.sub(r'https?://[^"]+/([^"/]+\.whl)"', rf'{served[1]}/\1"', lock.read_text()))
    return folder
