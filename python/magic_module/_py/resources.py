"""Package data when some of it is lazy: what `importlib.resources` sees.

A lazy file lies outside the tree until it is asked for. Here it stands among its siblings all the same: listing
fetches nothing, opening or reading fetches that one file.

```text
reader(loader, directory).files()  ->  Directory          the real directory and the lazy names below it
                                        ├── pathlib.Path   what has nothing lazy in it
                                        ├── Directory
                                        └── LazyFile       fetched by open, read_bytes, read_text, as_file, os.fspath
```
"""

import contextlib
import importlib.resources
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from magic_module import _native

# importlib.abc warns about these names from 3.12 on and has lost them in 3.14.
if sys.version_info >= (3, 11):
    from importlib.resources.abc import Traversable, TraversableResources
else:
    from importlib.abc import Traversable, TraversableResources

if TYPE_CHECKING:
    from importlib.abc import Loader


def reader(loader: "Loader", package_dir: str) -> "LazyResources":
    """The resource reader of the package whose files lie in `package_dir`, a directory of a tree."""
    return LazyResources(loader, package_dir)


class LazyResources(TraversableResources):
    """The resource reader of one package; asks for its lazy names once."""

    def __init__(self, loader: "Loader", package_dir: str) -> None:
        self.loader = loader
        self._directory = Path(package_dir)
        self._lazy: list[tuple[str, ...]] | None = None

    def files(self) -> "Directory":
        """The package's directory."""
        if self._lazy is None:
            self._lazy = [tuple(path.split("/")) for path in _native._lazy_files(str(self._directory))]
        return Directory(self._directory, self._lazy)

    def resource_path(self, resource: Any) -> str:
        """The file of a resource, fetched if it is lazy; part of the older interface."""
        found = self.files().joinpath(str(resource))
        if not found.is_file():
            raise FileNotFoundError(str(resource))
        return found.__fspath__() if isinstance(found, LazyFile) else str(found)


class LazyFile(Traversable):
    """A file that is fetched when it is first opened."""

    def __init__(self, origin: Path) -> None:
        self._origin = origin

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self._origin.name

    def is_file(self) -> bool:
        """True, also before it is fetched."""
        return True

    def is_dir(self) -> bool:
        """False."""
        return False

    def iterdir(self) -> Iterator[Any]:
        """Refused, as for every file."""
        raise NotADirectoryError(str(self._origin))

    def joinpath(self, *descendants: Any) -> Any:
        """A path below a file: it exists nowhere, as with `pathlib`."""
        return self._origin.joinpath(*descendants) if descendants else self

    def __truediv__(self, child: Any) -> Any:
        return self.joinpath(child)

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> IO[Any]:
        """Opens the file for reading, fetching it first if need be."""
        return Path(self.__fspath__()).open(mode, *args, **kwargs)

    def read_bytes(self) -> bytes:
        """The file's bytes, fetched first if need be."""
        return Path(self.__fspath__()).read_bytes()

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """The file's text, fetched first if need be."""
        return Path(self.__fspath__()).read_text(encoding, errors)

    def __fspath__(self) -> str:
        return _native._lazy_path(str(self._origin))

    def __str__(self) -> str:
        return str(self._origin)

    def __repr__(self) -> str:
        return f"LazyFile({str(self._origin)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LazyFile) and other._origin == self._origin

    def __hash__(self) -> int:
        return hash(self._origin)


class Directory(Traversable):
    """A directory with lazy files in it or below it; it need not exist on disk."""

    def __init__(self, directory: Path, lazy: list[tuple[str, ...]]) -> None:
        self._directory = directory
        self._lazy = lazy

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self._directory.name

    def is_file(self) -> bool:
        """False."""
        return False

    def is_dir(self) -> bool:
        """True, also where nothing but lazy files lies in it."""
        return True

    def iterdir(self) -> Iterator[Any]:
        """Everything in the directory; nothing is fetched."""
        names = {path[0] for path in self._lazy}
        if self._directory.is_dir():
            names.update(entry.name for entry in self._directory.iterdir())
        for name in sorted(names):
            yield self._child(name)

    def joinpath(self, *descendants: Any) -> Any:
        """What lies at a path below; it need not exist."""
        parts = [part for text in descendants for part in str(text).replace("\\", "/").split("/") if part != "."]
        found: Any = self
        for index, part in enumerate(part for part in parts if part):
            if not isinstance(found, Directory) or part == "..":
                remaining = [part for part in parts if part][index:]
                return Path(str(found)).joinpath(*remaining)
            found = found._child(part)
        return found

    def __truediv__(self, child: Any) -> Any:
        return self.joinpath(child)

    def _child(self, name: str) -> Any:
        below = [path[1:] for path in self._lazy if path[0] == name]
        if () in below:
            return LazyFile(self._directory / name)
        return Directory(self._directory / name, below) if below else self._directory / name

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> IO[Any]:
        """Refused, as for every directory."""
        raise IsADirectoryError(str(self._directory))

    def read_bytes(self) -> bytes:
        """Refused, as for every directory."""
        raise IsADirectoryError(str(self._directory))

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """Refused, as for every directory."""
        raise IsADirectoryError(str(self._directory))

    def __fspath__(self) -> str:
        return str(self._directory)

    def __str__(self) -> str:
        return str(self._directory)

    def __repr__(self) -> str:
        return f"Directory({str(self._directory)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Directory) and other._directory == self._directory

    def __hash__(self) -> int:
        return hash(self._directory)


# A lazy file is a real file once it is fetched: as_file gives that, not a temporary copy.
@importlib.resources.as_file.register(LazyFile)  # type: ignore[attr-defined,untyped-decorator]
@contextlib.contextmanager
def _lazy_as_file(file: LazyFile) -> Iterator[Path]:
    yield Path(file.__fspath__())
