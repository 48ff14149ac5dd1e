"""What there is: `list`, `info`."""

import argparse

from magic_module import _native
from magic_module._native import _shown as shown
from magic_module._py.cli.answer import Answer, fields, table
from magic_module._py.cli.mounting import provide
from magic_module._py.progress import size

MODULE_FIELDS = ("name", "version", "versions", "summary", "size", "cached", "hidden_by", "yanked")


def list_units(options: argparse.Namespace) -> Answer:
    """Every unit of the namespace."""
    namespace = provide(options)
    found = _native.available(namespace)
    rows = [
        (unit.name, unit.version, size(unit.size), "cached" if unit.cached else "", unit.summary or "")
        for unit in found
    ]
    lines = table(rows, right=(2,)) or [f"the manifest of {namespace or 'the top level'} lists no unit"]
    lines += [shown(f"{unit.name} is hidden by {unit.hidden_by}") for unit in found if unit.hidden_by]
    lines += [shown(f"{unit.name} {unit.version} was taken back: {unit.yanked}") for unit in found if unit.yanked]
    return Answer({"namespace": namespace, "modules": [fields(unit, MODULE_FIELDS) for unit in found]}, lines)


def info(options: argparse.Namespace) -> Answer:
    """What is known about a unit."""
    provide(options, [options.name])
    found = _native.info(options.name)
    rows = [
        ("name", found.name),
        ("version", found.version),
        ("versions", ", ".join(found.versions)),
        ("summary", found.summary or ""),
        ("size", size(found.size)),
        ("cached", "yes" if found.cached else "no"),
        ("hidden by", found.hidden_by or ""),
        ("yanked", found.yanked or ""),
    ]
    return Answer(fields(found, MODULE_FIELDS), table([row for row in rows if row[1]]))
