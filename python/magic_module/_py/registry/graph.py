"""What depends on what: in an order in which everything comes after what it needs."""

from collections.abc import Callable, Iterable

from magic_module._py.locking.changes import normal


class CycleError(ValueError):
    """Modules that need each other; the text names them in their order."""


def ordered(roots: Iterable[str], needs: Callable[[str], Iterable[str]]) -> list[str]:
    """The names, and all that they need, each once and after what it needs.

    Raises:
        CycleError: some need each other.
    """
    done: dict[str, str] = {}
    for root in roots:
        # Each step of a way down from the root: a name, and what of its needs is still to be looked at.
        way = [(root, iter(needs(root)))] if normal(root) not in done else []
        while way:
            name, rest = way[-1]
            following = next((each for each in rest if normal(each) not in done), None)
            if following is None:
                done[normal(name)] = name
                way.pop()
                continue
            names = [each for each, _ in way]
            if normal(following) in map(normal, names):
                at = [normal(each) for each in names].index(normal(following))
                raise CycleError(" → ".join([*names[at:], names[at]]))
            way.append((following, iter(needs(following))))
    return list(done.values())
