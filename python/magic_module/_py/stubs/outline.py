"""What a source says about its names, as a stub: signatures, classes, assignments, and no bodies.

The source is parsed, never run. What has no annotation stays without one: checkers take it for unknown.
"""

from __future__ import annotations

import ast

TYPE_CHECKING = False  # as type checkers know it; importing `typing` is a tenth of what a command takes
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    _Function = ast.FunctionDef | ast.AsyncFunctionDef

#: Longer values are not worth reading for their type.
LONGEST = 200

#: What checkers take for a type that nobody has written down.
UNKNOWN = "_typeshed.Incomplete"

#: What has a scope of its own, or only means something while code runs.
_COMPUTED = (
    *(ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
    *(ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr),
)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

#: An attribute of functions that yield something.
_GENERATOR = "is_generator"


def outline(source: bytes) -> str:
    """The stub of a module; a SyntaxError or ValueError if this interpreter cannot read it."""
    module = ast.parse(source)
    if b"yield" in source:
        _mark_generators(module)
    module.body = list(_statements(module.body))
    text = ast.unparse(ast.fix_missing_locations(module))
    return f"{text}\nimport _typeshed\n" if UNKNOWN in text else f"{text}\n"


def _statements(body: Iterable[ast.stmt], in_class: bool = False) -> Iterator[ast.stmt]:
    for statement in body:
        yield from _statement(statement, in_class)


def _statement(it: ast.stmt, in_class: bool) -> Iterator[ast.stmt]:
    if isinstance(it, _FUNCTIONS):
        yield _function(it)
    elif isinstance(it, ast.ClassDef):
        attributes = list(_attributes(it))
        it.body = [*_statements(it.body, True), *attributes] or [_dots()]
        yield it
    elif isinstance(it, ast.ImportFrom):
        # A stub hands on only what it imports under the same name once more.
        for name in it.names if it.module != "__future__" else ():
            name.asname = name.asname or (name.name if name.name != "*" else None)
        yield it
    elif isinstance(it, ast.AnnAssign):
        is_told = ast.unparse(it.annotation).rpartition(".")[2] in ("TypeAlias", "Final")
        if it.value is not None and not ((in_class or is_told) and _is_plain(it.value)):
            it.value = _dots().value if in_class else None
        yield it
    elif isinstance(it, ast.Assign):
        yield from _assignment(it)
    elif isinstance(it, ast.If):
        # Checkers know some conditions, such as TYPE_CHECKING; where they do not, both ways count.
        if "__main__" not in ast.unparse(it.test):
            it.body = list(_statements(it.body, in_class)) or [ast.Pass()]
            it.orelse = list(_statements(it.orelse, in_class))
            yield it
    elif isinstance(it, ast.Try):
        yield from _statements([*it.body, *it.orelse, *it.finalbody], in_class)
    elif isinstance(it, ast.With):
        yield from _statements(it.body, in_class)
    elif (
        isinstance(it, ast.Import)
        or type(it).__name__ == "TypeAlias"
        or _is_docstring(it)
        or (isinstance(it, ast.AugAssign) and _is_all(it.target))
    ):
        yield it


def _function(it: _Function) -> ast.stmt:
    if it.returns is None and not _gives_anything(it):
        it.returns = ast.Constant(None)
    arguments = it.args
    arguments.defaults = [each if _is_plain(each) else _dots().value for each in arguments.defaults]
    arguments.kw_defaults = [
        each if each is None or _is_plain(each) else _dots().value for each in arguments.kw_defaults
    ]
    it.body = [*(it.body[:1] if _is_docstring(it.body[0]) else ()), _dots()]
    return it


def _gives_anything(it: _Function) -> bool:
    """Whether it returns or yields a value. What only raises may be there for others to override."""
    if isinstance(it.body[-1], ast.Raise) or hasattr(it, _GENERATOR):
        return True
    return any(isinstance(each, ast.Return) and each.value is not None for each in _own_statements(it))


def _mark_generators(module: ast.Module) -> None:
    waiting: list[tuple[ast.AST, ast.AST]] = [(module, module)]
    while waiting:
        node, scope = waiting.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            setattr(scope, _GENERATOR, True)
        inner = node if isinstance(node, (*_FUNCTIONS, ast.Lambda)) else scope
        waiting += ((child, inner) for child in ast.iter_child_nodes(node))


def _own_statements(it: _Function) -> Iterator[ast.stmt]:
    """Every statement in a function, but not those in functions and classes in it."""
    waiting = list(reversed(it.body))
    while waiting:
        statement = waiting.pop()
        yield statement
        if not isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
            for part in ("finalbody", "orelse", "handlers", "cases", "body"):
                waiting += reversed(getattr(statement, part, ()))


def _assignment(it: ast.Assign) -> Iterator[ast.stmt]:
    is_plain = _is_plain(it.value) and all(isinstance(target, ast.Name) for target in it.targets)
    if is_plain or any(map(_is_all, it.targets)):
        yield it
        return
    for target in it.targets:
        for name in ast.walk(target):
            if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                yield _declared(name.id, None)


def _attributes(it: ast.ClassDef) -> Iterator[ast.stmt]:
    """What methods assign to `self` and the class does not declare."""
    known = {each.name for each in it.body if isinstance(each, (*_FUNCTIONS, ast.ClassDef))}
    for each in it.body:
        known |= {target.id for target in _targets(each) if isinstance(target, ast.Name)}
    for method in it.body:
        arguments = [*method.args.posonlyargs, *method.args.args] if isinstance(method, _FUNCTIONS) else []
        if not arguments or not isinstance(method, _FUNCTIONS):
            continue
        types = {each.arg: each.annotation for each in [*arguments, *method.args.kwonlyargs]}
        for node in _own_statements(method):
            for target in _targets(node):
                name = _attribute(target, arguments[0].arg)
                if name and name not in known:
                    known.add(name)
                    yield _declared(name, _type_of(node, types))


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def _attribute(target: ast.expr, of: str) -> str | None:
    is_own = isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == of
    return target.attr if is_own and isinstance(target, ast.Attribute) else None


def _type_of(assignment: ast.AST, types: dict[str, ast.expr | None]) -> ast.expr | None:
    """What it says itself; else of an argument its annotation, of a literal its type."""
    if isinstance(assignment, ast.AnnAssign):
        return assignment.annotation
    value = getattr(assignment, "value", None)
    if isinstance(value, ast.Name):
        return types.get(value.id)
    if isinstance(value, ast.Constant) and type(value.value) in (bool, int, float, str, bytes):
        return ast.Name(type(value.value).__name__)
    return None


def _declared(name: str, annotation: ast.expr | None) -> ast.stmt:
    return ast.AnnAssign(ast.Name(name), annotation or ast.parse(UNKNOWN, mode="eval").body, None, 1)


def _is_plain(value: ast.expr) -> bool:
    """Whether a checker can tell its type: a constant, a name, a call, and short ones of these together."""
    return not any(isinstance(node, _COMPUTED) for node in ast.walk(value)) and len(ast.unparse(value)) <= LONGEST


def _is_all(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == "__all__"


def _is_docstring(it: ast.stmt) -> bool:
    return isinstance(it, ast.Expr) and isinstance(it.value, ast.Constant) and isinstance(it.value.value, str)


def _dots() -> ast.Expr:
    return ast.Expr(ast.Constant(...))
