"""`doctor --package`: one package, tried step by step in a process of its own, so that it disturbs nobody's.

```text
name ─ the lock that is given, the registry's, else one that is resolved ─▶ `_py.selftest` ─▶ six steps ─ summary
```
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from magic_module import _native
from magic_module._native import _shown as shown
from magic_module._py.cli.answer import Answer, WrongUsage, table
from magic_module._py.locking.changes import normal
from magic_module._py.selftest import STEPS, step
from magic_module.errors import ConfigurationError, MagicModuleError

GOOD = ("success", "already_installed", "skipped")

_PROGRAM = "import sys; sys.path.remove(''); from magic_module._py import selftest; selftest.main()"
"""Nothing is imported from the folder that somebody happens to be in."""


def tried(options: argparse.Namespace) -> Answer:
    """The six steps, and whether all is well."""
    name: str = options.package.strip()
    if not name:
        raise WrongUsage("--package needs the name of one package")
    if (options.manifest_url, options.public_key, options.namespace) != (None, None, None):
        raise WrongUsage("--package tries a package of a lock or of an index: it goes with no manifest")
    steps = list(_steps(name, options))
    by_name = {each["step"]: each for each in steps}
    usage = by_name["usage"]["status"]
    summary = {
        "already_installed": by_name["install"]["status"] == "already_installed",
        "import_successful": by_name["import"]["status"] == "success",
        "usage_successful": None if options.use is None else usage == "success",
        "all_successful": all(each["status"] in GOOD for each in steps),
    }
    lines = table([(each["status"], each["step"], each["message"]) for each in steps])
    ok = summary["all_successful"]
    lines.append(f"{shown(name)}: {'everything is well' if ok else 'something is wrong'}")
    return Answer({"package": name, "steps": steps, "summary": summary}, lines, 0 if ok else 1)


def _steps(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    try:
        lock, wanted, logins = _lock_with(name, options)
    except ConfigurationError:
        raise
    except MagicModuleError as error:
        # Nobody has it, or a rule forbids it: that is what the test was to find out.
        return _filled([step("directory", "skipped", "there is nothing to look into"), _refused(error)], "")
    request = {"lock": str(lock), "name": wanted, "asked": name, "use": options.use, "logins": logins}
    environment = {**os.environ, "MAGIC_MODULE_START": "0"}
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        input=json.dumps(request),
        stdout=subprocess.PIPE,
        stderr=None if not options.json else subprocess.DEVNULL,
        encoding="utf-8",
        env=environment,
        check=False,
    )
    steps = [json.loads(line) for line in ended.stdout.splitlines()]
    if ended.returncode < 0:
        return _filled(steps, f"the process was ended by signal {-ended.returncode}")
    return _filled(steps, f"the process ended with status {ended.returncode}")


def _refused(error: MagicModuleError) -> dict[str, Any]:
    said = " ".join(str(cause).strip(" ×╰─▶│") for cause in error.causes)
    # What a resolver found out stands behind what it says first.
    said = said[max(said.find("Because "), 0) :]
    return step("install", "not_installed", shown(said or str(error), 1500))


def _filled(steps: list[dict[str, Any]], why: str) -> list[dict[str, Any]]:
    """All six: the one at which the process ended failed, the others were not tried."""
    is_broken = any(each["status"] not in GOOD for each in steps)
    for name in STEPS[len(steps) :]:
        if is_broken:
            steps.append(step(name, "skipped", "an earlier step failed"))
        else:
            steps.append(step(name, "failed", why))
            is_broken = True
    return steps


def _lock_with(name: str, options: argparse.Namespace) -> tuple[Path, str, list[str]]:
    """A lock that has the package, what it is called there, and logins for its servers."""
    named = options.lock or _native._settings()["lock"]
    if named is not None:
        return Path(named).absolute(), name, []
    from magic_module._py import installing

    names = [_distribution(name)]
    approved = installing.approved(names)
    if approved is not None:
        lock, found, logins = approved
        return lock, found[0], logins
    settings = _native._settings()
    if settings["registry"] is not None:
        hint = f"add [modules.{name}] to it, and run magic-module registry lock"
        raise MagicModuleError(f"{name} is not among the [modules] of {settings['registry']}; {hint}", hint=hint)
    lock, found = installing.resolved(names)
    return lock, found[0], []


def _distribution(name: str) -> str:
    """What has that name of an import, if people looked at that; else the name is that of a distribution."""
    known = _native._known(name)
    found = known and known["distribution"]
    if known is None or found is None or normal(found) == normal(name):
        return name
    if known["source"] == "generated":
        # Whoever registered the other name would be tried otherwise.
        hint = f"write --package {found}"
        raise MagicModuleError(f"{name} is imported from {found}, to judge by a table; {hint}", name=name, hint=hint)
    return found
