"""One lock, from the request to the file: resolved aside, cut, compared, and only then put in place."""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from magic_module._py.locking import changes, marks, pip, script, uv
from magic_module._py.locking.changes import Change, Lock
from magic_module._py.locking.request import Request
from magic_module._py.locking.urls import cut_document
from magic_module.errors import PolicyError, RequirementError, StoreError

Resolver = uv.Uv | pip.Pip


@dataclass(frozen=True)
class Made:
    """What became of a request."""

    resolver: str
    packages: int
    changes: list[Change]
    is_new: bool
    """There was no lock."""
    written: bool
    """False where the lock is the same to the byte."""
    warnings: list[str]


def resolver() -> Resolver:
    """uv, else pip.

    Raises:
        RequirementError: neither can be used.
    """
    first = uv.find()
    if isinstance(first, uv.Uv):
        return first
    second = pip.find()
    if isinstance(second, pip.Pip):
        return second
    hint = f"{pip.INSTALL_UV}, or {pip.UPGRADE_PIP}"
    raise RequirementError(f"cannot lock: {first}, and {second}; {hint}", hint=hint)


def make(request: Request, moved: frozenset[str], begin: Callable[[str], None]) -> Made:
    """Locks.

    Args:
        request: what.
        moved: the packages that may come from another index than before.
        begin: called with the resolver's name before it is asked.

    Raises:
        MagicModuleError: it could not; the old lock is as it was.
    """
    target = Path(os.path.realpath(request.output))
    old = _old(target, request.output)
    with _aside(target, request.output) as aside:
        asked = resolver()
        begin(asked.name)
        try:
            text, warnings = asked.resolve(request, aside, old)
        except OSError as error:
            raise _unwritable(request.output, error) from None
        text = cut_document(text)
        if request.script is not None:
            text = script.marked(text, request.script)
        if request.inputs is not None:
            text = marks.marked(text, marks.INPUTS, request.inputs.digest)
            _refuse_secrets(request, text)
        if request.digest is not None:
            text = marks.marked(text, marks.FILES, request.digest)
        if old is not None:
            text = marks.carried(text, old.text)
        new = Lock(text, request.output)
        if old is not None:
            changes.refuse_other_indexes(old, new, moved)
        written = old is None or old.text != text
        if written:
            _replace(aside, text, target)
    return Made(asked.name, len(new.entries), changes.between(old, new), old is None, written, warnings)


def _refuse_secrets(request: Request, text: str) -> None:
    """A lock is committed and sent around."""
    if request.hide(text) != text and request.inputs is not None:
        hint = "let it stand before the @ of a URL, or as a value of its query"
        raise PolicyError(f"cannot lock: a secret of {request.inputs.of} would stand in the lock; {hint}", hint=hint)


def _old(target: Path, shown: str) -> Lock | None:
    try:
        text = target.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        text = ""
    return Lock(text, shown)


@contextlib.contextmanager
def _aside(target: Path, shown: str) -> Iterator[Path]:
    """A name beside the lock that nobody has; resolvers want one that a lock may have."""
    aside = target.with_name(f"pylock.magic-module-{os.getpid()}.toml")
    try:
        # Known before anybody waits for a resolver. The file itself would be no lock: it is not left there.
        aside.open("xb").close()
        aside.unlink()
    except OSError as error:
        raise _unwritable(shown, error) from None
    try:
        yield aside
    finally:
        aside.unlink(missing_ok=True)


def _replace(aside: Path, text: str, target: Path) -> None:
    try:
        with aside.open("wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileNotFoundError):
            aside.chmod(stat.S_IMODE(target.stat().st_mode))
        aside.replace(target)
    except OSError as error:
        raise _unwritable(str(target), error) from None


def _unwritable(path: str, error: OSError) -> StoreError:
    why = error.strerror or str(error)
    hint = "check its folder, or give another file with -o"
    return StoreError(f"cannot write {path}: {why}; {hint}", path=path, hint=hint, causes=(why,))
