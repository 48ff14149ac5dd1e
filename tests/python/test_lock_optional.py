"""Imports that a package could do without: what a lock's policy does with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.locks import Lock, python, run, whole
from kit.wheels import wheel
from origins import Origin

TRY = "try:\n    import {0}\nexcept ModuleNotFoundError as error:\n    {0} = None\n    WHY = error\n"

WHEELS = [
    wheel(
        "host",
        "1",
        {
            "host/__init__.py": TRY.format("extra") + "import need\nHAS = extra is not None",
            "host/late.py": "import importlib.util\nSPEC = importlib.util.find_spec('further')\n",
        },
        requires=["need"],
    ),
    wheel("need", "1", {"need.py": "import deep"}, requires=["deep"]),
    wheel("deep", "1", {"deep.py": ""}),
    wheel("extra", "1", {"extra/__init__.py": TRY.format("further"), "extra/part.py": ""}),
    wheel("further", "1", {"further.py": ""}),
    wheel(
        "instrument",
        "1",
        {
            "instrument.py": """
import importlib.util, sys
class Hook:
    def find_spec(self, name, path=None, target=None):
        sys.meta_path.remove(self)
        try:
            return importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
sys.meta_path.insert(0, Hook())
"""
        },
    ),
]
PROGRAM = "import host, host.late; print(host.HAS, host.late.SPEC is not None)"
OWN = "import extra.part, host; print(host.HAS, extra.further is not None)"


def with_table(lock: Lock, **policy: str) -> None:
    table = "".join(f'{name} = "{value}"\n' for name, value in policy.items())
    lock.path.write_text(f"{lock.path.read_text()}\n[tool.magic-module.optional]\n{table}")


def test_what_the_lock_denies_is_not_there_for_those_that_could_do_without(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "project"
    (folder / "wheels").mkdir(parents=True)
    with Origin(folder / "wheels") as origin:
        lock = Lock(folder, WHEELS, url=origin.url)
        traced = run(lock, cache, "--trace", "-c", PROGRAM)
        assert traced.stdout == "True True\n"
        assert whole(origin) == {"host", "need", "deep", "extra", "further"}
        proposed = traced.stderr.partition("into the lock:\n\n")[2]
        assert proposed == '[tool.magic-module.optional]\nextra = "deny"\nfurther = "deny"\n'
        with_table(lock, extra="deny", further="deny")
        fresh = tmp_path / "fresh"
        assert run(lock, fresh, "-c", PROGRAM).stdout == "False False\n"
        assert whole(origin) == {"host", "need", "deep"}
        # The user's own files never import optionally; what is imported is seen by all.
        child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {OWN!r}], check=True)"
        assert run(lock, fresh, "-c", child).stdout == "True False\n"
        said = run(lock, fresh, "-c", "import host; print(host.WHY.name, *getattr(host.WHY, '__notes__', [host.WHY]))")
        assert said.stdout.startswith("extra ")
        assert "extra of the lock " in said.stdout
        assert "[tool.magic-module.optional]" in said.stdout


def test_who_imports_is_whoever_stands_behind_the_hook_of_a_package(tmp_path: Path, cache: Path) -> None:
    lock = Lock(tmp_path / "project", WHEELS)
    with_table(lock, extra="deny", further="deny")
    program = "import instrument, importlib.util; print(importlib.util.find_spec('further') is not None)"
    hooked = run(lock, cache, "-c", f"{program}\nimport host, extra\nprint(host.HAS, extra.further is not None)")
    assert hooked.stdout == "True\nFalse False\n"


def test_a_policy_for_all_goes_to_children_and_is_decided_once(tmp_path: Path, cache: Path) -> None:
    lock = Lock(tmp_path / "project", WHEELS)
    program = f"""
import subprocess, sys, magic_module as mm
views = [mm.mount_lock({str(lock.path)!r}, optional=which).view for which in ("fetch", "present-only", "deny")]
print(len(set(views)))
"""
    assert python(cache, program).stdout == "3\n"
    mount = (
        f"import magic_module as mm; mount = mm.mount_lock({str(lock.path)!r}, optional='present-only', export=True)"
    )
    assert python(cache, f"{mount}\n{PROGRAM}").stdout == "False False\n"
    # What came meanwhile does not change what this process has found.
    late = f"{mount}\nimport host; mm.prefetch('extra')\nimport importlib; importlib.reload(host); print(host.HAS)"
    assert python(cache, late).stdout == "False\n"
    assert python(cache, f"{mount}\n{PROGRAM}").stdout == "True False\n"
    child = f"{mount}\nimport os; print('present-only' in os.environ['MAGIC_MODULE_MOUNTS'])"
    assert python(cache, child).stdout == "True\n"
    with_table(lock, extra="present-only", further="present-only")
    traced = run(lock, cache, "--trace", "-c", PROGRAM)
    assert "extra is found by optional imports\nfurther is not found by optional imports\n" in traced.stderr


@pytest.mark.once
@pytest.mark.parametrize(
    ("policy", "program", "sentence"),
    [
        ({"deep": "deny"}, "import host", "PolicyError: host requires deep, which the lock "),
        ({"extra": "never"}, "", 'tool.magic-module.optional.extra must be "fetch", "present-only" or "deny"'),
        ({'"a b"': "deny"}, "", "tool.magic-module.optional.a b names no package"),
    ],
)
def test_a_table_that_is_wrong_says_so(
    tmp_path: Path, cache: Path, policy: dict[str, str], program: str, sentence: str
) -> None:
    lock = Lock(tmp_path / "project", WHEELS)
    with_table(lock, **policy)
    ended = python(cache, f"import magic_module as mm; mm.mount_lock({str(lock.path)!r})\n{program}", status=1)
    assert sentence in ended.stderr
    assert "[tool.magic-module.optional]" in ended.stderr or "write a table" in ended.stderr


@pytest.mark.once
def test_another_policy_is_wrong(tmp_path: Path, cache: Path) -> None:
    program = "import magic_module as mm; mm.mount_lock('pylock.toml', optional='never')"
    assert "ValueError: optional must be 'fetch', 'present-only' or 'deny'" in python(cache, program, status=1).stderr
