"""Why our extension module cannot be loaded, where that can be told better than the interpreter does."""

import sys


def why(error: Exception, loader: object) -> str | None:
    """One sentence; None if what was raised says enough."""
    # PEP 684: an extension module that keeps state for the process cannot be loaded twice.
    if "subinterpreter" in str(error):
        return (
            "magic_module works in the main interpreter only, because its downloads and locks belong to the whole "
            "process; import it there, or in another process"
        )
    if "t" in getattr(sys, "abiflags", ""):
        return (
            "magic_module cannot be loaded by this free-threaded Python: its wheel is built for the stable ABI, which "
            "needs the global interpreter lock; use a Python without `t` in its name, or build magic_module from its "
            "sources with this one"
        )
    if type(loader).__module__ == "zipimport":
        return (
            "magic_module cannot be loaded from a zip archive, because the system loads extension modules from files "
            "only; leave it out of the archive and install it where the archive runs, or pack the program with a tool "
            "that unpacks what it runs, such as shiv or PyInstaller"
        )
    return None
