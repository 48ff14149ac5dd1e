"""Files of a registry, read: TOML, JSON in the shape of older registries, YAML where PyYAML is there.

What a file may say is one table of keys; whatever else it says is an error that names the key which comes closest.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from magic_module import _native
from magic_module._py.locking import reading
from magic_module._py.locking.changes import normal
from magic_module._py.locking.reading import wrong
from magic_module.errors import ConfigurationError, RequirementError

TABLES = ("modules", "imports", "links", "names", "policy", "scripts")
"""`names`, `policy` and `scripts` are read by whoever uses them."""

PRELOAD = "preload"
"""A list of names that are fetched beside a program that starts."""

MODULE = (
    "display_name",
    "description",
    "requirement",
    "version",
    "dependencies",
    "source",
    "public_key",
    "index",
    "options",
    "system",
)
OLD_MODULE = (
    "name",
    "display_name",
    "description",
    "version",
    "size_mb",
    "dependencies",
    "wheel_url",
    "pypi_name",
    "size",
)
"""What an entry of a JSON registry says."""

LINK = ("module", "requirement", "pip_name", "options")


def read(path: Path) -> dict[str, Any]:
    """The tables of a file, by its suffix.

    Raises:
        ConfigurationError: it cannot be read, or has an invalid entry.
        RequirementError: it is YAML, and nothing here reads that.
    """
    text, of = reading.text_of(str(path)), str(path)
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        document = _yaml(text, of)
    elif suffix == ".json":
        document = _json(text, of)
    else:
        document = reading.parse(text, of)
    return checked(document, of, old=suffix == ".json")


def checked(document: Any, of: str, *, old: bool = False) -> dict[str, Any]:
    """The tables of a document whose keys are all known; `old`: entries have the keys of a JSON registry."""
    tables = _table(document, "", of)
    known(tables, (*TABLES, PRELOAD), "", of)
    found: dict[str, Any] = {name: tables.get(name) or {} for name in TABLES}
    found[PRELOAD] = _names(tables.get(PRELOAD), of)
    modules = found["modules"]
    if old and isinstance(modules, list):
        modules = found["modules"] = _by_name(modules, of)
    for name, entry in _table(modules, "modules", of).items():
        known(_table(entry, f"modules.{name}", of), (*MODULE, *OLD_MODULE) if old else MODULE, f"modules.{name}", of)
    _refuse_twins(modules, "modules", of)
    if isinstance(found["imports"], list):
        found["imports"] = {name: {} for name in found["imports"]}
    for kind in ("imports", "links"):
        entries = {name: _link(entry) for name, entry in _table(found[kind], kind, of).items()}
        found[kind] = entries
        for name, entry in entries.items():
            known(_table(entry, f"{kind}.{name}", of), LINK, f"{kind}.{name}", of)
    both = sorted(set(found["imports"]) & set(found["links"]))
    if both:
        raise wrong(of, f"links.{both[0]}", f"has the name of imports.{both[0]}", "give one of them another name")
    return found


def known(table: Mapping[str, Any], keys: Iterable[str], place: str, of: str) -> None:
    """Refuses a key that is not among `keys`."""
    names = sorted(keys)
    for key in table:
        if key not in names:
            near = _native._closest(str(key), names)
            hint = f"write {near}" if near else f"the keys are {', '.join(names)}"
            raise wrong(of, f"{place}.{key}" if place else str(key), "is not a known key", hint)


def _table(value: Any, place: str, of: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise wrong(
            of, place or "the file", "is not a table of names", "see the example of `magic-module registry init`"
        )
    return dict(value)


def _names(value: Any, of: str) -> list[str]:
    names = [] if value is None else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise wrong(of, PRELOAD, "is not a list of names", 'write preload = ["pandas"], above all tables')
    return names


def _link(entry: Any) -> Any:
    """Nothing, or a requirement alone, says what a table would."""
    return {} if entry is None else {"requirement": entry} if isinstance(entry, str) else entry


def _by_name(entries: list[Any], of: str) -> dict[str, Any]:
    """Old registries list their entries."""
    found: dict[str, Any] = {}
    for at, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name in found:
            why = "has no name" if not isinstance(name, str) else f"is called {name}, as another one is"
            raise wrong(of, f"modules[{at}]", why, "give each entry a name of its own")
        found[name] = entry
    return found


def _refuse_twins(modules: Mapping[str, Any], place: str, of: str) -> None:
    seen: dict[str, str] = {}
    for name in modules:
        other = seen.setdefault(normal(name), name)
        if other != name:
            raise wrong(of, f"{place}.{name}", f"has the same name as {place}.{other}", "keep one of them")


def _json(text: str, of: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise wrong(of, twice, "appears there twice", "keep one of them")
        return found

    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        hint = f"correct {of}"
        raise ConfigurationError(f"cannot read {of}: it is not JSON: {error}; {hint}", path=of, hint=hint) from None


def _yaml(text: str, of: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        hint = "install PyYAML (`pip install pyyaml`), or write the same as TOML"
        raise RequirementError(f"cannot read {of}: PyYAML is not installed; {hint}", path=of, hint=hint) from None
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        why = " ".join(str(error).split())
        hint = f"correct {of}"
        raise ConfigurationError(f"cannot read {of}: it is not YAML: {why}; {hint}", path=of, hint=hint) from None
