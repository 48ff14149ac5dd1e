"""Where the units of a command come from: its options, the environment, or the package that mounts itself."""

import argparse
import importlib
from collections.abc import Sequence

from magic_module import _native
from magic_module._py.cli.answer import WrongUsage
from magic_module.errors import ConfigurationError, MagicModuleError

OWN = "magic_module"
"""The namespace that the environment mounts."""


def provide(options: argparse.Namespace, names: Sequence[str] = (), *, needed: bool = True) -> str:
    """Mounts what the options say, and tells the namespace.

    A lock, given or the environment's, serves top-level names. Without options the environment's mount serves
    `magic_module`; another namespace is mounted by the package that it belongs to, which is imported for it.
    """
    _native._skip_start()
    if options.frozen:
        _native._freeze()
    settings = _native._settings()
    is_manifests = (options.manifest_url, options.public_key, options.namespace) != (None, None, None)
    if options.lock is not None:
        if is_manifests:
            raise WrongUsage("--lock has packages of its own: it goes with no manifest and no namespace")
        _native.mount_lock(options.lock, build=getattr(options, "build", False))
        return ""
    if settings["lock"] is not None or settings["mounts"] != "[]":
        # They are mounted already, unless this interpreter was started without the start line.
        _native._mount_said()
        if settings["lock"] is not None and not is_manifests:
            return ""
    url, keys = options.manifest_url, options.public_key
    namespace: str = OWN if options.namespace is None else options.namespace
    if url is None and keys is None:
        roots = {name.partition("==")[0].partition(".")[0] for name in names} if options.namespace is None else set()
        for root in roots or {namespace}:
            if root != OWN:
                _mounted_by_its_package(root, needed)
        return namespace
    own = namespace == OWN
    url = url or (settings["manifest_url"] if own else None)
    if url is None:
        hint = "give --manifest-url" + (" or set MAGIC_MODULE_MANIFEST_URL" if own else "")
        raise ConfigurationError(f"no manifest is known for {namespace or 'the top level'}; {hint}", hint=hint)
    if own:
        keys = keys or settings["public_key"] or None
        pins = dict(pin.split("==", 1) for pin in settings["pins"])
        _native.mount(OWN, url, public_key=keys, pins=pins or None, allow_http=settings["allow_http"])
    else:
        _native.mount(namespace, url, public_key=keys)
    return namespace


def _mounted_by_its_package(namespace: str, needed: bool) -> None:
    def mounted() -> bool:
        return any(entry["namespace"] in (namespace, "") for entry in _native._mounts())

    if namespace and not mounted():
        try:
            importlib.import_module(namespace)
        except MagicModuleError:
            raise
        except ImportError:
            pass  # the sentence below says what to do about it
    if needed and not mounted():
        hint = "give --manifest-url"
        if namespace:
            hint += f", or install the package {namespace} that mounts itself, or write {OWN}.{namespace}"
        raise ConfigurationError(f"no manifest is known for {namespace or 'the top level'}; {hint}", hint=hint)
