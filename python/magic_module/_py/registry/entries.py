"""One entry of a registry: what may be installed under a name, and where it comes from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from magic_module._py.locking.changes import normal
from magic_module._py.locking.reading import wrong
from magic_module._py.locking.secrets import refuse_kept, shown

INDEX = "index"
"""The source of what comes from an index."""

NO_SOURCE = "No download source available"

MIB = 1 << 20

_GIT = ("git+https://", "git+ssh://", "git+http://", "git+file://")


@dataclass(frozen=True)
class ApprovedModule:
    """One entry of a registry.

    Attributes:
        name: as the file calls it.
        display_name: a name for people; `name` if the file has none.
        description: a text for people.
        requirement: what a resolver gets, such as `pandas==2.1.4`, with variables as in the file.
        version: the version that the file names.
        dependencies: what it needs, as the file says: other entries, or requirements.
        source: `index`, a URL of a wheel, `git+https://…`, a manifest's URL; None if the entry has none.
        index: the index that this entry, and no other, comes from.
        public_key: the keys of a manifest.
        options: its `options` table in the file.
        system: what the operating system must have, by platform (`linux`, `macos`, `windows`, or `any`).
        locked: the version that the lock has; None if it is not locked.
        size: bytes of the wheel that the lock has for this interpreter; None if it does not say.
    """

    name: str
    display_name: str
    description: str
    requirement: str
    version: str | None
    dependencies: tuple[str, ...]
    source: str | None
    index: str | None
    public_key: tuple[str, ...]
    options: Mapping[str, Any]
    system: Mapping[str, str]
    locked: str | None
    size: int | None

    @property
    def distribution(self) -> str:
        """The distribution's name in its normal form."""
        found = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.requirement)
        return normal(found.group() if found else self.name)

    @property
    def is_manifest(self) -> bool:
        """Whether its source is a manifest, which is not resolved."""
        return self.source is not None and self.source.partition("?")[0].endswith(".json")

    @property
    def pypi_name(self) -> str | None:
        """The name to ask an index for."""
        return self.distribution if self.source == INDEX else None

    @property
    def wheel_url(self) -> str | None:
        """The URL of its wheel."""
        is_wheel = self.source is not None and self.source.partition("?")[0].endswith(".whl")
        return shown(self.source) if is_wheel and self.source else None

    @property
    def size_mb(self) -> float | None:
        """The size in MiB, as it was measured."""
        return None if self.size is None else round(self.size / MIB, 2)

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON, without credentials."""
        return {
            "name": self.name,
            "display_name": self.display_name,
            "description": self.description,
            "requirement": shown(self.requirement),
            "version": self.locked or self.version,
            "dependencies": list(self.dependencies),
            "source": self.source and shown(self.source),
            "index": self.index and shown(self.index),
            "public_key": list(self.public_key),
            "options": dict(self.options),
            "system": dict(self.system),
            "size": self.size,
            "size_mb": self.size_mb,
            "wheel_url": self.wheel_url,
            "pypi_name": self.pypi_name,
        }


def measured(module: ApprovedModule, version: str | None, size: int | None) -> ApprovedModule:
    """The same with what a lock says."""
    return replace(module, locked=version, size=size)


def entry(name: str, said: Mapping[str, Any], of: str) -> ApprovedModule:
    """An entry of a TOML file.

    Raises:
        ConfigurationError: it contradicts itself, or a value is of another kind.
    """
    place = f"modules.{name}"
    text = _Texts(said, place, of)
    source, version, requirement = text("source"), text("version"), text("requirement")
    if version and requirement:
        raise wrong(of, place, "has a version and a requirement", "keep one of them")
    if source is not None and source != INDEX:
        _check_source(source, f"{place}.source", of)
    if source in (None, INDEX):
        if source or version or requirement or text("index"):
            source = INDEX
    elif text("index"):
        raise wrong(of, f"{place}.index", f"is not allowed beside the source {shown(source)}", "remove one of them")
    for key in ("source", "index", "requirement"):
        refuse_kept(text(key) or "", f"{place}.{key}", of)
    return ApprovedModule(
        name=name,
        display_name=text("display_name") or name,
        description=text("description") or "",
        requirement=_requirement(name, requirement, version, source, place, of),
        version=version,
        dependencies=text.several("dependencies"),
        source=source,
        index=text("index"),
        public_key=text.several("public_key"),
        options=text.table("options"),
        system=_system(text),
        locked=None,
        size=None,
    )


def old_entry(name: str, said: Mapping[str, Any], of: str) -> ApprovedModule:
    """An entry of a JSON file: `wheel_url`, else `pypi_name`, else it has no source. Its size is measured, not read."""
    if said.get("source") is not None:
        new = entry(name, {key: value for key, value in said.items() if key in _NEW and value is not None}, of)
        return replace(new, version=_Texts(said, f"modules.{name}", of)("version"))
    text = _Texts(said, f"modules.{name}", of)
    url, project, version = text("wheel_url"), text("pypi_name"), text("version")
    if url is not None:
        _check_source(url, f"modules.{name}.wheel_url", of)
        refuse_kept(url, f"modules.{name}.wheel_url", of)
    index, requirement, place = text("index"), text("requirement"), f"modules.{name}"
    for key, value in (("index", index), ("requirement", requirement)):
        refuse_kept(value or "", f"{place}.{key}", of)
    source = url or (INDEX if project else None)
    return ApprovedModule(
        name=name,
        display_name=text("display_name") or name,
        description=text("description") or "",
        requirement=_requirement(project or name, requirement, version, source, place, of),
        version=version,
        dependencies=text.several("dependencies"),
        source=source,
        index=index,
        public_key=text.several("public_key"),
        options=text.table("options"),
        system=_system(text),
        locked=None,
        size=None,
    )


_NEW = (
    "display_name", "description", "requirement", "dependencies", "source", "index", "public_key", "options", "system",
)  # fmt: skip
"""What both shapes have; a version beside a requirement is what was locked."""


class _Texts:
    """The values of a table, each of the kind that is wanted."""

    def __init__(self, said: Mapping[str, Any], place: str, of: str) -> None:
        self.said, self.place, self.of = said, place, of

    def __call__(self, key: str) -> str | None:
        value = self.said.get(key) or None
        if value is not None and (not isinstance(value, str) or not value.strip() or "\n" in value):
            raise wrong(self.of, f"{self.place}.{key}", "is not a string of one line", f'write {key} = "…"')
        return value.strip() if value is not None else None

    def several(self, key: str) -> tuple[str, ...]:
        value = self.said.get(key) or ()
        if isinstance(value, str) and key == "public_key":
            value = (value,)
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) and each.strip() for each in value):
            raise wrong(self.of, f"{self.place}.{key}", "is not a list of strings", f'write {key} = ["…"]')
        return tuple(value)

    def table(self, key: str) -> dict[str, Any]:
        value = self.said.get(key) or {}
        if not isinstance(value, Mapping):
            raise wrong(self.of, f"{self.place}.{key}", "is not a table", f"write {key} = {{ … }}")
        return dict(value)


def _system(text: _Texts) -> dict[str, str]:
    value = text.said.get("system")
    if value is None or isinstance(value, str):
        return {"any": value} if value else {}
    found = text.table("system")
    if not all(isinstance(each, str) for each in found.values()):
        raise wrong(text.of, f"{text.place}.system", "is not a table of strings", 'write system = { linux = "…" }')
    return found


def _requirement(
    name: str, requirement: str | None, version: str | None, source: str | None, place: str, of: str
) -> str:
    """As a resolver reads it."""
    from packaging.requirements import InvalidRequirement, Requirement

    if requirement is not None and re.match(r"[<>=!~@(]", requirement):
        requirement = name + requirement
    text = requirement or name
    bare = source is not None and source != INDEX and not source.partition("?")[0].endswith(".json")
    if not bare and version is not None:
        text = f"{name}=={version}"
    try:
        parsed = Requirement(text.replace("${", "%24%7B"))
    except InvalidRequirement as error:
        why = f"is not a requirement: {str(error).splitlines()[0]}"
        raise wrong(of, f"{place}.requirement" if requirement else place, why, f'write "{name}>=1,<2"') from None
    if bare and source is not None:
        extras = f"[{','.join(sorted(parsed.extras))}]" if parsed.extras else ""
        return f"{parsed.name}{extras} @ {source}"
    return text


def _check_source(source: str, place: str, of: str) -> None:
    path = source.partition("?")[0].partition("#")[0]
    is_url = path.startswith(("https://", "http://", "file://")) and path.endswith((".whl", ".json"))
    if not (is_url or source.startswith(_GIT)):
        forms = "index, the URL of a wheel, git+https://…@tag, git+ssh://…@tag, or the URL of a manifest.json"
        raise wrong(of, place, f"is not a known kind of source: {shown(source)}", f"write {forms}")
