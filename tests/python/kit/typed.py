"""The types of `_native.pyi` as a schema: what the command line prints as JSON must be one of its objects."""

from __future__ import annotations

import ast
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


def check(value: Any, kind: str) -> None:
    """Fails unless `value` has the fields of `kind`, each of its type, and no others."""
    assert set(value) == set(_KINDS[kind]), kind
    for name, annotation in _KINDS[kind].items():
        assert _fits(value[name], annotation), f"{kind}.{name} is no {ast.unparse(annotation)}: {value[name]!r}"


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
