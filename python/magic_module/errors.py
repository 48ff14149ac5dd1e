"""What can go wrong, as exception classes.

```text
ImportError
└── MagicModuleError          every error of this package
    ├── UnitNotFoundError     the name is not in the manifest (also a ModuleNotFoundError)
    ├── ConfigurationError    a setting is missing or contradicts another
    ├── ManifestError         the manifest document is wrong
    ├── FetchError            the network or the server failed
    ├── OfflineError          something is missing, and MAGIC_MODULE_OFFLINE forbids fetching it
    ├── IntegrityError        bytes are not the pinned ones
    │   └── SignatureError    a manifest's signature is missing, or not made with an accepted key
    ├── PolicyError           a rule of the user or the author forbids it
    ├── RequirementError      the interpreter or an installed distribution does not fit
    └── StoreError            the cache directory cannot be used
```

Warnings, issued once per process:

```text
UserWarning
└── MagicModuleWarning        every warning of this package
    ├── OldManifestWarning    `created + max_age` of a manifest has passed, and the server has no newer one
    └── YankedWarning         a version in use was taken back by its author
```

Only `UnitNotFoundError` is a `ModuleNotFoundError`: an `except ModuleNotFoundError` around an optional import never
hides an outage or a damaged download.
"""

from __future__ import annotations

from collections.abc import Sequence

from magic_module import _native

TYPE_CHECKING = False  # as type checkers know it; `typing` is not imported for it
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "ConfigurationError",
    "FetchError",
    "IntegrityError",
    "MagicModuleError",
    "MagicModuleWarning",
    "ManifestError",
    "OfflineError",
    "OldManifestWarning",
    "PolicyError",
    "RequirementError",
    "SignatureError",
    "StoreError",
    "UnitNotFoundError",
    "YankedWarning",
]

SCHEMA = 1

_LONG = 1000
"""The longest attribute: what a server or a caller wrote may be of any length."""


class MagicModuleError(ImportError):
    """Every error of this package; `str(error)` is one sentence that ends in the remedy.

    Attributes:
        name: the module or unit, as it follows `import`.
        url: what was asked for, without credentials and query.
        path: a file, or a place in a document (`modules.alpha.files[1].sha256`).
        expected: what should have been there.
        got: what was there.
        hint: the remedy alone: the variable, argument or command to change.
        causes: the errors that led to it, outermost first.
    """

    url: str | None
    expected: str | None
    got: str | None
    hint: str | None
    causes: tuple[str, ...]

    def __init__(
        self,
        message: str = "",
        *,
        name: str | None = None,
        url: str | None = None,
        path: str | None = None,
        expected: str | None = None,
        got: str | None = None,
        hint: str | None = None,
        causes: Sequence[str] = (),
    ) -> None:
        # A path of a usual length stays what it is: it is there to be used.
        path = path if path is None or len(path) <= _LONG else _shown(path)
        super().__init__(_native._shown(message), name=_shown(name), path=path)
        self.url = _shown(url)
        self.expected = _shown(expected)
        self.got = _shown(got)
        self.hint = _shown(hint)
        self.causes = tuple(_native._shown(cause, _LONG) for cause in causes)

    def to_dict(self) -> dict[str, Any]:
        """Everything that is known, ready for JSON; fields that do not apply are None."""
        return {
            "schema": SCHEMA,
            "type": type(self).__name__,
            "message": str(self),
            "name": self.name,
            "url": self.url,
            "path": self.path,
            "expected": self.expected,
            "got": self.got,
            "hint": self.hint,
            "causes": list(self.causes),
        }


def _shown(text: str | None) -> str | None:
    return None if text is None else _native._shown(text, _LONG)


class UnitNotFoundError(MagicModuleError, ModuleNotFoundError):
    """The name is not in the manifest."""


class ConfigurationError(MagicModuleError):
    """A setting is missing or contradicts another."""


class ManifestError(MagicModuleError):
    """The manifest document is wrong; `path` is the place in it."""


class FetchError(MagicModuleError):
    """The network or the server failed."""


class OfflineError(MagicModuleError):
    """Something is missing, and `MAGIC_MODULE_OFFLINE` forbids fetching it."""


class IntegrityError(MagicModuleError):
    """Bytes are not the pinned ones: see `expected` and `got`."""


class SignatureError(IntegrityError):
    """A manifest's signature is missing, or not made with an accepted key."""


class PolicyError(MagicModuleError):
    """A rule of the user or the author forbids it."""


class RequirementError(MagicModuleError):
    """The interpreter or an installed distribution does not fit."""


class StoreError(MagicModuleError):
    """The cache directory cannot be used."""


class MagicModuleWarning(UserWarning):
    """Every warning of this package."""


class OldManifestWarning(MagicModuleWarning):
    """`created + max_age` of a manifest has passed, and the server has no newer one."""


class YankedWarning(MagicModuleWarning):
    """A version in use was taken back by its author; `upgrade` moves to a good one."""
