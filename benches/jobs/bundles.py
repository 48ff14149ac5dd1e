"""The first import out of a bundle of about 20 wheels, against `uv pip install --no-index --find-links` and the import.

Nothing of the packages is on the machine but the bundle, and a folder with the same wheels; uv's cache is empty. uv
installs all that the bundle has; ours takes out of it what the import needs.
"""

from __future__ import annotations

import shutil

import measure
from measure import Ended, Row, Side, interleave, milliseconds
from stack import Stack
from workplace import Workplace, remove

NAMES = ["pandas", "matplotlib", "requests", "httpx", "attrs", "click", "openpyxl"]
FEWER = ["requests", "httpx", "attrs", "click"]
BODY = "import pandas"
LESS = "import requests"
MOST = 0.7


def row() -> Row:
    against = "`uv pip install --no-index --find-links` and the import"
    return Row("the first import out of a bundle of about 20 wheels", against, f"≤ {MOST:.1f}×")


def run(workplace: Workplace) -> list[Row]:
    names = FEWER if workplace.quick else NAMES
    workplace.size("packages named in the lock of the bundle", len(NAMES), len(FEWER))
    stack = Stack(workplace, names)
    body = LESS if workplace.quick else BODY
    bundle = workplace.folder("bundle") / "work.zip"
    bundle.parent.mkdir()
    with stack.served(0.0, 0.0):
        cache = workplace.folder("cache")
        line = [workplace.python("")[0], "-m", "magic_module", "bundle", "--lock", str(stack.lock), "-o", str(bundle)]
        measure.run(line, workplace.environment(cache))
        remove(cache)

    def ours() -> Ended:
        cache = workplace.folder("cache")
        program = f"import magic_module; magic_module.mount_lock({str(stack.lock)!r}); {body}"
        more = {"MAGIC_MODULE_BUNDLES": str(bundle), "MAGIC_MODULE_OFFLINE": "1"}
        ended = measure.run(workplace.python(program), workplace.environment(cache, **more))
        remove(cache)
        return ended

    def theirs() -> Ended:
        home, cache = workplace.folder("installed"), workplace.folder("uv-cache")
        shutil.copytree(workplace.empty_environment(), home, symlinks=True)
        python = home / "bin/python"
        install = f"{stack.uv} pip install --quiet --no-index --find-links {stack.wheels} --python {python}"
        words = f'{install} {" ".join(names)} && exec {python} -c "{body}"'
        ended = measure.run(["sh", "-c", words], stack.environment(UV_CACHE_DIR=str(cache)))
        remove(home)
        remove(cache)
        return ended

    ours(), theirs()
    results = interleave(workplace.rounds(7, 3), ours, theirs)
    one, other = (Side([ended.wall for ended in side]) for side in results)
    notes = [f"{stack.count} wheels, `{body}`"]
    return [row().compared(one, other, MOST, milliseconds, notes)]
