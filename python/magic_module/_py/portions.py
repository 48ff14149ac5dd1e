"""Folders that several wheels share, as `importlib.resources` and its backport see them.

```text
files("google")  ->  MultiplexedPath     the real folder
                      ├── auth           a link into a tree that need not be there yet: here it is a `ViewPath`
                      └── cloud          another real folder
```

Whether such a path is a file or a folder is known without a download. Opening it, listing it, or handing it to the
system fetches it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from magic_module import _native

_stock: Any = type(Path())


class ViewPath(_stock):  # type: ignore[misc]
    """A path in a view, and every path that is derived from it."""

    def __fspath__(self) -> str:
        place = str(self)
        _native._ready_at(place)
        return place

    def is_dir(self, **options: Any) -> bool:
        """Whether it is a folder, here or not."""
        folder = _native._is_folder_at(str(self))
        return super().is_dir(**options) if folder is None else folder

    def is_file(self, **options: Any) -> bool:
        """Whether it is a file, here or not."""
        folder = _native._is_folder_at(str(self))
        return super().is_file(**options) if folder is None else not folder

    def exists(self, **options: Any) -> bool:
        """Whether there is such a path, here or not."""
        return _native._is_folder_at(str(self)) is not None or super().exists(**options)

    # These hand on the path as a text.
    def iterdir(self) -> Iterator[Any]:
        """What is in it."""
        self.__fspath__()
        return super().iterdir()  # type: ignore[no-any-return]

    def glob(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        """What is in it and matches."""
        self.__fspath__()
        return super().glob(*arguments, **options)  # type: ignore[no-any-return]

    def rglob(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        """What is below it and matches."""
        self.__fspath__()
        return super().rglob(*arguments, **options)  # type: ignore[no-any-return]


def mend_readers(module: Any) -> None:
    """Has `MultiplexedPath` of such a module see them so."""
    stock: Callable[..., None] = module.MultiplexedPath.__init__
    if hasattr(stock, "_magic_module"):
        return

    def begin(self: Any, *paths: Any) -> None:
        for path in paths:
            _native._ready_at(str(path))
        stock(self, *paths)
        self._paths = [ViewPath(path) if _native._is_in_view(str(path)) else path for path in self._paths]

    begin._magic_module = True  # type: ignore[attr-defined]
    module.MultiplexedPath.__init__ = begin
