"""`mm.install`: plain files in a folder, for whoever wants a plain environment.

```text
names ─ are they there already? ─ the registry's lock, a lock that is given, else one that is resolved
   ─ the engine: fetched through the store, checked, laid out aside, renamed into place
```
"""

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magic_module import _native
from magic_module.errors import ConfigurationError, PolicyError

SUCCESS = "success"
ALREADY = "already_installed"


@dataclass(frozen=True)
class Installed:
    """What happened to one distribution.

    Attributes:
        name: as its author writes it.
        version: as its author writes it.
        status: `success`, or `already_installed`.
    """

    name: str
    version: str
    status: str


def install(
    *names: str, into: str | os.PathLike[str] | None = None, lock: str | os.PathLike[str] | None = None
) -> list[Installed]:
    """Install distributions and what they require as plain files, as `pip install --target` does.

    Files are copies: an edit there never reaches the cache. What is already there costs no request.

    Args:
        names: requirements, such as `tabulate>=0.9`; with a lock, names of its packages, or nothing for all of them.
        into: the folder; without it, the environment that this runs in.
        lock: a `pylock.toml` with the versions; without it, the lock of `MAGIC_MODULE_REGISTRY` if it
            has all names; else the names are resolved.

    Returns:
        What happened to each distribution; those that others require come first.

    Raises:
        ConfigurationError: there is nothing to install, or the registry's lock is stale.
        PolicyError: a rule forbids it, or a file that does not belong to the package is in the way.
        MagicModuleError: it cannot be resolved, fetched or written; nothing was changed.

    Example:
        >>> mm.install("tabulate", into="packages")
        [Installed(name='tabulate', version='0.9.0', status='success')]
    """
    if not names and lock is None:
        hint = "name what to install, or give a lock"
        raise ConfigurationError(f"there is nothing to install; {hint}", hint=hint)
    site, others = _target(into)
    if lock is None:
        there = list(_there(names, site))
        if there:
            return there
        found, wanted = _lock_for(names)
    else:
        found, wanted = Path(lock), [_name(each) for each in names]
    done = _native._install_into(found, wanted, site, others=others, python=sys.executable)
    return [Installed(name, version, ALREADY if already else SUCCESS) for name, version, already in done]


def _target(into: str | os.PathLike[str] | None) -> tuple[str, tuple[str, str, str] | None]:
    """The folder of what is imported, and where it is not a single folder those of scripts, data and headers."""
    if into is not None:
        return os.path.abspath(into), None
    import sysconfig

    paths = sysconfig.get_paths()
    marker = os.path.join(paths["stdlib"], "EXTERNALLY-MANAGED")
    if sys.prefix == sys.base_prefix and os.path.exists(marker):
        hint = "give a folder (--into DIR), or run this in a virtual environment"
        raise PolicyError(f"{sys.prefix} belongs to the system's packages; {hint}", path=sys.prefix, hint=hint)
    headers = os.path.join(paths["data"], "include", "site", "python{}.{}".format(*sys.version_info))
    return paths["purelib"], (paths["scripts"], paths["data"], headers)


def _there(names: Sequence[str], site: str) -> Iterator[Installed]:
    """What meets the names, and all that it requires, if the folder has it all; else nothing."""
    if not os.path.isdir(site):
        return
    import importlib.metadata

    from packaging.requirements import InvalidRequirement, Requirement

    from magic_module._py.locking.changes import normal

    known: dict[str, Any] = {}
    for distribution in importlib.metadata.distributions(path=[site]):
        name = distribution.metadata["Name"]
        if name:
            known.setdefault(normal(name), distribution)
    try:
        todo = [Requirement(name) for name in names]
    except InvalidRequirement:
        return  # a URL, or what a resolver says more of
    met: dict[tuple[str, str], Any] = {}
    while todo:
        requirement = todo.pop()
        found = known.get(normal(requirement.name))
        if found is None or requirement.url or not requirement.specifier.contains(found.version, prereleases=True):
            return
        for extra in ("", *requirement.extras):
            if (normal(requirement.name), extra) in met:
                continue
            met[normal(requirement.name), extra] = found
            for text in found.requires or ():
                further = Requirement(text)
                if further.marker is None:
                    if not extra:
                        todo.append(further)
                elif further.marker.evaluate({"extra": extra}):
                    todo.append(further)
    once = {name: distribution for (name, _), distribution in met.items()}
    for distribution in once.values():
        yield Installed(distribution.metadata["Name"], distribution.version, ALREADY)


def _lock_for(names: Sequence[str]) -> tuple[Path, list[str]]:
    """A lock that has the names, and what they are called in it."""
    found = approved(names)
    if found is None:
        return resolved(names)
    lock, wanted, logins = found
    _native._tell_logins(logins)
    return lock, wanted


def resolved(names: Sequence[str]) -> tuple[Path, list[str]]:
    """A lock that is made for the names, and what they are called in it.

    Raises:
        MagicModuleError: they cannot be resolved, or one does not say what it is called.
    """
    from magic_module._py.locking import making
    from magic_module._py.locking.inputs import inputs
    from magic_module._py.locking.request import Request
    from magic_module._py.registry import building

    lock = _native._script_folder("\n".join(["install 1", *names])) / "pylock.toml"
    making.make(
        Request(names=tuple(names), output=str(lock), upgrade=(), says_indexes=False), frozenset(), lambda _: None
    )
    wanted = [_name(each) for each in names]
    return building.ready(lock, inputs("the command line", (), ())), wanted


def approved(names: Sequence[str]) -> tuple[Path, list[str], list[str]] | None:
    """The lock of the registry that the user named, if it approves all names: with what they are called, and logins.

    Raises:
        ConfigurationError: the registry has no lock, or a stale one.
    """
    if _native._settings()["registry"] is None:
        return None
    from magic_module._py.registry import building
    from magic_module._py.registry.registry import Registry

    registry = Registry()
    modules = [registry.get_module(name) for name in names]
    found = [module.distribution for module in modules if module is not None]
    if len(found) < len(names):
        return None
    asked = registry.usable()
    return building.ready(registry.lock_path, asked), found, asked.logins()


def _name(requirement: str) -> str:
    """The distribution that a requirement names."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        return Requirement(requirement).name
    except InvalidRequirement:
        pass
    try:
        return str(parse_wheel_filename(requirement.partition("?")[0].replace("\\", "/").rpartition("/")[2])[0])
    except InvalidWheelFilename:
        hint = "write `name @ URL`"
        raise ConfigurationError(f"{requirement} does not say what it is called; {hint}", hint=hint) from None
