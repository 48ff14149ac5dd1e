"""`mm.Space`: what one tenant has of its own, and how it is made, changed and used."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from magic_module import _native
from magic_module._py.locking import making
from magic_module._py.locking.changes import Change, Lock, between
from magic_module._py.locking.reading import text_of
from magic_module._py.locking.request import Request
from magic_module._py.spaces import requirements
from magic_module.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from magic_module._native import Mount

LOCK = "pylock.toml"
REQUIREMENTS = "requirements.txt"
REGISTRY = "modules.toml"

ATTEMPTS = 8
"""So often is a change made again because somebody else was quicker."""

_Begin = Callable[[str], None]


@dataclass(frozen=True)
class Difference:
    """One package that two spaces do not have in the same version.

    Attributes:
        name: of the package.
        here: its version in this space; None if it is not there.
        there: its version in the other space; None if it is not there.
    """

    name: str
    here: str | None
    there: str | None


class Space:
    """A tenant's own lock, policy and audit log. The bytes of its packages are shared with other spaces.

    Args:
        name: letters and digits, with `-`, `_` and `.` between them.

    Raises:
        ConfigurationError: there is no such space.

    Example:
        >>> mm.Space.create("org-123", ["requests==2.28.2"]).packages()["requests"]
        '2.28.2'
    """

    def __init__(self, name: str) -> None:
        self.name = name
        """As it was given."""
        self.path = _native._space_folder(name)
        """Its folder."""

    @classmethod
    def create(
        cls,
        name: str,
        requirements: Sequence[str] = (),
        *,
        requirements_file: str | None = None,
        lock: str | None = None,
        registry: str | None = None,
    ) -> "Space":
        """Make a space; nothing is downloaded.

        Args:
            name: of the space.
            requirements: its requirements, which are resolved once.
            requirements_file: a file with its requirements.
            lock: instead of both, a `pylock.toml`, which is copied.
            registry: a `modules.toml` with its policy, which is copied; without one, the policy of
                `MAGIC_MODULE_REGISTRY` holds.

        Returns:
            The space.

        Raises:
            ConfigurationError: a space of that name exists, or of one that differs only in case.
            RequirementError: the requirements cannot be resolved, or the lock cannot be copied.
        """
        files = () if requirements_file is None else (requirements_file,)
        make(name, names=requirements, files=files, lock=lock, registry=registry)
        return cls(name)

    @property
    def lock(self) -> Path:
        """Its `pylock.toml`."""
        return self.path / LOCK

    @property
    def registry(self) -> Path | None:
        """Its own `modules.toml`; None if it has none."""
        file = self.path / REGISTRY
        return file if file.is_file() else None

    def packages(self) -> dict[str, str]:
        """The packages of its lock, with their versions."""
        return Lock(text_of(str(self.lock)), str(self.lock)).versions()

    def requirements(self) -> list[str]:
        """What its lock was resolved from; empty for a lock that was copied."""
        text = _read(self.path / REQUIREMENTS)
        return [] if text is None else requirements.listed(text.decode())

    def environment(self) -> dict[str, str]:
        """Variables that make a child process work in the space, to be added to its environment."""
        return {"MAGIC_MODULE_SPACE": self.name, "MAGIC_MODULE_SPACES_DIR": str(self.path.parent)}

    def activate(self) -> "Mount":
        """Let this process, and every process that it starts, work in the space.

        Returns:
            The mount of its lock.

        Raises:
            ConfigurationError: the process works in another space, or has used magic_module outside of any.
        """
        return _native._activate_space(self.name)

    def add(self, *requirements: str) -> list[Change]:
        """Add requirements, and resolve; a new requirement of the same package replaces the old one.

        Args:
            requirements: as in a requirements file: `"rich>=13"`.

        Returns:
            What changed in the lock.

        Raises:
            ConfigurationError: its lock was copied, so its requirements are not known.
            RequirementError: it cannot be resolved; nothing is changed.
        """
        return change(self, add=requirements).changes

    def remove(self, *names: str) -> list[Change]:
        """Remove requirements, and resolve.

        Args:
            names: packages among its requirements.

        Returns:
            What changed in the lock.

        Raises:
            ConfigurationError: one of them is not among its requirements.
            RequirementError: it cannot be resolved; nothing is changed.
        """
        return change(self, remove=names).changes

    def diff(self, other: "str | Space") -> list[Difference]:
        """The packages that two spaces do not have in the same version.

        Args:
            other: another space, or its name.

        Returns:
            The differences, by name of the package.
        """
        there = other if isinstance(other, Space) else Space(other)
        mine, theirs = self.packages(), there.packages()
        names = sorted({*mine, *theirs})
        found = (Difference(name, mine.get(name), theirs.get(name)) for name in names)
        return [each for each in found if each.here != each.there]

    def delete(self) -> None:
        """Remove it, with its lock, policy and log; the next `prune` removes what only it used.

        Processes that work in it go on.
        """
        _native._delete_space(self.name)

    def __repr__(self) -> str:
        return f"Space({self.name!r})"


@dataclass(frozen=True)
class Made:
    """What became of a space."""

    path: Path
    resolver: str | None
    """None where a lock was copied."""
    packages: int
    written: bool
    changes: list[Change]
    warnings: list[str]


def make(
    name: str,
    *,
    names: Sequence[str] = (),
    files: Sequence[str] = (),
    lock: str | None = None,
    registry: str | None = None,
    begin: _Begin = lambda _: None,
) -> Made:
    """Makes a space; see `Space.create`."""
    if lock is not None and (names or files):
        hint = "give one of them"
        raise ConfigurationError(f"a space has a lock, or requirements that are resolved into one; {hint}", hint=hint)
    own: dict[str, bytes | None] = {REGISTRY: None if registry is None else text_of(registry).encode()}
    if lock is not None:
        text = text_of(lock)
        _native._refuse_paths(lock, text.encode())
        path = _native._create_space(name, {**own, LOCK: text.encode()})
        return Made(path, None, text.count("[[packages]]"), True, [], [])
    asked = requirements.collected(names, files)
    text, made = _resolved(_native._prepare_space(name), name, asked, None, (), begin)
    path = _native._create_space(name, {**own, LOCK: text.encode(), REQUIREMENTS: asked.encode()})
    return Made(path, made.resolver, made.packages, True, between(None, Lock(text, str(path))), made.warnings)


def change(
    space: Space,
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    upgrade: tuple[str, ...] | None = None,
    lock: str | None = None,
    begin: _Begin = lambda _: None,
) -> Made:
    """Resolves what a space asks for, or copies another lock into it; whoever looks sees the old or the new.

    Args:
        space: which one.
        add: more to ask for.
        remove: packages that are asked for no longer.
        upgrade: packages whose versions are forgotten; `()` forgets all, None keeps what fits.
        lock: a lock that takes the place of its own.
        begin: called with the resolver's name before it is asked.
    """
    for _ in range(ATTEMPTS):
        before: dict[str, bytes | None] = {name: _read(space.path / name) for name in (LOCK, REQUIREMENTS)}
        current = before[LOCK]
        if current is None:
            _native._space_folder(space.name)  # says so if it was deleted meanwhile
            continue
        old = Lock(current.decode(), str(space.lock))
        if lock is not None:
            text, resolver, warnings = text_of(lock), None, []
            _native._refuse_paths(lock, text.encode())
            files: dict[str, bytes | None] = {LOCK: text.encode(), REQUIREMENTS: None}
        else:
            asked = before[REQUIREMENTS]
            if asked is None:
                hint = f"give it another lock: magic-module space lock {space.name} --lock FILE"
                what = f"the lock of the space {space.name} was copied, so its requirements are not known"
                raise ConfigurationError(f"{what}; {hint}", name=space.name, hint=hint)
            wanted = requirements.removed(asked.decode(), remove, f"the space {space.name}")
            wanted = requirements.added(wanted, add)
            text, made = _resolved(space.path.parent, space.name, wanted, old.text, upgrade, begin)
            resolver, warnings = made.resolver, made.warnings
            files = {LOCK: text.encode(), REQUIREMENTS: wanted.encode()}
        new = Lock(text, str(space.lock))
        if _native._change_space(space.name, before, files):
            written = text != old.text
            return Made(space.path, resolver, len(new.entries), written, between(old, new), warnings)
    hint = "try again"
    what = f"cannot change the space {space.name}, because other processes keep changing it"
    raise StoreError(f"{what}; {hint}", name=space.name, path=str(space.path), hint=hint)


def _resolved(
    spaces: Path, name: str, asked: str, old: str | None, upgrade: tuple[str, ...] | None, begin: _Begin
) -> tuple[str, making.Made]:
    """The text of a lock that has what is asked for. Paths in it count from where the space lies."""
    try:
        aside = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=spaces))
    except OSError as error:
        why, hint = error.strerror or str(error), "set MAGIC_MODULE_SPACES_DIR to a directory that you may write to"
        raise StoreError(
            f"cannot write to {spaces}: {why}; {hint}", path=str(spaces), hint=hint, causes=(why,)
        ) from None
    try:
        (aside / REQUIREMENTS).write_text(asked, "utf-8")
        if old is not None:
            (aside / LOCK).write_text(old, "utf-8")
        request = Request(
            files=(str(aside / REQUIREMENTS),),
            output=str(aside / LOCK),
            made_by=("magic-module", "space", "lock", name),
            upgrade=upgrade,
        )
        made = making.make(request, frozenset(), begin)
        return (aside / LOCK).read_text("utf-8"), made
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
