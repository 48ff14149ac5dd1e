"""The engine. What does not start with an underscore is public and re-exported by `magic_module`."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any, Final, Literal, TypedDict, final

if sys.version_info >= (3, 11):
    from typing import Self
else:
    from typing_extensions import Self

__version__: Final[str]

class _Event(TypedDict):
    event: str
    unit: str
    artifact: str
    url: str
    bytes: int
    total: int
    percentage: float
    status: str

class _PublishedUnit(TypedDict):
    name: str
    old_version: str | None
    version: str
    files: int
    bytes: int
    changed: bool

class _Pinned(TypedDict):
    path: str
    frozen: bool
    units: dict[str, str]

class _KeyPair(TypedDict):
    secret: str
    public: str
    public_key: str
    id: str

class _LeftOut(TypedDict):
    path: str
    reason: str

class _Published(TypedDict):
    changed: bool
    signed: bool
    serial: int
    manifest: str
    units: list[_PublishedUnit]
    dropped: int
    left_out: list[_LeftOut]

class _Finding(TypedDict):
    check: str
    ok: bool
    message: str
    hint: str | None

@final
class Mount:
    """A namespace bound to where its units come from; leaving the context closes it."""

    @property
    def namespace(self) -> str:
        """The importable prefix that is served; empty for top-level names."""
    @property
    def manifest_url(self) -> str:
        """Where the units come from, without credentials."""
    @property
    def identity(self) -> str:
        """The digest under which the store keeps this mount's generations."""
    def close(self) -> None:
        """Undo the mount; what is imported stays imported."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class ModuleInfo:
    """What is known about a unit."""

    @property
    def name(self) -> str:
        """What follows `import`."""
    @property
    def version(self) -> str: ...
    @property
    def versions(self) -> list[str]:
        """Every version that the manifest offers, newest first."""
    @property
    def summary(self) -> str | None: ...
    @property
    def size(self) -> int:
        """Bytes of all files that are not lazy."""
    @property
    def cached(self) -> bool:
        """Whether an import makes no request."""
    @property
    def hidden_by(self) -> str | None:
        """The installed file that wins over this unit."""
    @property
    def yanked(self) -> str | None:
        """Why the author took this version back; None for a good one."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Upgrade:
    """What an upgrade or a rollback did."""

    @property
    def name(self) -> str: ...
    @property
    def old_version(self) -> str | None: ...
    @property
    def new_version(self) -> str | None:
        """None where a rollback took the unit out of use."""
    @property
    def changed(self) -> bool: ...
    @property
    def files_changed(self) -> int: ...
    @property
    def bytes(self) -> int:
        """Bytes that were downloaded."""
    @property
    def seconds(self) -> float: ...
    @property
    def restart_required(self) -> bool:
        """A loaded extension module changed: only a new process uses the new version."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Report:
    """What `verify` found or `prune` removed."""

    @property
    def ok(self) -> bool: ...
    @property
    def units(self) -> int: ...
    @property
    def files(self) -> int: ...
    @property
    def bytes(self) -> int:
        """Bytes that were checked, or freed."""
    @property
    def problems(self) -> list[str]: ...
    @property
    def removed(self) -> list[str]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def mount(
    namespace: str,
    manifest_url: str,
    *,
    public_key: str | list[str] | None = None,
    first: bool = False,
    pins: dict[str, str] | None = None,
    allow_http: bool = False,
    max_age: Literal["warn", "fail"] = "warn",
    frozen: bool = False,
) -> Mount:
    """Serve `namespace` from a manifest; the same call twice is the same mount."""

def available(namespace: str = "magic_module") -> list[ModuleInfo]:
    """Every unit of a namespace, downloaded or not."""

def info(name: str) -> ModuleInfo:
    """What is known about one unit."""

def prefetch(*names: str, progress: Callable[[dict[str, Any]], object] | None = None) -> None:
    """Download units (`acme.heavy`, `acme.heavy==1.1.0`) and what they require; import nothing."""

def upgrade(*names: str) -> list[Upgrade]:
    """Move units, or all that are active, to their newest version."""

def rollback(name: str) -> Upgrade:
    """Undo the last move of a unit, and of what moved with it."""

def verify(*names: str) -> Report:
    """Hash what is cached, and heal what is damaged."""

def prune(*, limit: int | None = None) -> Report:
    """Remove what no generation needs; above `limit` bytes also what previous versions could be rebuilt from."""

def data_path(name: str, path: str) -> Path:
    """A data file of a unit on disk, fetched if it is lazy."""

def on_event(callback: Callable[[dict[str, Any]], object] | None) -> None:
    """Tell `callback` what happens (resolve, fetch, verify, load, upgrade); None tells nobody."""

def cache_dir() -> Path:
    """Where downloads are kept."""

@final
class _Unit:
    """The engine's handle of a unit, as loaders carry it."""

@final
class _Finder:
    """Our place on `sys.meta_path`: one before every other finder, one behind."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None: ...
    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterable[Distribution]: ...
    def invalidate_caches(self) -> None: ...

@final
class _Entry:
    """The finder of one folder of the store, for `sys.path_importer_cache`."""

    @property
    def path(self) -> str: ...
    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None: ...
    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]: ...
    def invalidate_caches(self) -> None: ...

def _install(search_path: list[str]) -> None: ...
def _get_code(loader: object, handle: _Unit, fullname: str) -> CodeType: ...
def _get_data(handle: _Unit, path: str) -> bytes | None: ...
def _ready(handle: _Unit) -> None: ...
def _ready_extension(loader: object, handle: _Unit, spec: ModuleSpec) -> None: ...
def _upgrade_unit(name: str, force: bool) -> Upgrade: ...
def _settings() -> dict[str, Any]: ...
def _parse_size(text: str) -> int | None: ...
def _publish(
    source: str,
    output: str,
    namespace: str,
    drop_older_than: int | None = None,
    sign: list[tuple[str, str | None]] = ...,
    *,
    compile: Callable[[str, bytes], bytes | None] | None = None,
) -> _Published: ...
def _ignore_lock() -> None: ...
def _freeze() -> None: ...
def _pin(namespace: str, names: list[str], frozen: bool | None = None) -> _Pinned: ...
def _keygen(path: str, password: str | None = None, *, protect: bool = False) -> _KeyPair: ...
def _key_needs_password(path: str) -> bool: ...
def _mounts() -> list[dict[str, Any]]: ...
def _diagnose() -> list[_Finding]: ...
def _cache_usage() -> dict[str, Any]: ...
def _distributions() -> list[tuple[str, str]]: ...
def _lazy_files(directory: str) -> list[str]: ...
def _lazy_path(origin: str) -> str: ...
