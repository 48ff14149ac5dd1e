"""Whether this interpreter and what is installed fit a unit, asked before any of the unit's code runs.

All that is missing is one error, and its hint is the exact command that mends it.
"""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from magic_module._py.beside import requirements_at_hand
from magic_module._py.notices import warn
from magic_module.errors import RequirementError

with requirements_at_hand():
    from packaging.markers import UndefinedEnvironmentName
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet
    from packaging.tags import sys_tags
    from packaging.version import InvalidVersion, Version

_told: set[str] = set()


def supported_tags() -> list[str]:
    """The wheel tags of this interpreter, best first."""
    return [str(tag) for tag in sys_tags()]


def check(name: str, requires_python: str | None, dependencies: list[str]) -> None:
    """Raises `RequirementError` unless the interpreter and the installed distributions fit.

    Args:
        name: the module, as it follows `import`.
        requires_python: a version specifier (PEP 440), such as `>=3.10`.
        dependencies: requirements (PEP 508); those whose marker does not hold here are left out.
    """
    if requires_python:
        _check_python(name, requires_python)
    unmet: dict[str, str] = {}
    for text in dependencies:
        for requirement, why in _unmet(name, text):
            unmet.setdefault(_argument(requirement), why)
    if unmet:
        _refuse(name, unmet)


def check_installed(name: str, requirements: list[str], locked: dict[str, str]) -> None:
    """Raises `RequirementError` unless what is installed in the place of a lock's packages fits what requires it.

    What fits in another version than the lock's is warned of, once in a process.

    Args:
        name: the package that requires, as its author writes it.
        requirements: what it says of them (PEP 508).
        locked: the versions that the lock has of them, by their names.
    """
    unmet = {_argument(requirement): why for text in requirements for requirement, why in _unmet(name, text)}
    if unmet:
        _refuse(name, unmet)
    for other, version in locked.items():
        with contextlib.suppress(PackageNotFoundError, InvalidVersion, TypeError):
            if other not in _told and Version(found := distribution(other).version) != Version(version):
                _told.add(other)
                warn(
                    "MagicModuleWarning",
                    f"{other} {found} is installed and wins over {version}, which the lock has; "
                    "mount the lock with first=True, or run in it: magic-module run --lock",
                )


def _check_python(name: str, requires_python: str) -> None:
    running = ".".join(str(part) for part in sys.version_info[:3])
    try:
        fits = SpecifierSet(requires_python).contains(running, prereleases=True)
    # Also raised for a number that is longer than Python converts.
    except ValueError as error:
        hint = f"publish {name} again with a version specifier such as >=3.10"
        raise RequirementError(
            f"cannot import {name}: its requires_python {requires_python!r} is not a version specifier; {hint}",
            name=name,
            got=requires_python,
            hint=hint,
            causes=(str(error),),
        ) from None
    if not fits:
        hint = f"run it with a Python that is {requires_python}, or pin an older version of {name}"
        raise RequirementError(
            f"cannot import {name}: it needs Python {requires_python}, and this is Python {running}; {hint}",
            name=name,
            expected=requires_python,
            got=running,
            hint=hint,
        )


def _refuse(name: str, unmet: dict[str, str]) -> None:
    expected = ", ".join(unmet)
    got = ", ".join(unmet.values())
    command = _command_line([sys.executable or "python", "-m", "pip", "install", *unmet])
    hint = f"run `{command}`"
    listed = _and([f"{requirement} ({why})" for requirement, why in unmet.items()])
    raise RequirementError(
        f"cannot import {name}: it needs {listed}; {hint}", name=name, expected=expected, got=got, hint=hint
    )


def _unmet(
    name: str, text: str, extra: str = "", seen: set[tuple[str, str]] | None = None
) -> Iterator[tuple[Requirement, str]]:
    """What of one requirement is missing, with the reason; the dependencies of its extras included."""
    try:
        requirement = Requirement(text)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
    except (ValueError, UndefinedEnvironmentName) as error:
        hint = f"publish {name} again with requirements as PEP 508 defines them"
        raise RequirementError(
            f"cannot import {name}: its dependency {text!r} is not a requirement; {hint}",
            name=name,
            got=text,
            hint=hint,
            causes=(str(error),),
        ) from None
    if not applies:
        return
    try:
        installed = distribution(requirement.name)
    except PackageNotFoundError:
        yield requirement, "not installed"
        return
    if why := _misfit(requirement, installed):
        yield requirement, why
        return
    seen = set() if seen is None else seen
    for wanted in sorted(requirement.extras):
        if (requirement.name, wanted) in seen:
            continue
        seen.add((requirement.name, wanted))
        for inner in installed.requires or []:
            if "extra" in inner and not _holds_without_extra(inner):
                yield from _unmet(name, inner, wanted, seen)


def _misfit(requirement: Requirement, installed: Distribution) -> str | None:
    # A distribution with broken metadata may have no version at all, whatever the annotation says.
    version: str | None = installed.version
    if not version:
        return "installed without a version"
    try:
        fits = requirement.specifier.contains(version, prereleases=True)
    except ValueError:
        fits = False
    return None if fits else f"{version} is installed"


def _holds_without_extra(text: str) -> bool:
    """Such a dependency was a matter of installing the distribution itself, not of its extra."""
    try:
        marker = Requirement(text).marker
        return marker is None or marker.evaluate({"extra": ""})
    except (ValueError, UndefinedEnvironmentName):
        return False


def _argument(requirement: Requirement) -> str:
    """The requirement as pip takes it on the command line; the marker holds, and only lengthens it."""
    bare = Requirement(str(requirement))
    bare.marker = None
    return str(bare)


def _command_line(arguments: list[str]) -> str:
    if os.name != "nt":
        return shlex.join(arguments)
    # The shell there would take "a>=1" for a redirection, which `subprocess.list2cmdline` leaves to it.
    return " ".join(f'"{each}"' if set(each) & set(" <>|&^;") else each for each in arguments)


def _and(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
