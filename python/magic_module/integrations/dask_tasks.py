"""Tasks of Dask that need what cannot be imported: they fail with our error, and their worker lives on."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterable
from typing import Any, NoReturn

from distributed.protocol import pickle as of_dask

from magic_module.errors import MagicModuleError


def let_tasks_fail() -> None:
    """From now on the message arrives in which something cannot be imported, and the task fails that uses it."""
    strict = of_dask.loads
    if strict.__module__ == __name__:
        return

    def loads(data: bytes, *, buffers: Iterable[Any] = ()) -> Any:
        try:
            return strict(data, buffers=buffers)
        except MagicModuleError:
            return _Unpickler(io.BytesIO(data), buffers=buffers).load()

    of_dask.loads = loads


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except MagicModuleError as error:
            return _Fails(name, (), {"error": error})


class _Fails(type):
    """A class in place of what could not be imported: it is called, or one of its instances used, in the task."""

    error: MagicModuleError

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _Fails:
        return super().__new__(
            cls, name, bases, {**namespace, "__getattr__": cls.fail, "__setstate__": lambda *_: None}
        )

    def __call__(cls, *_: object, **__: object) -> NoReturn:
        raise cls.error

    @staticmethod
    def fail(instance: Any, name: str) -> NoReturn:
        raise type(instance).error
