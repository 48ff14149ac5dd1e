"""Import what you have not downloaded yet.

`import magic_module.alpha` asks a manifest URL which files make up `alpha`, downloads code and data into the user's
cache directory, verifies every byte, and loads it as an ordinary module. The next run makes no request.
"""

try:
    from magic_module import _native
except (ImportError, SystemError) as _error:
    from magic_module._py.unloadable import why as _why

    _said = _why(_error, __spec__.loader)
    if _said is None:
        raise
    raise ImportError(_said, name=__name__) from _error

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
    from magic_module import errors, integrations
    from magic_module._native import ModuleInfo, Mount, Report, ScriptReport, Upgrade
    from magic_module._py.api import aprefetch
    from magic_module._py.asking import Request
    from magic_module._py.following import events, progress
    from magic_module._py.installing import Installed, install
    from magic_module._py.registry.entries import ApprovedModule
    from magic_module._py.registry.links import Link, load_links
    from magic_module._py.registry.registry import Registry
    from magic_module._py.running.result import Run
    from magic_module._py.running.running import arun, run
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
    "Run",
    "ScriptReport",
    "Space",
    "Upgrade",
    "__version__",
    "aprefetch",
    "arun",
    "available",
    "cache_dir",
    "check_script",
    "data_path",
    "errors",
    "events",
    "export_environment",
    "info",
    "install",
    "integrations",
    "load_links",
    "mount",
    "mount_lock",
    "on_event",
    "on_request",
    "prefetch",
    "progress",
    "prune",
    "rollback",
    "run",
    "upgrade",
    "verify",
]


#: Where the names are that need the standard library, or are classes, which each start would pay for.
_LAZY = {
    "ApprovedModule": "_py.registry.entries",
    "Difference": "_py.spaces.space",
    "Installed": "_py.installing",
    "Link": "_py.registry.links",
    "ModuleInfo": "_native",
    "Mount": "_native",
    "Registry": "_py.registry.registry",
    "Report": "_native",
    "Request": "_py.asking",
    "Run": "_py.running.result",
    "ScriptReport": "_native",
    "Space": "_py.spaces.space",
    "Upgrade": "_native",
    "aprefetch": "_py.api",
    "arun": "_py.running.running",
    "events": "_py.following",
    "install": "_py.installing",
    "load_links": "_py.registry.links",
    "progress": "_py.following",
    "run": "_py.running.running",
}


def __getattr__(name: str) -> object:
    where = _LAZY.get(name)
    if where is not None:
        return getattr(__import__(f"magic_module.{where}", fromlist=[name]), name)
    if name in ("errors", "integrations"):
        # `from magic_module import errors` would ask this function again, without end.
        return __import__(f"magic_module.{name}", fromlist=["__name__"])
    raise AttributeError(f"module 'magic_module' has no attribute {name!r}")


_native._install(__path__)
