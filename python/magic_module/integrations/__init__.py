"""Mounts on clusters: each adapter places the environment of this process where workers start.

```text
mm.export_environment() ─▶ the engine's way to hand variables on ─▶ the start line of each worker
```

Nothing else is carried: workers download for themselves, each node once, and check every byte. `multiprocessing`,
`concurrent.futures`, joblib and loky need no adapter, since their workers inherit `os.environ`:
`mount(…, export=True)` is enough.
"""

TYPE_CHECKING = False  # as type checkers know it; `typing` is not imported for it
if TYPE_CHECKING:
    from magic_module.integrations import dask, ray, spark

__all__ = ["dask", "ray", "spark"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return __import__(f"magic_module.integrations.{name}", fromlist=["__name__"])
    raise AttributeError(f"module 'magic_module.integrations' has no attribute {name!r}")


def place(environment: dict[str, str]) -> None:
    """Gives a process that runs already what it would have had at its start.

    Args:
        environment: what `export_environment()` gave elsewhere.

    Raises:
        ConfigurationError: a mount in it is not well formed. One that cannot be made fails where something is imported
            from it.
    """
    import os

    from magic_module import _native

    os.environ.update(environment)
    _native._mount_exported(environment.get("MAGIC_MODULE_MOUNTS", "[]"))


def mount_here() -> None:
    """Mounts in this process what its own environment says, where the start line was not read; twice is once."""
    import os

    place({name: value for name, value in os.environ.items() if name.startswith("MAGIC_MODULE_")})
