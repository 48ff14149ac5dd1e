"""Mounts on clusters: each adapter places the environment of this process where workers start.

```text
mm.export_environment() ─▶ the engine's way to hand variables on ─▶ the start line of each worker
```

Nothing else has to be carried: workers download for themselves, each node once, and check every byte. Where they
cannot, a bundle travels through the engine into the cache of each node. `multiprocessing`, `concurrent.futures`, joblib
and loky need no adapter, since their workers inherit `os.environ`: `mount(…, export=True)` is enough.

`coverage` is no adapter of a cluster: it is what coverage.py loads as a plug-in.
"""

TYPE_CHECKING = False  # as type checkers know it; `typing` is not imported for it
if TYPE_CHECKING:
    from magic_module.integrations import coverage, dask, ray, spark

__all__ = ["coverage", "dask", "ray", "spark"]


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
    from magic_module import _native

    inherit(environment)
    _native._mount_exported(environment.get("MAGIC_MODULE_MOUNTS", "[]"), environment.get("MAGIC_MODULE_LOCK") or None)


def inherit(environment: dict[str, str]) -> None:
    """The same without the mounts, which may need what is not in the cache yet."""
    import os

    os.environ.update(environment)


def seed(bundle: bytes) -> None:
    """Puts what a bundle has into the cache of this node.

    Args:
        bundle: all of its bytes. Only what has the SHA-256 that it is named by is taken.

    Raises:
        IntegrityError: it is not a bundle, or damaged.
        StoreError: the cache cannot be written.
    """
    import os
    import tempfile

    from magic_module import _native

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bundle.zip")
        with open(path, "wb") as file:
            file.write(bundle)
        _native._unbundle(path, [])


def mount_here() -> None:
    """Mounts in this process what its own environment says, where the start line was not read; twice is once."""
    import os

    place({name: value for name, value in os.environ.items() if name.startswith("MAGIC_MODULE_")})
