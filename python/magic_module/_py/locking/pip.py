"""Resolving with `pip lock`, where there is no uv.

pip knows no preferences: the old lock's versions become constraints, and if that has no solution, pip is asked once
more without them. pip mixes all indexes and takes the newest version of each package from whichever has it. So whoever
may upload to one index could replace a package of another. Therefore more than one index is refused.
"""

import importlib.metadata
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from magic_module import _native
from magic_module._py.locking import reading, running, script
from magic_module._py.locking.changes import Lock, normal
from magic_module._py.locking.request import Request
from magic_module._py.locking.urls import place
from magic_module.errors import ConfigurationError, OfflineError, PolicyError, RequirementError

OLDEST = (25, 1)
"""The first with `pip lock`."""
DATED = (26, 0)
"""The first that leaves out what was uploaded later."""

INSTALL_UV = "install uv (https://docs.astral.sh/uv/)"
UPGRADE_PIP = "upgrade pip (python -m pip install --upgrade pip)"


class Pip:
    """The pip of this interpreter."""

    def __init__(self, version: str) -> None:
        self.version = tuple(int(part) for part in re.findall(r"\d+", version))
        self.name = f"pip {version}"

    def resolve(self, request: Request, aside: Path, old: Lock | None) -> tuple[str, list[str]]:
        """The text of a new lock, and nothing to warn of; see `uv.Uv.resolve`."""
        self._refuse(request, old)
        with tempfile.TemporaryDirectory(prefix="magic-module-") as folder:
            line = [*_pip(request), "lock", "--output", str(aside), *self._options(request, Path(folder))]
            kept = _kept(request, old)
            pins = Path(folder, "kept.txt")
            pins.write_text("".join(f"{pin}\n" for pin in kept), "utf-8")
            try:
                self._run(request, [*line, "--constraint", str(pins)] if kept else line)
            except running.ResolverError as error:
                if not kept or not any("ResolutionImpossible" in cause for cause in error.causes):
                    raise
                self._run(request, line)
        header = f"# This file was made by pip via the following command:\n#    {request.command()}\n"
        return header + aside.read_text("utf-8"), []

    def _run(self, request: Request, line: list[str]) -> None:
        variables: dict[str, str | None] = {"PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        if request.index_url is not None:
            # In the environment, where other users of the machine do not see the credentials.
            variables["PIP_INDEX_URL"] = request.index_url
        if request.inputs is not None:
            variables |= request.inputs.git_logins()
        running.run(line, what="pip", changes=variables, hide=request.hide)

    def _refuse(self, request: Request, old: Lock | None) -> None:
        if _native._settings()["offline"]:
            hint = "unset MAGIC_MODULE_OFFLINE once, or install uv, which can lock from its cache"
            raise OfflineError(f"pip has to ask an index, and MAGIC_MODULE_OFFLINE forbids it; {hint}", hint=hint)
        if request.exclude_newer is not None and self.version < DATED:
            hint = f"{INSTALL_UV}, or {UPGRADE_PIP}"
            raise RequirementError(f"{self.name} knows no upload times; {hint}", hint=hint)
        several = next(_further_indexes(request, old), None)
        if several is not None:
            what = f"{several}, and pip takes each package from whichever index has the newest"
            why = "so that whoever may upload to one can put a package in place of another's"
            raise PolicyError(f"cannot lock with pip: {what}, {why}; {INSTALL_UV}", hint=INSTALL_UV)

    def _options(self, request: Request, folder: Path) -> Iterator[str]:
        names = [*request.names]
        if request.script is not None:
            names += script.document(request.script).get("dependencies", [])
        where = ""
        if request.inputs is not None:
            names += [*request.inputs.nameless(), *request.inputs.named()]
        if request.project is not None:
            names += _requirements_of(request.project, request.extras)
            where = f"{request.project}:"
        if names:
            file = folder / "names.txt"
            file.write_text("".join(f"{name}\n" for name in names), "utf-8")
            yield from ("--requirement", str(file))
        for path in request.files:
            yield from ("--requirement", path)
        for group in request.groups:
            yield from ("--group", where + group)
        for path in request.constraints:
            yield from ("--constraint", path)
        if request.exclude_newer is not None:
            yield from ("--uploaded-prior-to", request.exclude_newer)


def find() -> Pip | str:
    """The pip of this interpreter; or why it cannot be used."""
    try:
        version = importlib.metadata.version("pip") if sys.executable else ""
    except importlib.metadata.PackageNotFoundError:
        version = ""
    if not version:
        return f"{sys.executable or 'this interpreter'} has no pip"
    pip = Pip(version)
    return pip if pip.version >= OLDEST else f"{pip.name} is older than {'.'.join(map(str, OLDEST))}"


def _pip(request: Request) -> list[str]:
    own = [sys.executable, "-m", "pip"]
    python = request.python
    if python is None:
        return own
    if not re.fullmatch(r"\d+(?:\.\d+)*", python):
        return [*own, "--python", python]
    wanted = tuple(int(part) for part in python.split("."))
    if sys.version_info[: len(wanted)] == wanted:
        return own
    import shutil

    other = shutil.which(f"python{python}")
    if other is None:
        hint = f"{INSTALL_UV}, or give the interpreter's path as --python"
        raise RequirementError(
            f"pip locks for an interpreter that is there, and Python {python} is not; {hint}", hint=hint
        )
    return [*own, "--python", other]


def _kept(request: Request, old: Lock | None) -> list[str]:
    if old is None or not request.keeps():
        return []
    free = {normal(name) for name in request.upgrade or ()}
    return [pin for name, pin in old.pins() if name not in free]


def _further_indexes(request: Request, old: Lock | None) -> Iterator[str]:
    """Sentences that say where more than one index is asked for."""
    if old is not None and len({place(index) for indexes in old.indexes().values() for index in indexes}) > 1:
        yield f"{request.output} has packages of several indexes"
    if request.extra_index_urls:
        yield "--extra-index-url adds an index"
    settings = running.ask([sys.executable, "-m", "pip", "config", "list"]) or ""
    for line in settings.splitlines():
        key, _, value = line.partition("=")
        if key.endswith(".extra-index-url") and value.strip("'\""):
            yield "pip's settings have an extra-index-url"
    for path in (*request.files, *request.constraints):
        yield from _further_indexes_of(path, set())
    if request.inputs is not None and request.inputs.has_own_indexes:
        yield f"{request.inputs.of} names indexes of its own"
    documents = {}
    if request.project is not None:
        documents[request.project] = reading.parse(reading.text_of(request.project), request.project)
    if request.script is not None:
        documents[request.script] = script.document(request.script)
    for source, document in documents.items():
        if {"index", "sources"} & set(document.get("tool", {}).get("uv", {})):
            yield f"{source} names indexes or sources for uv"


def _further_indexes_of(path: str, seen: set[str]) -> Iterator[str]:
    if path in seen or "://" in path:
        return
    seen.add(path)
    for line in reading.text_of(path).splitlines():
        option, _, value = line.strip().partition(" ")
        option, _, joined = option.partition("=")
        if option == "--extra-index-url":
            yield f"{path} adds an index"
        if option in ("-r", "--requirement", "-c", "--constraint"):
            yield from _further_indexes_of(str(Path(path).parent / (joined or value).strip()), seen)


def _requirements_of(path: str, extras: tuple[str, ...]) -> list[str]:
    """What a project requires, as its file says."""
    project: Any = reading.parse(reading.text_of(path), path).get("project", {})
    unknown = {"dependencies", "optional-dependencies"} & set(project.get("dynamic", ()))
    if unknown:
        hint = INSTALL_UV
        what = f"{path} leaves {' and '.join(sorted(unknown))} to its build (dynamic)"
        raise ConfigurationError(f"cannot lock with pip: {what}; {hint}", path=path, hint=hint)
    optional = {normal(name): each for name, each in project.get("optional-dependencies", {}).items()}
    return list(_expanded(project, optional, [*project.get("dependencies", ())], [*extras], path))


def _expanded(
    project: Any, optional: Mapping[str, Any], found: list[str], extras: list[str], path: str
) -> Iterator[str]:
    """With what the extras bring; an extra may name others as `project[other]`."""
    from packaging.requirements import InvalidRequirement, Requirement

    taken: set[str] = set()
    while extras:
        extra = normal(extras.pop())
        if extra in taken:
            continue
        taken.add(extra)
        if extra not in optional:
            hint = f"it has {', '.join(sorted(optional)) or 'none'}"
            raise ConfigurationError(f"{path} has no extra {extra}; {hint}", path=path, hint=hint)
        for text in optional[extra]:
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                found.append(text)  # pip says what is wrong with it
                continue
            if normal(requirement.name) == normal(str(project.get("name", ""))):
                extras += requirement.extras
            else:
                found.append(text)
    yield from found
