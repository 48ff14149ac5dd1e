"""Import what you have not downloaded yet.

`import magic_module.alpha` asks a manifest URL which files make up `alpha`, downloads code and data into the user's
cache directory, verifies every byte, and loads it as an ordinary module. The next run makes no request.
"""

try:
    from magic_module import _native
except ImportError as _error:
    # PEP 684: an extension module that keeps state for the process cannot be loaded twice.
    if "subinterpreter" in str(_error):
        _error.msg = (
            "magic_module works in the main interpreter only, because its downloads and locks belong to the whole "
            "process; import it there, or in another process"
        )
    raise

from magic_module._native import (
    __version__,
    available,
    cache_dir,
    check_script,
    data_path,
    export_environment,
    info,
    mount,
    mount_lock,
    on_event,
    on_request,
    prefetch,
    prune,
    rollback,
    upgrade,
    verify,
)

TYPE_CHECKING = False  # as type checkers know it; `typing` is not imported for it
if TYPE_CHECKING:
    from magic_module import errors
    from magic_module._native import ModuleInfo, Mount, Report, ScriptReport, Upgrade
    from magic_module._py.api import aprefetch
    from magic_module._py.asking import Request
    from magic_module._py.installing import Installed, install
    from magic_module._py.registry.entries import ApprovedModule
    from magic_module._py.registry.links import Link, load_links
    from magic_module._py.registry.registry import Registry
    from magic_module._py.spaces.space import Difference, Space

__all__ = [
    "ApprovedModule",
    "Difference",
    "Installed",
    "Link",
    "ModuleInfo",
    "Mount",
    "Registry",
    "Report",
    "Request",
    "ScriptReport",
    "Space",
    "Upgrade",
    "__version__",
    "aprefetch",
    "available",
    "cache_dir",
    "check_script",
    "data_path",
    "errors",
    "export_environment",
    "info",
    "install",
    "load_links",
    "mount",
    "mount_lock",
    "on_event",
    "on_request",
    "prefetch",
    "prune",
    "rollback",
    "upgrade",
    "verify",
]


def __getattr__(name: str) -> object:
    # Classes are made when they are first needed: few programs name them, and each costs every start.
    if name in ("ModuleInfo", "Mount", "Report", "ScriptReport", "Upgrade"):
        return getattr(_native, name)
    # These need the standard library; importing magic_module does not.
    if name == "aprefetch":
        from magic_module._py.api import aprefetch

        return aprefetch
    if name == "Registry":
        from magic_module._py.registry.registry import Registry

        return Registry
    if name in ("Difference", "Space"):
        from magic_module._py.spaces import space

        return getattr(space, name)
    if name in ("Installed", "install"):
        from magic_module._py import installing

        return getattr(installing, name)
    if name in ("Link", "load_links"):
        from magic_module._py.registry import links

        return getattr(links, name)
    if name == "ApprovedModule":
        from magic_module._py.registry.entries import ApprovedModule

        return ApprovedModule
    if name == "Request":
        from magic_module._py.asking import Request

        return Request
    if name == "errors":
        # `from magic_module import errors` would ask this function again, without end.
        import magic_module.errors as errors

        return errors
    raise AttributeError(f"module 'magic_module' has no attribute {name!r}")


_native._install(__path__)
