"""`mm.Registry`: what a file approves, in which order it is needed, and whether its lock still says the same."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magic_module import _native
from magic_module._py.locking import marks
from magic_module._py.locking.changes import normal
from magic_module._py.locking.inputs import Inputs, Wanted, inputs
from magic_module._py.locking.reading import wrong
from magic_module._py.registry import document, graph, measuring
from magic_module._py.registry.entries import NO_SOURCE, ApprovedModule, entry, measured, old_entry
from magic_module._py.registry.mounting import mounted
from magic_module.errors import ConfigurationError

if TYPE_CHECKING:
    from magic_module._native import Mount

FILE = "modules.toml"


class Registry:
    """The modules that an installation approves: a `modules.toml`, or JSON of the same shape.

    Args:
        path: the file; without it, the one of `MAGIC_MODULE_REGISTRY`, else the nearest `modules.toml`.

    Raises:
        ConfigurationError: there is none, or it has an invalid entry.

    Example:
        >>> registry = mm.Registry("modules.toml")
        >>> registry.get_dependencies("pandas")
        ['numpy', 'python-dateutil', 'pytz']
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = _file(path)
        """The file; absolute."""
        self.document: dict[str, Any] = document.read(self.path)
        of, old = str(self.path), self.path.suffix.lower() == ".json"
        read = old_entry if old else entry
        modules = {normal(name): read(name, said, of) for name, said in self.document["modules"].items()}
        sizes = measuring.of(self.lock_path)
        self._modules = {
            key: measured(module, *sizes.get(module.distribution, (None, None))) for key, module in modules.items()
        }

    @property
    def lock_path(self) -> Path:
        """The path of its lock: `pylock.modules.toml` beside `modules.toml`."""
        return self.path.with_name(f"pylock.{self.path.stem.replace('.', '-')}.toml")

    @property
    def lock_state(self) -> str:
        """`fresh`; `stale`: the file has changed since; or `missing`. No request is made for it."""
        found = marks.found(self.lock_path, marks.INPUTS)
        if found is None:
            return "stale" if self.lock_path.exists() else "missing"
        return "fresh" if found == self.inputs().digest else "stale"

    def get_module(self, name: str) -> ApprovedModule | None:
        """The module that is approved under a name, in any spelling.

        Args:
            name: of the entry.

        Returns:
            None if it is not approved.
        """
        return self._modules.get(normal(name))

    def list_modules(self) -> list[ApprovedModule]:
        """All approved modules, in the order of the file."""
        return list(self._modules.values())

    def get_dependencies(self, name: str) -> list[str]:
        """What an entry needs, as the file says, and what that needs: each once, after what it needs itself.

        Args:
            name: of the entry.

        Raises:
            ConfigurationError: the name is not approved, or entries need each other.
        """
        module = self._approved(name)
        try:
            found = graph.ordered([module.name], self._needs)
        except graph.CycleError as error:
            raise self._cycle(error) from None
        return found[:-1]

    def check(self) -> list[tuple[str, str]]:
        """What is wrong, each with its place in the file; no request is made for it."""
        return list(self._problems())

    def inputs(self) -> Inputs:
        """What its lock is made of.

        Raises:
            ConfigurationError: an entry has no source, or entries need each other.
        """
        for place, why in self._problems():
            raise wrong(str(self.path), place, why, "correct it")
        return inputs(
            str(self.path), ["magic-module", "registry", "lock", "--registry", self.path.name], self._wanted()
        )

    def usable(self) -> Inputs:
        """What its lock is made of, if that is so.

        Raises:
            ConfigurationError: there is no lock, or it is stale.
        """
        state = self.lock_state
        if state != "fresh":
            why = "has no lock" if state == "missing" else "does not match its lock"
            hint = "run magic-module registry lock"
            raise ConfigurationError(f"{self.path} {why}; {hint}", path=str(self.path), hint=hint)
        return self.inputs()

    def mount(self, *, export: bool = False) -> "Mount":
        """Make every approved module importable, by the lock.

        Args:
            export: every process that is started from now on has it, too.

        Returns:
            The mount of the lock; manifests among the sources are mounted beside it.

        Raises:
            ConfigurationError: there is no lock, or it is stale.
            MagicModuleError: as `mount_lock()` and `mount()` do.
        """
        mount = mounted(self.lock_path, self.usable(), export=export)
        for module in self.list_modules():
            if module.is_manifest and module.source is not None:
                keys = list(module.public_key) or None
                _native.mount(module.name, module.source, public_key=keys, export=export)
        return mount

    def to_dict(self) -> dict[str, Any]:
        """The registry ready for JSON, with the measured sizes; a file with that content is a registry, too."""
        return {"modules": {module.name: module.to_dict() for module in self.list_modules()}}

    def to_json(self) -> str:
        """The same as text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False) + "\n"

    def _approved(self, name: str) -> ApprovedModule:
        module = self.get_module(name)
        if module is not None:
            return module
        near = _native._closest(name, [each.name for each in self.list_modules()])
        hint = f"{near} comes closest" if near else f"add [modules.{name}] to {self.path}"
        raise ConfigurationError(f"Unknown module: {name} is not in {self.path}; {hint}", name=name, hint=hint)

    def _needs(self, name: str) -> list[str]:
        module = self.get_module(_name_of(name))
        return [self._called(each) for each in module.dependencies] if module else []

    def _called(self, dependency: str) -> str:
        """An entry's name as the file has it; else what was written."""
        module = self.get_module(_name_of(dependency))
        return module.name if module else dependency

    def _cycle(self, error: graph.CycleError) -> ConfigurationError:
        first = str(error).partition(" ")[0]
        return wrong(str(self.path), f"modules.{first}.dependencies", f"lead back to it: {error}", "remove one of them")

    def _problems(self) -> Iterator[tuple[str, str]]:
        for module in self.list_modules():
            if module.source is None:
                yield f"modules.{module.name}", f"has no source: {NO_SOURCE}"
        try:
            graph.ordered([module.name for module in self.list_modules()], self._needs)
        except graph.CycleError as error:
            yield f"modules.{str(error).partition(' ')[0]}.dependencies", f"lead back to it: {error}"

    def _wanted(self) -> Iterator[Wanted]:
        of = str(self.path)
        for module in self.list_modules():
            place = f"modules.{module.name}"
            if not module.is_manifest:
                yield Wanted(place, module.requirement, module.index, module.distribution)
            for dependency in module.dependencies:
                if self.get_module(_name_of(dependency)) is None:
                    yield Wanted(f"{place}.dependencies", dependency, None, _distribution(dependency, place, of))
        yield from wanted_by_links(self.document, of)


def wanted_by_links(tables: Mapping[str, Any], of: str) -> Iterator[Wanted]:
    """What `[imports]` and `[links]` require."""
    from magic_module._py.registry import pip_name

    for kind in ("imports", "links"):
        for name, said in tables[kind].items():
            found = pip_name.read(said, f"{kind}.{name}", of)
            if found is not None:
                yield found


def _file(path: str | os.PathLike[str] | None) -> Path:
    found: str | os.PathLike[str] | None = (
        path or _native._settings()["registry"] or _native._nearest_registry(Path.cwd())
    )
    if found is None:
        hint = "write one: magic-module registry init; or set MAGIC_MODULE_REGISTRY"
        raise ConfigurationError(f"there is no {FILE} here or above; {hint}", hint=hint)
    return Path(found).absolute()


def _name_of(dependency: str) -> str:
    """The name in a requirement."""
    import re

    return re.split(r"[\s\[<>=!~;@(]", dependency.strip(), maxsplit=1)[0]


def _distribution(dependency: str, place: str, of: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return normal(Requirement(dependency).name)
    except InvalidRequirement:
        why = f"has {dependency!r}, which is neither an entry nor a requirement"
        raise wrong(of, f"{place}.dependencies", why, 'write "name" or "name>=1"') from None
