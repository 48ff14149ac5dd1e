"""A process in which nothing is synced, for comparison only: the kernel answers 0 to fsync, fdatasync and syncfs.

A seccomp filter, because system calls that go past the C library would slip through a preloaded one. The product has no
such switch.
"""

from __future__ import annotations

import platform
import struct
import sys

# The numbers of fsync, fdatasync, syncfs and sync, as their system's headers have them.
CALLS = {"x86_64": (74, 75, 306, 162), "aarch64": (82, 83, 267, 81)}

SCRIPT = """
import ctypes
program = ctypes.create_string_buffer({program!r})
class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("program", ctypes.c_void_p)]
library = ctypes.CDLL(None, use_errno=True)
wanted = Filter({length}, ctypes.addressof(program))
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
assert {wanted} is False or library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert {wanted} is False or library.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(wanted), 0, 0) == 0
"""


def possible() -> bool:
    return sys.platform == "linux" and platform.machine() in CALLS


def script(wanted: bool) -> str:
    """Python to run first; without `wanted` it loads the same and changes nothing."""
    program, length = _program()
    return SCRIPT.format(program=program, length=length, wanted=wanted)


def _program() -> tuple[bytes, int]:
    """Loads the number of the call; one of ours returns 0 at once (an error whose number is none), all others go on."""
    load, equal, give = 0x20, 0x15, 0x06
    failing, allowed = 0x00050000, 0x7FFF0000
    numbers = CALLS[platform.machine()]
    code = [(load, 0, 0, 0)]
    for at, number in enumerate(numbers):
        code.append((equal, len(numbers) - at, 0, number))
    code += [(give, 0, 0, allowed), (give, 0, 0, failing)]
    return b"".join(struct.pack("=HBBI", *each) for each in code), len(code)
