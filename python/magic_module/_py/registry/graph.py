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
        if normal(root) in done:
            continue
        # The way down from the root: by its normal name each, and what of its needs is still to be looked at.
        way = {normal(root): (root, iter(needs(root)))}
        while way:
            key, (name, rest) = next(reversed(way.items()))
            following = next((each for each in rest if normal(each) not in done), None)
            if following is None:
                done[key] = name
                del way[key]
            elif (further := normal(following)) in way:
                names = [each for each, _ in way.values()][list(way).index(further) :]
                raise CycleError(" → ".join([*names, names[0]]))
            else:
                way[further] = (following, iter(needs(following)))
    return list(done.values())
