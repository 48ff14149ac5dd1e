"""Warnings that point at the line of the user's program which led to them, not into the import system."""

import sys
import warnings
from types import FrameType

from magic_module import errors


def _is_inside(frame: FrameType) -> bool:
    """True for frames of the import system and of this package's own files, not of a unit's."""
    name = frame.f_globals.get("__name__", "")
    own = name == "magic_module" or name.startswith(("magic_module._", "importlib."))
    return own or frame.f_code.co_filename.startswith("<frozen importlib")


def warn(category: str, text: str) -> None:
    """Issues one warning.

    Args:
        category: a class of `magic_module.errors`.
        text: one sentence.
    """
    frame = sys._getframe(1) if hasattr(sys, "_getframe") else None
    while frame is not None and _is_inside(frame):
        frame = frame.f_back
    where = ("<unknown>", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)
    warnings.warn_explicit(text, getattr(errors, category), *where)
