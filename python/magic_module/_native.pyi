"""The engine. What does not start with an underscore is public and re-exported by `magic_module`."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from os import PathLike
from pathlib import Path
from types import CodeType, ModuleType, TracebackType
from typing import Any, ClassVar, Final, Literal, TypedDict, final

from magic_module._py.asking import Request

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

class _UsedMount(TypedDict):
    namespace: str | None
    manifest_url: str | None
    lock: str | None
    space: str | None
    identity: str
    generation: int | None
    directory: str
    changed: int | None

class _Usage(TypedDict):
    directory: str
    behind: list[str]
    bytes: int
    blobs: int
    trees: int
    limit: int | None
    mounts: list[_UsedMount]

class _Sealed(TypedDict):
    directory: str
    digest: str
    files: int
    bytes: int
    before: bool

class _Kept(TypedDict):
    name: str
    version: str
    bytes: int
    used: int | None

class _SpaceUsage(TypedDict):
    bytes: int
    used: int | None

class _Looked(TypedDict):
    folder: str
    state: Literal["nothing", "own", "fresh", "due"]
    source: str | None
    digest: str | None
    scripts: list[str]

class _Finding(TypedDict):
    check: str
    ok: bool
    message: str
    hint: str | None

_Known = TypedDict(
    "_Known",
    {
        "import": str,
        "distribution": str | None,
        "requirement": str | None,
        "confidence": Literal["exact", "table", "guess"],
        "source": str,
        "alternatives": list[str],
        "extras": dict[str, str],
        "indexes": dict[str, str],
        "system": dict[str, str],
        "note": str | None,
        "meant": str | None,
    },
)

@final
class Mount:
    """A namespace bound to where its units come from; leaving the context closes it.

    Made by `mount()`. Two are equal if they are the same mount. It is pickled as the call that made
    it, without the login in a URL: whoever unpickles it has the mount.
    """

    @property
    def namespace(self) -> str:
        """The importable prefix that is served; empty for top-level names."""
    @property
    def manifest_url(self) -> str:
        """Where the units come from, without credentials; for a lock, its file."""
    @property
    def view(self) -> Path | None:
        """The folder in which a lock's packages are seen; None for a manifest.

        It is shaped like a virtual environment.
        """
    def paths(self) -> list[str]:
        """The entries of `sys.path` for a lock's packages, for interpreters without magic_module.

        Such an interpreter finds only what was fetched before, for example by `prefetch()`.

        Returns:
            The view's `site-packages`, then folders that wheels add, and editable projects;
            nothing for a manifest, whose units only magic_module finds.

        Example:
            >>> os.environ | {"PYTHONPATH": os.pathsep.join(mount.paths())}
        """
    @property
    def identity(self) -> str:
        """The digest under which the store keeps this mount's generations."""
    def close(self) -> None:
        """Undo the mount; what is imported stays imported.

        Example:
            >>> mount.close()
        """
    def __enter__(self) -> Self:
        """The mount itself."""
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Undo the mount, whatever happened in the context.

        Args:
            exc_type: not looked at.
            exc_value: not looked at; it goes on to the caller.
            traceback: not looked at.
        """
    def __reduce__(self) -> tuple[Callable[[str], Mount], tuple[str]]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class ModuleInfo:
    """What is known about a unit: made by `info()` and `available()`."""

    @property
    def name(self) -> str:
        """What follows `import`."""
    @property
    def version(self) -> str:
        """The version that an import uses: the one in the cache, else the newest."""
    @property
    def versions(self) -> list[str]:
        """Every version that the manifest offers, newest first."""
    @property
    def summary(self) -> str | None:
        """The author's one line about it, if there is one."""
    @property
    def size(self) -> int:
        """Bytes of all files that are not lazy."""
    @property
    def cached(self) -> bool:
        """Whether an import makes no request."""
    @property
    def hidden_by(self) -> str | None:
        """The installed file that wins over this unit, if there is one."""
    @property
    def yanked(self) -> str | None:
        """Why the author took this version back; None for a good one."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Upgrade:
    """What an upgrade or a rollback did to one unit."""

    @property
    def name(self) -> str:
        """What follows `import`."""
    @property
    def old_version(self) -> str | None:
        """The version before; None if none was in use."""
    @property
    def new_version(self) -> str | None:
        """The version now; None if a rollback took the unit out of use."""
    @property
    def changed(self) -> bool:
        """Whether anything is different from before."""
    @property
    def files_changed(self) -> int:
        """How many files are new, gone or different."""
    @property
    def bytes(self) -> int:
        """Bytes that were downloaded."""
    @property
    def seconds(self) -> float:
        """How long it took, in seconds."""
    @property
    def restart_required(self) -> bool:
        """Whether a new process is needed to be sure that only the new version is used."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Report:
    """What `verify()` found or `prune()` removed."""

    @property
    def ok(self) -> bool:
        """Whether everything is well, or was healed."""
    @property
    def units(self) -> int:
        """How many units were checked."""
    @property
    def files(self) -> int:
        """How many files were checked."""
    @property
    def bytes(self) -> int:
        """Bytes that were checked, or freed."""
    @property
    def problems(self) -> list[str]:
        """A sentence about each problem that was found."""
    @property
    def removed(self) -> list[str]:
        """What was removed, in words for people."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class ScriptReport:
    """What a script needs, made by `check_script()`; unpacks as `ok, missing, available`."""

    @property
    def ok(self) -> bool:
        """Whether everything could be read, and nothing that the script needs is missing."""
    @property
    def missing(self) -> list[str]:
        """What to install: distributions or, if none is known, import names."""
    @property
    def available(self) -> list[str]:
        """The distributions, or import names, that are here or that a mount provides."""
    @property
    def needs(self) -> list[dict[str, Any]]:
        """One dict for each name that is imported, with the keys of `magic-module check --json`."""
    @property
    def problems(self) -> list[dict[str, Any]]:
        """One dict for each part that could not be read: `file`, `cell`, `line`, `column`, `message`."""
    @property
    def command(self) -> str | None:
        """The command that installs what is missing; None if nothing is, or nothing is known."""
    @property
    def metadata(self) -> str:
        """The comment block (PEP 723) that would pin what the script uses."""
    @property
    def unclear(self) -> list[str]:
        """The places of imports whose names are computed when the script runs."""
    def message(self) -> str:
        """What is missing, how it is installed, and whom to ask.

        Example:
            >>> print(mm.check_script("strategy.py").message())
        """
    def install(self) -> tuple[bool, str]:
        """Fetch what is missing, if `MAGIC_MODULE_AUTO_INSTALL` allows it; by default it does not.

        It is fetched as an import would fetch it: within the policy, and mounted in this process.

        Returns:
            Whether everything is here now, and one sentence.

        Example:
            >>> success, message = mm.check_script("strategy.py").install()
        """
    def __iter__(self) -> Iterator[Any]: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: ClassVar[None]  # type: ignore[assignment]

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
    export: bool = False,
) -> Mount:
    """Serve `namespace` from a manifest; the same call twice is the same mount.

    No request is made before a name of the namespace is looked up. There is one exception: the
    manifest of an empty namespace is asked for at once, because it may have a lock. If it has one,
    this does what `mount_lock()` does.

    Args:
        namespace: the importable prefix, such as a package's `__name__`; empty for top-level names.
        manifest_url: where the `manifest.json` is: https, http to this machine, a file, s3, gs or az.
        public_key: a minisign key, or several of which one must have signed; None asks for none.
        first: serve top-level names before what is installed; for an empty namespace only.
        pins: versions to use, by unit, instead of the newest: `{"alpha": "1.1.0"}`.
        allow_http: accept plain http from other machines, too.
        max_age: what to do about a manifest that is too old: "warn" or "fail".
        frozen: refuse every unit that the project's `magic.lock` does not list.
        export: every process that is started from now on has the mount, too, until it is closed;
            for a named namespace, or a lock.

    Returns:
        The mount, a context manager that undoes it.

    Raises:
        ConfigurationError: an argument is wrong, or contradicts an earlier mount.
        StoreError: the cache directory cannot be used.
        ValueError: `max_age` is neither of the two.

    Example:
        >>> mm.mount("acme", "https://example.com/acme/manifest.json")
    """

def mount_lock(
    path: str | PathLike[str],
    *,
    extras: Sequence[str] = ...,
    groups: Sequence[str] = ...,
    first: bool = False,
    build: bool = False,
    unhashed: bool = False,
    optional: Literal["fetch", "present-only", "deny"] = "fetch",
    export: bool = False,
) -> Mount:
    """Make every package of a lock importable; each is fetched when it is first imported.

    What the lock means for this interpreter is found out at the first call, and kept: every
    further call makes no request.

    Args:
        path: a `pylock.toml` (PEP 751).
        extras: optional dependencies of the lock's project to include.
        groups: dependency groups (PEP 735) to include besides the lock's default ones.
        first: serve its packages before what is installed.
        build: have uv or pip build packages without a wheel, once; this runs their code.
        unhashed: also accept wheels without a digest in the lock; the first digest is kept.
        optional: what the optional imports of packages do: "fetch", "present-only" or
            "deny"; the lock's `[tool.magic-module.optional]` sets it for single packages.
        export: every process that is started from now on has the mount, too, until it is closed.

    Returns:
        The mount, a context manager that undoes it.

    Raises:
        ManifestError: it is not a lock, or not a supported one.
        RequirementError: it is for another Python or platform, or something in it has to be built.
        FetchError: the content of its wheels cannot be found out.
        StoreError: the lock cannot be read, or the cache directory cannot be used.
        ValueError: `optional` is none of the three.

    Example:
        >>> mm.mount_lock("pylock.toml")
    """

def export_environment() -> dict[str, str]:
    """Variables that give a child process the settings and mounts of this one.

    It has the variables of this process whose names begin with `MAGIC_MODULE_`, and in
    `MAGIC_MODULE_MOUNTS` every mount but those of units with top-level names. The child mounts
    them when its interpreter starts. They contain no login and no password: a child that needs one
    must have its own.

    Returns:
        Variables by name, to be added to an environment.

    Raises:
        ConfigurationError: a variable is wrong.

    Example:
        >>> subprocess.run(command, env=os.environ | mm.export_environment())
    """

def available(namespace: str = "magic_module") -> list[ModuleInfo]:
    """Every unit of a namespace, downloaded or not, by name.

    Args:
        namespace: one that is mounted; its manifest is asked for if none is known.

    Returns:
        What is known about each unit.

    Raises:
        ConfigurationError: nothing is mounted there.
        FetchError: no manifest is known, and the server does not give one.
        OfflineError: no manifest is known, and `MAGIC_MODULE_OFFLINE` is set.

    Example:
        >>> [unit.name for unit in mm.available("acme")]
    """

def info(name: str) -> ModuleInfo:
    """What is known about one unit; the unit is not downloaded.

    Args:
        name: what follows `import`, such as `acme.heavy`.

    Raises:
        UnitNotFoundError: the manifest does not have it.
        FetchError: no manifest is known, and the server does not give one.

    Example:
        >>> mm.info("acme.heavy").versions
    """

def prefetch(*names: str, progress: Callable[[dict[str, Any]], object] | None = None) -> None:
    """Download units and what they require now, in parallel; import nothing.

    Args:
        names: what follows `import`, also with a version: `acme.heavy==1.1.0`.
        progress: called with each event of the download (`bytes`, `total`, `percentage`), at most
            10 times a second, on this thread.

    Raises:
        UnitNotFoundError: a manifest does not have a name.
        FetchError: the network or the server failed.
        IntegrityError: bytes are not the pinned ones.
        RequirementError: there is no such version, or something required is not installed.
        PolicyError: the version was taken back, or a lock does not list it.

    Example:
        >>> mm.prefetch("acme.heavy", "acme.light==1.1.0")
    """

def upgrade(*names: str) -> list[Upgrade]:
    """Move units to their newest versions and reload their loaded modules, or change nothing.

    Args:
        names: what follows `import`; without names, every unit that is in use.

    Returns:
        What happened, for each unit that was named or moved.

    Raises:
        UnitNotFoundError: a manifest does not have a name.
        FetchError: the network or the server failed; everything is as before.
        IntegrityError: bytes are not the pinned ones; everything is as before.
        RequirementError: the new version does not fit what is installed.

    Example:
        >>> mm.upgrade("acme.heavy")[0].new_version
    """

def rollback(name: str) -> Upgrade:
    """Undo the last move of a unit, and of what moved with it.

    Args:
        name: what follows `import`.

    Returns:
        What happened to the unit; nothing, if it was never moved.

    Raises:
        UnitNotFoundError: no mounted namespace holds the name.
        StoreError: the previous version is no longer in the cache, nor published.

    Example:
        >>> mm.rollback("acme.heavy").changed
    """

def verify(*names: str) -> Report:
    """Hash what is in the cache, and repair what is damaged; only that may be downloaded.

    Args:
        names: what follows `import`; without names, everything in use.

    Returns:
        What was checked, with the `problems` that were found; `ok` is true if all are repaired.

    Raises:
        UnitNotFoundError: a name is not in the cache.
        StoreError: the cache directory cannot be used.

    Example:
        >>> mm.verify().problems
    """

def prune(*, limit: int | None = None) -> Report:
    """Remove what neither the versions in use nor the previous ones need.

    Args:
        limit: above this many bytes, also remove what previous versions could be rebuilt from; default:
            `MAGIC_MODULE_CACHE_LIMIT`.

    Returns:
        What was `removed`, and the `bytes` that this freed.

    Raises:
        StoreError: something cannot be read or removed.

    Example:
        >>> mm.prune(limit=500 * 2**20).bytes
    """

def data_path(name: str, path: str) -> Path:
    """The path of a data file on disk, fetched first if it is lazy.

    Args:
        name: the unit, as it follows `import`.
        path: the file's path in the unit: below its folder, or as the manifest has it.

    Raises:
        UnitNotFoundError: the unit, or the file in it, does not exist.
        FetchError: the file is not here, and the server does not send it.
        IntegrityError: the file's bytes are not the pinned ones.

    Example:
        >>> mm.data_path("acme.heavy", "weights.bin").stat().st_size
    """

def on_event(callback: Callable[[dict[str, Any]], object] | None) -> None:
    """Call a function when something happens: resolve, fetch, verify, load, upgrade.

    Args:
        callback: called with each event, a dict, on the thread that waits, at most 10 times a second
            with progress; what it raises ends the act. None: call nobody.

    Raises:
        TypeError: `callback` cannot be called.

    Example:
        >>> mm.on_event(lambda event: print(event["event"], event["unit"]))
    """

def on_request(callback: Callable[[Request], str] | None) -> None:
    """Decide about what a policy says to ask about, before it is fetched.

    Args:
        callback: called with a `Request` on the thread that waits; it answers "once", "always" (for
            as long as this process lives) or "deny" (for as long, too); what it raises ends the
            act. With None, the question is put on the terminal; without one, the answer is "deny".

    Raises:
        TypeError: `callback` cannot be called.

    Example:
        >>> mm.on_request(lambda request: "once" if request.size < 2**20 else "deny")
    """

def check_script(path_or_text: str | PathLike[str]) -> ScriptReport:
    """Find out what a script needs and whether that is here; the script is never run.

    Args:
        path_or_text: a script, a notebook, a folder with everything below it, or the source itself.

    Returns:
        What it needs; unpacks as `ok, missing, available`.

    Raises:
        RequirementError: it is too large, binary, or not a notebook.
        StoreError: it cannot be read.

    Example:
        >>> ok, missing, available = mm.check_script("strategy.py")
    """

def cache_dir() -> Path:
    """Where downloads are kept: `MAGIC_MODULE_CACHE_DIR`, or the user's cache folder.

    Raises:
        StoreError: the directory cannot be used.

    Example:
        >>> mm.cache_dir()
    """

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
    def discover(self, parent: ModuleSpec | None = None) -> Iterator[ModuleSpec]: ...
    def invalidate_caches(self) -> None: ...

def _install(search_path: list[str]) -> None: ...
def _exported() -> str: ...
def _mount_exported(text: str, lock: str | PathLike[str] | None = None) -> None: ...
def _start() -> None: ...
def _unpickled(text: str) -> Mount: ...
def _mount_said() -> None: ...
def _get_code(loader: object, handle: _Unit, fullname: str) -> CodeType: ...
def _get_data(handle: _Unit, path: str) -> bytes | None: ...
def _ready(handle: _Unit) -> None: ...
def _is_folder_at(place: str) -> bool | None: ...
def _ready_at(place: str) -> bool: ...
def _make_whole(loader: object, handle: _Unit) -> None: ...
def _hidden_by(fullname: str, path: Sequence[str] | None, folders: Sequence[str]) -> ModuleSpec | None: ...
def _ready_extension(loader: object, handle: _Unit, spec: ModuleSpec) -> None: ...
def _upgrade_unit(name: str, force: bool) -> Upgrade: ...
def _settings() -> dict[str, Any]: ...
def _hashed() -> tuple[int, float]: ...
def _parse_size(text: str) -> int | None: ...
def _parse_toml(text: str) -> tuple[str | None, str | None]: ...
def _closest(name: str, names: list[str]) -> str | None: ...
def _shown(text: str, limit: int = ...) -> str: ...
def _publish(
    source: str,
    output: str,
    namespace: str,
    drop_older_than: int | None = None,
    sign: list[tuple[str, str | None]] = ...,
    *,
    compile: Callable[[str, bytes], bytes | None] | None = None,
) -> _Published: ...
def _publish_lock(
    lock: str,
    output: str,
    drop_older_than: int | None = None,
    sign: list[tuple[str, str | None]] = ...,
    *,
    compile: Callable[[str, bytes], bytes | None] | None = None,
    packs: tuple[list[str], Path, Callable[[Path], None]] | None = None,
) -> _Published: ...
def _ignore_lock() -> None: ...
def _freeze() -> None: ...
def _pin(namespace: str, names: list[str], frozen: bool | None = None) -> _Pinned: ...
def _keygen(path: str, password: str | None = None, *, protect: bool = False) -> _KeyPair: ...
def _judge(distribution: str) -> tuple[bool, str, str]: ...
def _consent(import_name: str, distribution: str, importer: str, rule: str) -> bool | None: ...
def _note(decision: str, import_name: str, distribution: str, importer: str, rule: str, error: str) -> None: ...
def _note_plain_lock() -> None: ...
def _known(import_name: str) -> _Known | None: ...
def _key_needs_password(path: str) -> bool: ...
def _signature(path: str, password: str | None, bytes: bytes, comment: str) -> bytes: ...
def _mounts() -> list[dict[str, Any]]: ...
def _diagnose() -> list[_Finding]: ...
def _cache_usage() -> _Usage: ...
def _journal() -> tuple[str | None, list[str]]: ...
def _kept() -> list[_Kept]: ...
def _keep_only(names: list[str]) -> None: ...
def _seal(cache: str | PathLike[str] | None = None) -> _Sealed: ...
def _unseal(cache: str | PathLike[str] | None = None) -> tuple[str, bool]: ...
def _distributions() -> list[tuple[str, str]]: ...
def _is_in_view(path: str) -> bool: ...
def _namespace_of(tree: str) -> str | None: ...
def _lazy_files(directory: str) -> list[str]: ...
def _lazy_path(origin: str) -> str: ...
def _sources(names: list[str]) -> list[tuple[str, str, str, Path, list[str], list[str]]]: ...
def _unit_file(name: str, path: str) -> Path: ...
def _index_lock(path: str | PathLike[str]) -> tuple[Path, int]: ...
def _nearest_lock(here: str | PathLike[str]) -> Path | None: ...
def _skip_start() -> None: ...
def _begin_run(plan: str) -> None: ...
def _behind_logins() -> list[str]: ...
def _watch_imports() -> None: ...
def _lacks_rest(folder: str) -> bool: ...
def _bring_rests() -> None: ...
def _stop_rests() -> None: ...
def _paths_in_view(paths: Sequence[str]) -> list[str]: ...
def _imports() -> tuple[list[tuple[str, bool]], list[str]]: ...
def _nearest_registry(here: str | PathLike[str]) -> Path | None: ...
def _allow_build(name: str, version: str, url: str) -> None: ...
def _install_into(
    lock: str | PathLike[str],
    names: list[str],
    site: str | PathLike[str],
    *,
    others: tuple[str, str, str] | None = None,
    python: str,
) -> list[tuple[str, str, bool]]: ...
def _create_space(name: str, files: dict[str, bytes | None]) -> Path: ...
def _prepare_space(name: str) -> Path: ...
def _change_space(name: str, before: dict[str, bytes | None], files: dict[str, bytes | None]) -> bool: ...
def _delete_space(name: str) -> None: ...
def _space_folder(name: str) -> Path: ...
def _spaces() -> tuple[Path, list[tuple[str, Path]]]: ...
def _usage_of_spaces() -> dict[str, _SpaceUsage]: ...
def _refuse_paths(lock: str | PathLike[str], text: bytes) -> None: ...
def _activate_space(name: str) -> Mount: ...
def _bundle_parts(names: list[str]) -> list[tuple[str, str, str, str, int, Path]]: ...
def _unbundle(path: str | PathLike[str], public_keys: list[str]) -> tuple[int, int]: ...
def _bundled(path: str | PathLike[str]) -> list[str]: ...
def _are_here(artifacts: list[str]) -> bool: ...
def _watch(watcher: Callable[[dict[str, Any]], object]) -> None: ...
def _unwatch(watcher: Callable[[dict[str, Any]], object]) -> None: ...
def _note_preloaded(is_done: bool) -> None: ...
def _sync_look(path: str | PathLike[str]) -> _Looked: ...
def _synced(path: str | PathLike[str]) -> str | None: ...
def _note_synced(path: str | PathLike[str], needed: list[str], answer: str) -> None: ...
def _sync_before(lock: str | PathLike[str]) -> None: ...
def _tell_logins(urls: list[str]) -> None: ...
def _script_folder(facts: str) -> Path: ...
