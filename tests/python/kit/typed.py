"""The types of `_native.pyi` as a schema: what the command line prints as JSON is made of its objects."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import magic_module

_PLAIN = {"str": str, "int": int, "bool": bool, "float": float, "Any": object}


def _fields(kind: ast.ClassDef) -> dict[str, ast.expr]:
    """What a typed dict holds, or what a class shows as properties."""
    dictionary = {each.target.id: each.annotation for each in kind.body
                  if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)}  # fmt: skip
    functions = [each for each in kind.body if isinstance(each, ast.FunctionDef) and each.returns]
    return dictionary | {each.name: each.returns for each in functions if each.decorator_list and each.returns}


_STUB = ast.parse((Path(magic_module.__file__).parent / "_native.pyi").read_text("utf-8"))
_KINDS = {each.name: _fields(each) for each in _STUB.body if isinstance(each, ast.ClassDef)}


_CHANGED = {
    "space": "str",
    "lock": "str",
    "resolver": "str | None",
    "packages": "int",
    "written": "bool",
    "changes": "list[dict[str, Any]]",
}

#: What every command answers: one of the stub's objects, or fields with their types.
ANSWERS: dict[str, str | dict[str, str]] = {
    "publish": "_Published",
    "keygen": {"secret": "str", "public": "str", "public_key": "str", "id": "str", "password": "bool"},
    "completion": {"shell": "str", "script": "str"},
    "stubs": {"output": "str", "units": "list[dict[str, Any]]"},
    "serve": {"url": "str", "manifest_url": "str"},
    "lock": {
        "lock": "str",
        "found": "str | None",
        "resolver": "str",
        "packages": "int",
        "written": "bool",
        "changes": "list[dict[str, Any]]",
        "index": "str | None",
    },
    "list": {"namespace": "str", "modules": "list[ModuleInfo]"},
    "info": "ModuleInfo",
    "fetch": {"names": "list[str]", "bytes": "int"},
    "check": {"ok": "bool", "scripts": "list[dict[str, Any]]"},
    "upgrade": {"upgrades": "list[Upgrade]"},
    "pin": "_Pinned",
    "rollback": {"upgrades": "list[Upgrade]"},
    "verify": "Report",
    "prune": "Report",
    "seal": {
        "directory": "str",
        "sealed": "bool",
        "before": "bool",
        "digest": "str | None",
        "files": "int",
        "bytes": "int",
    },
    "cache": "_Usage",
    "stats": {
        "since": "str | None",
        "journal": "str | None",
        "decisions": "int",
        "damaged": "int",
        "requested": "list[dict[str, Any]]",
        "refused": "list[dict[str, Any]]",
        "failed": "list[dict[str, Any]]",
        "space": "list[dict[str, Any]]",
        "unused_for": "int",
        "unused": "list[dict[str, Any]]",
    },
    "activate": {"environment": "str", "lock": "str", "file": "str"},
    "deactivate": {"environment": "str", "changed": "bool"},
    "bundle": {"bundle": "str", "artifacts": "list[dict[str, Any]]", "bytes": "int"},
    "unbundle": {"bundle": "str", "artifacts": "int", "bytes": "int"},
    "sync": {"ok": "bool", "folder": "str", "locks": "list[dict[str, Any]]"},
    "doctor": {"ok": "bool", "findings": "list[_Finding]"},
    "install": {"into": "str | None", "installed": "list[dict[str, Any]]"},
    "registry list": {
        "registry": "str",
        "lock": "str",
        "state": "str | None",
        "modules": "list[dict[str, Any]]",
    },
    "registry info": {
        "name": "str",
        "display_name": "str",
        "description": "str",
        "requirement": "str",
        "version": "str | None",
        "dependencies": "list[str]",
        "source": "str | None",
        "index": "str | None",
        "public_key": "list[str]",
        "options": "dict[str, Any]",
        "system": "dict[str, str]",
        "size": "int | None",
        "size_mb": "float | None",
        "wheel_url": "str | None",
        "pypi_name": "str | None",
    },
    "registry lock": {
        "registry": "str",
        "lock": "str",
        "resolver": "str",
        "packages": "int",
        "written": "bool",
        "changes": "list[dict[str, Any]]",
    },
    "registry check": {
        "ok": "bool",
        "registry": "str",
        "lock": "str",
        "state": "str | None",
        "findings": "list[dict[str, Any]]",
    },
    "registry init": {"registry": "str"},
    "space create": {"space": "str", "folder": "str", "resolver": "str | None", "packages": "int"},
    "space list": {"folder": "str", "spaces": "list[dict[str, Any]]"},
    "space show": {
        "name": "str",
        "folder": "str",
        "lock": "str",
        "registry": "str | None",
        "journal": "str",
        "requirements": "list[str]",
        "packages": "list[dict[str, Any]]",
        "bytes": "int",
        "used": "int | None",
    },
    "space delete": {"space": "str", "folder": "str"},
    "space lock": _CHANGED,
    "space add": _CHANGED,
    "space remove": _CHANGED,
    "space diff": {"here": "str", "there": "str", "differences": "list[dict[str, Any]]"},
    "run": {
        "ok": "bool",
        "script": "str",
        "status": "int | None",
        "signal": "int | None",
        "limit": "str | None",
        "stdout": "str",
        "stderr": "str",
        "left_out": "int",
        "seconds": "float",
        "cpu": "float",
        "peak_memory": "int",
        "imported": "list[dict[str, Any]]",
        "downloaded": "dict[str, Any]",
        "refused": "list[dict[str, Any]]",
        "enforced": "dict[str, str]",
    },
    "demo": {"ok": "bool", "acts": "list[dict[str, Any]]"},
}
_ERROR = {"schema": "int", "type": "str", "message": "str", "name": "str | None", "url": "str | None",
          "path": "str | None", "expected": "str | None", "got": "str | None", "hint": "str | None",
          "causes": "list[str]"}  # fmt: skip
COMMANDS = frozenset(name.partition(" ")[0] for name in ANSWERS)


def answer(text: str, command: str, failed: bool = False) -> dict[str, Any]:
    """What `command` printed as JSON, without what all have: the answer's fields, or the error's."""
    document: dict[str, Any] = json.loads(text)
    assert document.pop("schema") == 1
    assert document.pop("command") == command
    if not failed:
        check(document, ANSWERS[command])
        return document
    assert list(document) == ["error"]
    check(document["error"], _ERROR)
    return document["error"]  # type: ignore[no-any-return]


def check(value: Any, kind: str | dict[str, str]) -> None:
    """Fails unless `value` has the fields of `kind`, each of its type, and no others."""
    wanted = (
        _KINDS[kind]
        if isinstance(kind, str)
        else {name: ast.parse(text, mode="eval").body for name, text in kind.items()}
    )
    assert set(value) == set(wanted), kind
    for name, annotation in wanted.items():
        assert _fits(value[name], annotation), f"{kind}: {name} is no {ast.unparse(annotation)}: {value[name]!r}"


def _fits(value: Any, annotation: ast.expr) -> bool:
    if isinstance(annotation, ast.BinOp):
        return _fits(value, annotation.left) or _fits(value, annotation.right)
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.slice, ast.Tuple):
        return isinstance(value, dict) and all(_fits(each, annotation.slice.elts[1]) for each in value.values())
    if isinstance(annotation, ast.Subscript):
        return isinstance(value, list) and all(_fits(each, annotation.slice) for each in value)
    if not isinstance(annotation, ast.Name):
        return value is None
    if annotation.id in _KINDS:
        check(value, annotation.id)
        return True
    return isinstance(value, _PLAIN[annotation.id]) and (annotation.id == "bool" or not isinstance(value, bool))
