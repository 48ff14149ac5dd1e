"""The distributions of a view, as `importlib.metadata` and its backport see them.

Their `.dist-info` folders are real: the stock finder lists them. What they name need not be there yet, so a
distribution that lies in a view tells its files without looking for them, and fetches one that is asked for.
"""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from magic_module import _native


def mend_metadata(module: Any) -> None:
    """Has a module with the interface of `importlib.metadata` find such distributions."""
    finder = module.MetadataPathFinder
    stock: Callable[..., Any] = finder.find_distributions
    if hasattr(stock, "_magic_module"):
        return
    lazy = _lazy_class(module)

    def find_distributions(*args: Any, **kwargs: Any) -> Iterator[Any]:
        for distribution in stock(*args, **kwargs):
            folder = getattr(distribution, "_path", None)
            ours = type(distribution) is module.PathDistribution and _native._is_in_view(str(folder))
            yield lazy(folder) if ours else distribution

    find_distributions._magic_module = True  # type: ignore[attr-defined]
    finder.find_distributions = staticmethod(find_distributions)


def _lazy_class(module: Any) -> Any:
    stock: Any = module.PathDistribution

    class ViewDistribution(stock):  # type: ignore[misc]
        """A distribution of a lock; its files are listed before they are here."""

        @property
        def files(self) -> "list[Any] | None":
            """All files, as an installer would have recorded them."""
            text = self.read_text("RECORD")
            return None if text is None else [self._file(*row) for row in csv.reader(text.splitlines())]

        def _file(self, path: str, digest: str = "", size: str = "") -> Any:
            file = module.PackagePath(path)
            file.hash = module.FileHash(digest) if digest else None
            file.size = int(size) if size else None
            file.dist = self
            return file

        def locate_file(self, path: Any) -> Any:
            """Where a file lies; it is fetched."""
            place = stock.locate_file(self, path)
            _native._ready_at(str(place))
            return place

        def read_text(self, filename: Any) -> "str | None":
            """A text of the metadata; what nobody reads without the package, such as a licence, is fetched."""
            text = stock.read_text(self, filename)
            if text is None and _native._ready_at(str(Path(self._path, filename))):
                text = stock.read_text(self, filename)
            return text  # type: ignore[no-any-return]

    return ViewDistribution
