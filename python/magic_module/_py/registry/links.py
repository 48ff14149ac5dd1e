"""`mm.load_links`: modules that a configuration names, each brought if it is not here, and imported.

```text
imports, links ─ what is installed? ─ the rest: one lock ─ mounted ─ fetched in parallel ─ imported, one by one ─▶ Link
                                        what fails is an error of its link, and the others load
```
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from magic_module import _native
from magic_module._py.locking import making
from magic_module._py.locking.inputs import Inputs, Wanted, inputs
from magic_module._py.locking.reading import wrong
from magic_module._py.locking.request import Request
from magic_module._py.locking.running import ResolverError
from magic_module._py.registry import document, pip_name
from magic_module._py.registry.mounting import mounted
from magic_module._py.registry.registry import Registry
from magic_module.errors import ConfigurationError, MagicModuleError, OfflineError, RequirementError

LOCK = "pylock.toml"


@dataclass
class Link:
    """One module that a configuration names.

    Attributes:
        name: as the configuration calls it.
        module_name: what is imported.
        requirement: the distribution that has it, without secrets; None if the configuration names none.
        options: the module's `default_options`, overridden by those of the configuration.
        module: the module; None if it could not be loaded.
        error: why it could not be loaded; None if it was.
    """

    name: str
    module_name: str
    requirement: str | None
    options: dict[str, Any]
    module: ModuleType | None
    error: Exception | None

    def run(self, *arguments: Any, **named: Any) -> Any:
        """Call the module's `run(uuid, link_name, opts)`.

        One argument is taken as the uuid, and the link's name and options are added; otherwise all are passed on.

        Args:
            arguments: the uuid, or everything that `run` takes.
            named: passed on.

        Raises:
            MagicModuleError: the link was not loaded, or its module has no `run`.
        """
        if self.module is None:
            raise self.error or ConfigurationError(f"the link {self.name} was not loaded")
        function = getattr(self.module, "run", None)
        if not callable(function):
            hint = f"write `def run(uuid, link_name, opts)` in {self.module_name}"
            what = f"cannot run the link {self.name}: {self.module_name} has no run"
            raise ConfigurationError(f"{what}; {hint}", name=self.module_name, hint=hint)
        if len(arguments) == 1 and not named:
            arguments = (*arguments, self.name, self.options)
        return function(*arguments, **named)


def load_links(source: str | os.PathLike[str] | Mapping[str, Any]) -> dict[str, Link]:
    """Load the modules that a configuration names in `imports` and `links`, and fetch those that are not here.

    Args:
        source: a file in TOML, JSON or YAML (with PyYAML), or a mapping of the same shape.

    Returns:
        A `Link` for each name; one that could not be loaded has an `error`, and the others are loaded.

    Raises:
        ConfigurationError: the source cannot be read, or has an invalid entry.

    Example:
        >>> links = mm.load_links({"links": {"math": {"module": "math", "options": {"digits": 3}}}})
        >>> links["math"].module.sqrt(4)
        2.0
    """
    of, tables, registry = _read(source)
    links, missing = {}, {}
    for kind in ("imports", "links"):
        for name, said in tables[kind].items():
            link, wanted = _link(kind, name, said, of)
            links[name] = link
            if wanted is None:
                continue
            try:
                if not _is_here(link, wanted):
                    missing[name] = wanted
            except MagicModuleError as error:
                link.error = error
    if missing:
        _bring(links, missing, of, registry)
    for link in links.values():
        if link.error is None:
            _import(link)
    return links


def _read(source: str | os.PathLike[str] | Mapping[str, Any]) -> tuple[str, dict[str, Any], Registry | None]:
    if isinstance(source, Mapping):
        return "the links", document.checked(source, "the links"), None
    path = Path(source)
    if path.suffix.lower() == ".toml":
        registry = Registry(path)
        return str(registry.path), registry.document, registry
    return str(path), document.read(path), None


def _link(kind: str, name: str, said: Mapping[str, Any], of: str) -> tuple[Link, Wanted | None]:
    place = f"{kind}.{name}"
    module, options = said.get("module", name), said.get("options") or {}
    if not isinstance(module, str) or not all(part.isidentifier() for part in module.split(".")):
        raise wrong(of, f"{place}.module", "is not the name of a module", 'write module = "package.module"')
    if not isinstance(options, Mapping):
        raise wrong(of, f"{place}.options", "is not a table", "write options = { … }")
    wanted = pip_name.read(said, place, of)
    return Link(name, module, wanted.shown() if wanted else None, dict(options), None, None), wanted


def _is_here(link: Link, wanted: Wanted) -> bool:
    """Whether what it requires is installed."""
    from packaging.requirements import Requirement

    if wanted.name is None or " @ " in wanted.requirement:
        return _is_found(link.module_name)
    requirement = Requirement(wanted.requirement)
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    if requirement.specifier.contains(version, prereleases=True):
        return True
    hint = f"upgrade it (`pip install '{requirement}'`), or run this with a lock: magic-module run"
    raise RequirementError(
        f"the link {link.name} requires {requirement}, and {requirement.name} {version} is installed; {hint}",
        name=link.module_name,
        expected=str(requirement.specifier),
        got=version,
        hint=hint,
    )


def _is_found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False


def _bring(links: Mapping[str, Link], missing: Mapping[str, Wanted], of: str, registry: Registry | None) -> None:
    """Mounts a lock that has what is missing, and fetches that; what cannot be had is an error of its link."""
    try:
        lock, asked, failed = _lock(missing, of, registry)
        for name, error in failed.items():
            links[name].error = error
        if lock is None:
            return
        mounted(lock, asked)
    except MagicModuleError as error:
        for name in missing:
            links[name].error = links[name].error or error
        return
    wanted = [links[name].module_name.partition(".")[0] for name in missing if links[name].error is None]
    # What fails, its import says.
    with contextlib.suppress(MagicModuleError):
        _native.prefetch(*dict.fromkeys(wanted))


def _lock(
    missing: Mapping[str, Wanted], of: str, registry: Registry | None
) -> tuple[Path | None, Inputs, dict[str, Exception]]:
    """The registry's lock if it is fresh, else one in the cache; and what could not be resolved."""
    if registry is not None and registry.lock_state == "fresh":
        return registry.lock_path, registry.inputs(), {}
    asked = inputs(of, ["magic-module", "registry", "lock"], missing.values())
    try:
        return resolved(asked), asked, {}
    except OfflineError:
        raise
    except (ResolverError, ConfigurationError) as error:
        if len(missing) == 1:
            return None, asked, dict.fromkeys(missing, error)
    # Which of them it is, only asking for each tells.
    failed: dict[str, Exception] = {}
    for name, wanted in missing.items():
        try:
            resolved(inputs(of, asked.command, [wanted]))
        except MagicModuleError as error:
            failed[name] = error
    rest = [wanted for name, wanted in missing.items() if name not in failed]
    asked = inputs(of, asked.command, rest)
    return (resolved(asked) if rest else None), asked, failed


def resolved(asked: Inputs) -> Path:
    """A lock in the cache that was made of `asked`, once."""
    lock = _native._script_folder(f"links 1\n{asked.digest}") / LOCK
    if not lock.is_file():
        if _native._settings()["offline"]:
            hint = "unset MAGIC_MODULE_OFFLINE once"
            what = f"{asked.of} was not resolved yet, and MAGIC_MODULE_OFFLINE forbids asking an index"
            raise OfflineError(f"{what}; {hint}", hint=hint)
        making.make(Request(inputs=asked, output=str(lock)), frozenset(), lambda _: None)
    return lock


def _import(link: Link) -> None:
    try:
        link.module = importlib.import_module(link.module_name)
    except Exception as error:  # whatever a module raises, the others load
        link.error = error
        return
    defaults = getattr(link.module, "default_options", None)
    if isinstance(defaults, Mapping):
        link.options = {**defaults, **link.options}
