"""Compiling for others: what `publish --compile` publishes beside the sources."""

import marshal
import warnings


def compiled(path: str, source: bytes) -> bytes | None:
    """The marshalled code of a source, at the optimisation level of this interpreter.

    Args:
        path: the file, relative to the folder that is published; whoever loads the code names it again.
        source: its bytes.

    Returns:
        None for what is not a module of this interpreter: it is published as a source only.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return marshal.dumps(compile(source, path, "exec", dont_inherit=True))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
